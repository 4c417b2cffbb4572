"""Link it to a contact made later, replace it, delete it."""

from typing import Any

from conformance.client import Failed, Json
from conformance.rule import AURINKO, OURS, instant, rule, same, same_fields, true
from conformance.rules.emails import ATTACHMENT, entries, same_mail
from conformance.session import Session, at

LINK = "`PATCH` or `PUT /api/v1/emails/{id}` | update; used to link the email to a newly created contact"
PATCH = "*PATCH* changes the fields that it names (a list is replaced whole)"
PUT = "*PUT* replaces them all"
KEEPS_IDS = "but for `rfc822MsgId` and `msgId` where it does not name them"
UNKNOWN = "An unknown id is 404"
CONFLICT = "an `rfc822MsgId` that another record has is 409 and nothing changes"
OWN_FIELDS = "`id`, `createdAt`, `updatedAt` in a body are ignored."
DELETE = "`DELETE` is 204 (a mail logged by mistake must be removable)."
WITHHELD = (
    "*What was deleted, erased or is not to be logged stays away*: another copy of it makes a *withheld* record, 201 "
    "with an id, its ids and time, and nothing else of it"
)
FORGOTTEN = "`DELETE …?remember=false` keeps none, so that a copy is logged anew"
GET = "`GET /api/v1/emails/{id}` | the email by the CRM's own record id"


def whole(**fields: Any) -> Json:
    """The fields of a mail that has everything."""
    return {"attachments": [ATTACHMENT], "relatedTo": [{"type": "Lead", "id": "L-1"}]} | fields


def but(record: Json, *fields: str) -> Json:
    """The record without these fields, and without the time of its last change."""
    return {field: value for field, value in record.items() if field not in (*fields, "updatedAt")}


def changed(crm: Session, email: str, changes: Json) -> Json:
    """PATCH the mail; the record, which must be what PATCH answers."""
    answer = crm.patch(at("emails", email), changes).offered().expect(200)
    record = crm.email(email)
    same("the answer to PATCH", record, answer.record)
    return record


def _link(crm: Session, email: str, mail: Json, related: Json) -> None:
    """Link by whichever way the server offers: PATCH or PUT, an object or a list."""
    path = at("emails", email)
    for call in (crm.patch, crm.put):
        for shape in (related, [related]):
            answer = call(path, (mail if call == crm.put else {}) | {"relatedTo": shape})
            if answer.unfailing().status < 300:
                return
    raise Failed("PATCH or PUT to link the mail", answer.summary(), answer)


@rule("email-link", AURINKO, LINK)
def link(crm: Session) -> None:
    """A mail is linked to a contact made later, and loses nothing by it."""
    address = crm.address()
    mail, email = crm.log(toAddresses=[address, "other@x.example"])
    contact = crm.contact(address)
    _link(crm, email, mail, {"type": "Contact", "id": contact})
    record = crm.email(email)
    true(f"relatedTo with contact {contact}", ("contact", contact) in entries(record.get("relatedTo")), record)
    fields = (
        "subject",
        "textBody",
        "htmlBody",
        "toAddresses",
        "ccAddresses",
        "bccAddresses",
        "fromAddress",
        "fromName",
        "msgId",
    )
    same_fields({field: mail[field] for field in fields}, record)
    same("receivedAt", str(instant(mail["receivedAt"])), str(instant(record.get("receivedAt"))))
    true(
        "the mail by its Message-ID",
        email in crm.get("/emails", rfc822MsgId=mail["rfc822MsgId"]).expect(200).ids,
        "not found",
    )


@rule("email-unknown", AURINKO, GET)
def unknown(crm: Session) -> None:
    """An id that no mail has is not found."""
    crm.email(crm.log()[1])
    answer = crm.get(at("emails", crm.fresh()))
    true("a refusal", 400 <= answer.status < 500, answer.summary())


@rule("email-unknown-404", OURS, UNKNOWN)
def unknown_404(crm: Session) -> None:
    """Whatever an unknown id looks like, it is 404."""
    for odd in (crm.fresh(), "0", "-1", "9" * 40, "1.0", "1 ", "é", "😀", "%", "_", "' OR '1'='1", "null", "x" * 300):
        crm.get(at("emails", odd)).refused(404)


