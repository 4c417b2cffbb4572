"""Make crm.db beside this file: the CRM's tables, a few records, and what the connector adds to them."""

import sqlite3
import sys
from pathlib import Path

import click

HERE = Path(__file__).parent
sys.path.append(str(HERE.parents[1]))  # matching.py

from crm.matching import normalize_domain  # noqa: E402


def add_connector(crm: sqlite3.Connection) -> None:
    """What a CRM that is in use needs once: the connector's own tables, and its companies' domains in them.

    The second part belongs into a nightly job as well, unless the CRM calls it when somebody changes a website.
    """
    crm.executescript((HERE / "connector.sql").read_text(encoding="utf-8"))
    websites = crm.execute("SELECT id, website FROM accounts WHERE website != ''").fetchall()
    domains = [(account, website, normalize_domain(website)) for account, website in websites]
    crm.executemany("INSERT OR REPLACE INTO connector_domains VALUES (?, 0, ?, ?)", domains)


def main() -> None:
    """Make the file; one that is there is left alone."""
    file = HERE / "crm.db"
    if file.exists():
        sys.exit(f"{file} is here already.")
    crm = sqlite3.connect(file)
    for script in ("schema.sql", "seed.sql"):
        crm.executescript((HERE / script).read_text(encoding="utf-8"))
    add_connector(crm)
    crm.commit()
    click.echo(f"{file}: a user, two contacts (one deleted), a lead, a company and a mail.")


if __name__ == "__main__":
    main()
