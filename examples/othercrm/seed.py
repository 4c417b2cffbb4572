"""Make crm.db beside this file: the CRM's tables, a few records, and what the connector adds to them."""

import sqlite3
import sys
from pathlib import Path

import click

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1]))

from store.tables import ConnectorDomains  # type: ignore[import-not-found]  # noqa: E402

import database  # noqa: E402
from crm.matching import normalize_domain  # noqa: E402


def add_connector(file: Path) -> None:
    """What a CRM that is in use needs once: the connector's own tables, and its companies' domains in them.

    The second part belongs into a nightly job as well, unless the CRM calls it when somebody changes a website.
    """
    database.start(f"sqlite:///{file}")
    websites = database.rows("SELECT id, website FROM accounts WHERE website != ''")
    domains = [(account, 0, website, normalize_domain(website)) for account, website in websites]
    ConnectorDomains.insert_many(domains, list(ConnectorDomains._meta.sorted_fields)).on_conflict_replace().execute()
    database.stop()


def main() -> None:
    """Make the file; one that is there is left alone."""
    file = HERE / "crm.db"
    if file.exists():
        sys.exit(f"{file} is here already.")
    with sqlite3.connect(file) as crm:
        for script in ("schema.sql", "seed.sql"):
            crm.executescript((HERE / script).read_text(encoding="utf-8"))
    add_connector(file)
    with sqlite3.connect(file) as crm:
        crm.executescript((HERE / "connector.sql").read_text(encoding="utf-8"))
    click.echo(f"{file}: a user, two contacts (one deleted), a lead, a company and a mail.")


if __name__ == "__main__":
    main()
