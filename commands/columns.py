"""What the columns are called in the tables that other programs export: here, and nowhere else.

Google Contacts (the layout of today, and the one before with "Given Name" and "Family Name"), Outlook (English and
German), HubSpot (contacts and companies), and the API's own names. For one more program add its names to the patterns.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any
from unicodedata import combining, normalize

# Of each field the pattern of its columns' names, as `squash` makes them: "E-Mail 2: Adresse" is `email2adresse`.
CONTACT = {
    "id": "id",
    "firstName": "firstname|givenname|vorname",
    "lastName": "lastname|familyname|surname|nachname",
    # Not what stands beside an address: "E-mail 1 - Type", "E-Mail 2: Angezeigter Name", "Email Opt Out".
    "emailAddresses": "(additional|work)?email(?!s[a-z])"
    "(?!.*(typ|label|displayname|angezeigt|anzeigename|optout|status|verified|domain|bounce|reason|confirm|quarantine"
    "|unsub|date|count|owner)).*",
    "companyId": "companyid",
    "companyName": "(associated)?company(name)?(primary)?|organi[sz]ation(1?name)?|firma",
    "companySourceId": "(primary)?associatedcompanyids?(primary)?",
    "sourceId": "recordid",
}
COMPANY = {
    "id": "id",
    "name": "(company|organi[sz]ation)?name|company|firma",
    "domains": "domains?|(additional|company)domain(name)?s?|website(url)?",
    "sourceId": "recordid",
}

# What may be a column of names, in a language that is not above.
_LIKE_A_NAME = re.compile("name|naam|navn|namn|nome|nombre|apellido|cognome|^nom|prenom|imie|nazwisko")


def squash(name: str) -> str:
    """A column's name in lower case, without accents, spaces and signs; of a long one the beginning."""
    plain = "".join(letter for letter in normalize("NFKD", name[:200]) if not combining(letter))
    return re.sub(r"[\W_]", "", plain).lower()


def field_of(name: str, columns: Mapping[str, str]) -> str | None:
    """The field that a column's name means."""
    squashed = squash(name)
    return next((field for field, pattern in columns.items() if re.fullmatch(pattern, squashed)), None)


def missed_names(ignored: Iterable[str], found: Iterable[Any], columns: Mapping[str, str]) -> tuple[list[str], str]:
    """Of columns that are ignored those that look like names, where a name is missing; and what to call them."""
    missing = [field for field in ("firstName", "lastName", "name") if field in columns and field not in found]
    return [name for name in ignored if missing and _LIKE_A_NAME.search(squash(name))], " or ".join(missing)
