"""Hostile and broken input: one odd character stops no mailbox, and nothing that a client sends is a 500."""

import gzip
import json
from typing import Any
from urllib.parse import quote

from conformance.client import NO_CREDENTIALS, Json
from conformance.rule import OURS, Check, rule, same, same_fields
from conformance.session import Session, at

NEVER_500 = "What a client may send is never a 500"
HOSTILE = "deep nesting, 10^400, NaN, duplicate keys, a body that is no object, … each get a 4xx in the one error shape"
NOT_STORED = "NUL and lone surrogates (`\\u0000`, `\\ud800`) occur in real mail … each becomes U+FFFD on the way in."
MEDIA_TYPE = "wrong or missing Content-Type (415)"
UTF_8 = "invalid UTF-8 (400)"
SHAPE = 'in the one error shape `{"code", "status", "message", "errors"}`'
DEEP = 100_000
HUGE = b"1" + b"0" * 400
FIELDS = (
    "subject", "textBody", "msgId", "rfc822MsgId", "fromAddress", "toAddresses", "attachments", "relatedTo",
    "receivedAt",
)  # fmt: skip
ODD_VALUES: list[Any] = [0, 2**63, -1.5, True, "text", "", {}, {"a": 1}, {"id": None}, [{"name": 1}]]
ODD_VALUES += [[0], [None], [[]], [{}], [True], ["", " ", "@", "www.", "http://"], ["x" * 5000], ["é" * 300]]
FILTERS = (
    "rfc822MsgId", "msgId", "syncThreadId", "address", "contactId", "receivedAfter", "receivedBefore", "limit",
    "cursor", "q", "x",
)  # fmt: skip
ODD_QUERIES = (
    "%00", "%ED%A0%80", "%FF", "%", "%zz", "'", "%22", "%5C", "%F0%9F%98%80", "%0A", "[]", "-1", "1e400", "NaN",
    "9" * 400, "x" * 2000,
)  # fmt: skip
NO_MEDIA_TYPES = (
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "nonsense",
    None,
)
ODD_ENDS = ["'", '"', "\\", "%", "_", "é", "e\u0301", "😀", "\t.", "a b", "<", ">", "<a> <b>", ",", "&x=1", "#"]


def refuses(crm: Session, *bodies: bytes, status: int | None = None) -> None:
    """Demand that POST /emails refuses each of these bodies."""
    for body in bodies:
        crm.request("POST", "/emails", body=body).refused(*([status] if status else []))


def _refused(rule_id: str, title: str, *bodies: bytes) -> None:
    """Enter the rule that these bodies are refused."""

    def check(crm: Session) -> None:
        refuses(crm, *bodies)

    enter: Check = check
    rule(rule_id, OURS, HOSTILE, title)(enter)


_refused(
    "hostile-nesting", "Deep nesting is refused, wherever it is.",
    b"[" * DEEP + b"]" * DEEP,
    b'{"x":' * DEEP + b"1" + b"}" * DEEP,
    b'{"attachments":[{"x":' + b"[" * DEEP + b"]" * DEEP + b"}]}",
    b'{"relatedTo":' + b'{"id":' * DEEP + b"1" + b"}" * DEEP + b"}",
    b"[" * DEEP,
)  # fmt: skip
_refused(
    "hostile-huge-number", "10^400 and 1e400 are refused.",
    b'{"attachments":[{"size":' + HUGE + b"}]}",
    b'{"attachments":[{"size":1e400}]}',
    b'{"attachments":[{"size":-1e400}]}',
    b'{"attachments":[{"size":' + b"9" * 5000 + b"}]}",
    b'{"relatedTo":{"type":"Lead","id":' + HUGE + b"}}",
    b'{"subject":' + HUGE + b"}",
)  # fmt: skip
_refused(
    "hostile-nan", "NaN and Infinity, which are no JSON, are refused.",
    b'{"attachments":[{"size":NaN}]}', b'{"attachments":[{"size":Infinity}]}', b'{"x":-Infinity}', b"NaN",
)  # fmt: skip
_refused(
    "hostile-duplicate-keys", "Duplicate keys are refused, inside entries too.",
    b'{"subject":"a","subject":"b"}',
    b'{"subject":"a","textBody":"t","subject":"a"}',
    b'{"subject":"a","attachments":[{"name":"a","name":"b"}]}',
)  # fmt: skip
_refused("hostile-no-object", "A body that is no object is refused.", b"[]", b"[{}]", b'"text"', b"1", b"true", b"null")
_refused("hostile-empty-body", "An empty body is refused.", b"", b" \r\n")
_refused(
    "hostile-no-json",
    "What is no JSON is refused.",
    b"{",
    b'{"subject":"a"',
    b"{'subject':'a'}",
    b"subject=a",
    b'{"a":1}x',
    b"\0",
)


