"""Mail files become payloads of ``POST /api/v1/emails``."""

import json
import os
from base64 import b64decode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from commands import mailfile
from commands.mailfile import as_email, messages

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"

PLAIN = b"From: Jane <jane@example.com>\r\nTo: joe@example.org\r\nMessage-ID: <1@example.com>\r\n\r\nHello\r\n"
TREE = b"""\
From: =?utf-8?q?Jan=C3=A9_Doe?= <jane@example.com>
Subject: =?iso-8859-1?b?Q2Fm6Q==?= menu
Message-ID: <2@example.com>
Content-Type: multipart/mixed; boundary=outer

--outer
Content-Type: multipart/alternative; boundary=inner

--inner
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: quoted-printable

Gr=C3=BC=C3=9Fe
--inner
Content-Type: text/html; charset=windows-1252

<p>Gr\xfc\xdfe</p>
--inner--
--outer
Content-Type: image/png; name="=?utf-8?q?l=C3=B6go.png?="
Content-ID: <logo@example.com>
Content-Location: logo.png
Content-Transfer-Encoding: base64

iVBORw==
--outer
Content-Type: application/pdf
Content-Disposition: attachment; filename*0*=utf-8''Rech; filename*1*=n%C3%BCng.pdf

%PDF
--outer
Content-Type: message/rfc822

From:  joe@example.org
Subject: =?utf-8?q?kept?=

Caf\xe9
--outer
Content-Type: text/plain

The footer of a list
--outer--
"""


def mail(*fields: str | bytes, body: bytes = b"Hello") -> dict[str, Any]:
    """The payload of a message with these header fields."""
    lines = [field.encode() if isinstance(field, str) else field for field in fields]
    return as_email(b"".join(line + b"\n" for line in (b"MIME-Version: 1.0", *lines)) + b"\n" + body)


def strings(value: Any) -> Iterator[str]:
    """Every string in a payload."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from strings(item)


def payload_or_reason(raw: bytes) -> dict[str, Any] | str:
    """The payload, or the reason why there is none."""
    try:
        return as_email(raw)
    except ValueError as error:
        return str(error)


def assert_storable(payload: dict[str, Any]) -> None:
    """It is JSON in UTF-8, holds no NUL, and its attachments are as large as they say."""
    json.dumps(payload, ensure_ascii=False).encode("utf-8")
    assert not any("\0" in text for text in strings(payload))
    for attachment in payload["attachments"]:
        assert len(b64decode(attachment["content"], validate=True)) == attachment["size"]


# as_email: the header


def test_a_plain_message_has_every_field_of_the_wire() -> None:
    """What a message lacks is None or an empty list, never a missing key."""
    assert as_email(PLAIN) == {
        "rfc822MsgId": "<1@example.com>",
        "msgId": None,
        "syncThreadId": "<1@example.com>",
        "inReplyTo": None,
        "receivedAt": None,
        "subject": None,
        "fromAddress": "jane@example.com",
        "fromName": "Jane",
        "toAddresses": ["joe@example.org"],
        "ccAddresses": [],
        "bccAddresses": [],
        "textBody": "Hello\r\n",
        "htmlBody": None,
        "attachments": [],
    }


def test_the_mailbox_id_is_the_msg_id() -> None:
    """A caller that knows the mailbox's own id of a message passes it on."""
    assert as_email(PLAIN, "m-1")["msgId"] == "m-1"
    assert as_email(b"Subject: x\n\n", "m-1")["msgId"] == "m-1"


@pytest.mark.parametrize("field", ["Subject: x", "Message-ID:", "Message-ID: <>"])
def test_a_message_without_an_id_is_known_by_its_bytes(field: str) -> None:
    """The same file imported twice makes one record."""
    raw = f"{field}\n\nHello".encode()
    payload = as_email(raw)
    assert payload["msgId"] == f"sha256:{sha256(raw).hexdigest()}"
    assert payload["rfc822MsgId"] is payload["syncThreadId"] is None


