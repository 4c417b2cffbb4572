"""GET /emails: filters, order and pages."""

from conformance.client import Json
from conformance.rule import OURS, instant, rule, same, true
from conformance.session import Session, at

FILTERS = (
    "*`GET /emails`* answers an array, newest first, filtered by `rfc822MsgId`, `msgId`, `syncThreadId`, `address`, "
    "`contactId`, `receivedAfter`, `receivedBefore`; empty array for no match"
)
NEWEST_FIRST = "answers an array, newest first"
EMPTY = "A filter with an empty value matches nothing, never everything."
PAGES = '`limit` 1–100, default 25; the next page by a `Link: <…>; rel="next"` header (keyset cursor, never an offset)'
CASE = "in `rfc822MsgId`, `msgId` and `syncThreadId`; only white space around and one pair of `<>` do not"
LATER = (
    "A contact added today finds the mail stored last year under its address: links by address are joins, not copies."
)
NORMALIZED = (
    "Every address that can be read in an entry (of a group `Team: a@x, b@y;` each member, and `jane@x (Jane Doe)`) "
    "also stands normalized (below) in a table of its own, and that is what lookups use."
)


def finds(crm: Session, *emails: str, **query: str) -> None:
    """Demand exactly these mails, in this order."""
    same("the mails found", list(emails), crm.get("/emails", **query).expect(200).ids)


def log_all(crm: Session, *times: str | None, **fields: object) -> list[str]:
    """Log mails received at these times; their ids."""
    return [crm.log(receivedAt=time, **fields)[1] for time in times]


def ids_from(crm: Session, path: str) -> list[str]:
    """The ids on all pages, from this one on."""
    return [str(record.get("id")) for record in crm.walk(path)]


@rule("emails-newest-first", OURS, NEWEST_FIRST)
def newest_first(crm: Session) -> None:
    """The mail received last comes first, whatever was logged last, to the microsecond and across offsets."""
    thread = crm.fresh("thread")
    times = (
        "2024-03-01T00:00:00Z",
        "2024-03-02T00:00:00.000002Z",
        "2024-03-02T00:00:00.000001Z",
        "2024-03-02T01:00:00+02:00",
    )
    one, two, three, four = log_all(crm, *times, syncThreadId=thread)
    finds(crm, two, three, four, one, syncThreadId=thread)


@rule("emails-by-msgid", OURS, FILTERS)
def by_msgid(crm: Session) -> None:
    """Filter by msgId, letter case and all; never by a part of it."""
    mail, email = crm.log(msgId=crm.fresh("CaX"))
    finds(crm, email, msgId=mail["msgId"])
    finds(crm, email, msgId=f" <{mail['msgId']}> ")
    for other in (
        mail["msgId"].lower(),
        mail["msgId"].replace("X", "_"),
        mail["msgId"][:-2] + "%",
        mail["msgId"] + "x",
    ):
        finds(crm, msgId=other)


@rule("emails-by-thread", OURS, FILTERS)
def by_thread(crm: Session) -> None:
    """Filter by thread."""
    thread = crm.fresh("thread")
    old, new = log_all(crm, "2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", syncThreadId=thread)
    crm.log()
    finds(crm, new, old, syncThreadId=thread)
    finds(crm, syncThreadId=crm.fresh("thread"))


@rule("emails-by-thread-trimmed", OURS, CASE)
def by_thread_trimmed(crm: Session) -> None:
    """In a thread's id letter case counts; white space around and one pair of angle brackets do not."""
    thread = crm.fresh("Thread")
    _, email = crm.log(syncThreadId=thread)
    finds(crm, email, syncThreadId=f" <{thread}> ")
    finds(crm, syncThreadId=thread.lower())
    finds(crm, syncThreadId=thread.upper())


@rule("emails-by-address", OURS, FILTERS)
def by_address(crm: Session) -> None:
    """Filter by address: as sender, recipient, copied or blind-copied, each mail once."""
    address = crm.address()
    emails = [
        crm.log(fromAddress=address, toAddresses=[address, address], receivedAt="2024-01-04T00:00:00Z")[1],
        crm.log(toAddresses=["other@x.example", address], receivedAt="2024-01-03T00:00:00Z")[1],
        crm.log(ccAddresses=[address], receivedAt="2024-01-02T00:00:00Z")[1],
        crm.log(bccAddresses=[address], receivedAt="2024-01-01T00:00:00Z")[1],
    ]
    finds(crm, *emails, address=address)


@rule("emails-by-each-address", OURS, NORMALIZED)
def by_each_address(crm: Session) -> None:
    """Each member of a group finds the mail, and an address with a comment behind it; the entry stays as it is."""
    a, b, c = (crm.address() for _ in range(3))
    entries = [f"Team: {a}, Bob <{b.upper()}>;", f"{c} (Carol)"]
    _, email = crm.log(toAddresses=entries)
    for address in (a, b, c):
        finds(crm, email, address=address)
    same("toAddresses", entries, crm.email(email).get("toAddresses"))


