"""The same mail from another mailbox, and twenty at once."""

from functools import partial
from typing import Any

from conformance.client import Json
from conformance.rule import OURS, instant, rule, same, same_fields, true
from conformance.session import Session, at

IDENTITY = "A mail is its `rfc822MsgId`."
BY_MSGID = (
    "it identifies a mail only where at least one of the two has no `rfc822MsgId`, and nothing contradicts: subject, "
    "sender (normalized), `receivedAt` and bodies are equal wherever both have them"
)
EITHER = "Then the record is one, whichever came first, and has the Message-ID that either brought."
NO_ID = "Without any id, every POST is a new record."
TRIMMED = "Compared after trimming white space and one pair of angle brackets; returned as sent."
COPY = "Already here: 200 with the record that is here, the content as first logged, plus what the copy adds"
ADDS = "recipients, attachments and `relatedTo` entries it did not have"
FILES = "the `content` of an attachment that had none"
FILLS = "fields that were empty or white space"
TAKEN = "*What people took away stays away*"
OTHERWISE = (
    "Where a copy's subject, bodies, sender or time differ, the record stays as first logged, and what the copy says "
    "otherwise is kept with the copy"
)
STRANGER = "of a copy with another sender (a Message-ID that was used twice, or stolen) nothing else is merged"
SEEN_AS = "the copy's own `msgId`, under which the record can be found from then on (`?msgId=`)"
SAME_ENTRY = "Two entries are the same when type (any case) and id are."
SHAPE = "returned in the shape it was sent, unless entries of a copy were added, which makes it a list"
RACE = "Any number of processes posting one mail at once make exactly one record, all answered 200/201 with one id."
ROUNDS = 3


def copy(crm: Session, mail: Json, email: str, **fields: Any) -> Json:
    """Post the mail once more as another mailbox has it; the record, which must be the one that is here."""
    answer = crm.post("/emails", mail | {"msgId": crm.fresh("copy")} | fields).expect(200)
    same("id", email, answer.id)
    record = crm.email(email)
    same("the answer to POST", record, answer.record)
    return record


@rule("copy-same-record", OURS, COPY)
def same_record(crm: Session) -> None:
    """A copy is answered with 200 and the record that is here, and the mail is there once."""
    mail, email = crm.log()
    before = crm.email(email)
    record = copy(crm, mail, email)
    same_fields({field: before[field] for field in before.keys() - {"updatedAt"}}, record)
    same("the mails found", [email], crm.get("/emails", rfc822MsgId=mail["rfc822MsgId"]).expect(200).ids)


@rule("copy-repeated-post", OURS, "*POST is idempotent.*")
def repeated_post(crm: Session) -> None:
    """The very same POST, sent again because the answer was lost, makes nothing new."""
    mail, email = crm.log()
    for _ in range(3):
        same("id", email, crm.post("/emails", mail).expect(200).id)


@rule("copy-trimmed", OURS, TRIMMED)
def trimmed(crm: Session) -> None:
    """A copy whose Message-ID lacks the brackets, or has white space around, is a copy; the first spelling stays."""
    mail, email = crm.log()
    plain = mail["rfc822MsgId"].strip("<>")
    for written in (plain, f" <{plain}> ", f"{plain}\r\n"):
        same("rfc822MsgId", mail["rfc822MsgId"], copy(crm, mail, email, rfc822MsgId=written).get("rfc822MsgId"))


@rule("copy-first-stays", OURS, OTHERWISE)
def first_stays(crm: Session) -> None:
    """Where a copy differs, what was logged first stays."""
    mail, email = crm.log(attachments=[{"id": "1", "name": "a.pdf"}])
    other = crm.mail(receivedAt="2020-01-01T00:00:00Z", fromName="Another Name")
    differing = (
        "subject",
        "textBody",
        "htmlBody",
        "fromAddress",
        "fromName",
        "syncThreadId",
        "inReplyTo",
        "receivedAt",
    )
    before = crm.email(email)
    record = copy(crm, mail, email, **{field: other[field] for field in differing})
    same_fields({field: before[field] for field in (*differing, "attachments", "msgId")}, record)


@rule("copy-adds-recipients", OURS, ADDS)
def adds_recipients(crm: Session) -> None:
    """Recipients that the record did not have are added at the end, and none twice."""
    a, b, c, d, e, f = (crm.address() for _ in range(6))
    mail, email = crm.log(toAddresses=[b, a], ccAddresses=[c], bccAddresses=[])
    record = copy(crm, mail, email, toAddresses=[a, e, b], ccAddresses=[d, c], bccAddresses=[f])
    same_fields({"toAddresses": [b, a, e], "ccAddresses": [c, d], "bccAddresses": [f]}, record)
    same("the mails found by the new address", [email], crm.get("/emails", address=f).expect(200).ids)


