"""For the CRM's own use: timelines, lists and the feed of changes. A server may do without."""

from datetime import timedelta
from urllib.parse import quote

from conformance.client import Json
from conformance.rule import OURS, instant, rule, same, true
from conformance.rules.emails import ATTACHMENT, HTML
from conformance.session import Session, at

TIMELINE = (
    "`GET /contacts/{id}/emails`: the contact's timeline, newest first, keyset pages, without bodies but with a snippet"
)
NEW = "`GET /emails/{id}?body=new`: what this mail adds, without quoted replies, signatures and disclaimers"
THREADS = (
    "`GET /threads?…`: one row a conversation: subject, participants, count, last time, by syncThreadId, else by "
    "In-Reply-To; `GET /threads/{id}`"
)
ROLES = "(`from`, `to`, `cc`, `bcc`, `relatedTo`). All four roles match, and `relatedTo` of type Contact."
COMPANY = "the timeline of a company: of its contacts, of its domains, of links to it"
LATER = "A contact added today finds the mail stored last year under its address"
HAS_ATTACHMENTS = "with a snippet, `hasAttachments`, and `roles`"
LISTS = "`GET /contacts`, `GET /companies`: keyset pages, `updatedSince=`."
INCLUDE_DELETED = "`GET /api/v1/contacts?updatedSince=…&includeDeleted=true`, the same for companies"
CHANGES = "what was created, changed and **deleted**, in order: `{seq, at, type, id, action}`"
MISSES_NOTHING = "A reader that keeps the last `seq` misses nothing."
DOWNLOAD = "An attachment is downloaded by its id; where that is missing, … by its place (`#1`)."
USERS = "`GET /users`, `PATCH` and `DELETE /users/{id}`: the people whose mailboxes are watched"
BEYOND = "`after` beyond the end is 409"
FURTHEST = 2**53


def timeline(crm: Session, contact: str) -> list[Json]:
    """The contact's mail, which must be on one page."""
    return crm.get(at("contacts", contact, "emails")).offered().expect(200).records


@rule("timeline-roles", OURS, ROLES)
def roles(crm: Session) -> None:
    """A contact's timeline holds the mail that it sent, received or is related to, each once, and says why."""
    a, b = crm.address(), crm.address()
    contact = crm.contact(a, b)
    linked = {"type": "Contact", "id": contact}
    mails: list[tuple[Json, list[str]]] = [
        ({"fromAddress": a}, ["from"]),
        ({"toAddresses": ["other@x.example", f"J <{b.upper()}>"]}, ["to"]),
        ({"ccAddresses": [a]}, ["cc"]),
        ({"bccAddresses": [b]}, ["bcc"]),
        ({"relatedTo": linked | {"type": "contact"}}, ["relatedTo"]),
        (
            {"fromAddress": a, "toAddresses": [a, b], "ccAddresses": [b], "relatedTo": [linked]},
            ["cc", "from", "relatedTo", "to"],
        ),
    ]
    wanted = [
        (crm.log(**fields, receivedAt=f"2024-01-{31 - n}T00:00:00Z")[1], why) for n, (fields, why) in enumerate(mails)
    ]
    crm.log(relatedTo={"type": "Lead", "id": contact})
    crm.log()
    same(
        "the mails and roles",
        wanted,
        [(str(mail.get("id")), sorted(mail.get("roles") or [])) for mail in timeline(crm, contact)],
    )


@rule("timeline-shape", OURS, TIMELINE)
def shape(crm: Session) -> None:
    """A timeline holds no bodies but a snippet, of the text or of the HTML."""
    address = crm.address()
    contact = crm.contact(address)
    crm.log(fromAddress=address, textBody="The  offer\r\nis ready. " + "x" * 5000, receivedAt="2024-01-02T00:00:00Z")
    crm.log(fromAddress=address, textBody=None, htmlBody=HTML, receivedAt="2024-01-01T00:00:00Z")
    text, html = timeline(crm, contact)
    for mail in (text, html):
        true("no bodies", not mail.get("textBody") and not mail.get("htmlBody") and not mail.get("attachments"), mail)
    true(
        "a snippet of the text",
        "offer" in str(text.get("snippet")) and len(text["snippet"]) < 1000,
        text.get("snippet"),
    )
    true(
        "a snippet of the HTML",
        "1 < 2" in str(html.get("snippet")) and "alert" not in html["snippet"],
        html.get("snippet"),
    )