@rule("emails-by-address-normalized", OURS, NORMALIZED)
def by_address_normalized(crm: Session) -> None:
    """An address finds its mail however either was written, and only the whole address does."""
    word = crm.fresh("maryX")
    _, email = crm.log(toAddresses=[f"Mary <{word.upper()}@{crm.domain.upper()}>"])
    for written in (f"{word}@{crm.domain}", f"M <{word}@{crm.domain}>", f" {word}@{crm.domain}. "):
        finds(crm, email, address=written)
    for other in (word.replace("X", "_"), word[1:], "%", "x" + word):
        finds(crm, address=f"{other}@{crm.domain}")
    tagged = crm.address("jane+a")
    _, email = crm.log(ccAddresses=[tagged])
    same("the mails found with + as a space", [email], crm.get(f"/emails?address={tagged}").expect(200).ids)


@rule("emails-by-contact", OURS, LATER)
def by_contact(crm: Session) -> None:
    """Filter by contact: the mail of all its addresses, logged before the contact was made or after."""
    a, b = crm.address(), crm.address()
    _, older = crm.log(toAddresses=[a], receivedAt="2020-01-01T00:00:00Z")
    contact = crm.contact(a.upper(), b)
    _, newer = crm.log(fromAddress=b, bccAddresses=[a], receivedAt="2021-01-01T00:00:00Z")
    finds(crm, newer, older, contactId=contact)
    finds(crm, contactId=crm.fresh("none"))


@rule("emails-by-new-address", OURS, LATER)
def by_new_address(crm: Session) -> None:
    """A contact given another address finds the mail of that one too, and loses it with the address."""
    a, b = crm.address(), crm.address()
    _, email = crm.log(toAddresses=[b])
    contact = crm.contact(a)
    finds(crm, contactId=contact)
    crm.patch(at("contacts", contact), {"emailAddresses": [a, b]}).offered().expect(200)
    finds(crm, email, contactId=contact)
    crm.patch(at("contacts", contact), {"emailAddresses": [a]}).expect(200)
    finds(crm, contactId=contact)


@rule("emails-by-time", OURS, FILTERS)
def by_time(crm: Session) -> None:
    """Filter by time received, given with any offset."""
    thread = crm.fresh("thread")
    early, middle, late = log_all(
        crm, "2024-01-01T00:00:00Z", "2024-06-01T12:00:00Z", "2024-12-01T00:00:00Z", syncThreadId=thread
    )
    finds(crm, late, middle, syncThreadId=thread, receivedAfter="2024-03-01T00:00:00Z")
    finds(crm, middle, early, syncThreadId=thread, receivedBefore="2024-09-01T00:00:00Z")
    finds(
        crm,
        middle,
        syncThreadId=thread,
        receivedAfter="2024-06-01T13:59:59+02:00",
        receivedBefore="2024-06-01T14:00:01+02:00",
    )
    finds(
        crm,
        syncThreadId=thread,
        receivedAfter="2024-06-01T14:00:01+02:00",
        receivedBefore="2024-11-30T23:59:59.999999Z",
    )
    for nonsense in ("yesterday", "2024-01-01"):
        crm.get("/emails", syncThreadId=thread, receivedAfter=nonsense).refused(422)


@rule("emails-filters-together", OURS, FILTERS)
def filters_together(crm: Session) -> None:
    """Several filters find what meets all of them."""
    thread, address = crm.fresh("thread"), crm.address()
    mail, email = crm.log(syncThreadId=thread, toAddresses=[address])
    other, _ = crm.log(syncThreadId=thread)
    crm.log(toAddresses=[address])
    finds(crm, email, syncThreadId=thread, address=address)
    finds(
        crm,
        email,
        rfc822MsgId=mail["rfc822MsgId"],
        msgId=mail["msgId"],
        address=address,
        receivedAfter="2000-01-01T00:00:00Z",
    )
    finds(crm, rfc822MsgId=other["rfc822MsgId"], address=address)
    finds(crm, rfc822MsgId=mail["rfc822MsgId"], receivedBefore="2000-01-01T00:00:00Z")


@rule("emails-unknown-filter", OURS, "where `GET /emails` is left without any known filter, that is 422")
def unknown_filter(crm: Session) -> None:
    """A mistyped filter finds nobody's mail; beside a known one it is ignored."""
    mail, email = crm.log()
    for query in ("rfc822msgid", "messageId", "rfc822MsgID=x&limit"):
        crm.get(f"/emails?{query}=1").refused(422)
    same("the mails found", [email], crm.get(f"/emails?x=1&msgId={mail['msgId']}").expect(200).ids)