@rule("patch-related", OURS, PATCH)
def patch_related(crm: Session) -> None:
    """PATCH of relatedTo changes that field alone, and keeps the shape sent."""
    _, email = crm.log(**whole())
    before = crm.email(email)
    for related in ({"type": "Contact", "id": "42", "why": "new"}, [{"type": "Deal", "id": "1"}]):
        after = changed(crm, email, {"relatedTo": related})
        same("relatedTo", related, after.get("relatedTo"))
        same("the other fields", but(before, "relatedTo"), but(after, "relatedTo"))


@rule("patch-integer-id", OURS, "on input an integer id (`companyId`, `relatedTo.id`) is taken as well as a string")
def patch_integer_id(crm: Session) -> None:
    """relatedTo.id may be an integer, and is the same entry as its text."""
    mail, email = crm.log()
    after = changed(crm, email, {"relatedTo": [{"type": "Lead", "id": 42}]})
    same("relatedTo", [("lead", "42")], entries(after.get("relatedTo")))
    crm.post("/emails", mail | {"relatedTo": [{"type": "Lead", "id": "42"}]}).expect(200)
    same("relatedTo", [("lead", "42")], entries(crm.email(email).get("relatedTo")))


@rule("patch-each-field", OURS, PATCH)
def patch_each_field(crm: Session) -> None:
    """PATCH of any one field changes that field alone."""
    _, email = crm.log(**whole())
    before = crm.email(email)
    new = crm.mail(receivedAt="2020-01-01T00:00:00Z", fromName="New Name", attachments=[{"name": "new.txt"}])
    for field, value in new.items():
        after = changed(crm, email, {field: value})
        same_mail({field: value}, after)
        same("the other fields", but(before, field), but(after, field))
        before = after


@rule("patch-list", OURS, PATCH)
def patch_list(crm: Session) -> None:
    """PATCH replaces a list whole: the order and entries are those sent."""
    mail, email = crm.log()
    old, new = mail["toAddresses"], [crm.address("New"), crm.address()]
    for addresses in ([new[1], old[0], new[0], old[0]], [new[0]], []):
        same("toAddresses", addresses, changed(crm, email, {"toAddresses": addresses}).get("toAddresses"))
    for address in (old[0], old[1], new[0]):
        same(f"the mails found by {address}", [], crm.get("/emails", address=address).expect(200).ids)


@rule("patch-null", OURS, PATCH)
def patch_null(crm: Session) -> None:
    """PATCH with null empties a field, a list too."""
    _, email = crm.log(**whole())
    after = changed(crm, email, {"subject": None, "inReplyTo": None, "bccAddresses": None, "attachments": None})
    same_fields({"subject": None, "inReplyTo": None, "bccAddresses": [], "attachments": []}, after)


@rule("patch-nothing", OURS, PATCH)
def patch_nothing(crm: Session) -> None:
    """PATCH that names no field, or only fields that are not known, changes nothing."""
    _, email = crm.log(**whole())
    before = crm.email(email)
    for changes in ({}, {"importance": "high"}):
        same("the record", but(before), but(changed(crm, email, changes)))


@rule("patch-refused", OURS, "a date alone, or anything else, is 422")
def patch_refused(crm: Session) -> None:
    """A PATCH that is refused changes nothing of what it names."""
    _, email = crm.log()
    before = crm.email(email)
    changed(crm, email, {})
    crm.patch(at("emails", email), {"subject": "New", "receivedAt": "2024-05-17"}).refused(422)
    same("the record", but(before), but(crm.email(email)))


@rule("patch-unknown", OURS, UNKNOWN)
def patch_unknown(crm: Session) -> None:
    """PATCH of an unknown id is 404."""
    changed(crm, crm.log()[1], {})
    crm.patch(at("emails", crm.fresh()), {"subject": "New"}).refused(404)


@rule("patch-conflict", OURS, CONFLICT)
def patch_conflict(crm: Session) -> None:
    """PATCH to the Message-ID of another record, however spelled, is 409, and nothing changes in either."""
    other, other_email = crm.log()
    _, email = crm.log()
    before = crm.email(email), crm.email(other_email)
    changed(crm, email, {})
    for taken in (other["rfc822MsgId"], other["rfc822MsgId"].strip("<>"), f" {other['rfc822MsgId']} "):
        crm.patch(at("emails", email), {"rfc822MsgId": taken, "subject": "New", "toAddresses": []}).refused(409)
    same("the records", [but(one) for one in before], [but(crm.email(email)), but(crm.email(other_email))])
    same("the mails found", [other_email], crm.get("/emails", rfc822MsgId=other["rfc822MsgId"]).expect(200).ids)


