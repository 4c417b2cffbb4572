"""Log it and read it back: what was logged is what is returned."""

import base64
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urljoin, urlsplit

from conformance.client import Failed, Json
from conformance.rule import AURINKO, OURS, Demand, instant, rule, same, same_fields, true
from conformance.session import API, Session, at

POST = "`POST /api/v1/emails` | creates an email record"
GET = "`GET /api/v1/emails/{id}` | the email by the CRM's own record id"
FIELDS = (
    "Email: `id`, `msgId`, `syncThreadId`, `inReplyTo`, `receivedAt`, `rfc822MsgId`, `subject`, `fromAddress`, "
    "`fromName`, `toAddresses`, `ccAddresses`, `bccAddresses`, `textBody`, `htmlBody`, `attachments`, `relatedTo`"
)
OPTIONAL = '"the following or similar fields … at least subject and body": every email field is optional on input.'
IGNORED = "Unknown top-level fields are ignored, never refused"
TIMES = "Stored and returned in UTC with `Z`, to the microsecond; no offset on input means UTC"
NOT_A_TIME = "a date alone, or anything else, is 422"
NONE = '`null`, a missing field and, for lists, `[]` all mean "none". Returned: `null` for a scalar, `[]` for a list.'
EVIDENCE = "Each entry of the three lists is kept to the letter and in order, duplicates and nonsense included"
BODIES = "*Bodies* are kept to the letter. HTML is made safe where it is shown, not where it is stored."
ATTACHMENTS = (
    "*`attachments`*: a list of objects, commonly "
    "`id, name, mimeType, size, inline, contentId, contentLocation, content` (base64)"
)
RELATED = "returned in the shape it was sent"
UNKNOWN_KEYS = "Unknown keys *inside* `attachments` and `relatedTo` entries are kept and returned."
CREATED = "New: 201 and `Location`."
IDS = "Ids are opaque strings of at most 255 characters"
CHUNKED = "a chunked body is accepted, and never cut short silently"
LIMIT = "over the limit (default 36 MiB, which is a 25 MiB attachment in base64) is 413, with or without Content-Length"

SCALARS = (
    "msgId", "syncThreadId", "inReplyTo", "receivedAt", "rfc822MsgId",
    "subject", "fromAddress", "fromName", "textBody", "htmlBody",
)  # fmt: skip
LISTS = ("toAddresses", "ccAddresses", "bccAddresses", "attachments")

ODD_ADDRESSES = [
    "undisclosed-recipients:;",
    '"a,b"@x.example',
    "Jane <JANE@X.example>",
    "",
    "@",
    "no address at all",
    " spaced@x.example ",
    "'quoted'@x.example",
    "<<x@y>>",
    "jane@bücher.example",
    "Team: a@x.example, b@x.example;",
    "😀@x.example",
    "=?utf-8?Q?J=C3=A9r=C3=B4me?= <j@x.example>",
]
HTML = (
    "<!DOCTYPE html>\r\n<html><head><style>p { color: red }</style><script>alert('x')</script></head>\n"
    '<body onload="x()"><!-- a comment --><p class=a>1 &lt; 2 &amp;&nbsp;3<br><IMG SRC="cid:1" onerror=x>'
    "<a href='javascript:void(0)'>click</a><o:p></o:p><p>not closed<table><td>\u00a0</body>"
)
NO_TIMES: list[Any] = ["yesterday", "2024-02-30T00:00:00Z", "2024-01-01T25:00:00Z", "Fri, 17 May 2024 09:30:00 +0000"]
NO_TIMES += ["1715938200", "12:00:00Z", "2024-05-17Z", "2024-W20-5", 1715938200, 1.5, True, [], {}]
PDF = base64.b64encode(bytes(range(256)) * 5).decode()
ATTACHMENT = {
    "id": "att-1",
    "name": "Angebot März.pdf",
    "mimeType": "application/pdf",
    "size": 1280,
    "inline": False,
    "contentId": "<part1@x.example>",
    "contentLocation": "https://x.example/a.pdf?b=1&c=2",
    "content": PDF,
}


def same_mail(wanted: Json, record: Json) -> None:
    """Demand every field of the mail to the letter, and its time as an instant."""
    same_fields(wanted, record, "receivedAt")
    if wanted.get("receivedAt"):
        same("receivedAt", str(instant(wanted["receivedAt"])), str(instant(record.get("receivedAt"))))


