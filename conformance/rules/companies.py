"""Company by domain, and the CRM's upkeep of its companies."""

from functools import partial

from conformance.rule import AURINKO, OURS, rule, same, true
from conformance.session import Session, at

LOOKUP = "`GET /api/v1/companies/lookup?domain=…` | company/account by domain, for auto-creation"
UPKEEP = "`POST /api/v1/companies`, `GET`/`PUT`/`PATCH`/`DELETE /api/v1/companies/{id}` | the same for companies"
FOLDING = "case, IDNA, a leading `www.`, a trailing dot, a scheme and path, or a whole address before `@` are taken off"
PARENT = "Exact domain first; else the nearest parent that a company has (`eu.mail.acme.co.uk` finds `acme.co.uk`)"
NEVER = "never a sibling or a suffix of a label (`notacme.com` is not `acme.com`)"
NONE = "`GET /companies/lookup?domain=` answers an array (`[]` for none)"
FIND_OR_CREATE = "`POST` finds or creates by domain."
OWN_IDS = "`PUT /contacts/{id}` with an id never seen creates that record (201), else replaces it (200)"


def finds(crm: Session, domain: str, *companies: str) -> None:
    """Demand exactly these companies for a domain, however it is written."""
    same("the companies found", list(companies), crm.get("/companies/lookup", domain=domain).expect(200).ids)


def read(crm: Session, company: str) -> dict[str, object]:
    return crm.get(at("companies", company)).offered().expect(200).record


@rule("company-lookup", AURINKO, LOOKUP)
def lookup(crm: Session) -> None:
    """A company is found by its domain, with its name."""
    domain = crm.new_domain()
    company = crm.company(domain, name="Acme & Söhne")
    answer = crm.get("/companies/lookup", domain=domain).expect(200)
    true(f"company {company}", company in answer.ids, answer.summary())
    same("name", "Acme & Söhne", answer.records[0].get("name"))
    true(f"{domain} among the domains", domain in answer.records[0].get("domains", []), answer.summary())


@rule("company-stranger", AURINKO, LOOKUP)
def stranger(crm: Session) -> None:
    """A domain that no company has finds none; `%` and `_` stand for themselves."""
    domain = crm.new_domain("aXme")
    crm.company(domain)
    parts = (domain[:-1], domain.partition(".")[0], domain + ".uk")
    for other in (crm.new_domain(), domain.replace("aXme", "a_me"), domain.replace("aXme", "%"), "%", *parts):
        answer = crm.get("/companies/lookup", domain=other).unfailing()
        true(f"no company for {other}", answer.status >= 400 or not answer.body or answer.ids == [], answer.summary())


@rule("company-kept", AURINKO, UPKEEP)
def kept(crm: Session) -> None:
    """A company that was made is read back by its id."""
    domains = [crm.new_domain(), crm.new_domain("a")]
    answer = crm.get(at("companies", crm.company(*domains, name="Müller, Ltd.")))
    record = (answer if answer.status == 404 else answer.offered()).expect(200).record  # it was made: 404 is no excuse
    same("name", "Müller, Ltd.", record.get("name"))
    same("domains", domains, record.get("domains"))


@rule("company-none", OURS, NONE)
def none(crm: Session) -> None:
    """No company is an empty array."""
    finds(crm, crm.new_domain())


@rule("company-lookup-empty", OURS, "A filter with an empty value matches nothing, never everything.")
def empty(crm: Session) -> None:
    """An empty or missing domain finds no company: `[]` or a refusal."""
    crm.company(crm.new_domain())
    for query in ("", "?domain=", "?domain=%20", "?domain=.", "?domain=@"):
        answer = crm.get("/companies/lookup" + query).unbroken()
        true("no company", answer.status >= 400 or answer.ids == [], answer.summary())


@rule("company-any-domain", OURS, NONE)
def any_domain(crm: Session) -> None:
    """Each of a company's domains finds it."""
    domains = [crm.new_domain(), crm.new_domain(), crm.new_domain()]
    company = crm.company(*domains)
    for domain in domains:
        finds(crm, domain, company)