@pytest.mark.parametrize(
    ("fields", "thread"),
    [
        (["References: <root@x.test>\n <2@x.test>", "In-Reply-To: <2@x.test>"], "<root@x.test>"),
        (["References: ", 'In-Reply-To: Your message of "Monday" <2@x.test>'], "<2@x.test>"),
        (["Message-ID:\n <3@x.test> "], "<3@x.test>"),
        (["In-Reply-To: your message of Monday"], None),
    ],
)
def test_a_thread_is_its_first_message(fields: list[str], thread: str | None) -> None:
    """References comes first, then In-Reply-To, then the message itself."""
    assert mail(*fields)["syncThreadId"] == thread


def test_the_parent_is_the_id_alone() -> None:
    """Prose around the id of In-Reply-To would keep it from ever being found."""
    assert mail("In-Reply-To: Message from jane@x.test of Monday <2@x.test>")["inReplyTo"] == "<2@x.test>"
    assert mail("In-Reply-To: 2@x.test")["inReplyTo"] == "2@x.test"


@pytest.mark.parametrize(
    ("fields", "moment"),
    [
        (
            [
                "Received: by a.test; Mon, 1 Jan 2024 10:00:00 +0200 (CEST)",
                "Received: by b.test; Sun, 31 Dec 2023 1:0:0 GMT",
                "Date: Fri, 1 Jan 1999 00:00:00 +0000",
            ],
            "2024-01-01T08:00:00Z",
        ),
        (["Received: by a.test with no date", "Date: Mon, 1 Jan 2024 10:00:00 -0000"], "2024-01-01T10:00:00Z"),
        (["Date: Mon, 1 Jan 2024 10:00:00"], "2024-01-01T10:00:00Z"),
        (["Date: Mon, 31 Feb 2024 10:00:00 +0000"], None),
        (["Date: Fri, 31 Dec 9999 23:30:00 -0100"], None),
        (["Date: Mon, 1 Jan 2024 10:00:00 +9900"], None),
        ([f"Date: Mon, 1 Jan 2024 10:00:00 +{'9' * 5000}"], "2024-01-01T10:00:00Z"),
        (["Date: yesterday"], None),
        (["Date:  "], None),
    ],
)
def test_the_time_is_the_last_servers_in_utc(fields: list[str], moment: str | None) -> None:
    """The topmost Received field is believed before Date; a date that cannot be is none."""
    assert mail(*fields)["receivedAt"] == moment


@pytest.mark.parametrize(
    ("field", "subject"),
    [
        ("=?utf-8?q?caf=C3=A9?=", "café"),
        ("=?utf-8?q?caf=C3?=\n =?UTF-8?Q?=A9_au?= =?latin1?q?_l=E9?=", "café au lé"),  # a character cut in two
        ("=?utf-8*en?b?Y2Fmw6k?= bar", "café bar"),  # a language (RFC 2231), and padding forgotten
        ("=?utf-8?b?Y?= =?utf-8?b?Y?= bar", "=?utf-8?b?Y?= =?utf-8?b?Y?= bar"),  # no base64
        ("=?nonsense?q?caf=E9?=", "café"),
        ("=?utf-8?q?a=00b?=", "a\ufffdb"),
        ("=?utf-16-le?b?ANg=?= surrogate", "\ufffd surrogate"),
        ("café", "café"),
        (b"caf\xe9", "café"),
        (b"a\0b", "a\ufffdb"),
        ("one\n two", "one two"),
        ("", None),
    ],
)
def test_a_subject_is_decoded(field: str | bytes, subject: str | None) -> None:
    """Encoded words, raw UTF-8, raw windows-1252 and what is none of them."""
    raw = field.encode() if isinstance(field, str) else field
    assert mail(b"Subject: " + raw)["subject"] == subject


