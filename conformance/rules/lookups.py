"""Look the participants up, in each way a client may write their addresses."""

from urllib.parse import quote

from conformance.client import Failed
from conformance.rule import AURINKO, OURS, Check, rule, same, true
from conformance.session import Session, at

LOOKUP = "`GET /api/v1/contacts/lookup?emails=…` | list of contacts matching one or more addresses"
SPELLINGS = "`emails=a,b`, repeated `emails=`, `emails[]=`, or any mix; a comma inside double quotes does not split"
MOST = "up to 200 distinct addresses, more is 422; a missing or empty list is 422"
ORDER = (
    "Answers an array of whole contacts, each once, in the order of the addresses asked for, then by age, then by id."
)
FOLDING = (
    "take the part in `<>` if there is one, without comments, `mailto:`, invisible characters, quotes around the whole "
    "or around a local part that needs none, and trailing `.,;`; NFC, case-fold the whole, domain to its IDNA A-label, "
    "no final dot"
)
NO_TRICKS = "No dot or `+tag` tricks."
PLUS = (
    "A look-up (message ids, addresses) that misses and whose value holds spaces is tried once more with `+` for each"
)


def finds(crm: Session, query: str, *contacts: str) -> None:
    """Demand exactly these contacts, in this order, for a query string as written."""
    same("the contacts found", list(contacts), crm.get(f"/contacts/lookup?{query}").expect(200).ids)


def finds_as(crm: Session, stored: str, *written: str) -> None:
    """Demand that a contact with the stored address is found by each of the written ones."""
    contact = crm.contact(stored)
    for address in written:
        finds(crm, "emails=" + quote(address), contact)


def misses(crm: Session, address: str) -> None:
    """Demand that no contact is found; how a server says so is its own choice."""
    answer = crm.get("/contacts/lookup", emails=address).unfailing()
    true(f"no contact for {address}", answer.status >= 400 or not answer.body or answer.ids == [], answer.summary())


@rule("lookup-one", AURINKO, LOOKUP)
def one(crm: Session) -> None:
    """A contact is found by an address, with its fields."""
    address = crm.address()
    contact = crm.contact(address, lastName="Doe")
    answer = crm.get("/contacts/lookup", emails=address).expect(200)
    same("the contacts found", [contact], answer.ids)
    same("lastName", "Doe", answer.records[0].get("lastName"))
    same("emailAddresses", [address], answer.records[0].get("emailAddresses"))


@rule("lookup-two", AURINKO, LOOKUP)
def two(crm: Session) -> None:
    """Two contacts are found in one call: by a comma list or by a repeated parameter."""
    a, b = crm.address(), crm.address()
    wanted = {crm.contact(a), crm.contact(b)}
    for query in (f"{a}&emails={b}", f"{a},{b}"):
        answer = crm.get(f"/contacts/lookup?emails={query}")
        if answer.status == 200 and set(answer.ids) == wanted:
            return
    raise Failed(f"the contacts {sorted(wanted)}", answer.summary())


@rule("lookup-stranger", AURINKO, LOOKUP)
def stranger(crm: Session) -> None:
    """A stranger is no contact."""
    crm.contact(crm.address())
    misses(crm, crm.address("stranger"))


@rule("lookup-whole-address", AURINKO, LOOKUP)
def whole_address(crm: Session) -> None:
    """Only the whole address matches: no part of it, and `%`, `_` and `*` stand for themselves."""
    crm.contact(f"maryXjane@{crm.domain}")
    for other in ("mary_jane", "mary%", "%", "mary*", "mary?jane", "jane", "mary", "XmaryXjane"):
        misses(crm, f"{other}@{crm.domain}")
    for other in (f"maryXjane@{crm.domain}.uk", "maryXjane", crm.domain, f"@{crm.domain}", "%", "' OR '1'='1"):
        misses(crm, other)


@rule("contact-by-id", AURINKO, "`GET /api/v1/contacts/{id}` | one contact")
def by_id(crm: Session) -> None:
    """A contact is read by its id."""
    address, second = crm.address(), crm.address("a.second")
    answer = crm.get(at("contacts", crm.contact(address, second, firstName="Zoë", lastName="Doe"))).expect(200)
    wanted = {"firstName": "Zoë", "lastName": "Doe", "emailAddresses": [address, second]}
    same("the contact", wanted, {field: answer.record.get(field) for field in wanted})