@rule("hostile-utf-8", OURS, UTF_8)
def utf_8(crm: Session) -> None:
    """Invalid UTF-8 is 400."""
    for odd in (b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", "ä".encode("latin-1")):
        refuses(crm, b'{"subject":"' + odd + b'"}', status=400)
    refuses(crm, *('{"subject":"a"}'.encode(encoding) for encoding in ("utf-16", "utf-16-le", "utf-32")))


@rule("hostile-content-type", OURS, MEDIA_TYPE)
def content_type(crm: Session) -> None:
    """A wrong or missing Content-Type is 415; parameters of the right one do not matter."""
    body = json.dumps(crm.mail()).encode()
    for odd in NO_MEDIA_TYPES:
        crm.request("POST", "/emails", body=body, content_type=odd).refused(415)
    for good in ("application/json; charset=utf-8", "application/json;charset=UTF-8", "APPLICATION/JSON"):
        crm.request("POST", "/emails", body=json.dumps(crm.mail()).encode(), content_type=good).expect(201)


@rule("hostile-everywhere", OURS, NEVER_500)
def everywhere(crm: Session) -> None:
    """The other calls that take a body refuse a broken one as well."""
    _, email = crm.log()
    calls = [
        ("POST", "/contacts"),
        ("POST", "/companies"),
        ("PATCH", at("emails", email)),
        ("PUT", at("emails", email)),
    ]
    calls += [("PUT", at("contacts", crm.fresh())), ("PUT", at("companies", crm.fresh()))]
    for method, path in calls:
        for body in (
            b"[" * DEEP,
            b"[]",
            b"",
            b'{"x":NaN',
            b'{"firstName":"a","firstName":"b","name":"a","name":"b","msgId":"","msgId":""}',
        ):
            answer = crm.request(method, path, body=body)
            if answer.status not in (403, 405):
                answer.refused()
        if crm.exchanges[-1].status not in (403, 405):
            crm.request(method, path, body=b"{}", content_type="text/plain").refused(415)


@rule("hostile-nul", OURS, NOT_STORED)
def nul(crm: Session) -> None:
    """NUL becomes U+FFFD in every field, and stops no mail."""
    _becomes_fffd(crm, "\0")


@rule("hostile-surrogate", OURS, NOT_STORED)
def surrogate(crm: Session) -> None:
    """A lone surrogate becomes U+FFFD in every field, and stops no mail; a pair is the character that it stands for."""
    for lone in ("\ud800", "\udfff"):
        _becomes_fffd(crm, lone)
    answer = crm.request("POST", "/emails", body=b'{"subject":"\\ud83d\\ude00 ' + crm.run.encode() + b'"}').expect(201)
    same("subject", f"😀 {crm.run}", crm.email(answer.id).get("subject"))


def _becomes_fffd(crm: Session, odd: str) -> None:
    def mail(character: str) -> Json:
        text = f"a{character}b{character}"
        return {
            "subject": text,
            "textBody": text,
            "htmlBody": f"<p>{text}</p>",
            "fromName": character,
            "fromAddress": f"{text}@x.example",
            "inReplyTo": text,
            "toAddresses": [text, f"{text} <a@x.example>"],
            "ccAddresses": [f"{character}@x.example"],
            "bccAddresses": [f"b@x{character}.example"],
            "attachments": [{"name": text, "x": {text: [text, {"y": text}]}}],
            "relatedTo": {"type": "Lead", "id": text, text: text},
        }

    ids = {"rfc822MsgId": f"<a{odd}{crm.fresh()}@x>", "msgId": crm.fresh(odd), "syncThreadId": crm.fresh(odd)}
    answer = crm.post("/emails", ids | mail(odd)).expect(201)
    wanted = mail("\ufffd") | {field: value.replace(odd, "\ufffd") for field, value in ids.items()}
    same_fields(wanted, answer.record)
    same_fields(wanted, crm.email(answer.id))
    same("id", answer.id, crm.post("/emails", ids | mail(odd)).expect(200).id)
    crm.patch(at("emails", answer.id), {"subject": f"new {odd}"}).offered().expect(200)
    same("subject", "new \ufffd", crm.email(answer.id).get("subject"))


@rule("hostile-nul-contact", OURS, NOT_STORED)
def nul_contact(crm: Session) -> None:
    """NUL and lone surrogates become U+FFFD in contacts and companies too."""
    for odd in ("\0", "\udc00"):
        contact = crm.post(
            "/contacts", {"firstName": f"a{odd}", "lastName": crm.run, "emailAddresses": [odd + crm.address()]}
        )
        same("firstName", "a\ufffd", contact.offered().expect(201).record.get("firstName"))
        company = crm.post("/companies", {"name": f"{crm.run}{odd}", "domains": [crm.new_domain()]})
        same("name", f"{crm.run}\ufffd", company.offered().expect(201).record.get("name"))


@rule("hostile-types", OURS, NEVER_500)
def types(crm: Session) -> None:
    """A value of the wrong type is taken or refused, never a server error."""
    for value in ODD_VALUES:
        for field in FIELDS:
            answer = crm.post("/emails", {"fromName": crm.run, field: value}).unbroken()
            if answer.status < 300:
                crm.email(answer.id)
        for field in ("firstName", "emailAddresses", "companyId"):
            crm.post("/contacts", {"lastName": crm.run, field: value}).unbroken()
        for field in ("name", "domains"):
            crm.post("/companies", {field: value}).unbroken()


@rule("hostile-compressed", OURS, "A compressed body is 415.")
def compressed(crm: Session) -> None:
    """A compressed body is refused, and nothing is logged of it."""
    mail = crm.mail()
    packed = gzip.compress(json.dumps(mail).encode(), mtime=0)
    for encoding in ("gzip", "GZIP"):
        crm.request("POST", "/emails", body=packed, headers=(("Content-Encoding", encoding),)).refused(415)
    same("the mails found", [], crm.get("/emails", rfc822MsgId=mail["rfc822MsgId"]).expect(200).ids)


@rule("hostile-queries", OURS, NEVER_500)
def queries(crm: Session) -> None:
    """An odd query is answered or refused, never a server error."""
    paths = [f"/emails?{name}=" for name in FILTERS]
    paths += ["/contacts/lookup?emails=", "/companies/lookup?domain=", "/users/lookup?emails="]
    for path in paths:
        for value in ODD_QUERIES:
            crm.get(path + value).unbroken()


@rule("hostile-long-list", OURS, NEVER_500)
def long_list(crm: Session) -> None:
    """A mail of 5,000 recipients is logged or refused, never a server error."""
    crm.post("/emails", crm.mail(toAddresses=[f"p{n}@x.example" for n in range(5000)])).unbroken()


@rule("error-shape", OURS, SHAPE)
def error_shape(crm: Session) -> None:
    """Every refusal has the one shape, and a 422 names the field at fault."""
    crm.get("/nothing-here").refused(404).in_our_shape()
    crm.get(at("emails", crm.fresh())).refused(404).in_our_shape()
    crm.request("DELETE", "/emails").refused(403, 405).in_our_shape()
    crm.request("GET", "/users/me", credentials=NO_CREDENTIALS).refused(401, 429).in_our_shape()
    crm.request("POST", "/emails", body=b"{").refused(400).in_our_shape()
    answer = crm.post("/emails", crm.mail(receivedAt="yesterday")).refused(422).in_our_shape()
    same("receivedAt named among the errors", True, "receivedAt" in json.dumps(answer.record["errors"]))


@rule("hostile-message-ids", OURS, NEVER_500)
def message_ids(crm: Session) -> None:
    """Message-IDs that are none are kept, found, and told apart."""
    word = crm.fresh()
    odd = [word + end for end in ODD_ENDS]
    ids = []
    for message_id in odd:
        answer = crm.post("/emails", {"rfc822MsgId": message_id}).expect(201)
        same("rfc822MsgId", message_id, answer.record.get("rfc822MsgId"))
        ids.append(answer.id)
    same("how many records", len(odd), len(set(ids)))
    for message_id, email in zip(odd, ids, strict=True):
        same("the mails found", [email], crm.get("/emails?rfc822MsgId=" + quote(message_id, safe="")).expect(200).ids)