@pytest.mark.parametrize(
    ("field", "entries"),
    [
        ("Jane Doe <jane@x.test>, joe@x.test", ["Jane Doe <jane@x.test>", "joe@x.test"]),
        ('"Doe, Jane" <JANE@x.test>,"a,b"@x.test', ['"Doe, Jane" <JANE@x.test>', '"a,b"@x.test']),
        ("joe@x.test (Joe, of Sales), joe@x.test (Joe, of Sales)", ["joe@x.test (Joe, of Sales)"] * 2),
        ("undisclosed-recipients:;", ["undisclosed-recipients:;"]),
        ("Friends: a@x.test, B <b@x.test>;, c@x.test", ["Friends: a@x.test, B <b@x.test>;", "c@x.test"]),
        ("a@x.test; b@x.test", ["a@x.test", "b@x.test"]),
        ("a@[IPv6:2001:db8::1], b@x.test;", ["a@[IPv6:2001:db8::1]", "b@x.test"]),
        ("mailto:a@x.test, b@x.test", ["mailto:a@x.test", "b@x.test"]),
        ('"Jane <jane@x.test>, joe@x.test', ['"Jane <jane@x.test>', "joe@x.test"]),
        ("=?utf-8?q?Jan=C3=A9?= <jane@x.test>", ["Jané <jane@x.test>"]),
        ("=?utf-8?q?Doe=2C_Jan=C3=A9?= <jane@x.test>", ['"Doe, Jané" <jane@x.test>']),
        ("=?utf-8?q?Doe, Jane?= <jane@x.test>", ['"Doe, Jane" <jane@x.test>']),
        ('"=?utf-8?q?Doe=2C_Jan=C3=A9?=" <jane@x.test>', ['"Doe, Jané" <jane@x.test>']),
        ("=?utf-8?q?=3Cboss=40x.test=3E?= <jane@x.test>", ['"<boss@x.test>" <jane@x.test>']),
        (" , ,", []),
    ],
)
def test_recipients_are_kept_as_written(field: str, entries: list[str]) -> None:
    """A list is split at its own commas only, and decoding a name never makes an address of it."""
    payload = mail(f"To: {field}", f"Cc: {field}", f"Bcc: {field}")
    assert payload["toAddresses"] == payload["ccAddresses"] == payload["bccAddresses"] == entries


def test_several_fields_of_recipients_are_joined() -> None:
    """Some mailers write one To field for each recipient; duplicates stay."""
    assert mail("To: a@x.test, b@x.test", "TO: a@x.test")["toAddresses"] == ["a@x.test", "b@x.test", "a@x.test"]


@pytest.mark.parametrize(
    ("field", "name", "address"),
    [
        ("jane@x.test", None, "jane@x.test"),
        ("jane@x.test (Jane Doe)", "Jane Doe", "jane@x.test"),
        ('"Doe, \\"J\\"" < jane@x.test >', 'Doe, "J"', "jane@x.test"),
        ("=?utf-8?q?Doe=2C_Jan=C3=A9?= <jane@x.test>, joe@x.test", "Doe, Jané", "jane@x.test"),
        ("Doe, Jane <jane@x.test>", "Jane", "jane@x.test"),
        ("MAILER-DAEMON <>", "MAILER-DAEMON", None),
        ("root", None, "root"),
        ("", None, None),
    ],
)
def test_the_sender_is_a_name_and_an_address(field: str, name: str | None, address: str | None) -> None:
    """The address is bare, the name without its quotes; either may be missing."""
    payload = mail(f"From: {field}")
    assert (payload["fromName"], payload["fromAddress"]) == (name, address)


# as_email: the body