@rule("patch-message-id", OURS, PATCH)
def patch_message_id(crm: Session) -> None:
    """A mail takes a new Message-ID and is found by it alone; its own, sent again, is no conflict."""
    mail, email = crm.log()
    changed(crm, email, {"rfc822MsgId": mail["rfc822MsgId"]})
    new = crm.message_id()
    changed(crm, email, {"rfc822MsgId": new})
    same("the mails found by the new one", [email], crm.get("/emails", rfc822MsgId=new).expect(200).ids)
    same("the mails found by the old one", [], crm.get("/emails", rfc822MsgId=mail["rfc822MsgId"]).expect(200).ids)


@rule("patch-ids", OURS, PATCH)
def patch_ids(crm: Session) -> None:
    """A mail is found by the msgId and the thread that it has now, and by no earlier thread."""
    mail, email = crm.log()
    new = {"msgId": crm.fresh("msg"), "syncThreadId": crm.fresh("thread")}
    changed(crm, email, new)
    for name, value in new.items():
        same(f"the mails found by the new {name}", [email], crm.get("/emails", **{name: value}).expect(200).ids)
    same("the mails found by the old thread", [], crm.get("/emails", syncThreadId=mail["syncThreadId"]).expect(200).ids)


@rule("patch-own-fields", OURS, OWN_FIELDS)
def patch_own_fields(crm: Session) -> None:
    """id, createdAt and updatedAt in a body are ignored, by POST, PATCH and PUT."""
    odd = {"id": crm.fresh("own"), "createdAt": "2001-01-01T00:00:00Z", "updatedAt": "nonsense"}
    mail, email = crm.log(**odd)
    true("an id of the server's own", email != odd["id"], email)
    made = crm.email(email)["createdAt"]
    true("the server's own createdAt", instant(made).year > 2001, made)
    same_fields({"id": email, "createdAt": made}, changed(crm, email, odd))
    crm.put(at("emails", email), mail | odd).offered().expect(200)
    same_fields({"id": email, "createdAt": made}, crm.email(email))
    crm.get(at("emails", odd["id"])).refused(404)


@rule("put-replaces", OURS, PUT)
def put_replaces(crm: Session) -> None:
    """PUT replaces every field; one that it does not name is none."""
    _, email = crm.log(**whole())
    made = crm.email(email).get("createdAt")
    mail = crm.mail(relatedTo={"type": "Deal", "id": "7"})
    answer = crm.put(at("emails", email), mail).offered().expect(200)
    record = crm.email(email)
    same("the answer to PUT", record, answer.record)
    same_mail(mail | {"id": email, "createdAt": made, "attachments": []}, record)
    crm.put(at("emails", email), {"subject": "Only this"}).expect(200)
    gone: Json = {"textBody": None, "fromAddress": None, "receivedAt": None, "toAddresses": [], "bccAddresses": []}
    same_fields({"subject": "Only this"} | gone, crm.email(email))
    same(
        "the mails found by an address that is gone",
        [],
        crm.get("/emails", address=mail["toAddresses"][0]).expect(200).ids,
    )


@rule("put-keeps-ids", OURS, KEEPS_IDS)
def put_keeps_ids(crm: Session) -> None:
    """PUT without the ids leaves them, so that the mail is not logged a second time; with null it takes them away."""
    mail, email = crm.log()
    ids = {name: mail[name] for name in ("rfc822MsgId", "msgId")}
    rest = {field: value for field, value in mail.items() if field not in ids}
    same_fields(ids, crm.put(at("emails", email), rest).offered().expect(200).record)
    same("id", email, crm.post("/emails", mail).expect(200).id)
    same_fields(dict.fromkeys(ids), crm.put(at("emails", email), rest | dict.fromkeys(ids)).expect(200).record)


@rule("put-unknown", OURS, UNKNOWN)
def put_unknown(crm: Session) -> None:
    """PUT of an unknown id is 404: mail has the server's own ids."""
    mail, email = crm.log()
    crm.put(at("emails", email), mail).offered().expect(200)
    crm.put(at("emails", crm.fresh()), crm.mail()).refused(404)


