"""Contacts: found or created by BrightSync, kept by the CRM."""

from functools import partial
from typing import Any

from conformance.client import Json
from conformance.rule import AURINKO, OURS, instant, rule, same, same_fields, true
from conformance.session import Session, at

UPKEEP = (
    "`POST /api/v1/contacts`, `PUT`/`PATCH`/`DELETE /api/v1/contacts/{id}` | "
    "optional auto-creation, and the CRM's own upkeep"
)
FIELDS = "Contact: `id`, `firstName`, `lastName`, `emailAddresses` (first = primary; returned as written), `companyId`"
FOUND = "if one of its addresses belongs to a contact already, 200 with the oldest such contact, unchanged but for gaps"
GAPS = "gaps filled (empty names, companyId, addresses it lacked); else 201"
RACE = "Two workers that meet the same stranger at once make one contact."
OWN_IDS = "`PUT /contacts/{id}` with an id never seen creates that record (201), else replaces it (200)."
NEW_ID = "`POST` without an id makes one."
NEVER_MERGES = "`PUT` never merges: it is the CRM saying what is so."
INTEGERS = "on input an integer id (`companyId`, `relatedTo.id`) is taken as well as a string"
NO_COMPANY = "A `companyId` that does not exist is 422."
PATCH = "*PATCH* changes the fields that it names (a list is replaced whole)"


def read(crm: Session, contact: str) -> Json:
    return crm.get(at("contacts", contact)).expect(200).record


def finds(crm: Session, address: str, *contacts: str) -> None:
    same("the contacts found", list(contacts), crm.get("/contacts/lookup", emails=address).expect(200).ids)


def again(crm: Session, contact: str, **fields: Any) -> Json:
    """POST what must find this contact; its record afterwards."""
    answer = crm.post("/contacts", fields).expect(200)
    same("id", contact, answer.id)
    record = read(crm, contact)
    same("the answer to POST", record, answer.record)
    return record


@rule("contact-kept", AURINKO, FIELDS)
def kept(crm: Session) -> None:
    """A contact that was made is read back, its primary address first."""
    addresses = [crm.address("z"), crm.address("a"), crm.address("m")]
    record = read(crm, crm.contact(*addresses, firstName="Zoë 😀", lastName="O'Neil-Müller"))
    wanted = {"firstName": "Zoë 😀", "lastName": "O'Neil-Müller", "emailAddresses": addresses}
    same_fields(wanted, record)


@rule("contact-created", OURS, NEW_ID)
def created(crm: Session) -> None:
    """A stranger is 201, with the record and its new id."""
    answer = crm.post("/contacts", {"firstName": "Jane", "emailAddresses": [crm.address()]}).offered().expect(201)
    same("the record", answer.record, read(crm, answer.id))
    same_fields({"lastName": None, "companyId": None}, answer.record)


@rule("contact-addresses-as-written", OURS, FIELDS)
def as_written(crm: Session) -> None:
    """A contact's addresses come back as they were written."""
    addresses = [crm.address("Jane.DOE"), f"Jane <{crm.address('B').upper()}>", crm.address() + "."]
    contact = crm.contact(*addresses)
    same("emailAddresses", addresses, read(crm, contact).get("emailAddresses"))
    same(
        "emailAddresses",
        [addresses],
        [one.get("emailAddresses") for one in crm.get("/contacts/lookup", emails=addresses[0]).records],
    )


@rule("contact-found", OURS, FOUND)
def found(crm: Session) -> None:
    """A contact that is here already is 200 and stays as it is, whichever of its addresses is sent, and in any case."""
    a, b = crm.address(), crm.address()
    contact = crm.contact(a, b, firstName="Jane", lastName="Doe")
    before = read(crm, contact)
    for address in (a, b, b.upper(), f"J <{a}>"):
        record = again(crm, contact, firstName="Other", lastName="Name", emailAddresses=[address])
        same_fields({field: before[field] for field in before.keys() - {"updatedAt"}}, record)
    finds(crm, a, contact)


@rule("contact-own-id", OURS, "with an `id`, that contact, else a new one under it (never another)")
def own_id(crm: Session) -> None:
    """POST with the CRM's own id is that contact, though another one has the address."""
    address, own = crm.address("office"), crm.fresh("own")
    other = crm.contact(address)
    sent = {"id": own, "lastName": "Roe", "emailAddresses": [address]}
    same("id", own, crm.post("/contacts", sent).offered().expect(201).id)
    same("lastName", "Roe", read(crm, own).get("lastName"))
    finds(crm, address, other, own)
    same("id", own, crm.post("/contacts", sent).expect(200).id)