def test_bodies_and_attachments_of_a_tree() -> None:
    """Texts are decoded and joined, everything else is an attachment, in order."""
    payload = as_email(TREE)
    assert payload["subject"] == "Café menu"
    assert payload["fromName"] == "Jané Doe"
    assert payload["textBody"] == "Grüße\nThe footer of a list"
    assert payload["htmlBody"] == "<p>Grüße</p>"
    logo, invoice, forwarded = payload["attachments"]
    assert logo == {
        "id": "1",
        "name": "lögo.png",
        "mimeType": "image/png",
        "size": 4,
        "inline": True,
        "contentId": "logo@example.com",
        "contentLocation": "logo.png",
        "content": "iVBORw==",
    }
    assert (invoice["name"], invoice["inline"], invoice["contentId"]) == ("Rechnüng.pdf", False, None)
    assert b64decode(invoice["content"]) == b"%PDF"
    assert forwarded["mimeType"] == "message/rfc822"
    assert b64decode(forwarded["content"]) == b"From:  joe@example.org\nSubject: =?utf-8?q?kept?=\n\nCaf\xe9"


@pytest.mark.parametrize("disposition", ["attachment", 'inline; filename="notes.txt"'])
def test_a_text_that_is_a_file_is_an_attachment(disposition: str) -> None:
    """A text part with a name or marked as an attachment is not the body."""
    payload = mail(f"Content-Disposition: {disposition}")
    assert payload["textBody"] is None
    assert [(a["mimeType"], a["inline"]) for a in payload["attachments"]] == [("text/plain", "inline" in disposition)]


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("utf-8", "é".encode(), "é"),
        ("us-ascii", "é".encode(), "é"),
        ("us-ascii", b"\xe9", "é"),
        ("iso-8859-1", b"\x80", "€"),  # what is meant is windows-1252
        ("gb2312", b"\xe9F", "镕"),  # what is meant is GB 18030
        ("utf-8", b"\xe9", "\ufffd"),
        ("nonsense", b"\xe9\x81", "é\ufffd"),
        ("iso-2022-jp", b'\x1b$B$"\x1b(B\x1b$B', "あ"),
        ("iso-2022-jp", b'\x1b$B$"\x1b(B \x1b$Bz!', "あ"),
        ("zlib", b"x", "x"),
        ("idna", b"xn--4ca", "xn--4ca"),
        ("unicode_escape", rb"\q\ud800", r"\q\ud800"),
        ("utf-7", b"+2AA-", "\ufffd"),
        ("utf-8\0", b"x", "x"),
        ("utf-8", b"a\0b", "a\ufffdb"),
    ],
)
def test_a_body_is_text_whatever_its_charset(charset: str, body: bytes, text: str) -> None:
    """As declared, else UTF-8, else as near to it as can be; never an error."""
    decoded = mail(f"Content-Type: text/plain; charset={charset}", body=body)["textBody"]
    assert decoded.startswith(text) if charset == "iso-2022-jp" else decoded == text


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/mixed",
        "multipart/mixed; boundary=never",
        "multipart/mixed; boundary*0=a; boundary*=b",
        f"multipart/mixed; boundary*{'1' * 5000}=a",
        "multipart/mixed; boundary*=\0'en'b",
        "multipart/mixed; boundary=b" + ";" * 1_000_000,
        "text/plain trailing; charset=utf-8",
        "nonsense",
        "",
    ],
)
def test_a_body_that_cannot_be_taken_apart_is_shown_whole(content_type: str) -> None:
    """A broken Content-Type, on which the parser would raise or give up, loses no text."""
    assert mail(f"Content-Type: {content_type}")["textBody"] == "Hello"


PDF = b"""\
Content-Type: application/pdf
Content-Disposition: attachment; filename=a.pdf
Content-Transfer-Encoding: base64

JVBERg==
"""
TEXT = b"Content-Type: text/plain\n\nHello"