@rule("email-new-text", OURS, NEW)
def new_text(crm: Session) -> None:
    """With `body=new` the text is what the mail adds; so is a snippet, and what is stored stays."""
    address = crm.address()
    contact = crm.contact(address)
    text = "The price is 12.\r\n\r\nOn 5 Jan 2026, Bob <bob@x.example> wrote:\r\n> How much?\r\n"
    _, email = crm.log(fromAddress=address, textBody=text)
    answer = crm.get(at("emails", email), body="new").offered().expect(200)
    same("what is new", "The price is 12.", str(answer.record.get("textBody")).strip())
    same("the whole", text, crm.email(email).get("textBody"))
    same("the snippet", ["The price is 12."], [str(mail.get("snippet")).strip() for mail in timeline(crm, contact)])


@rule("timeline-attachments", OURS, HAS_ATTACHMENTS)
def attachments(crm: Session) -> None:
    """A timeline says which mail has attachments."""
    address = crm.address()
    contact = crm.contact(address)
    crm.log(fromAddress=address, attachments=[ATTACHMENT], receivedAt="2024-01-02T00:00:00Z")
    crm.log(fromAddress=address, receivedAt="2024-01-01T00:00:00Z")
    same("hasAttachments", [True, False], [mail.get("hasAttachments") for mail in timeline(crm, contact)])


@rule("timeline-pages", OURS, TIMELINE)
def timeline_pages(crm: Session) -> None:
    """A timeline has pages, newest first, that lose and repeat nothing."""
    address = crm.address()
    contact = crm.contact(address)
    times = [*(f"2024-01-0{day}T00:00:00Z" for day in (3, 1, 2)), *["2024-02-01T00:00:00Z"] * 4]
    emails = [crm.log(toAddresses=[address], fromAddress=address, receivedAt=time)[1] for time in times]
    path = at("contacts", contact, "emails")
    for limit in (1, 2, 6, 7, 50):
        found = [str(mail.get("id")) for mail in crm.walk(f"{path}?limit={limit}")]
        same("the mails of the 1st to 3rd of January", [emails[0], emails[2], emails[1]], found[4:])
        same("the mails of February, sorted", sorted(emails[3:]), sorted(found[:4]))


@rule("timeline-later", OURS, LATER)
def later(crm: Session) -> None:
    """A contact made today has the mail that was logged before."""
    address = crm.address("Later")
    _, email = crm.log(ccAddresses=[f"L <{address}>"])
    same("the mails", [email], [str(mail.get("id")) for mail in timeline(crm, crm.contact(address))])


@rule("timeline-unknown", OURS, TIMELINE)
def timeline_unknown(crm: Session) -> None:
    """A contact without mail has an empty timeline; one that is not there has none."""
    same("the mails", [], timeline(crm, crm.contact(crm.address())))
    crm.get(at("contacts", crm.fresh(), "emails")).refused(404)


