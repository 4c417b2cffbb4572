"""`flask person`: what is held about somebody."""

import json
import re
from itertools import chain

import click

import crm
from clock import now
from commands.common import TEXT, uses_database
from web import activity, tokens, unmatched


@click.group()
def person() -> None:
    """What is held about a person: disclose it, erase it."""


@person.command("export")
@click.argument("address", type=TEXT)
@uses_database()
def export_person(address: str) -> None:
    """Print all that is held about ADDRESS, as one JSON object."""
    written = {"users": 0, "contacts": 0, "companies": 0, "emails": 0}
    under_way = None
    sought = crm.mentions(address)
    own = [one.find_mentions(sought) for one in (tokens, activity, unmatched)]
    held = chain(crm.export_person(address), *own)
    click.echo(f'{{\n  "address": {_json(address)},\n  "exportedAt": {_json(now())}', nl=False)
    for kind, record in held:  # written as they are read: all together may be larger than the memory
        name = _PLURALS.get(kind, f"{kind}s")
        if name != under_way:
            click.echo(f'{_END if under_way else ""},\n  "{name}": [', nl=False)
            under_way, written[name] = name, 0
        click.echo(f"{',' if written[name] else ''}\n    {_json(record, 2)}", nl=False)
        written[name] += 1
    nothing = "".join(f',\n  "{name}": []' for name, count in written.items() if not count)
    click.echo(f"{_END if under_way else ''}{nothing}\n}}")


_END = "\n  ]"
_PLURALS = {"company": "companies", "activity": "activity", "unmatched": "unmatched"}
# What would move the cursor of a terminal, or turn the direction of its text.
_UNPRINTABLE = re.compile("[\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


def _json(value: object, depth: int = 0) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=2)
    text = _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text.replace("\n", "\n" + "  " * depth)  # of a text in it, every line break is escaped


@person.command("erase")
@click.argument("address", type=TEXT)
@click.option("--dry-run", is_flag=True, help="Only say what would go.")
@uses_database()
def erase_person(address: str, dry_run: bool) -> None:
    """Remove all that is held about ADDRESS; prints a receipt.

    That is: the contacts and users that have or mention it, with the users' tokens; the emails in which it is a sender
    or recipient or is mentioned, in a text or in a file that is text; the name or domain of a company, and the label of
    a token, that mentions it. Nothing of it stays in the tables, the search index or the file; SECURITY.md says what
    can't be found. Copies that you made of the file are not touched.
    """
    sought = crm.mentions(address)
    own = {**tokens.erase_mentions(sought, dry_run), "unmatched": unmatched.erase_mentions(sought, dry_run)}
    own["activity"] = activity.erase_mentions(sought, dry_run)
    gone = {**crm.erase_person(address, dry_run), **own}
    if not dry_run:
        tokens.delete(gone["users"])
        activity.delete(gone["users"])
    click.echo(_json({"address": address, "at": now(), "dryRun": dry_run, **gone}))
