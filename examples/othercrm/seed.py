"""Make the CRM's tables in an empty database, and a few records: not for a CRM that is in use, which has both."""

import sys
from datetime import datetime
from typing import Any

import click
from store.crm import crm  # type: ignore[import-not-found]
from store.rows import link_addresses  # type: ignore[import-not-found]

from store import tables as t  # type: ignore[attr-defined]

MOMENT = datetime.fromisoformat("2025-01-03 08:00:00")
SINCE = {"created_at": MOMENT, "modified_at": MOMENT}
ROWS: list[tuple[Any, dict[str, Any], list[str]]] = [
    (t.User, {"id": "60f0000000000john", "user_name": "john", "first_name": "John"}, ["john@othercrm.example"]),
    (t.Account, {"id": "60f0000000000acme", "name": "Acme Ltd", "website": "https://www.acme.example/"}, []),
    (
        t.Contact,
        {"id": "60f0000000000jane", "first_name": "Jane", "last_name": "Doe", "account_id": "60f0000000000acme"},
        ["jane@acme.example", "jane.doe@home.example"],
    ),
    (t.Contact, {"id": "60f00000000000bob", "last_name": "Bob", "deleted": True}, ["bob@acme.example"]),
    (t.Lead, {"id": "60f0000000000lena", "first_name": "Lena"}, ["lena@prospect.example"]),
]


def main() -> None:
    """Fill a database that has no tables."""
    if crm.get_tables():
        sys.exit("The CRM's database has tables already.")
    crm.create_tables(t.CRM)
    for table, values, addresses in ROWS:
        table.insert(**values, **SINCE).execute()
        link_addresses(table.__name__, values["id"], addresses)
    click.echo("A user, two contacts (one deleted), a lead and an account.")


if __name__ == "__main__":
    main()