@rule("threads", OURS, THREADS)
def threads(crm: Session) -> None:
    """A thread is what has one syncThreadId, and what answers it; that with the newest mail comes first."""
    contact, address = crm.contact(a := crm.address()), {"fromAddress": a, "inReplyTo": None, "syncThreadId": None}
    days = [f"2024-03-0{n}T00:00:00Z" for n in range(1, 7)]
    first, root = crm.log(**address, receivedAt=days[0])
    later = crm.message_id()
    ids = {
        "answer": crm.log(**address | {"inReplyTo": first["rfc822MsgId"]}, receivedAt=days[4])[1],
        "other": crm.log(**address | {"syncThreadId": (own := crm.fresh())}, receivedAt=days[1])[1],
        "same": crm.log(**address | {"syncThreadId": own, "subject": "Re:"}, receivedAt=days[2])[1],
        "early": crm.log(**address | {"inReplyTo": later}, receivedAt=days[5])[1],
        "late": crm.log(**address, rfc822MsgId=later, receivedAt=days[3])[1],
    }
    wanted = [[ids["late"], ids["early"]], [root, ids["answer"]], [ids["other"], ids["same"]]]
    for limit in (1, 2, 100):
        found = crm.walk(f"/threads?contactId={quote(contact, safe='')}&limit={limit}")
        threads = [crm.walk(f"{at('threads', str(one['id']))}?limit={limit}") for one in found]
        same("the mails of each thread", wanted, [[str(mail["id"]) for mail in mails] for mails in threads])
        same("how many they are", [2, 2, 2], [one.get("count") for one in found])
    same(
        "who takes part",
        [[a.lower()]] * 3,
        [[one for one in thread["participants"] if one == a.lower()] for thread in found],
    )
    newest = crm.get("/threads").expect(200).records[0]
    true("the newest of all", instant(newest.get("lastAt")) >= instant(days[5]), newest)
    crm.get(at("threads", crm.fresh())).refused(404)


@rule("company-timeline", OURS, COMPANY)
def company_timeline(crm: Session) -> None:
    """A company has the mail of its contacts, of its domains and below, and of links, once, newest first."""
    domain, home = crm.new_domain(), crm.address()
    company = crm.company(domain, "gmail.com")
    contact = crm.contact(home, companyId=company)
    mails: list[Json] = [
        {"fromAddress": f"any@{domain}", "toAddresses": [home], "relatedTo": {"type": "Company", "id": company}},
        {"toAddresses": [f"other@eu.mail.{domain}"]},
        {"ccAddresses": [home]},
        {"relatedTo": [{"type": "Account", "id": company}]},
        {"relatedTo": [{"type": "Contact", "id": contact}]},
    ]
    wanted = [crm.log(**fields, receivedAt=f"2024-01-{31 - n}T00:00:00Z")[1] for n, fields in enumerate(mails)]
    for stranger in (f"any@not{domain}", f"{crm.fresh('any')}@gmail.com", f"{domain}@{crm.domain}"):
        crm.log(fromAddress=stranger)
    path = at("companies", company, "emails")
    for limit in (1, 2, 5, 100):
        found = [str(mail.get("id")) for mail in crm.walk(f"{path}?limit={limit}")]
        same("the mails", wanted, found)
    crm.get(at("companies", crm.fresh(), "emails")).refused(404)


def _since(record: Json) -> str:
    """A moment before the record was changed last, for a query."""
    return (instant(record.get("updatedAt")) - timedelta(microseconds=1)).isoformat().replace("+00:00", "Z")


def _list(crm: Session, noun: str, ids: list[str]) -> None:
    """Demand that the list of changed records holds these, on pages, and each once."""
    first = crm.get(at(noun, ids[0])).offered().expect(200).record
    for limit in (2, 100):
        records = crm.walk(f"/{noun}?updatedSince={_since(first)}&limit={limit}")
        found = [str(record.get("id")) for record in records]
        true("each record once", len(found) == len(set(found)), found)
        true("the records that were made", set(ids) <= set(found), found)
        same("the record in the list", first, records[found.index(ids[0])])
    latest = crm.get(at(noun, ids[-1])).record
    after = (instant(latest.get("updatedAt")) + timedelta(days=1)).isoformat().replace("+00:00", "Z")
    same("the records changed since tomorrow", [], crm.get(f"/{noun}", updatedSince=after).expect(200).records)