@rule("copy-keeps-recipients", OURS, COPY)
def keeps_recipients(crm: Session) -> None:
    """A copy that knows fewer recipients takes none away."""
    mail, email = crm.log()
    record = copy(crm, mail, email, toAddresses=mail["toAddresses"][:1], ccAddresses=[], bccAddresses=None)
    same_fields({field: mail[field] for field in ("toAddresses", "ccAddresses", "bccAddresses")}, record)


@rule("copy-adds-related", OURS, ADDS)
def adds_related(crm: Session) -> None:
    """Entries of relatedTo that the record did not have are added, keeping the first ones."""
    one, two, three = ({"type": "Lead", "id": crm.fresh("L"), "n": n} for n in range(3))
    mail, email = crm.log(relatedTo=[one, two])
    same("relatedTo", [one, two, three], copy(crm, mail, email, relatedTo=[two, three]).get("relatedTo"))
    same("relatedTo", [one, two, three], copy(crm, mail, email, relatedTo=None).get("relatedTo"))


@rule("copy-related-shape", OURS, SHAPE)
def related_shape(crm: Session) -> None:
    """relatedTo stays an object until an entry is added, which makes it a list."""
    one, two = ({"type": "Lead", "id": crm.fresh("L")} for _ in range(2))
    mail, email = crm.log(relatedTo=one)
    same("relatedTo", one, copy(crm, mail, email, relatedTo=one).get("relatedTo"))
    same("relatedTo", [one, two], copy(crm, mail, email, relatedTo=two).get("relatedTo"))


@rule("copy-related-same", OURS, SAME_ENTRY)
def related_same(crm: Session) -> None:
    """An entry of the same type, in any letter case, and id is not added."""
    entry = {"type": "Lead", "id": crm.fresh("l"), "why": "first"}
    mail, email = crm.log(relatedTo=[entry])
    again = [entry | {"type": "LEAD", "why": "second"}, entry | {"type": "lead"}]
    same("relatedTo", [entry], copy(crm, mail, email, relatedTo=again).get("relatedTo"))


@rule("copy-fills-gaps", OURS, FILLS)
def fills_gaps(crm: Session) -> None:
    """Fields that were empty are taken from the copy."""
    names = (
        "subject",
        "fromAddress",
        "fromName",
        "textBody",
        "htmlBody",
        "inReplyTo",
        "syncThreadId",
        "receivedAt",
        "relatedTo",
    )
    mail, email = crm.log(**dict.fromkeys(names, None), attachments=[])
    full = crm.mail(relatedTo=[{"type": "Lead", "id": "1"}], attachments=[{"id": "1", "name": "a.pdf", "size": 3}])
    wanted = {field: full[field] for field in (*names, "attachments")}
    same_fields(wanted, copy(crm, mail, email, **wanted), "receivedAt")
    true("a receivedAt", bool(crm.email(email).get("receivedAt")), crm.email(email))


@rule("copy-both-msgids", OURS, SEEN_AS)
def both_msgids(crm: Session) -> None:
    """The record is found under the msgId of each mailbox, and keeps the first."""
    mail, email = crm.log()
    others = [crm.fresh("copy"), crm.fresh("copy")]
    for other in others:
        same("msgId", mail["msgId"], copy(crm, mail, email, msgId=other).get("msgId"))
    for msg_id in (mail["msgId"], *others):
        same("the mails found by msgId", [email], crm.get("/emails", msgId=msg_id).expect(200).ids)


@rule("copy-otherwise", OURS, OTHERWISE)
def otherwise(crm: Session) -> None:
    """Each copy is listed with its msgId and what it says otherwise, the first one too; a POST made again is none."""
    mail, email = crm.log()
    other = crm.mail(receivedAt="2020-01-01T00:00:00.000000Z", fromAddress=f"Jane Doe <{mail['fromAddress']}>")
    fields = ("subject", "textBody", "htmlBody", "fromAddress", "receivedAt")
    differs = {field: other[field] for field in fields}
    again = mail | {"msgId": crm.fresh("copy")} | differs
    for one in (again, mail, again):
        same("id", email, crm.post("/emails", one).expect(200).id)
    first, second = _copies(crm, email)
    same_fields({"msgId": mail["msgId"], "differs": None}, first)
    same_fields({"msgId": again["msgId"], "differs": differs}, second)
    true("times in order", instant(first["loggedAt"]) <= instant(second["loggedAt"]), [first, second])