@rule("lookup-none", OURS, "No match: `[]` with 200.")
def none(crm: Session) -> None:
    """No match is an empty array."""
    finds(crm, "emails=" + crm.address())
    finds(crm, f"emails={crm.address()},{crm.address()}&emails={crm.address()}")


@rule("lookup-comma", OURS, SPELLINGS)
def comma(crm: Session) -> None:
    """A comma list, its commas encoded or not, with white space or without."""
    a, b, c = (crm.address() for _ in range(3))
    ids = crm.contact(a), crm.contact(b), crm.contact(c)
    for query in (f"{a},{b},{c}", f"{a}%2C{b}%2C{c}", f"{a},+{b}+,%20{c}", f",{a},,{b},{c},"):
        finds(crm, "emails=" + query, *ids)


@rule("lookup-repeated", OURS, SPELLINGS)
def repeated(crm: Session) -> None:
    """A repeated parameter: the first counts, and the last, and those between."""
    a, b, c = (crm.address() for _ in range(3))
    finds(crm, f"emails={a}&emails={b}&emails={c}", crm.contact(a), crm.contact(b), crm.contact(c))


@rule("lookup-brackets", OURS, SPELLINGS)
def brackets(crm: Session) -> None:
    """The parameter with brackets, encoded or not, once or repeated."""
    a, b = crm.address(), crm.address()
    ids = crm.contact(a), crm.contact(b)
    finds(crm, f"emails[]={a}", ids[0])
    finds(crm, f"emails[]={a}&emails[]={b}", *ids)
    finds(crm, f"emails%5B%5D={a}&emails%5B%5D={b}", *ids)


@rule("lookup-mix", OURS, SPELLINGS)
def mix(crm: Session) -> None:
    """All spellings in one call."""
    a, b, c, d = (crm.address() for _ in range(4))
    ids = {crm.contact(address) for address in (a, b, c, d)}
    answer = crm.get(f"/contacts/lookup?emails={a},{b}&emails[]={c}&emails={d}").expect(200)
    same("the contacts found", sorted(ids), sorted(answer.ids))


@rule("lookup-quoted-comma", OURS, SPELLINGS)
def quoted_comma(crm: Session) -> None:
    """A comma in a quoted local part or name splits nothing."""
    odd, plain = f'"{crm.fresh("a")},b"@{crm.domain}', crm.address()
    ids = crm.contact(odd), crm.contact(plain)
    finds(crm, "emails=" + quote(odd), ids[0])
    finds(crm, "emails=" + quote(f"{odd},{plain}"), *ids)
    finds(crm, "emails=" + quote(f'"Doe, Jane" <{plain}>,{odd}'), ids[1], ids[0])


@rule("lookup-display-form", OURS, FOLDING)
def display_form(crm: Session) -> None:
    """`Jane <JANE@X.com>` is jane@x.com, on look-up and on write."""
    address, other = crm.address(), crm.address()
    finds_as(
        crm, address, f"Jane <{address.upper()}>", f"<{address}>", f'"Jane Doe" <{address}>', f"Jane < {address} >"
    )
    finds_as(crm, f"Jane <{other.upper()}>", other, other.upper())


@rule("lookup-case", OURS, FOLDING)
def case(crm: Session) -> None:
    """Letter case does not count, in the local part and the domain, on look-up and on write."""
    a, b = crm.address("Jane.Doe"), crm.address("BOB").upper()
    finds_as(crm, a, a, a.lower(), a.upper())
    finds_as(crm, b, b.lower(), b)


@rule("lookup-case-beyond-ascii", OURS, "case-fold the whole … SQLite's `lower()` is ASCII only: fold in Python.")
def case_beyond_ascii(crm: Session) -> None:
    """Letter case does not count beyond ASCII either."""
    word = crm.fresh("")
    finds_as(crm, f"Änne{word}@{crm.domain}", f"änne{word}@{crm.domain}", f"ÄNNE{word}@{crm.domain}")
    finds_as(crm, f"straße{word}@{crm.domain}", f"STRASSE{word}@{crm.domain}", f"Straße{word}@{crm.domain}")