@rule("contacts-list", OURS, LISTS)
def contacts_list(crm: Session) -> None:
    """The contacts changed since a moment, on pages."""
    ids = [crm.contact(crm.address()) for _ in range(5)]
    _list(crm, "contacts", ids)
    old, new = crm.contact(crm.address()), crm.contact(crm.address())
    crm.patch(at("contacts", old), {"firstName": "Changed"}).offered().expect(200)
    since = _since(crm.get(at("contacts", old)).record)
    found = [str(record.get("id")) for record in crm.walk(f"/contacts?updatedSince={since}&limit=100")]
    true("the contact that was changed, not the one before it", old in found and new not in found, found)


@rule("companies-list", OURS, LISTS)
def companies_list(crm: Session) -> None:
    """The companies changed since a moment, on pages."""
    _list(crm, "companies", [crm.company(crm.new_domain()) for _ in range(5)])


def _told_deleted(crm: Session, noun: str) -> None:
    """Demand that the list of a noun tells what was deleted."""
    gone, again, stays = (crm.fresh("own") for _ in range(3))
    for own in (gone, again, stays):
        crm.put(at(noun, own), {}).offered().expect(201)
    since = _since(crm.get(at(noun, gone)).expect(200).record)
    for own in (gone, again):
        crm.delete(at(noun, own)).offered().expect(204)
    crm.put(at(noun, again), {}).expect(201)
    for limit in (1, 100):
        records = crm.walk(f"/{noun}?updatedSince={since}&includeDeleted=true&limit={limit}")
        told = {str(one.get("id")): one.get("deleted") for one in records}
        same("what is told to be deleted", [True, None, None], [told.get(own) for own in (gone, again, stays)])
        true("each record once", len(told) == len(records), records)
        true("and nothing else of it", all(not one.get("emailAddresses") for one in records), records)
    found = [str(one.get("id")) for one in crm.walk(f"/{noun}?updatedSince={since}&limit=100")]
    true("what was deleted only where it is asked for", gone not in found and {again, stays} <= set(found), found)


@rule("contacts-deleted", OURS, INCLUDE_DELETED)
def contacts_deleted(crm: Session) -> None:
    """The list of what changed since tells what was deleted, where that is asked for; not what was made again."""
    _told_deleted(crm, "contacts")


@rule("companies-deleted", OURS, INCLUDE_DELETED)
def companies_deleted(crm: Session) -> None:
    """The list of what changed since tells what was deleted, where that is asked for; not what was made again."""
    _told_deleted(crm, "companies")


def _changes(crm: Session, after: int, limit: int = 100) -> list[Json]:
    """All changes after this one, read as a reader does that keeps the last `seq`."""
    changes: list[Json] = []
    while page := crm.get("/changes", after=str(after), limit=str(limit)).offered().expect(200).records:
        seqs = [int(change["seq"]) for change in page]
        true("seq always rising", seqs == sorted(set(seqs)) and seqs[0] > after, seqs)
        changes, after = changes + page, seqs[-1]
    return changes


def _last_change(crm: Session) -> int:
    """The last `seq` there is, by halving: a feed of millions is not read for it."""
    low, high = 0, FURTHEST
    while low < high:
        middle = (low + high) // 2
        answer = crm.get("/changes", after=str(middle), limit="1").offered()
        if answer.status != 409 and answer.expect(200).records:  # 409: beyond the end
            low = middle + 1
        else:
            high = middle
    return low


@rule("changes", OURS, CHANGES)
def changes(crm: Session) -> None:
    """The feed tells what was created, changed and deleted, in order."""
    last = _last_change(crm)
    _, email = crm.log()
    contact, company = crm.contact(crm.address()), crm.company(crm.new_domain())
    ids = {
        "email": (f"/emails/{email}", email),
        "contact": (f"/contacts/{contact}", contact),
        "company": (f"/companies/{company}", company),
    }
    crm.patch(ids["email"][0], {"subject": "New"}).offered().expect(200)
    crm.patch(ids["contact"][0], {"firstName": "New"}).offered().expect(200)
    crm.patch(ids["company"][0], {"name": "New"}).offered().expect(200)
    for path, _ in ids.values():
        crm.delete(path).offered().expect(204)
    feed = _changes(crm, last)
    true(
        "the keys seq, at, type, id, action",
        all({"seq", "at", "type", "id", "action"} <= set(change) for change in feed),
        feed,
    )
    for kind, (_, record_id) in ids.items():
        mine = [change for change in feed if str(change["id"]) == record_id and str(change["type"]).lower() == kind]
        same(f"what happened to the {kind}", ["created", "changed", "deleted"], [change["action"] for change in mine])
        true(
            "a time in UTC with Z",
            all(str(change["at"]).endswith("Z") for change in mine),
            mine,
        )
    same("the feed on short pages", feed, _changes(crm, last, 2))