@rule("contact-oldest", OURS, FOUND)
def oldest(crm: Session) -> None:
    """Of several contacts that have the addresses, the oldest is found."""
    a, b = crm.address(), crm.address()
    first, second = crm.contact(a), crm.contact(b)
    same("id", first, crm.post("/contacts", {"emailAddresses": [b, a]}).expect(200).id)
    true("two contacts", first != second, first)


@rule("contact-gaps", OURS, GAPS)
def gaps(crm: Session) -> None:
    """Names, company and addresses that a contact lacked are filled in."""
    a, b, c = (crm.address() for _ in range(3))
    company = crm.company(crm.new_domain())
    contact = crm.contact(b, a, firstName=None, lastName="")
    record = again(crm, contact, firstName="Jane", lastName="Doe", companyId=company, emailAddresses=[c, a])
    same_fields({"firstName": "Jane", "lastName": "Doe", "companyId": company, "emailAddresses": [b, a, c]}, record)
    finds(crm, c, contact)


@rule("contact-without-address", OURS, NEW_ID)
def without_address(crm: Session) -> None:
    """Contacts without an address are never taken for one another."""
    for nobody in ({"lastName": crm.fresh("Doe")}, {"lastName": crm.fresh("Doe"), "emailAddresses": []}):
        ids = [crm.post("/contacts", nobody).offered().expect(201).id for _ in range(2)]
        true("two contacts", ids[0] != ids[1], ids)


@rule("contact-race", OURS, RACE)
def race(crm: Session) -> None:
    """Twenty that meet one stranger at once make one contact."""
    for _ in range(3):
        address = crm.address()
        stranger = {"lastName": "Doe", "emailAddresses": [address]}
        answers = crm.at_once([partial(crm.post, "/contacts", stranger)] * 20)
        ids = {answer.offered().expect(200, 201).id for answer in answers}
        true("one id", len(ids) == 1, sorted(ids))
        same("how many were told that they made it", 1, [answer.status for answer in answers].count(201))
        finds(crm, address, *ids)


@rule("contact-company", OURS, FIELDS)
def company(crm: Session) -> None:
    """A contact's company comes back."""
    acme = crm.company(crm.new_domain())
    same("companyId", acme, read(crm, crm.contact(crm.address(), companyId=acme)).get("companyId"))


@rule("contact-company-integer", OURS, INTEGERS)
def company_integer(crm: Session) -> None:
    """companyId may be an integer; it comes back as text."""
    number = int(crm.run[1:], 16)
    crm.put(at("companies", str(number)), {"name": "Acme"}).offered().ok()
    answer = crm.post("/contacts", {"companyId": number, "emailAddresses": [crm.address()]}).offered().expect(201)
    same("companyId", str(number), read(crm, answer.id).get("companyId"))


@rule("contact-company-unknown", OURS, NO_COMPANY)
def company_unknown(crm: Session) -> None:
    """A company that does not exist is refused, and no contact is made or changed."""
    address = crm.address()
    contact = crm.contact(address)
    for nowhere in (crm.fresh("none"), int(crm.run[1:], 16) + 1, "x" * 300):
        stranger = crm.address()
        crm.post("/contacts", {"companyId": nowhere, "emailAddresses": [stranger]}).refused(422)
        finds(crm, stranger)
    crm.patch(at("contacts", contact), {"firstName": "New", "companyId": crm.fresh("none")}).offered().refused(422)
    same("firstName", "Jane", read(crm, contact).get("firstName"))


@rule("contact-unknown", OURS, "`GET /api/v1/contacts/{id}` | one contact")
def unknown(crm: Session) -> None:
    """A contact that is not there is 404, by GET, PATCH and DELETE."""
    for odd in (crm.fresh(), "0", "9" * 40, "é", "%", "_", "x" * 300):
        crm.get(at("contacts", odd)).refused(404)
    contact = crm.contact(crm.address())
    crm.patch(at("contacts", contact), {}).offered().expect(200)
    crm.patch(at("contacts", crm.fresh()), {"lastName": "Doe"}).refused(404)
    crm.delete(at("contacts", contact)).offered().expect(204)
    crm.delete(at("contacts", crm.fresh())).refused(404)


@rule("contact-put", OURS, OWN_IDS)
def put(crm: Session) -> None:
    """PUT makes a contact under the CRM's own id (201), then replaces it (200)."""
    for own in (crm.fresh("003Dn"), crm.fresh("a b:c+é"), crm.fresh("x" * 230)):
        a, b = crm.address(), crm.address()
        doe = {"firstName": "Jane", "lastName": "Doe", "emailAddresses": [a]}
        made = crm.put(at("contacts", own), doe).offered().expect(201)
        same_fields(doe | {"id": own}, made.record)
        replaced = crm.put(at("contacts", own), {"lastName": "Roe", "emailAddresses": [b]}).expect(200)
        same("the answer to PUT", read(crm, own), replaced.record)
        same_fields({"id": own, "firstName": None, "lastName": "Roe", "emailAddresses": [b]}, replaced.record)
        same("createdAt", made.record.get("createdAt"), replaced.record.get("createdAt"))
        finds(crm, a)
        finds(crm, b, own)


