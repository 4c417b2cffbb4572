"""What is never logged: the rules, and which of them an email meets.

A rule is for an address, for a domain with all below it, or for internal emails, in which everybody is a user or has a
domain of ours. An email that meets one is kept by its ids and time alone; so nothing may meet one by mistake: an entry
in which no address can be read may be anybody, and makes an email not internal.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from clock import now
from crm.matching import is_free_mail, is_public_suffix, normalize_address, normalize_domain, parent_domains
from crm.mentions import Mentions
from crm.records import LONGEST_NAME, MOST_ENTRIES, Conflict, Invalid, NotFound, Record
from crm.seam import optional, store
from store.values import MOST_RECIPIENTS

MOST_RULES = 1_000
_MOST_LABELS = 8  # of a rule's domain: for each recipient so many are looked up
_INTERNAL = ""  # the key of the rule for internal emails, of which there is one

Recipients = Sequence[tuple[str, int, str | None, str | None]]  # as a Draft has them


# ---- the rules ------------------------------------------------------------------------------------------------------


def list_rules() -> list[Record]:
    """The rules, the oldest first: id, kind (address, domain, internal), value (the address or domain; None for
    internal), domains (of internal: our own), unlessKnown, reason, createdAt."""
    return list(map(_shown, store.never_log.listed()))


def add_rule(rule: Mapping[str, Any]) -> Record:
    """Add a rule, or give the one with its value these settings.

    A rule for internal emails that names no domains gets those of the users' addresses, without free mail. Raises
    Invalid, and Conflict for one rule too many.
    """
    checked = new_rule(rule)
    with store.transaction():
        rules = store.never_log.listed()
        if len(rules) >= MOST_RULES and checked["key"] not in {one["key"] for one in rules}:
            raise Conflict(f"There are {MOST_RULES} rules already.")
        store.never_log.save(checked)
        [saved] = store.never_log.find([checked["key"]])
    return _shown(saved)


def remove_rule(rule_id: str) -> None:
    """Remove a rule. What it withheld is filled by the next copy that is logged. Raises NotFound."""
    with store.transaction():
        if not store.never_log.delete(rule_id):
            raise NotFound


def new_rule(rule: Mapping[str, Any]) -> Record:
    """A rule as it is stored, without an id. Raises Invalid."""
    kind, value, domains = rule["kind"], rule["value"] or "", rule["domains"]
    if kind != "internal" and domains:
        raise Invalid(domains="Only the rule for internal emails has domains of ours.")
    if len(rule["reason"] or "") > LONGEST_NAME:
        raise Invalid(reason=f"Longer than {LONGEST_NAME} characters.")
    if kind == "internal":
        key, domains = _INTERNAL, sorted(set(map(_own_domain, domains))) if domains else _domains_of_users()
    elif kind == "address":
        key = normalize_address(value) or ""
    else:
        key = "" if "@" in value else normalize_domain(value) or ""
        if key and (is_public_suffix(key) or key.count(".") >= _MOST_LABELS):
            raise Invalid(value="Below this domain everybody has their own.")
    if kind != "internal" and not key:
        raise Invalid(value=f"This can't be read as {'an e-mail address' if kind == 'address' else 'a domain'}.")
    settings = {"unlessKnown": rule["unlessKnown"], "reason": rule["reason"], "createdAt": now()}
    return {"kind": kind, "key": key, "domains": domains, **settings}


def _own_domain(text: str) -> str:
    domain = normalize_domain(text)
    if domain is None or not _may_be_own(domain):
        raise Invalid(domains="This is no domain of your own.")
    return domain


def _may_be_own(domain: str) -> bool:
    return not is_public_suffix(domain) and not is_free_mail(parent_domains(domain))


def _domains_of_users() -> list[str]:
    domains: set[str] = set()
    after = ""
    while page := store.users.page(after, 100):
        after = page[-1]["id"]
        domains.update(filter(None, (normalize_domain(user["email"]) for user in page)))
    return sorted(filter(_may_be_own, domains))[:MOST_ENTRIES]


def _shown(rule: Record) -> Record:
    return {**rule, "value": rule["key"] or None}


# ---- which of them an email meets -----------------------------------------------------------------------------------


class _People(NamedTuple):
    """Who takes part in an email."""

    keys: set[str]  # normalized addresses, of the first MOST_RECIPIENTS
    all_known: bool  # sender and recipients are there, and each has an address that can be read

    @classmethod
    def of(cls, recipients: Recipients) -> "_People":
        unread = any(key is None and (text or "").strip() for _, _, text, key in recipients)
        roles = {role for role, _, _, key in recipients if key}
        known = not unread and "from" in roles and len(roles) > 1 and len(recipients) < MOST_RECIPIENTS
        return cls({key for *_, key in recipients if key}, known)

    def of_domains(self, domains: Iterable[str]) -> set[str]:
        """Those whose domain is one of these, or lies below one."""
        wanted = set(domains)
        return {key for key in self.keys if not wanted.isdisjoint(_domains(key))}


def rules_met(emails: Sequence[Recipients]) -> list[Record | None]:
    """Of each email, given as its recipients, the oldest rule that it meets. One query for all of them; more only for a
    rule that asks who is a user or a contact."""
    people = [_People.of(recipients) for recipients in emails]
    addresses = {key for one in people for key in one.keys}
    domains = {key.rpartition("@")[2] for key in addresses}  # of many recipients there are few
    keys = {_INTERNAL, *addresses, *(domain for one in domains for domain in _domains(one))}
    rules = optional(store.never_log, "find")(list(keys)) or []
    return [next((_shown(rule) for rule in rules if _meets(rule, one)), None) for one in people]


def meets(rule: Record, recipients: Recipients) -> bool:
    """Whether an email meets this rule."""
    return _meets(rule, _People.of(recipients))


def _meets(rule: Record, people: _People) -> bool:
    meant = people.keys & {rule["key"]}
    if rule["kind"] == "domain":
        meant = people.of_domains([rule["key"]])
    elif rule["kind"] == "internal":
        others = people.keys - people.of_domains(rule["domains"])
        if not people.all_known or others - _users(others):
            return False
        meant = _users(people.keys) if rule["unlessKnown"] else people.keys
    others = people.keys - meant
    return bool(meant or rule["kind"] == "internal") and not (rule["unlessKnown"] and _is_any_known(others))


def _is_any_known(keys: set[str]) -> bool:
    """Whether one of the addresses is a contact's who is no user."""
    others = keys - _users(keys)
    return bool(others and optional(store.contacts, "find")(list(others)))


