"""For who keeps the server: whether emails come in, and which addresses nobody knows. A server may do without."""

import time

from conformance.client import Json, NotOffered
from conformance.rule import OURS, rule, same, true
from conformance.session import Session

SYNC = "`GET /sync` and `flask sync`: per user (of tokens with scope `sync`)"
UNMATCHED = "The addresses that BrightSync asked for in vain (look-up without an answer)"
CONTACT = "creates the contact, with the company of its domain, names guessed from what the mail's display names said"
LOOK_UPS = 3
COUNT_TIMEOUT = 10  # seconds: a server may count in memory for a while


def counted(crm: Session, path: str) -> list[Json]:
    """What the server has counted, of calls with BrightSync's token."""
    answer = crm.get(path).offered().expect(200)
    if answer.request.credentials == crm.credentials:
        raise NotOffered("the --token is one of the CRM's own, whose calls are not counted")
    return answer.records


def user(crm: Session, me: str) -> Json:
    """What was counted of the token's user."""
    return next((one for one in counted(crm, "/sync") if one.get("userId") == me), {})


def entry(crm: Session, address: str) -> Json | None:
    """The address on the list."""
    return next((one for one in counted(crm, "/unmatched?limit=1000") if one.get("address") == address), None)


def look_up(crm: Session, *addresses: str) -> None:
    """Ask for addresses that nobody has, until each time is on the list."""
    for _ in range(LOOK_UPS):
        same("the contacts found", [], crm.get("/contacts/lookup", emails=",".join(addresses)).expect(200).ids)
    began = time.monotonic()
    while any((entry(crm, address) or {}).get("count", 0) < LOOK_UPS for address in addresses):
        true("the addresses on the list", time.monotonic() < began + COUNT_TIMEOUT, addresses)
        time.sleep(0.5)


@rule("sync-counts", OURS, SYNC)
def sync_counts(crm: Session) -> None:
    """An email that is logged and a call that is refused are counted, and nothing of them is told."""
    me = str(crm.get("/users/me").expect(200).record["id"])
    before = user(crm, me)
    mail, _ = crm.log()
    crm.get(f"/emails/{crm.fresh()}").refused(404)
    began = time.monotonic()
    while True:
        after = user(crm, me)
        emails = after.get("emails30Days", 0) - before.get("emails30Days", 0)
        refused = [one for one in after.get("refusals", []) if one.get("status") == 404]
        if emails >= 1 and after.get("emailsToday", 0) and after.get("lastEmail") and refused:
            break
        true("an email and a refusal more", time.monotonic() < began + COUNT_TIMEOUT, after)
        time.sleep(0.5)
    true("nothing of the email", mail["fromAddress"] not in str(after) and mail["subject"] not in str(after), after)


@rule("unmatched", OURS, UNMATCHED)
def unmatched(crm: Session) -> None:
    """What was looked up in vain is listed, until a contact has it."""
    address = crm.address()
    look_up(crm, address)
    found = entry(crm, address) or {}
    true("three times, by one user", found.get("count") == LOOK_UPS and found.get("users") == 1, found)
    crm.contact(address.upper())
    same("the address on the list", None, entry(crm, address))


@rule("unmatched-contact", OURS, CONTACT)
def unmatched_contact(crm: Session) -> None:
    """A contact is made of such an address, with its company, and with the names that emails say, or none."""
    domain = crm.new_domain()
    company, address = crm.company(domain), f"jane@{domain}"
    crm.log(toAddresses=[f"Jane Doe <{address}>"])
    look_up(crm, address)
    made = crm.post(f"/unmatched/{address}/contact", None).expect(201).record
    crm.contact(address)  # so that it is taken away with the others
    same("companyId", company, made.get("companyId"))
    names = made.get("firstName"), made.get("lastName")
    true("the names", names in [("Jane", "Doe"), (None, None)], names)
    crm.post(f"/unmatched/{crm.address()}/contact", None).refused(404)


@rule("unmatched-ignored", OURS, UNMATCHED)
def unmatched_ignored(crm: Session) -> None:
    """An address that is to be ignored is not listed, and others are."""
    address, other = crm.address(), crm.address()
    look_up(crm, address, other)
    crm.post(f"/unmatched/{address}/ignore", None).expect(204)
    same("the address on the list", None, entry(crm, address))
    true("the other on the list", entry(crm, other) is not None, other)
