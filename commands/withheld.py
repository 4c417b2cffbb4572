"""`flask withheld`: emails that were deleted and stay away; to let one be logged anew."""

import click

import crm
from commands.common import say, uses_database


@click.group()
def withheld() -> None:
    """Emails that were deleted or erased, and stay away: another copy makes a record without content."""


@withheld.command("list")
@uses_database()
def list_withheld() -> None:
    """List them, the newest last: when and why, and the id that the record had. Of the emails nothing is kept."""
    click.echo(f"{'at':27}  {'reason':9}  id")
    after = 0
    while page := crm.list_withheld(after, 1000):
        after = page[-1]["seq"]
        for one in page:
            say(f"{one['at']:27}  {one['reason']:9}  {one['id']}")


@withheld.command("forget")
@click.argument("email_id", metavar="[ID]", required=False)
@click.option("--message-id", help="The email's Internet Message-ID, with or without < and >.")
@uses_database()
def forget_withheld(email_id: str | None, message_id: str | None) -> None:
    """Let an email be logged anew, by the ID that its record had or by its Message-ID.

    A record without content that was made meanwhile goes by DELETE /emails/{id}?remember=false.
    """
    if (email_id is None) == (message_id is None):
        raise click.UsageError("Give an ID, or --message-id.")
    ids = crm.forget_withheld(email_id, message_id)
    if not ids:
        raise click.ClickException("No such email is withheld.")
    say(f"Forgotten: {', '.join(ids)}")
