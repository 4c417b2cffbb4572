"""`flask never-log`: rules of what is never logged."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

import crm
from commands.common import TEXT, say, uses_database
from commands.mailfile import as_email, messages
from crm.matching import normalize_address
from schemas import EmailIn
from terminal import program


@click.group("never-log")
def never_log() -> None:
    """What is never logged: an email that meets a rule makes a record with its ids and time, and nothing else."""


@never_log.command("add")
@click.argument("value", metavar="[ADDRESS|DOMAIN]", nargs=-1, type=TEXT)
@click.option("--internal", is_flag=True, help="Emails in which everybody is a user or has one of the DOMAINs.")
@click.option("--unless-known", is_flag=True, help="But log what another known contact takes part in.")
@click.option("--reason", type=TEXT, help="Why; only shown in the list.")
@click.option("--past", is_flag=True, help="Also for the emails that are here: their content goes.")
@click.option("--dry-run", is_flag=True, help="With --past: only count them, and add no rule.")
@uses_database(make=True)
def add_rule(
    value: Sequence[str], internal: bool, unless_known: bool, reason: str | None, past: bool, dry_run: bool
) -> None:
    """Never log emails in which ADDRESS takes part, or anybody at DOMAIN or below it.

    With --internal the DOMAINs are your own; none means those of the users' addresses, without free mail. A rule that
    is there gets the new settings. Try --past with --dry-run first: content that has gone does not come back.
    """
    if dry_run and not past:
        raise click.UsageError("--dry-run goes with --past.")
    if not internal and len(value) != 1:
        raise click.UsageError("Give one ADDRESS or DOMAIN, or --internal.")
    kind = "internal" if internal else "address" if normalize_address(value[0]) else "domain"
    rule: dict[str, Any] = {"kind": kind, "value": None if internal else value[0]}
    rule |= {"domains": list(value) if internal else [], "unlessKnown": unless_known, "reason": reason}
    if dry_run:
        click.echo(f"{len(crm.apply_rule(rule, dry_run=True)):,} emails would lose their content.")
        return
    say(f"Rule {_described(crm.add_rule(rule))}")
    if past:
        click.echo(f"{len(crm.apply_rule(rule)):,} emails have lost their content.")


@never_log.command("list")
@uses_database()
def list_rules() -> None:
    """Show all rules, with their IDs."""
    for rule in crm.list_rules():
        say(_described(rule) + (f" ({rule['reason']})" if rule["reason"] else ""))


@never_log.command("remove")
@click.argument("rule_id", metavar="ID", type=TEXT)
@uses_database()
def remove_rule(rule_id: str) -> None:
    """Remove the rule with this ID. What it kept away is logged when a copy of it is sent again."""
    try:
        crm.remove_rule(rule_id)
    except crm.NotFound:
        raise click.ClickException(f"There is no such rule; see: {program()} never-log list") from None


@never_log.command("test")
@click.argument("path", metavar="FILE.eml", type=click.Path(exists=True, path_type=Path))
@uses_database()
def find_rule(path: Path) -> None:
    """Say which rule the email in FILE.eml meets. Nothing is logged."""
    for _, raw in messages(path):
        if isinstance(raw, OSError):
            raise click.ClickException("The file can't be read.")
        rule = crm.rule_for(EmailIn().load(as_email(raw)))
        say(f"It meets rule {_described(rule)}" if rule else "It meets no rule.")


def _described(rule: crm.Record) -> str:
    what = rule["value"] or f"internal ({', '.join(rule['domains']) or 'users only'})"
    return f"{rule['id']}: {what}" + (", unless another known contact takes part" if rule["unlessKnown"] else "")