@pytest.mark.parametrize(
    "lines",
    [
        [b"--b", b"Content-Type: multipart/mixed; boundary=b", b"", b"--b", TEXT, b"--b--", b"", b"--b", PDF, b"--b--"],
        [b"--b", TEXT, b"--b--", b"--b", PDF, b"--b--"],
        [b"--b", b"Content-Type: multipart/mixed; boundary=bb", b"", b"--bb", TEXT, b"--bb--", b"--b", PDF],
        [b"--b", b"Content-Type: multipart/mixed; boundary=c", b"", b"--c", TEXT, b"--b", PDF, b"--b--"],
        [b"--b \t", TEXT, b"--b", b"--b", b"", b"--b", PDF.replace(b"\n", b"\r\n")],
        [b"--b", TEXT, b"--b", b"no field", PDF],
        [b"--b", TEXT, b"--b", PDF.replace(b"; ", b";\n")],
        [b"--b", TEXT, b"--b", PDF.replace(b":", b" :")],
        [b"--b", b"Hello", b"--b", PDF],
    ],
    ids=["equal", "after the end", "one begins another", "not closed", "nothing", "stray", "indent", "blank", "bare"],
)
def test_no_part_of_a_broken_multipart_is_lost(lines: list[bytes]) -> None:
    """Boundaries that are equal or missing, and header fields that are broken, as real mail has them."""
    payload = mail("Content-Type: multipart/mixed; boundary=b", body=b"\n".join([b"preamble", *lines]))
    assert payload["textBody"] == "Hello"
    assert [(a["name"], b64decode(a["content"])) for a in payload["attachments"]] == [("a.pdf", b"%PDF")]


@pytest.mark.parametrize(
    "before",
    [b"Subject : x\n", b"Subject: x\nbroken\n", b"Subject: x\n>From a\n\t b\n", b">From a\nFrom b\nSubject: x\n"],
)
def test_a_broken_header_line_hides_no_other(before: bytes) -> None:
    """White space before the colon, a line that is no field, one of an mbox."""
    payload = as_email(before + b"Message-ID\t: <1@x.test>\nTo: a@x.test\n\nHello")
    assert payload["rfc822MsgId"] == "<1@x.test>"
    assert (payload["subject"], payload["toAddresses"], payload["textBody"]) == ("x", ["a@x.test"], "Hello")


@pytest.mark.parametrize("body", [b"no empty line\nNote: x\n", b"This is in parts.\n--b\nContent-Type: text/html\n\nx"])
def test_a_body_without_an_empty_line_before_it_is_whole(body: bytes) -> None:
    """Only a field that belongs to a header shows that the header goes on."""
    assert as_email(b"Subject: x\n" + body)["textBody"] == body.decode()


@pytest.mark.parametrize(
    ("encoded", "content"),
    [
        (b"JVBERg==\nLSBtb3Jl", b"%PDF- more"),  # one after another
        (b"JVBERg==\n\n--b-->\nThe footer of a list", b"%PDF"),
        (b"JVB!ERi\n0gbW9y\nZ", b"%PDF- mor"),  # damaged, without padding, with a digit too many
        (b"plain words, and no base64", b"plain words, and no base64"),
        (b"", b""),
    ],
)
def test_base64_is_read_as_far_as_it_goes(encoded: bytes, content: bytes) -> None:
    """What stands around it is no part of the file."""
    payload = mail("Content-Type: a/b", "Content-Transfer-Encoding: BASE64", body=encoded)
    assert [b64decode(a["content"]) for a in payload["attachments"]] == [content]


def test_a_comment_behind_the_encoding_is_no_part_of_its_name() -> None:
    """RFC 2045 allows it (6.1, 5.1)."""
    assert mail("Content-Transfer-Encoding: Quoted-Printable (7bit)", body=b"=C3=A9")["textBody"] == "é"


def test_parts_nested_deeper_than_the_stack_are_read() -> None:
    """A message that was built to exhaust the parser still makes a record."""
    nested = "".join(f"Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n" for n in range(5000))
    payload = as_email(f"From: a@x.test\n{nested}\nHello".encode())
    assert payload["fromAddress"] == "a@x.test"
    assert payload["textBody"].endswith("Hello")


