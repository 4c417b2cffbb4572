"""POST /emails with bytes of any kind: whatever they are, the answer is one that the contract knows."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from database import db

EMAIL = {
    "msgId": "m1",
    "receivedAt": "2026-01-31T09:30:00+01:00",
    "rfc822MsgId": "<hello@mail.acme.example>",
    "subject": "Grüße \U0001f600",
    "fromAddress": {"name": "Jane Doe", "address": "jane@acme.example"},
    "toAddresses": ["John <john@brightsync.example>", None],
    "attachments": [{"id": 1, "size": 1.5e3, "inline": False, "content": "JVBERi0xLjQ="}],
    "relatedTo": {"type": "Contact", "id": "1"},
}
SEEDS = [json.dumps(EMAIL).encode(), json.dumps(EMAIL, ensure_ascii=False, indent=1).encode(), b"{}", b"[]", b""]
# What has broken readers of JSON, to be put anywhere.
PIECES = [
    *[
        b"\x00",
        b"\\u0000",
        b"\\ud800",
        b"\\udc00\\ud83d",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xc0\xaf",
        b"\xef\xbb\xbf",
        b"\\",
    ],
    *[b"NaN", b"-Infinity", b"1e400", b"-0", b"1" * 400, b"9" * 5000, str(2**63).encode(), b"1e-400", b"0x1", b"01"],
    *[b"[" * 40, b"[" * 100_000, b'{"a":' * 2000, b"]", b"}", b'"', b",", b":", b"null", b"true", b"/**/", b"{}"],
    *[
        b'"subject":1,',
        b'"toAddresses":{},',
        b'"attachments":[[]],',
        b'"relatedTo":[[]],',
        b'"receivedAt":"9999-12-31"',
    ],
]
TYPES = [
    "application/json",
    "application/json; charset=utf-16",
    "application/vnd.x+json",
    "text/plain",
    "",
    "application",
]


@st.composite
def mutated(draw: Any) -> bytes:
    """The JSON of an email in which a few stretches were replaced."""
    body = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(body)))
        end = draw(st.integers(start, min(start + 20, len(body))))
        body = body[:start] + draw(st.sampled_from(PIECES) | st.binary(max_size=8)) + body[end:]
    return body


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from([*EMAIL, "name", "address"]) | st.text(), inner),
    max_leaves=20,
)
RANDOM = st.dictionaries(st.sampled_from(list(EMAIL)), VALUES).map(lambda value: json.dumps(value).encode())


@settings(max_examples=3000, deadline=None, derandomize=True, database=None)
@given(body=st.binary() | mutated() | RANDOM, kind=st.sampled_from(TYPES) | st.just(TYPES[0]))
@example(body=b"[" * 1_000_000, kind=TYPES[0])
def answer(client: Any, body: bytes, kind: str) -> None:
    with db.atomic() as transaction:
        response = client.post("/api/v1/emails", data=body, content_type=kind)
        transaction.rollback()
    assert response.status_code in {200, 201, 400, 413, 415, 422}, body
    if response.status_code >= 400:
        assert set(response.json) == {"code", "status", "message", "errors"}
        assert response.json["code"] == response.status_code


@pytest.mark.sqlite("a transaction around the calls undoes each try; on PostgreSQL they give their connection back")
def test_any_bytes_get_an_answer(client: Any) -> None:
    """An email or a 4xx in the one shape of errors: never a 5xx."""
    answer(client)