@rule("lookup-composed", OURS, FOLDING)
def composed(crm: Session) -> None:
    """An accent is the same letter composed (NFC) or not (NFD)."""
    word = crm.fresh("")
    finds_as(crm, f"zoe\u0308{word}@{crm.domain}", f"zo\u00eb{word}@{crm.domain}")
    finds_as(crm, f"ren\u00e9{word}@{crm.domain}", f"rene\u0301{word}@{crm.domain}")


@rule("lookup-idna", OURS, FOLDING)
def idna(crm: Session) -> None:
    """An international domain is the same in letters and as A-label."""
    for word in ("bücher", "müller"):
        domain = f"{word}.{crm.new_domain()}"
        label = domain.encode("idna").decode()
        finds_as(crm, f"info@{domain}", f"info@{label}", f"INFO@{domain.upper()}", f"info@{label.upper()}")
        finds_as(crm, f"sales@{label}", f"sales@{domain}")


@rule("lookup-final-dot", OURS, FOLDING)
def final_dot(crm: Session) -> None:
    """The final dot of a domain does not count."""
    a, b = crm.address(), crm.address()
    finds_as(crm, a, a + ".")
    finds_as(crm, b + ".", b)


@rule("lookup-white-space", OURS, FOLDING)
def white_space(crm: Session) -> None:
    """White space around an address does not count, on look-up and on write."""
    a, b = crm.address(), crm.address()
    finds_as(crm, a, f" {a}", f"{a} ", f"\t{a}\r\n")
    finds_as(crm, f"  {b} ", b)


def _written(rule_id: str, title: str, *forms: str) -> None:
    """Enter the rule that an address in each of these forms is the address, on look-up and on write."""

    def check(crm: Session) -> None:
        for form in forms:
            a, b = crm.address(), crm.address()
            finds_as(crm, a, form.format(a))
            finds_as(crm, form.format(b), b)

    enter: Check = check
    rule(rule_id, OURS, FOLDING, title)(enter)


_written("lookup-comment", "A comment does not count.", "{} (Jane Doe)", "(Jane (J.) Doe) {}", "Jane <{}> (home)")
_written("lookup-mailto", "`mailto:` does not count.", "mailto:{}", "<MAILTO:{}>")
_written("lookup-invisible", "Invisible characters do not count.", "\u200b{}", "{}\ufeff", "\u202a{}\u202c", "\u00a0{}")
_written("lookup-quotes", "Quotes around do not count.", '"{}"', "'{}'", "Jane <'{}'>", "\"'{}'\"")
_written("lookup-punctuation", "Punctuation behind an address does not count.", "{}.", "{};", "<{}>;", "{}.;")


@rule("lookup-quoted-local-part", OURS, FOLDING)
def quoted_local_part(crm: Session) -> None:
    """Quotes around a local part that needs none do not count; those around one that needs them do."""
    word = crm.fresh("jane")
    finds_as(crm, f"{word}@{crm.domain}", f'"{word}"@{crm.domain}')
    finds_as(crm, f'"a,{word}"@{crm.domain}', f'"a,{word}"@{crm.domain}')


@rule("lookup-no-tricks", OURS, NO_TRICKS)
def no_tricks(crm: Session) -> None:
    """A dot or a `+tag` in the local part makes another address."""
    word = crm.fresh("jane")
    crm.contact(f"{word}@{crm.domain}")
    tagged = crm.contact(f"{word}+crm@{crm.domain}")
    finds(crm, "emails=" + quote(f"{word}+other@{crm.domain}"))
    finds(crm, "emails=" + quote(f"{word.replace('jane', 'ja.ne')}@{crm.domain}"))
    finds(crm, "emails=" + quote(f"{word}+crm@{crm.domain}"), tagged)


@rule("lookup-plus-as-space", OURS, PLUS)
def plus_as_space(crm: Session) -> None:
    """A `+` that the client left unencoded is still found, alone and in a list."""
    tagged, plain = crm.address("jane+a+"), crm.address()
    ids = crm.contact(tagged), crm.contact(plain)
    finds(crm, f"emails={tagged}", ids[0])
    finds(crm, f"emails={plain},{tagged}", ids[1], ids[0])
    finds(crm, f"emails={tagged}&emails={plain}", *ids)