@rule("emails-filter-empty", OURS, EMPTY)
def filter_empty(crm: Session) -> None:
    """A filter with an empty value finds nothing, not even mail whose field is empty."""
    mail, _ = crm.log(syncThreadId=None, toAddresses=[], ccAddresses=[], bccAddresses=[], fromAddress=None)
    crm.log(syncThreadId="", toAddresses=[""])
    for name in ("syncThreadId", "msgId", "address", "contactId", "rfc822MsgId"):
        finds(crm, **{name: ""})
        finds(crm, **{name: " "})
    finds(crm, rfc822MsgId=mail["rfc822MsgId"], syncThreadId="")


@rule("emails-pages", OURS, PAGES)
def pages(crm: Session) -> None:
    """Pages walk to the end; nothing is lost or repeated, though many were received at one moment."""
    thread = crm.fresh("thread")
    times = ["2024-01-02T00:00:00Z"] * 8 + ["2024-01-01T00:00:00Z"] * 3 + ["2024-01-03T00:00:00Z"] * 3
    emails = log_all(crm, *times, syncThreadId=thread)
    for limit in (1, 3, 7, 13, 14, 100):
        page = crm.get("/emails", syncThreadId=thread, limit=str(limit)).expect(200)
        same("the length of the first page", min(limit, 14), len(page.records))
        same("a next page", limit < 14, crm.next_page(page) is not None)
        records = crm.walk(f"/emails?syncThreadId={thread}&limit={limit}")
        same("the mails on all pages, sorted", sorted(emails), sorted(str(record.get("id")) for record in records))
        received = [instant(record.get("receivedAt")) for record in records]
        true("newest first on all pages", received == sorted(received, reverse=True), [str(time) for time in received])


@rule("emails-pages-steady", OURS, "(keyset cursor, never an offset)")
def pages_steady(crm: Session) -> None:
    """Mail logged or deleted while a client walks shifts nothing."""
    thread = crm.fresh("thread")
    emails = log_all(crm, *(f"2024-01-{day:02}T00:00:00Z" for day in range(1, 10)), syncThreadId=thread)
    page = crm.get("/emails", syncThreadId=thread, limit="3").expect(200)
    log_all(crm, *["2024-02-01T00:00:00Z"] * 2, syncThreadId=thread)
    crm.delete(at("emails", emails[8]))
    rest = ids_from(crm, crm.next_page(page) or "/emails?rfc822MsgId=")
    same("the mails on the pages", emails[::-1], page.ids + rest)


@rule("emails-pages-without-time", OURS, PAGES)
def pages_without_time(crm: Session) -> None:
    """Mail that does not say when it was received is on the pages too."""
    thread = crm.fresh("thread")
    emails = log_all(crm, None, "2024-01-01T00:00:00Z", None, "2030-01-01T00:00:00Z", None, None, syncThreadId=thread)
    for limit in (1, 2, 4):
        found = ids_from(crm, f"/emails?syncThreadId={thread}&limit={limit}")
        same("the mails on all pages, sorted", sorted(emails), sorted(found))


@rule("emails-pages-filtered", OURS, PAGES)
def pages_filtered(crm: Session) -> None:
    """The next page keeps the filters, whatever characters they hold."""
    thread, address = crm.fresh("a+b &c=d%20é"), crm.address("jane+x")
    emails = log_all(crm, *["2024-01-01T00:00:00Z"] * 5, syncThreadId=thread, toAddresses=[address])
    log_all(crm, "2024-01-01T00:00:00Z", "2023-01-01T00:00:00Z", syncThreadId=thread)
    page = crm.get("/emails", syncThreadId=thread, address=address, limit="2").expect(200)
    rest = ids_from(crm, crm.next_page(page) or "/emails?rfc822MsgId=")
    same("the mails on all pages, sorted", sorted(emails), sorted(page.ids + rest))


@rule("emails-limit", OURS, PAGES)
def limit(crm: Session) -> None:
    """A page holds 25 mails unless told otherwise, and never more than 100."""
    thread = crm.fresh("thread")
    log_all(crm, *["2024-01-01T00:00:00Z"] * 26, syncThreadId=thread)
    same("the length of a page", 25, len(crm.get("/emails", syncThreadId=thread).expect(200).records))
    same("the length of a page", 26, len(crm.get("/emails", syncThreadId=thread, limit="100").expect(200).records))
    for odd in ("0", "-1", "101", "1000000", "x", "1.5", ""):
        answer = crm.get("/emails", syncThreadId=thread, limit=odd).unbroken()
        true(
            "a refusal, or a page of 1 to 100", answer.status >= 400 or 0 < len(answer.records) <= 100, answer.summary()
        )


@rule("emails-bare-array", OURS, FILTERS)
def bare_array(crm: Session) -> None:
    """A list is a bare array of whole mails."""
    mail, email = crm.log(attachments=[{"name": "a"}])
    found: list[Json] = crm.get("/emails", msgId=mail["msgId"]).expect(200).records
    same("the mails found", [crm.email(email)], found)