@rule("changes-at-once", OURS, MISSES_NOTHING)
def changes_at_once(crm: Session) -> None:
    """A reader that polls while twenty write sees each change once."""
    after = _last_change(crm)
    answers = crm.at_once(
        [lambda: crm.post("/emails", crm.mail()), *[lambda: crm.get("/changes", after=str(after))]] * 20
    )
    made = [answer.expect(201).id for answer in answers[::2]]
    seen = [str(change["id"]) for change in _changes(crm, after) if change["action"] == "created"]
    same("the mails in the feed, sorted", sorted(made), sorted(one for one in seen if one in set(made)))


@rule("changes-copy", OURS, CHANGES)
def changes_copy(crm: Session) -> None:
    """A copy that adds something is a change."""
    mail, email = crm.log()
    last = _last_change(crm)
    crm.post("/emails", mail | {"msgId": crm.fresh("copy"), "bccAddresses": [crm.address("new")]}).expect(200)
    mine = [change["action"] for change in _changes(crm, last) if str(change["id"]) == email]
    same("what happened to the mail", ["changed"], mine)


@rule("users-list", OURS, USERS)
def users_list(crm: Session) -> None:
    """The users, page by page, each once; the token's own is among them."""
    me = crm.get("/users/me").expect(200).record
    users = crm.walk("/users?limit=100")
    ids = [str(user.get("id")) for user in users]
    true("each user once", len(ids) == len(set(ids)), ids)
    same("the token's user in the list", [me], [user for user in users if user.get("id") == me["id"]])


@rule("users-change", OURS, USERS)
def users_change(crm: Session) -> None:
    """A user is changed in the named fields alone, and into nothing that can't be; of others nothing is known."""
    me = crm.get("/users/me").expect(200).record
    path = at("users", str(me["id"]))
    same("the user", me, crm.patch(path, {"name": me["name"]}).offered().expect(200).record)
    for nonsense in ({"timezone": "Mars/Olympus"}, {"email": "nobody"}):
        crm.patch(path, nonsense).refused(422)
    same("the user", me, crm.get("/users/me").expect(200).record)
    crm.patch(at("users", crm.fresh()), {}).refused(404)
    crm.delete(at("users", crm.fresh())).refused(404)


@rule("attachment-download", OURS, DOWNLOAD)
def attachment_download(crm: Session) -> None:
    """A file is downloaded by its id, and one without an id by its place."""
    files = [ATTACHMENT | {"content": "Zmlyc3Q="}, {"name": "b.txt", "mimeType": "text/plain", "content": "c2Vjb25k"}]
    _, email = crm.log(attachments=files)
    crm.get(at("emails", email, "attachments", str(ATTACHMENT["id"]))).offered()
    for name, content in ((ATTACHMENT["id"], "first"), ("#1", "first"), ("#2", "second")):
        answer = crm.get(at("emails", email, "attachments", quote(str(name), safe=""))).expect(200)
        same("the file", content, answer.body.decode("latin-1"))


@rule("changes-beyond-the-end", OURS, BEYOND)
def changes_beyond_the_end(crm: Session) -> None:
    """A number that was not given yet is of another database; the last one is none of these."""
    same("the changes behind the last", [], _changes(crm, _last_change(crm)))
    crm.get("/changes", after=str(FURTHEST)).offered().expect(409)