@rule("lookup-shared", OURS, "An address that several contacts share returns them all")
def shared(crm: Session) -> None:
    """Every contact that has the address is found, the oldest first."""
    address = crm.address("office")
    ids = []
    for name in ("z", "a", "m"):
        ids.append(crm.fresh(name))
        crm.put(at("contacts", ids[-1]), {"lastName": name, "emailAddresses": [address]}).offered().ok()
    finds(crm, f"emails={address}", *ids)


@rule("lookup-any-address", OURS, "any address of a contact matches, not only its first")
def any_address(crm: Session) -> None:
    """The second and the third address of a contact find it too."""
    addresses = [crm.address() for _ in range(3)]
    contact = crm.contact(*addresses)
    for address in addresses:
        finds(crm, f"emails={address}", contact)


@rule("lookup-order", OURS, ORDER)
def order(crm: Session) -> None:
    """Contacts come in the order of the addresses asked for, not of their age."""
    addresses = [crm.address() for _ in range(5)]
    ids = [crm.contact(address) for address in addresses]
    for turn in ([4, 3, 2, 1, 0], [2, 0, 4, 1, 3]):
        finds(crm, "emails=" + ",".join(addresses[at] for at in turn), *(ids[at] for at in turn))
        finds(crm, "&".join("emails=" + addresses[at] for at in turn), *(ids[at] for at in turn))


@rule("lookup-each-once", OURS, ORDER)
def each_once(crm: Session) -> None:
    """A contact asked for by two of its addresses, or twice by one, comes once."""
    a, b, other = (crm.address() for _ in range(3))
    contact, another = crm.contact(a, b), crm.contact(other)
    finds(crm, f"emails={b},{other},{a},{b.upper()}", contact, another)


@rule("lookup-whole-contacts", OURS, ORDER)
def whole_contacts(crm: Session) -> None:
    """A contact found is the whole contact, as by its id."""
    a, b = crm.address(), crm.address("Second")
    contact = crm.get(at("contacts", crm.contact(a, b))).expect(200).record
    same("the contact found", [contact], crm.get("/contacts/lookup", emails=b).expect(200).records)


@rule("lookup-nonsense", OURS, "be liberal in what you accept")
def nonsense(crm: Session) -> None:
    """A participant that is no address stops no look-up of the others."""
    address = crm.address()
    contact = crm.contact(address)
    for odd in (
        "undisclosed-recipients:;",
        "{}@",
        "@{}",
        "a@{}@c",
        "<>",
        "😀@{}",
        "{}" * 30,
        "..@{}..",
        "a@" + "{}b" * 7,
    ):
        finds(crm, "emails=" + quote(odd.format(*[crm.run] * 30)))
        finds(crm, f"emails={quote(odd.format(*[crm.run] * 30))},{address}", contact)


@rule("lookup-empty", OURS, MOST)
def empty(crm: Session) -> None:
    """A missing or empty list is refused."""
    for query in ("", "?emails=", "?emails[]=", "?emails=&emails=", "?emails=,", "?emails=%20"):
        crm.get("/contacts/lookup" + query).refused(422)


def _many(crm: Session, number: int) -> str:
    """So many short addresses (200 fit into the request line that common servers allow)."""
    return ",".join(f"p{at}@{crm.run}.example" for at in range(number))


@rule("lookup-200", OURS, MOST)
def two_hundred(crm: Session) -> None:
    """200 distinct addresses are looked up."""
    contact = crm.contact(f"p199@{crm.run}.example")
    finds(crm, "emails=" + _many(crm, 200), contact)


@rule("lookup-201", OURS, MOST)
def one_too_many(crm: Session) -> None:
    """201 distinct addresses are refused."""
    crm.get("/contacts/lookup?emails=" + _many(crm, 201)).refused(422)


@rule("lookup-200-distinct", OURS, MOST)
def repeats_count_once(crm: Session) -> None:
    """An address written 250 times counts once."""
    address = f"q@{crm.run}.example"
    finds(crm, "emails=" + ",".join([address] * 250), crm.contact(address))
