"""Timelines: the emails of a contact and of a company, newest first; and conversations."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from crm.directory import get_company, get_contact
from crm.drafts import people_of
from crm.finding import keys_of, page_of, page_where
from crm.matching import (
    domains_of,
    is_free_mail,
    is_public_suffix,
    normalize_addresses,
    normalize_domain,
    parent_domains,
)
from crm.merging import entries, relation
from crm.records import Cursor, Invalid, NotFound, Page
from crm.seam import store
from store.values import DOMAIN, MOST_RECIPIENTS, Conditions

MOST_CONTACTS = 20_000  # of a company: the oldest ones
_AT_A_TIME = 500  # contacts that are read


def timeline(contact_id: str, after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of a contact's emails, newest first: without bodies, but with snippet, hasAttachments and roles.

    `roles` says why an email is here: from, to, cc, bcc for each list with one of the contact's addresses, relatedTo
    for a link. Links by address are joins: an address added today finds the emails of last year. Raises NotFound.
    """
    keys = keys_of(get_contact(contact_id))
    page = page_where(Conditions(contact_id=contact_id, contact_keys=keys), after, limit, whole=False)
    return _with_roles(page, set(keys).__contains__, {("contact", contact_id)})


def company_timeline(company_id: str, after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of a company's emails, like a contact's: of the addresses of its contacts, of any address at or below one
    of its domains, and of links of type Company or Account to it and of type Contact to its contacts.

    A domain of free mail and a public suffix are nobody's. Of the contacts the oldest MOST_CONTACTS count. Raises
    NotFound.
    """
    company = _company(company_id)
    page = page_of(*store.timelines.page(company.links, company.others, after, limit))
    return _with_roles(page, company.has, set(company.links))


def list_threads(
    contact_id: str | None = None, company_id: str | None = None, after: Cursor | None = None, limit: int = 25
) -> Page:
    """A page of conversations, that with the newest email first; or of those in which a contact or a company has a
    part, by its own newest email in each.

    id (of the first email), subject (of that), participants (normalized addresses of the newest emails, at most 50),
    count, firstAt, lastAt. Emails of one syncThreadId are a conversation, and one without belongs to that of the email
    that it answers. A page has `limit`, or fewer, or none, where some have thousands of emails. Raises Invalid.
    """
    if contact_id is not None and company_id is not None:
        raise Invalid(companyId="Not together with contactId.")
    links, addresses = None, list[str]()
    if contact_id is not None:
        contacts = store.contacts.read([contact_id])  # none: a link may name a contact that is not here
        links, addresses = [("contact", contact_id)], [key for one in contacts for key in keys_of(one)]
    elif company_id is not None:
        try:
            company = _company(company_id)
        except NotFound:
            return Page([], None)
        links, addresses = company.links, company.others
    return Page(*store.timelines.threads(links, addresses, after, limit))


def get_thread(email_id: str, after: Cursor | None = None, limit: int = 25) -> Page:
    """A page of the emails of the conversation that an email belongs to, the oldest first, as in a timeline, but
    without roles. Raises NotFound."""
    found = store.timelines.thread(email_id, after, limit)
    if found is None:
        raise NotFound
    return page_of(*found)


class _Company(NamedTuple):
    """By what emails are a company's."""

    links: list[tuple[str, str]]  # to it, its contacts and its domains
    addresses: set[str]  # of its contacts
    domains: set[str]

    @property
    def others(self) -> list[str]:
        """The addresses that are not at one of its domains, by which their emails are found already."""
        return [one for one in self.addresses if self.domains.isdisjoint(domains_of([one]))]

    def has(self, address: str) -> bool:
        return address in self.addresses or not self.domains.isdisjoint(domains_of([address]))


def _company(company_id: str) -> _Company:
    """Raises NotFound."""
    normalized = filter(None, map(normalize_domain, get_company(company_id)["domains"]))
    domains = {one for one in normalized if not (is_public_suffix(one) or is_free_mail(parent_domains(one)))}
    ids: Sequence[str] = store.contacts.of_company(company_id, MOST_CONTACTS)
    contacts = (one for n in range(0, len(ids), _AT_A_TIME) for one in store.contacts.read(ids[n : n + _AT_A_TIME]))
    links = [("company", company_id), ("account", company_id)]
    links += [("contact", one) for one in ids] + [(DOMAIN, one) for one in domains]
    return _Company(links, {key for contact in contacts for key in keys_of(contact)}, domains)


def _with_roles(page: Page, has: Callable[[str], bool], links: set[tuple[str, str]]) -> Page:
    def roles(record: Mapping[str, object]) -> list[str]:
        people = people_of(record)[:MOST_RECIPIENTS]
        found = list(dict.fromkeys(role for role, _, text in people if any(map(has, normalize_addresses(text)))))
        return found + ["relatedTo"] * any(one in links for one in map(relation, entries(record["relatedTo"])))

    return Page([{**record, "roles": roles(record)} for record in page.records], page.next)