@pytest.mark.parametrize("before", [b"\xef\xbb\xbf", b"\r\n\n", b" "])
def test_what_stands_before_the_header_is_no_obstacle(before: bytes) -> None:
    """Editors and exports put a byte order mark or an empty line there."""
    assert as_email(before + PLAIN)["fromAddress"] == "jane@example.com"


@pytest.mark.parametrize("raw", [b"", b" \r\n", b"secret words\n", b"\x89PNG\r\n\x1a\n\0", b"all: secret\n\tmake\n"])
def test_what_is_no_mail_is_refused_without_its_contents(raw: bytes) -> None:
    """The reason may be logged, the contents of a stranger's file may not."""
    with pytest.raises(ValueError, match=r"^(empty|no header field of a mail)$"):
        as_email(raw)


@settings(derandomize=True, max_examples=200, deadline=None, database=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(TREE)),
            st.integers(0, 30),
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(
                    [
                        b"\0",
                        b"\n\n",
                        b"\r",
                        b"=?utf-8?b?",
                        b"?=",
                        b"\xed\xa0\x80",
                        b'"',
                        b"<",
                        b";",
                        b"--outer\n",
                        b"*0*=",
                        b"charset=\xff'",
                        b"Content-Type: message/partial\n",
                        b"Date: (\n",
                        b"To: :;,\n",
                    ]
                ),
            ),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_damaged_mail_is_read_or_refused_and_nothing_else(edits: list[tuple[int, int, bytes]]) -> None:
    """Whatever happened to the bytes, the answer is a payload that can be stored or a ValueError."""
    raw = TREE
    for start, length, replacement in edits:
        raw = raw[:start] + replacement + raw[start + length :]
    outcome = payload_or_reason(raw)
    if isinstance(outcome, str):
        assert outcome in ("empty", "no header field of a mail")
    else:
        assert_storable(outcome)


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of real mail is not here")
@pytest.mark.parametrize("path", sorted(CORPUS.rglob("*.eml")), ids=lambda path: path.stem)
def test_real_mail_is_read(path: Path) -> None:
    """Mail from other projects' test suites, most of it broken, makes payloads that can be stored."""
    [(label, raw)] = messages(path)
    assert label == str(path)
    assert isinstance(raw, bytes)
    assert_storable(as_email(raw))


# messages


def write(path: Path, data: bytes = PLAIN) -> None:
    """A file, in folders made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def labels(folder: Path) -> list[str]:
    """Where messages were found, relative to the folder."""
    return [label.removeprefix(f"{folder}/") for label, _ in messages(folder)]


def test_a_named_file_is_one_message_whatever_its_name(tmp_path: Path) -> None:
    """Who names a file means it."""
    write(tmp_path / "export.dat")
    assert list(messages(tmp_path / "export.dat")) == [(f"{tmp_path}/export.dat", PLAIN)]


def test_an_mbox_gives_each_of_its_messages_to_the_byte(tmp_path: Path) -> None:
    """A message has the same bytes, and so the same sha256, from an mbox as from a file of its own."""
    second = PLAIN + b"\r\nFrom here on it is prose\r\n\r\n>From: quoted\r\n"
    mbox = b"From - Mon Jan  1\r\n" + PLAIN + b"\r\nFrom joe@x.test Mon Jan  1 10:00:00 2024\r\n" + second + b"\r\n"
    write(tmp_path / "Inbox", mbox)
    assert list(messages(tmp_path / "Inbox")) == [(f"{tmp_path}/Inbox#1", PLAIN), (f"{tmp_path}/Inbox#2", second)]


@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_an_mbox_may_end_without_its_last_line(tmp_path: Path, end: bytes) -> None:
    """Files are cut off, or lack the empty line at the end."""
    write(tmp_path / "Inbox", b"From a\nSubject: x\n\nFirst\n\nFrom b\nSubject: x\n\nSecond" + end)
    raws = [raw for _, raw in messages(tmp_path / "Inbox")]
    assert raws == [b"Subject: x\n\nFirst\n", b"Subject: x\n\nSecond" + end[:1]]


def test_a_line_of_a_message_that_begins_with_from_is_unquoted(tmp_path: Path) -> None:
    """Writers of mboxes put a > before it, and one more before one that has some."""
    write(tmp_path / "Inbox", b"From a\nSubject: x\n\n>From me\n>>From you\n")
    assert [raw for _, raw in messages(tmp_path / "Inbox")] == [b"Subject: x\n\nFrom me\n>From you\n"]


def test_an_empty_mbox_has_no_messages_but_an_empty_message_is_one(tmp_path: Path) -> None:
    """A mail program's empty folder is nothing to report; a message that was lost is."""
    for name in ("Drafts", "Drafts.mbox", "lost.eml"):
        write(tmp_path / name, b"")
    assert labels(tmp_path) == ["lost.eml"]


