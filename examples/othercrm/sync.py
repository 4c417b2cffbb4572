"""Take over what people changed in the CRM, past the connector: `python sync.py`, each minute.

New and changed websites are found from then on, lists and the change feed tell of it, and so is mended what a crash
has left between the two databases.
"""

import os

import click

import database
from store import companies, contacts


def main() -> None:
    """Print a line for each record."""
    database.start(os.environ["DATABASE_URL"])
    for kind, part in (("company", companies), ("contact", contacts)):
        for record_id, action in part.sync():  # type: ignore[union-attr]
            click.echo(f"{kind} {record_id} {action}")


if __name__ == "__main__":
    main()