def kept(crm: Session, **fields: Any) -> Json:
    """Log a mail with these fields and demand them back from its record; the record."""
    _, email = crm.log(**fields)
    record = crm.email(email)
    same_mail(fields, record)
    return record


def entries(related: Any) -> list[tuple[str, str]]:
    """What a mail is related to, in whatever shape: (type, id) in lower case."""
    listed = related if isinstance(related, list) else [related] if related else []
    return [(str(entry.get("type")).lower(), str(entry.get("id"))) for entry in listed]


@rule("email-logged", AURINKO, POST)
def logged(crm: Session) -> None:
    """A mail is logged, and read back by the id that was given."""
    mail, email = crm.log()
    same("subject", mail["subject"], crm.email(email).get("subject"))


@rule("email-least", AURINKO, OPTIONAL)
def least(crm: Session) -> None:
    """A mail of subject and text alone is logged."""
    mail = {"subject": f"Subject {crm.run}", "textBody": "Text"}
    same_fields(mail, crm.email(crm.post("/emails", mail).ok().id))


def _keeps(rule_id: str, title: str, demand: Demand, contract: str, **fields: Any) -> None:
    """Enter the rule that a mail's fields come back as they were sent."""

    def check(crm: Session) -> None:
        kept(crm, **fields)

    rule(rule_id, demand, contract, title)(check)


# fmt: off
_keeps("email-subject", "The subject comes back.", AURINKO, FIELDS,
       subject='Re: [EXT] Your offer: 50 % off, "today" & tomorrow\'s')
_keeps("email-text", "The text comes back.", AURINKO, FIELDS,
       textBody="Dear Jane,\n\n> quoted\n\tindented\n\n-- \nBob\n")
_keeps("email-html", "The HTML comes back.", AURINKO, FIELDS,
       htmlBody="<p>Dear <b>Jane</b>,</p>")
_keeps("email-from", "The sender comes back.", AURINKO, FIELDS,
       fromAddress="bob@x.example", fromName="O'Neil, Bob (Sales)")
_keeps("email-to", "The recipients come back.", AURINKO, FIELDS,
       toAddresses=["jane@x.example", "ann@x.example"])
_keeps("email-cc", "The copied recipients come back.", AURINKO, FIELDS,
       ccAddresses=["carl@x.example", "cleo@x.example"])
_keeps("email-bcc", "The blind-copied recipients come back.", AURINKO, FIELDS,
       bccAddresses=["bea@x.example", "ben@x.example"])
_keeps("email-reply", "What it replies to comes back.", AURINKO, FIELDS,
       inReplyTo="<CAB+c_d=1@mail.x.example>")
_keeps("email-thread", "The thread comes back.", AURINKO, FIELDS,
       syncThreadId="AAQkADAwATM3=_Thread/1+2")
_keeps("email-address-order", "Recipients keep their order.", AURINKO, FIELDS,
       toAddresses=["zoe@x.example", "adam@x.example", "mary@x.example"],
       ccAddresses=["c@z.example", "b@a.example", "a@m.example"],
       bccAddresses=["9@x.example", "10@x.example", "1@x.example"])
_keeps("email-address-case", "Addresses keep their letter case.", AURINKO, FIELDS,
       fromAddress="Bob.Smith@X.Example", toAddresses=["Jane.DOE@X.example"],
       ccAddresses=["ANN@X.EXAMPLE"], bccAddresses=["bEn@x.Example"])
_keeps("email-line-ends", "CRLF stays CRLF, and LF stays LF.", AURINKO, FIELDS,
       textBody="a\r\nb\r\n\r\nc\nd", htmlBody="<p>a</p>\r\n<p>b</p>\n")
_keeps("email-long-subject", "A subject of 400 characters is not cut.", AURINKO, FIELDS,
       subject="Long " * 80 + "end")
_keeps("email-long-text", "A text of 200,000 characters is not cut.", AURINKO, FIELDS,
       textBody="Zeile äöü\n" * 20_000 + "end", htmlBody="<p>Zeile</p>" * 10_000)
_keeps("email-emoji", "Emoji and other scripts come back.", AURINKO, FIELDS,
       subject="Grüße 👩‍👩‍👧 你好 مرحبا", textBody="𝒳 🇩🇪 ñ", fromName="Zoë 😀", toAddresses=["Ünal <u@x.example>"])