@rule("contact-put-never-merges", OURS, NEVER_MERGES)
def put_never_merges(crm: Session) -> None:
    """PUT of an address that another contact has makes a second one."""
    address, own = crm.address(), crm.fresh("own")
    contact = crm.contact(address)
    crm.put(at("contacts", own), {"lastName": "Roe", "emailAddresses": [address]}).offered().expect(201)
    finds(crm, address, contact, own)


@rule("contact-id-case", OURS, "Ids are opaque strings of at most 255 characters")
def id_case(crm: Session) -> None:
    """Ids that differ in letter case are two contacts; an id that is too long is refused."""
    own = crm.fresh("AbC")
    crm.put(at("contacts", own), {"lastName": "One"}).offered().expect(201)
    crm.get(at("contacts", own.lower())).refused(404)
    crm.put(at("contacts", own.lower()), {"lastName": "Two"}).expect(201)
    same("lastName", "One", read(crm, own).get("lastName"))
    crm.put(at("contacts", "x" * 256), {"lastName": "Long"}).refused()


@rule("contact-patch", OURS, PATCH)
def patch(crm: Session) -> None:
    """PATCH changes what it names and nothing else."""
    address = crm.address()
    acme = crm.company(crm.new_domain())
    contact = crm.contact(address, firstName="Jane", lastName="Doe", companyId=acme)
    record = crm.patch(at("contacts", contact), {"lastName": "Roe"}).offered().expect(200).record
    wanted = {"id": contact, "firstName": "Jane", "lastName": "Roe", "companyId": acme, "emailAddresses": [address]}
    same_fields(wanted, record)
    same_fields(wanted, read(crm, contact))
    crm.patch(at("contacts", contact), {"firstName": None, "companyId": None}).expect(200)
    same_fields(wanted | {"firstName": None, "companyId": None}, read(crm, contact))
    finds(crm, address, contact)


@rule("contact-patch-list", OURS, PATCH)
def patch_list(crm: Session) -> None:
    """PATCH replaces the addresses whole, in the order sent."""
    a, b, c = (crm.address() for _ in range(3))
    contact = crm.contact(a, b)
    crm.patch(at("contacts", contact), {"emailAddresses": [c, b]}).offered().expect(200)
    same("emailAddresses", [c, b], read(crm, contact).get("emailAddresses"))
    finds(crm, a)
    finds(crm, c, contact)


@rule("times-move-on", OURS, "are later than every one given before, by a microsecond where the clock stands still")
def times_move_on(crm: Session) -> None:
    """No two changes have one time, however many come at once; each is later than those before."""
    contacts = [crm.contact(crm.address()) for _ in range(10)]
    seen = [instant(read(crm, contact).get("updatedAt")) for contact in contacts]
    true("each time later than the one before", seen == sorted(set(seen)), [str(time) for time in seen])
    calls = [partial(crm.patch, at("contacts", contact), {"lastName": crm.fresh("Roe")}) for contact in contacts]
    changed = [instant(one.offered().expect(200).record.get("updatedAt")) for one in crm.at_once(calls)]
    true("as many times as changes", len(set(changed)) == len(contacts), [str(time) for time in changed])
    true("later times than before", min(changed) > max(seen), [str(time) for time in changed])


@rule("contact-delete", OURS, UPKEEP)
def delete(crm: Session) -> None:
    """A deleted contact is gone, from look-ups too, and its mail stays."""
    address = crm.address()
    contact = crm.contact(address)
    _, email = crm.log(toAddresses=[address], relatedTo={"type": "Contact", "id": contact})
    crm.delete(at("contacts", contact)).offered().expect(204)
    crm.get(at("contacts", contact)).refused(404)
    crm.delete(at("contacts", contact)).refused(404)
    finds(crm, address)
    same("toAddresses", [address], crm.email(email).get("toAddresses"))
    true("another contact", crm.contact(address) != contact, contact)


@rule("contact-unknown-fields", OURS, "Unknown top-level fields are ignored, never refused")
def unknown_fields(crm: Session) -> None:
    """A field that the server does not know stops no contact, and no company."""
    crm.post("/contacts", {"emailAddresses": [crm.address()], "phone": "1", "x": {"y": []}}).offered().expect(201)
    crm.post("/companies", {"domains": [crm.new_domain()], "name": "Acme", "size": 7}).offered().expect(201)
