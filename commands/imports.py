"""The commands that take in what there is already: `mail import`, `contacts import`, `companies import`.

All go one way: what a file holds is validated by the API's schemas and stored by the API's verbs, some at a time; what
can't be taken is named and counted, and stops nothing else. It is named by its place and the reason, never by what is
in it: logs are read by more people than emails are.
"""

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from itertools import chain
from pathlib import Path
from shutil import copyfileobj
from tempfile import NamedTemporaryFile
from typing import Any

import click

import crm
import database
from commands import table_files
from commands.common import uses_database
from commands.items import Item, Rejected, load_item, reason_of
from commands.mailfile import as_email, messages
from crm import Record
from crm.seam import in_short_transactions, let_others_write
from crm.table_import import TableImport
from schemas import EmailIn
from terminal import printable

BATCH = 200  # rows that are read at a time
MAILS = 16  # emails that one transaction stores …
MAIL_BYTES = 2**20  # … and fewer of what is large

BAD = "bad"


# ---- mail -----------------------------------------------------------------------------------------------------------


@click.group()
def mail() -> None:
    """The mail that is there already."""


@mail.command("import")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@uses_database(make=True)
def import_mail(paths: Sequence[Path]) -> None:
    """Log the mail at each PATH: .eml files, mbox files, and folders of these, Maildirs too. `-` is standard input.

    It does what POST /emails does, while the service goes on: an email that is here already gains what the copy adds,
    so an import that was interrupted can just be run again. BODY_LIMIT is for what comes over the network; here an
    email may have 150 MiB.

    What can't be read is named and counted, and the rest goes in. The exit status is 0 if all went in, 1 if not.
    """
    outcomes: Counter[str] = Counter()
    with ExitStack() as stack:
        paths = [stack.enter_context(_as_file(path)) if path == _STDIN else path for path in paths]
        total = sum(map(_size, paths)) if sys.stderr.isatty() else 0
        stack.enter_context(_interrupted(outcomes))
        bar = stack.enter_context(_bar("", total))
        for batch in _batches(_mails(paths), MAILS, MAIL_BYTES):
            outcomes.update(_log(batch))
            let_others_write()
            bar.update(sum(item.size for item in batch))
    click.echo(f"{outcomes['new']:,} new, {outcomes['here']:,} here already, {outcomes[BAD]:,} unreadable.")
    sys.exit(outcomes[BAD] > 0)


def _mails(paths: Iterable[Path]) -> Iterator[Item]:
    """The emails at the paths, each named by its file."""
    schema = EmailIn()

    def load(raw: bytes | OSError) -> Record:
        if isinstance(raw, OSError):
            raise raw
        email: Record = schema.load(as_email(raw))
        return email

    for label, raw in chain.from_iterable(map(messages, paths)):
        yield load_item(label, load, raw, 0 if isinstance(raw, OSError) else len(raw))


def _log(batch: Sequence[Item]) -> Counter[str]:
    """Log what can be, in one transaction; counts what became of it."""
    good = [item for item in batch if not isinstance(item.content, Rejected)]
    try:
        logged = crm.log_emails([item.content for item in good])  # type: ignore[misc]
    except database.Unavailable:
        raise
    except Exception:  # nothing of it was stored: one after the other shows whose fault it is
        return Counter(_try(item, _log_email) for item in batch)
    outcomes = Counter("new" if new else "here" for _, new in logged)
    outcomes[BAD] = sum(_try(item, _log_email) == BAD for item in batch if item not in good)
    return outcomes


def _log_email(email: Record) -> str:
    _, new = crm.log_email(email)
    return "new" if new else "here"


def _size(path: Path) -> int:
    """The bytes of the files at a path; how many of them are mail is not known before they are read."""
    files = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names] or [str(path)]
    return sum(os.path.getsize(file) for file in files if os.path.isfile(file))


# ---- contacts and companies -----------------------------------------------------------------------------------------

_HOW = """FILE may be `-`: standard input. A CSV file has a header row, and cells that are separated by commas,
semicolons or tabs. Columns are known by the names that Google Contacts, Outlook (English and German) and HubSpot give
them, or by those above; the others are ignored, and named. Case, spaces and signs in the names make no difference. A
cell may hold several addresses or domains, separated by semicolons or line breaks. An empty cell means none.

A row with the CRM's own id creates or changes that record; what the file has no column for stays as it is. A row
without an id is found by its addresses or domains, else by what it says otherwise, and its gaps are filled; or it is
created. So nothing is doubled when a file is imported again.

All rows are stored, or none: the whole file is checked first, and every bad row is named by the line where it
begins. Then they are stored some at a time, so that the service can go on writing. If that is interrupted, the rows
stored so far stay: run it again. So they do where another writer makes a row impossible meanwhile, which is then
named, and the others are stored. A dry run only reads. The exit status is 0 if all rows were good, 1 if not."""


_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