def folds(crm: Session, *forms: str) -> None:
    """Demand that a domain and each of its forms (`{}` is the domain) are one, on look-up and on write."""
    for form in forms:
        domain = crm.new_domain()
        company = crm.company(domain)
        finds(crm, form.format(domain), company)
        domain = crm.new_domain()
        finds_written = crm.company(form.format(domain))
        finds(crm, domain, finds_written)


@rule("company-case", OURS, FOLDING)
def case(crm: Session) -> None:
    """Letter case does not count."""
    domain, other = crm.new_domain(), crm.new_domain()
    finds_lower, finds_upper = crm.company(domain), crm.company(other.upper())
    finds(crm, domain.upper(), finds_lower)
    finds(crm, other, finds_upper)


@rule("company-www", OURS, FOLDING)
def www(crm: Session) -> None:
    """A leading `www.` does not count."""
    folds(crm, "www.{}", "WWW.{}")


@rule("company-url", OURS, FOLDING)
def url(crm: Session) -> None:
    """A scheme and path do not count."""
    folds(crm, "https://{}", "http://www.{}/", "https://{}/about?x=1#top", "HTTPS://www.{}/a/b")


@rule("company-address", OURS, FOLDING)
def address(crm: Session) -> None:
    """A whole address stands for its domain."""
    folds(crm, "jane@{}", "Jane.Doe+crm@{}")


@rule("company-final-dot", OURS, FOLDING)
def final_dot(crm: Session) -> None:
    """The final dot does not count."""
    folds(crm, "{}.", "www.{}.")


@rule("company-idna", OURS, FOLDING)
def idna(crm: Session) -> None:
    """An international domain is the same in letters and as A-label."""
    for written, asked in ((0, 1), (1, 0)):
        letters = f"bücher.{crm.new_domain()}"
        forms = letters, letters.encode("idna").decode()
        company = crm.company(forms[written])
        finds(crm, forms[asked], company)
        finds(crm, forms[asked].upper(), company)


@rule("company-parent", OURS, PARENT)
def parent(crm: Session) -> None:
    """A sub-domain finds the company of its parent."""
    domain = crm.new_domain()
    company = crm.company(domain)
    for sub in ("mail.", "eu.mail.", "a.b.c.d."):
        finds(crm, sub + domain, company)


@rule("company-nearest-parent", OURS, PARENT)
def nearest_parent(crm: Session) -> None:
    """The exact domain comes before a parent, and a near parent before a far one."""
    domain = crm.new_domain()
    far, near = crm.company(domain), crm.company(f"eu.{domain}")
    finds(crm, f"eu.{domain}", near)
    finds(crm, f"mail.eu.{domain}", near)
    finds(crm, f"mail.{domain}", far)


@rule("company-no-sibling", OURS, NEVER)
def no_sibling(crm: Session) -> None:
    """Neither a sibling nor a child nor a longer label is the company."""
    domain = crm.new_domain()
    crm.company(f"eu.{domain}")
    for other in (f"us.{domain}", domain, f"noteu.{domain}", f"x-eu.{domain}", f"eu.{domain}.example", f"eu{domain}"):
        finds(crm, other)


@rule("company-public-suffix", OURS, "never a public suffix (`co.uk`, `github.io`: the Public Suffix List)")
def public_suffix(crm: Session) -> None:
    """A company whose domain is a public suffix is not found below it."""
    for suffix in ("github.io", "co.uk"):
        own = crm.fresh("own")
        crm.put(at("companies", own), {"name": own, "domains": [suffix]}).offered().expect(201)
        for domain in (f"{crm.run}.{suffix}", f"eu.{crm.run}.{suffix}"):
            true(f"no company for {domain}", own not in crm.get("/companies/lookup", domain=domain).ids, own)


@rule("company-free-mail", OURS, "a free-mail domain (`gmail.com`) finds nothing unless a setting allows it")
def free_mail(crm: Session) -> None:
    """A domain of free mail finds no company, though one has it."""
    own = crm.fresh("own")
    crm.put(at("companies", own), {"name": own, "domains": ["gmail.com", "gmx.de"]}).offered().expect(201)
    for domain in ("gmail.com", "GMX.de", "jane@gmail.com"):
        finds(crm, domain)