def _users(keys: set[str]) -> set[str]:
    return {key for key, _ in optional(store.users, "find")(list(keys)) or []} if keys else set()


def _domains(key: str) -> list[str]:
    """The domain of an address, and those above it, as far as a rule may name them."""
    labels = key.rpartition("@")[2].split(".")[-_MOST_LABELS:]
    return [".".join(labels[n:]) for n in range(len(labels) - 1)]


# ---- privacy --------------------------------------------------------------------------------------------------------


def find_mentions(sought: Mentions) -> Iterator[tuple[str, Record]]:
    """The rules that are for an address, or mention it: pairs of "rule" and the rule."""
    for rule in optional(store.never_log, "listed")() or []:
        if sought.in_text(rule["key"]) or sought.in_text(rule["reason"]):
            yield "rule", _shown(rule)


def erase_mentions(sought: Mentions, dry_run: bool) -> dict[str, list[str]]:
    """Take the reasons that mention an address out of the rules; gives the ids. A rule that is for the address stays:
    it keeps the emails of that person away."""
    found = [rule for _, rule in find_mentions(sought) if sought.in_text(rule["reason"])]
    for rule in [] if dry_run else found:
        with store.transaction():
            if store.never_log.find([rule["key"]]):
                store.never_log.save({**rule, "reason": None})
    return {"rules": [rule["id"] for rule in found]}