def _table_command(group: click.Group) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """What the commands that import a table have in common."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for decorator in (
            uses_database(make=True),
            click.option("--skip-bad-rows", is_flag=True, help="Store the good rows, some hundred at a time."),
            click.option("--dry-run", is_flag=True, help="Only say what would happen."),
            click.argument("path", metavar="FILE", type=_FILE),
            group.command("import", epilog=_HOW),
        ):
            command = decorator(command)
        return command

    return decorate


@click.group()
def contacts() -> None:
    """The people whom the CRM knows."""


@_table_command(contacts)
def import_contacts(path: Path, dry_run: bool, skip_bad_rows: bool) -> None:
    """Store the contacts of a CSV file, or of a file of vCards (.vcf, version 3.0 or 4.0).

    Columns: id, firstName, lastName, companyId or company, and any number whose names begin with email.

    A contact's company is found by its id, else by its name, else by the domain of an address. One that the file names
    and nobody knows is created.
    """
    _import_table(path, table_files.CONTACTS, dry_run, skip_bad_rows)


@click.group()
def companies() -> None:
    """The companies that the CRM knows."""


@_table_command(companies)
def import_companies(path: Path, dry_run: bool, skip_bad_rows: bool) -> None:
    """Store the companies of a CSV file.

    Columns: id, name, and domains, domain or website.
    """
    _import_table(path, table_files.COMPANIES, dry_run, skip_bad_rows)


def _import_table(path: Path, kind: table_files.Kind, dry_run: bool, skip_bad_rows: bool) -> None:
    twice = not dry_run and not skip_bad_rows
    outcome = "Dry run, nothing was stored: " if dry_run else ""
    with _as_file(path) as path:
        encoding = table_files.encoding_of(path, _report)
        outcomes = _store_rows(path, encoding, kind, dry_run=twice or dry_run)
        if twice and outcomes[BAD]:
            outcome = "Nothing was stored, because of the bad rows; else: "
        elif twice:
            outcomes = _store_rows(path, encoding, kind, dry_run=False, again=True)
    counts = ", ".join(f"{outcomes[name]:,} {name}" for name in ("created", "changed", "unchanged", BAD))
    click.echo(f"{outcome}{counts}.")
    sys.exit(outcomes[BAD] > 0)


def _store_rows(path: Path, encoding: str, kind: table_files.Kind, dry_run: bool, again: bool = False) -> Counter[str]:
    """Store the rows that are good; counts what became of them, or in a dry run would."""
    outcomes: Counter[str] = Counter()
    label, errors = "Checking" if dry_run else "Storing", table_files.errors_of(encoding)
    with (
        _interrupted(Counter() if dry_run else outcomes),
        path.open("rb") as file,
        TextIOWrapper(file, encoding, errors, newline="") as lines,
        _bar(label, _size(path)) as bar,
    ):
        found, items = table_files.rows_of(lines, kind, (lambda _: None) if again else _report)
        rows = TableImport(kind.name, found, dry_run)
        for batch in _batches(items, BATCH):
            if dry_run:
                outcomes.update(_try(item, rows.store) for item in batch)
            else:
                rows.prepare(item.content for item in batch if not isinstance(item.content, Rejected))
                outcomes.update(in_short_transactions(batch, lambda item: _try(item, rows.store)))
            if path.is_file():  # of a pipe nobody knows how far it is
                bar.update(file.tell() - bar.pos)
    return outcomes


# ---- what both have in common ---------------------------------------------------------------------------------------


def _batches(items: Iterable[Item], most: int, most_bytes: int = 2**20) -> Iterator[list[Item]]:
    """The items, some at a time. They are read and validated before the transaction that stores them."""
    batch: list[Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += item.size
        if len(batch) == most or size >= most_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


_STDIN = Path("-")


@contextmanager
def _as_file(path: Path) -> Iterator[Path]:
    """The file, which is read more than once; for standard input and for a pipe a copy, which is removed at the end."""
    if path != _STDIN and path.is_file():
        yield path
        return
    with NamedTemporaryFile(prefix="connector-") as copy:
        with click.open_file(str(path), "rb") as source:
            copyfileobj(source, copy)
        copy.flush()
        yield Path(copy.name)


def _try(item: Item, store: Callable[[Record], str]) -> str:
    """What became of one; one that can't be stored is reported, and is BAD."""
    try:
        if isinstance(item.content, Rejected):
            raise item.content
        return store(item.content)
    except database.Unavailable:
        raise
    except Exception as error:  # the verb has taken back what it did, and the others go in
        _report(f"{item.label}: {reason_of(error)}")
        return BAD


@contextmanager
def _interrupted(outcomes: Counter[str]) -> Iterator[None]:
    """Where Ctrl-C ends it, say what is stored."""
    try:
        yield
    except KeyboardInterrupt:
        counts = ", ".join(f"{count:,} {name}" for name, count in outcomes.items()) or "nothing"
        click.echo(f"Interrupted. Stored before that: {counts}. Run it again: nothing is stored twice.", err=True)
        sys.exit(130)


def _bar(label: str, length: int) -> Any:
    """A bar on standard error, by bytes; where that is no terminal, none."""
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty())


def _report(line: str) -> None:
    """Print a line where the bar is, which is drawn anew; without what a file's name could do to a terminal."""
    clear = "\r\033[K" if sys.stderr.isatty() else ""
    click.echo(f"{clear}{printable(line)}", err=True)