@rule("put-conflict", OURS, CONFLICT)
def put_conflict(crm: Session) -> None:
    """PUT with the Message-ID of another record is 409, and nothing changes."""
    other, _ = crm.log()
    mail, email = crm.log()
    crm.put(at("emails", email), mail).offered().expect(200)
    before = crm.email(email)
    crm.put(at("emails", email), crm.mail(rfc822MsgId=other["rfc822MsgId"])).refused(409)
    same("the record", before, crm.email(email))


@rule("updated-at", OURS, "(+ `createdAt`, `updatedAt`)")
def updated_at(crm: Session) -> None:
    """A change moves updatedAt on and leaves createdAt."""
    _, email = crm.log()
    before = crm.email(email)
    after = changed(crm, email, {"subject": "New"})
    true("a later updatedAt", instant(after["updatedAt"]) > instant(before["updatedAt"]), after["updatedAt"])
    same("createdAt", before["createdAt"], after.get("createdAt"))


@rule("email-delete", OURS, DELETE)
def delete(crm: Session) -> None:
    """A deleted mail is gone, from look-ups too."""
    mail, email = crm.log()
    crm.delete(at("emails", email)).offered().expect(204)
    crm.get(at("emails", email)).refused(404)
    crm.delete(at("emails", email)).refused(404)
    for query in ({"rfc822MsgId": mail["rfc822MsgId"]}, {"msgId": mail["msgId"]}, {"address": mail["toAddresses"][0]}):
        same("the mails found", [], crm.get("/emails", **query).expect(200).ids)


@rule("email-withheld", OURS, WITHHELD)
def withheld(crm: Session) -> None:
    """A copy of a mail that was deleted makes a record with its ids and time alone, which only these ids find."""
    mail, email = crm.log(**whole())
    crm.delete(at("emails", email)).offered().expect(204)
    made = crm.post("/emails", mail).expect(201)
    true("another id", made.id != email, made.summary())
    again = crm.post("/emails", mail | {"msgId": crm.fresh("copy")}).expect(200)
    same("id", made.id, again.id)
    record = crm.email(made.id)
    same_fields({name: mail[name] for name in ("rfc822MsgId", "msgId")}, record)
    same("receivedAt", str(instant(mail["receivedAt"])), str(instant(record.get("receivedAt"))))
    known = ("id", "rfc822MsgId", "msgId", "receivedAt", "createdAt", "updatedAt")
    same("all else of the record", {}, {name: value for name, value in but(record, *known).items() if value})
    same("the mails found", [made.id], crm.get("/emails", rfc822MsgId=mail["rfc822MsgId"]).expect(200).ids)
    latest = crm.get("/emails", receivedAfter=mail["receivedAt"], limit="100").expect(200)
    true("a list without it", made.id not in latest.ids, latest.ids)
    crm.patch(at("emails", made.id), {"subject": "New"}).expect(200)
    same("subject", None, crm.email(made.id).get("subject"))


@rule("never-log", OURS, WITHHELD)
def never_log(crm: Session) -> None:
    """An email that meets a rule makes a record with ids and time alone; without the rule, the next copy fills it."""
    address = crm.address("private")
    added = crm.post("/never-log", {"kind": "address", "value": address}).offered().ok()
    try:
        true("the rule in the list", added.id in crm.get("/never-log").expect(200).ids, added.summary())
        mail, email = crm.log(**whole(), ccAddresses=["other@x.example", f"P <{address.upper()}>"])
        _, other = crm.log()
        crm.patch(at("emails", other), {"ccAddresses": [address]}).expect(200)
        known = ("id", "rfc822MsgId", "msgId", "receivedAt", "createdAt", "updatedAt")
        for record_id in (email, other):
            record = crm.email(record_id)
            same("all else of the record", {}, {name: value for name, value in but(record, *known).items() if value})
    finally:
        crm.delete(at("never-log", added.id)).expect(204)
    same("id", email, crm.post("/emails", mail).expect(200).id)
    same_mail(mail, crm.email(email))


@rule("email-forgotten", OURS, FORGOTTEN)
def forgotten(crm: Session) -> None:
    """A mail that need not be remembered is logged anew, whole; also one that was withheld before."""
    mail, email = crm.log()
    crm.delete(at("emails", email)).offered().expect(204)
    email = crm.post("/emails", mail).expect(201).id
    crm.delete(at("emails", email) + "?remember=false").expect(204)
    again = crm.post("/emails", mail).expect(201)
    true("another id", again.id != email, again.summary())
    same_mail(mail, crm.email(again.id))