def test_a_folder_is_walked_in_order_for_what_may_be_mail(tmp_path: Path) -> None:
    """Mail by its extension or by having none; nothing hidden, nothing twice."""
    for name in ("b.EML", "a/2.eml", "a/10.eml", "a/notes.md", "list.csv", ".hidden.eml", ".git/HEAD", "Sent"):
        write(tmp_path / name)
    write(tmp_path / "c.mbox", b"From a\n" + PLAIN)
    (tmp_path / "a" / "round").symlink_to(tmp_path)
    assert labels(tmp_path) == ["Sent", "a/10.eml", "a/2.eml", "b.EML", "c.mbox#1"]


def test_a_maildir_gives_its_mail_and_that_of_its_subfolders(tmp_path: Path) -> None:
    """Not its indexes, nor mail that is still being delivered."""
    for name in ("cur/1.host.test:2,S", "new/2.host.test", "tmp/3.host.test", ".Sent/cur/4.host.test:2,", "uidlist"):
        write(tmp_path / name)
    assert labels(tmp_path) == [".Sent/cur/4.host.test:2,", "cur/1.host.test:2,S", "new/2.host.test"]


def test_what_cannot_be_read_is_named_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One bad file or message does not end an import."""
    [(label, error)] = messages(tmp_path / "missing.eml")
    assert label == f"{tmp_path}/missing.eml"
    assert isinstance(error, FileNotFoundError)
    monkeypatch.setattr(mailfile, "LARGEST", 100)
    write(tmp_path / "1.eml", PLAIN * 2)
    write(tmp_path / "2.mbox", b"From a\n" + PLAIN * 9 + b"\nFrom b\n" + PLAIN)
    found = [(label.removeprefix(f"{tmp_path}/"), type(raw)) for label, raw in messages(tmp_path)]
    assert found == [("1.eml", OSError), ("2.mbox#1", OSError), ("2.mbox#2", bytes)]


def test_what_takes_the_place_of_a_name_meanwhile_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may write into a folder that is walked can change it between the look at it and its opening."""
    secret, walked = tmp_path / "secret", tmp_path / "walked"
    for folder in (secret / "sub", walked / "sub"):
        folder.mkdir(parents=True)
        for name in ("1.eml", "2.eml", "sub/3.eml"):
            (folder.parent / name).write_bytes(f"Subject: {folder.parent.name}".encode())
    look = mailfile._Folder.mail

    def look_and_exchange(self: Any, name: str) -> list[str]:
        names = look(self, name)
        if name == "walked":
            (walked / "1.eml").unlink()
            os.mkfifo(walked / "1.eml")
            (walked / "sub").rename(tmp_path / "away")
            (walked / "sub").symlink_to(secret / "sub")
            walked.rename(tmp_path / "elsewhere")
            walked.symlink_to(secret)
        return names

    monkeypatch.setattr(mailfile._Folder, "mail", look_and_exchange)
    fifo, mail, link = (found for _, found in messages(walked))
    assert isinstance(fifo, OSError)
    assert mail == b"Subject: walked"
    assert isinstance(link, OSError)