_keeps("email-many-recipients", "500 recipients come back.", AURINKO, FIELDS,
       toAddresses=[f"p{n}@x.example" for n in range(500)])
_keeps("email-time", "The time comes back.", AURINKO, FIELDS,
       receivedAt="2024-02-29T23:59:58Z")
_keeps("email-time-offset", "A time with an offset is the same instant.", AURINKO, FIELDS,
       receivedAt="2024-05-17T23:30:00-05:30")

_keeps("email-subject-space", "White space around a subject and a name stays.", OURS, BODIES,
       subject="  Hello \t", fromName=" Bob ")
_keeps("email-body-space", "White space around a body stays.", OURS, BODIES,
       textBody="\r\n  Hello \n\n", htmlBody="\n <p>a</p> ")
_keeps("email-composed", "Text is not normalized: NFD stays NFD.", OURS, BODIES,
       subject="Zoe\u0308 \ufb01 \u212b", textBody="e\u0301 \u00e9 \u2126")
_keeps("email-controls", "Odd characters stay.", OURS, BODIES,
       textBody="\ufeffa\u200bb\u2028c\x0bd\x7fe\u0085f\ufffdg\x1b[0m\U0010ffff")
_keeps("email-html-letter", "HTML is stored to the letter, scripts and all.", OURS, BODIES,
       htmlBody=HTML)
_keeps("email-from-odd", "A sender that is no address stays.", OURS, EVIDENCE,
       fromAddress="MAILER-DAEMON", fromName='"Bob" <x>')
_keeps("email-duplicates", "Duplicate recipients stay, each in its place.", OURS, EVIDENCE,
       toAddresses=["b@x.example", "a@x.example", "b@x.example", "B@x.example"],
       ccAddresses=["a@x.example", "a@x.example"], bccAddresses=["a@x.example"])
_keeps("email-nonsense", "Recipients that are no addresses stay to the letter.", OURS, EVIDENCE,
       toAddresses=ODD_ADDRESSES, ccAddresses=ODD_ADDRESSES[::-1], bccAddresses=ODD_ADDRESSES[:4])
_keeps("email-long-address", "A recipient of 5,000 characters stays.", OURS, EVIDENCE,
       toAddresses=["x" * 5000 + "@x.example"])
_keeps("email-attachments", "Attachments come back whole, content included.", OURS, ATTACHMENTS,
       attachments=[ATTACHMENT, {"name": "b"}])
_keeps("email-attachment-keys", "Unknown keys inside attachments stay.", OURS, UNKNOWN_KEYS,
       attachments=[ATTACHMENT | {"scan": {"ok": True, "by": [1, 2.5, None, {"a": []}]}, "": "", "Größe": -1}, {}])
_keeps("email-related-object", "relatedTo as an object comes back as an object.", OURS, RELATED,
       relatedTo={"type": "Lead", "id": "L-1"})
_keeps("email-related-list", "relatedTo as a list of one comes back as a list.", OURS, RELATED,
       relatedTo=[{"type": "Lead", "id": "L-1"}])
_keeps("email-related-keys", "Unknown keys inside relatedTo stay, and the order of entries.", OURS, UNKNOWN_KEYS,
       relatedTo=[{"type": "Deal", "id": "9", "score": 0.5, "why": {"a": [None]}}, {"type": "Account", "id": "1"}])
# fmt: on


@rule("email-ids", AURINKO, FIELDS)
def ids(crm: Session) -> None:
    """The mailbox's id and the Message-ID come back (angle brackets or not)."""
    mail, email = crm.log()
    record = crm.email(email)
    same("msgId", mail["msgId"], record.get("msgId"))
    same("rfc822MsgId", mail["rfc822MsgId"].strip("<>"), str(record.get("rfc822MsgId")).strip("<>"))


@rule("email-attachment-names", AURINKO, FIELDS)
def attachment_names(crm: Session) -> None:
    """Attachments come back with name, type and size, in order."""
    sent = [ATTACHMENT, {"id": "att-2", "name": "a.png", "mimeType": "image/png", "size": 7, "inline": True}]
    _, email = crm.log(attachments=sent)
    names = [
        [one.get(key) for key in ("name", "mimeType", "size")] for one in crm.email(email).get("attachments") or []
    ]
    same("name, mimeType and size", [[one[key] for key in ("name", "mimeType", "size")] for one in sent], names)