@rule("copy-stranger", OURS, STRANGER)
def stranger(crm: Session) -> None:
    """A mail that comes with the Message-ID of another adds nothing to it, and is kept whole with the copy."""
    mail, email = crm.log(inReplyTo=None)
    before = crm.email(email)
    alien = crm.mail(inReplyTo=crm.message_id(), attachments=[{"name": "a.pdf", "size": 3, "content": "AAAA"}])
    record = copy(crm, mail, email, **{field: alien[field] for field in alien if field not in ("rfc822MsgId", "msgId")})
    same("the record", before, record)
    *_, kept = _copies(crm, email)
    for field in ("subject", "fromAddress", "toAddresses", "bccAddresses", "textBody", "inReplyTo", "attachments"):
        same(field, alien[field], (kept["differs"] or {}).get(field))


def _copies(crm: Session, email: str) -> list[Json]:
    return crm.walk(at("emails", email, "copies"))


@rule("copy-adds-files", OURS, f"{ADDS}, {FILES}")
def adds_files(crm: Session) -> None:
    """A file that the record lacks is added, and the content of one that came without; none comes twice."""
    one, two = ({"id": f"{n}", "name": f"{n}.pdf", "size": 3} for n in (1, 2))
    mail, email = crm.log(attachments=[one])
    files = [two, {"name": "1.pdf", "size": 3, "content": "AAAA"}, {"name": "3.pdf", "size": 3, "content": "BBBB"}]
    whole = [one | {"content": "AAAA"}, files[0], files[2]]
    for _ in range(2):
        same("attachments", whole, copy(crm, mail, email, attachments=files).get("attachments"))


@rule("copy-not-brought-back", OURS, TAKEN)
def not_brought_back(crm: Session) -> None:
    """A recipient, link or text that a PATCH removed is brought back by no copy, and by no POST that is made again."""
    lead = {"type": "Lead", "id": crm.fresh("L")}
    mail, email = crm.log(relatedTo=[lead])
    gone: Json = {"toAddresses": mail["toAddresses"][1:], "relatedTo": [], "textBody": None}
    before = crm.patch(at("emails", email), gone).offered().expect(200).record
    same("the record", before, copy(crm, mail, email))
    same("the record", before, crm.post("/emails", mail).expect(200).record)
    new = crm.address()
    record = copy(crm, mail, email, toAddresses=[*mail["toAddresses"], new])
    same("toAddresses", [*gone["toAddresses"], new], record.get("toAddresses"))


@rule("copy-msgid-stays", OURS, f"{SEEN_AS}, whatever a later PATCH does to the record's own `msgId`")
def msgid_stays(crm: Session) -> None:
    """The record is found under each msgId, also where a PATCH gave it that of a copy, and its own again."""
    mail, email = crm.log()
    other = crm.fresh("copy")
    copy(crm, mail, email, msgId=other)
    for msg_id in (other, mail["msgId"], None):
        crm.patch(at("emails", email), {"msgId": msg_id}).offered().expect(200)
        for one in (mail["msgId"], other):
            same("the mails found by msgId", [email], crm.get("/emails", msgId=one).expect(200).ids)


@rule("identity-msgid", OURS, BY_MSGID)
def identity_msgid(crm: Session) -> None:
    """A mail without a Message-ID is known by its msgId."""
    mail, email = crm.log(rfc822MsgId=None)
    same("id", email, crm.post("/emails", mail | {"subject": None, "textBody": " "}).expect(200).id)
    same("id", email, crm.post("/emails", mail | {"fromAddress": f"J <{mail['fromAddress'].upper()}>"}).expect(200).id)
    other = crm.post("/emails", mail | {"msgId": crm.fresh("msg")}).expect(201)
    true("another record for another msgId", other.id != email, other.summary())
    upper = crm.post("/emails", mail | {"msgId": mail["msgId"].upper()}).expect(201)
    true("another record for a msgId in other letter case", upper.id != email, upper.summary())


@rule("identity-contradiction", OURS, BY_MSGID)
def identity_contradiction(crm: Session) -> None:
    """Two mails of one msgId that say otherwise are two, each with its own recipients, and stay two when sent again."""
    for first in (None, crm.message_id()):
        for field in ("subject", "fromAddress", "receivedAt", "textBody", "htmlBody"):
            mail, email = crm.log(rfc822MsgId=first and crm.message_id())
            other = crm.mail(receivedAt="2020-01-01T00:00:00Z")
            other = mail | {"rfc822MsgId": None, field: other[field], "toAddresses": other["toAddresses"]}
            made = crm.post("/emails", other).expect(201)
            true(f"another record for another {field}", made.id != email, made.summary())
            same("toAddresses", mail["toAddresses"], crm.email(email).get("toAddresses"))
            same("id", email, crm.post("/emails", mail).expect(200).id)
            same("id", made.id, crm.post("/emails", other).expect(200).id)