@rule("company-by-name", AURINKO, "`GET /api/v1/companies/lookup?name=…` | … the companies of that name")
def by_name(crm: Session) -> None:
    """A company is found by its whole name."""
    name = crm.fresh("Acme & Söhne")
    company = crm.company(crm.new_domain(), name=name)
    crm.company(crm.new_domain())
    same("the companies found", [company], crm.get("/companies/lookup", name=name).expect(200).ids)
    for other in (name[:-1], name + "x"):
        same("the companies found", [], crm.get("/companies/lookup", name=other).expect(200).ids)


@rule("company-created", OURS, FIND_OR_CREATE)
def created(crm: Session) -> None:
    """A company of new domains is 201; one of a domain already here is 200 and the same."""
    domain, second = crm.new_domain(), crm.new_domain()
    first = crm.post("/companies", {"name": "Acme", "domains": [domain, second]}).offered().expect(201)
    for written in (domain, second, f"www.{domain.upper()}"):
        again = crm.post("/companies", {"name": "Acme Again", "domains": [written]}).expect(200)
        same("the company's id", first.id, again.id)
    same("name", "Acme", read(crm, first.id).get("name"))


@rule("company-parent-not-merged", OURS, FIND_OR_CREATE)
def parent_not_merged(crm: Session) -> None:
    """A company of a sub-domain is a new one, whatever its parent's domain finds."""
    domain = crm.new_domain()
    company = crm.company(domain)
    child = crm.post("/companies", {"name": "Acme Europe", "domains": [f"eu.{domain}"]}).expect(201)
    true("another id", child.id != company, child.summary())


@rule("company-race", OURS, "Two workers that meet the same stranger at once make one contact.")
def race(crm: Session) -> None:
    """Twenty that post one company at once make one."""
    for _ in range(3):
        domain = crm.new_domain()
        answers = crm.at_once([partial(crm.post, "/companies", {"name": "Acme", "domains": [domain]})] * 20)
        ids = {answer.offered().expect(200, 201).id for answer in answers}
        true("one id", len(ids) == 1, sorted(ids))
        finds(crm, domain, *ids)


@rule("company-unknown", OURS, UPKEEP)
def unknown(crm: Session) -> None:
    """A company that is not there is 404."""
    read(crm, crm.company(crm.new_domain()))
    crm.get(at("companies", crm.fresh())).refused(404)


@rule("company-put", OURS, OWN_IDS)
def put(crm: Session) -> None:
    """PUT makes a company under the CRM's own id (201), then replaces it (200)."""
    own, domain, other = crm.fresh("acc"), crm.new_domain(), crm.new_domain()
    made = crm.put(at("companies", own), {"name": "Acme", "domains": [domain]}).offered().expect(201)
    same("id", own, made.record.get("id"))
    crm.put(at("companies", own), {"name": "Acme 2", "domains": [other]}).expect(200)
    record = read(crm, own)
    same("name", "Acme 2", record.get("name"))
    same("domains", [other], record.get("domains"))
    finds(crm, domain)
    finds(crm, other, own)


@rule("company-patch", OURS, "*PATCH* changes the fields that it names (a list is replaced whole)")
def patch(crm: Session) -> None:
    """PATCH changes what it names and nothing else."""
    domain, other = crm.new_domain(), crm.new_domain()
    company = crm.company(domain, name="Acme")
    crm.patch(at("companies", company), {"name": "Acme 2"}).offered().expect(200)
    same("domains", [domain], read(crm, company).get("domains"))
    same("name", "Acme 2", read(crm, company).get("name"))
    crm.patch(at("companies", company), {"domains": [other]}).expect(200)
    same("name", "Acme 2", read(crm, company).get("name"))
    finds(crm, domain)
    finds(crm, other, company)


@rule("company-delete", OURS, UPKEEP)
def delete(crm: Session) -> None:
    """A deleted company is gone, from look-ups too."""
    domain = crm.new_domain()
    company = crm.company(domain)
    crm.delete(at("companies", company)).offered().expect(204)
    crm.get(at("companies", company)).refused(404)
    crm.delete(at("companies", company)).refused(404)
    finds(crm, domain)