@rule("email-related", AURINKO, FIELDS)
def related(crm: Session) -> None:
    """The contact that a mail is related to comes back with it."""
    contact = crm.contact(crm.address())
    _, email = crm.log(relatedTo={"type": "Contact", "id": contact})
    same("relatedTo", [("contact", contact)], entries(crm.email(email).get("relatedTo")))


@rule("email-created", OURS, CREATED)
def created(crm: Session) -> None:
    """A new mail is 201 with the Location of its record."""
    answer = crm.post("/emails", crm.mail()).expect(201)
    location = answer.headers["Location"]
    true("a Location header", bool(location), str(answer.headers))
    path = urlsplit(urljoin(answer.request.url, location)).path.partition(API)[2]
    same("the record at Location", answer.record, crm.get(path).expect(200).record)


@rule("email-same-everywhere", OURS, CREATED)
def same_everywhere(crm: Session) -> None:
    """The answer to POST, the record by id and the record by Message-ID are one, with every field."""
    mail = crm.mail(attachments=[ATTACHMENT], relatedTo=[{"type": "Lead", "id": "L-1"}])
    answer = crm.post("/emails", mail).expect(201)
    same_mail(mail, answer.record)
    same("the record by id", answer.record, crm.email(answer.id))
    same(
        "the record by Message-ID",
        [answer.record],
        crm.get("/emails", rfc822MsgId=mail["rfc822MsgId"]).expect(200).records,
    )


@rule("ids-opaque", OURS, IDS)
def ids_opaque(crm: Session) -> None:
    """Ids are strings of 1 to 255 characters."""
    answers = [crm.post("/emails", crm.mail()).ok(), crm.get("/users/me").expect(200)]
    answers += [
        crm.post("/contacts", {"emailAddresses": [crm.address()]}),
        crm.post("/companies", {"domains": [crm.new_domain()]}),
    ]
    for answer in answers:
        found = answer.record.get("id") if answer.status < 300 else "not offered"
        true("an id of 1 to 255 characters", isinstance(found, str) and 0 < len(found) < 256, found)


@rule("email-empty", OURS, OPTIONAL)
def empty(crm: Session) -> None:
    """A mail without any field is logged; what is missing comes back as null or []."""
    record = crm.email(crm.post("/emails", {}).expect(201).id)
    for field in (*SCALARS, "relatedTo"):
        true(f"{field}: none", field in record and record[field] in (None, []), record.get(field, "missing"))
    same_fields(dict.fromkeys(SCALARS, None) | {field: [] for field in LISTS}, record)


@rule("email-nulls", OURS, NONE)
def nulls(crm: Session) -> None:
    """null and [] mean the same as a missing field."""
    sent: Json = dict.fromkeys((*SCALARS, *LISTS, "relatedTo"), None)
    wanted = dict.fromkeys(SCALARS, None) | {field: [] for field in LISTS}
    for mail in (sent, sent | {field: [] for field in (*LISTS, "relatedTo")}):
        record = crm.email(crm.post("/emails", mail).expect(201).id)
        same_fields(wanted, record)
        true("relatedTo: none", record.get("relatedTo", "missing") in (None, []), record.get("relatedTo"))


@rule("email-unknown-fields", OURS, IGNORED)
def unknown_fields(crm: Session) -> None:
    """A field that the server does not know stops no mail."""
    mail = crm.mail()
    record = (
        crm.post("/emails", mail | {"importance": "high", "x": {"y": [1, None]}, "labels": ["a"]}).expect(201).record
    )
    same_mail(mail, record)


@rule("email-address-object", OURS, 'an object `{"name", "address"}` is taken too and returned as `name <address>`')
def address_object(crm: Session) -> None:
    """A recipient may be an object of name and address; it comes back as text and is found by its address."""
    address = crm.address("Ann")
    _, email = crm.log(toAddresses=["bob@x.example", {"name": "Ann Lee", "address": address}], ccAddresses=[])
    same("toAddresses", ["bob@x.example", f"Ann Lee <{address}>"], crm.email(email).get("toAddresses"))
    same("the mails found by address", [email], crm.get("/emails", address=address).expect(200).ids)


@rule("email-time-shape", OURS, TIMES)
def time_shape(crm: Session) -> None:
    """Times come back in UTC with Z."""
    record = kept(crm, receivedAt="2024-05-17T11:30:00+02:00")
    for field in ("receivedAt", "createdAt", "updatedAt"):
        true(
            f"{field} in UTC with Z",
            str(record.get(field)).endswith("Z") and bool(instant(record[field])),
            record.get(field),
        )