@rule("identity-either-order", OURS, EITHER)
def identity_either_order(crm: Session) -> None:
    """A copy with a Message-ID and one without are one mail, in either order, and it has that Message-ID."""
    for order in (1, -1):
        mail = crm.mail()
        one, two = [mail, mail | {"rfc822MsgId": None}][::order]
        email = crm.post("/emails", one).expect(201).id
        same("id", email, crm.post("/emails", two).expect(200).id)
        same("rfc822MsgId", mail["rfc822MsgId"], crm.email(email).get("rfc822MsgId"))
        same("id", email, crm.post("/emails", mail | {"msgId": crm.fresh("copy")}).expect(200).id)


@rule("identity-none", OURS, NO_ID)
def identity_none(crm: Session) -> None:
    """A mail without either is new each time, however it says that it has none."""
    mail = crm.mail(rfc822MsgId=None, msgId=None)
    bare = {field: value for field, value in mail.items() if value is not None}
    blank = mail | {"rfc822MsgId": " <> ", "msgId": ""}
    ids = [crm.post("/emails", one).expect(201).id for one in (mail, mail, bare, bare, blank, blank)]
    true("six records", len(set(ids)) == 6, ids)


@rule("identity-message-id-first", OURS, IDENTITY)
def identity_message_id_first(crm: Session) -> None:
    """Two mails of different Message-IDs are two, though a mailbox gave both one msgId."""
    mail, email = crm.log()
    other = crm.post("/emails", mail | {"rfc822MsgId": crm.message_id()}).expect(201)
    true("another record", other.id != email, other.summary())


def _post_at_once(crm: Session, mails: list[Json]) -> str:
    """Post all of them at the same moment; the one id that all were given."""
    answers = crm.at_once([partial(crm.post, "/emails", mail) for mail in mails])
    ids = sorted({answer.expect(200, 201).id for answer in answers})
    true("one id", len(ids) == 1, ids)
    same("how many were told that they made it", 1, [answer.status for answer in answers].count(201))
    return ids[0]


@rule("race-message-id", OURS, RACE)
def race_message_id(crm: Session) -> None:
    """Twenty mailboxes that log one mail at once make one record, and lose no recipient and no msgId."""
    for _ in range(ROUNDS):
        mail = crm.mail()
        copies = [mail | {"msgId": crm.fresh("msg"), "bccAddresses": [crm.address("bcc")]} for _ in range(20)]
        email = _post_at_once(crm, copies)
        same("the mails found", [email], crm.get("/emails", rfc822MsgId=mail["rfc822MsgId"]).expect(200).ids)
        blind = sorted(address for one in copies for address in one["bccAddresses"])
        same("bccAddresses, sorted", blind, sorted(crm.email(email).get("bccAddresses") or []))
        for one in copies:
            same("the mails found by msgId", [email], crm.get("/emails", msgId=one["msgId"]).expect(200).ids)


@rule("race-msgid", OURS, RACE)
def race_msgid(crm: Session) -> None:
    """Twenty POSTs of a mail that has no Message-ID make one record."""
    for _ in range(ROUNDS):
        mail = crm.mail(rfc822MsgId=None)
        email = _post_at_once(crm, [mail] * 20)
        same("the mails found", [email], crm.get("/emails", msgId=mail["msgId"]).expect(200).ids)


@rule("race-either-order", OURS, f"{EITHER} {RACE}")
def race_either_order(crm: Session) -> None:
    """Twenty POSTs of a mail at once, of which half have its Message-ID, make one record that has it."""
    for _ in range(ROUNDS):
        mail = crm.mail()
        email = _post_at_once(crm, [mail | {"rfc822MsgId": None}, mail] * 10)
        same("the mails found", [email], crm.get("/emails", msgId=mail["msgId"]).expect(200).ids)
        same("the mails found", [email], crm.get("/emails", rfc822MsgId=mail["rfc822MsgId"]).expect(200).ids)


@rule("race-different", OURS, "What a client may send is never a 500")
def race_different(crm: Session) -> None:
    """Twenty different mails with the same recipients, logged at once, are twenty records."""
    people = {"toAddresses": [crm.address() for _ in range(5)], "ccAddresses": [crm.address()]}
    mails = [crm.mail(**people) for _ in range(20)]
    answers = crm.at_once([partial(crm.post, "/emails", mail) for mail in mails])
    true(
        "twenty records",
        len({answer.expect(201).id for answer in answers}) == 20,
        [answer.status for answer in answers],
    )
    for mail, answer in zip(mails, answers, strict=True):
        same_fields(people | {"subject": mail["subject"]}, crm.email(answer.id))