@rule("email-time-microseconds", OURS, TIMES)
def time_microseconds(crm: Session) -> None:
    """Times are kept to the microsecond."""
    for time in ("2024-05-17T09:30:00.123456Z", "2024-05-17T09:30:00.000001+01:00", "2024-05-17T09:30:00.999999Z"):
        kept(crm, receivedAt=time)


@rule("email-time-no-offset", OURS, TIMES)
def time_no_offset(crm: Session) -> None:
    """A time without an offset means UTC."""
    _, email = crm.log(receivedAt="2024-07-01T12:00:00")
    record = crm.email(email)
    same("receivedAt", "2024-07-01 12:00:00+00:00", str(instant(record.get("receivedAt"))))


@rule("email-time-extremes", OURS, TIMES)
def time_extremes(crm: Session) -> None:
    """Times long ago and far ahead are kept; one whose UTC is no date any more is refused at most."""
    for time in ("1969-12-31T23:59:59Z", "1900-01-01T00:00:00.5Z", "2100-02-28T00:00:00Z", "9999-12-31T23:59:59Z"):
        kept(crm, receivedAt=time)
    for time in ("9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+14:00"):
        crm.post("/emails", crm.mail(receivedAt=time)).unbroken()


@rule("email-time-date-alone", OURS, NOT_A_TIME)
def time_date_alone(crm: Session) -> None:
    """A date alone is refused."""
    crm.post("/emails", crm.mail(receivedAt="2024-05-17")).refused(422)


@rule("email-time-nonsense", OURS, NOT_A_TIME)
def time_nonsense(crm: Session) -> None:
    """What is no RFC 3339 time is refused."""
    crm.post("/emails", crm.mail()).ok()
    for time in NO_TIMES:
        crm.post("/emails", crm.mail(receivedAt=time)).refused(422)


@rule("record-times", OURS, "(+ `createdAt`, `updatedAt`)")
def record_times(crm: Session) -> None:
    """A record says when it was made and when it was changed last, in UTC with Z."""
    _, email = crm.log()
    records = [crm.email(email), crm.get(at("contacts", crm.contact(crm.address()))).record]
    for record in records:
        made, changed = (instant(record.get(field)) for field in ("createdAt", "updatedAt"))
        true("updatedAt not before createdAt", made <= changed + timedelta(milliseconds=1), record)
        true(
            "times in UTC with Z", all(str(record[field]).endswith("Z") for field in ("createdAt", "updatedAt")), record
        )


@rule("body-chunked", OURS, CHUNKED)
def chunked(crm: Session) -> None:
    """A chunked body is accepted, whole, a long one too."""
    for length in (10, 3_000_000):
        mail = crm.mail(textBody="x" * length + "end")
        answer = crm.request("POST", "/emails", body=json.dumps(mail).encode(), chunked=True).expect(201)
        same_mail(mail, crm.email(answer.id))


def _can_be_removed(crm: Session) -> None:
    """Leave no mail of many megabytes where it can't be taken away again: raises NotOffered."""
    crm.delete(at("emails", crm.log()[1])).offered()


@rule("body-large", OURS, LIMIT)
def large(crm: Session) -> None:
    """An attachment of 25 MiB in base64 is logged and read back."""
    _can_be_removed(crm)
    content = base64.b64encode(bytes(range(256)) * 102_400).decode()
    _, email = crm.log(attachments=[{"name": "big.bin", "size": 26_214_400, "content": content}])
    got = crm.email(email).get("attachments") or [{}]
    true(
        "the content, byte for byte", got[0].get("content") == content, f"{len(str(got[0].get('content')))} characters"
    )


@rule("body-too-large", OURS, LIMIT)
def too_large(crm: Session) -> None:
    """A body over the limit is 413, chunked or not; a server with a higher limit keeps it whole."""
    _can_be_removed(crm)
    mail = crm.mail(textBody="x" * (37 * 1024 * 1024))
    for by_chunks in (False, True):
        answer = crm.request("POST", "/emails", body=json.dumps(mail).encode(), chunked=by_chunks)
        if answer.status == 413:
            answer.refused(413)
        elif crm.email(answer.expect(413, 201, 200).id).get("textBody") != mail["textBody"]:
            raise Failed("413, or the whole text", answer.summary(), answer)
