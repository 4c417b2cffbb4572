"""The commands that take in what there is already: `mail import`, `contacts import`, `companies import`.

All go one way: what a file holds is validated by the API's schemas and stored by the API's verbs, some at a time; what
can't be taken is named and counted, and stops nothing else. It is named by its place and the reason, never by what is
in it: logs are read by more people than emails are.
"""

import csv
import os
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from signal import SIG_IGN, SIGINT, signal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from marshmallow import Schema, ValidationError
from marshmallow.fields import List

import crm
import database
from commands.common import uses_database
from commands.mailfile import as_email, messages
from crm import Record
from crm.directory import TableImport
from crm.seam import let_others_write
from schemas import CompanyNew, ContactNew, EmailIn
from terminal import printable

if TYPE_CHECKING:
    from rich.progress import Progress

Source = TypeVar("Source")

BATCH = 200  # rows that are read at a time …
HELD = 0.02  # … and seconds for which one transaction stores them, so that other writers get their turn in between
MAILS = 16  # emails that one transaction stores …
MAIL_BYTES = 2**20  # … and fewer of what is large

BAD = "bad"
SEPARATOR = re.compile(r"[;\r\n]")  # of several addresses or domains in one cell
NOT_TEXT = re.compile("[\0\ud800-\udfff]")  # surrogates stand for bytes that are not UTF-8


class _Unusable(Exception):
    """Why something can't be taken, in words that quote nothing of it."""


class _Item(NamedTuple):
    """What is to be stored: where it stands, its validated values, its size in bytes."""

    label: str
    content: Record | _Unusable
    size: int = 0


# ---- mail -----------------------------------------------------------------------------------------------------------


@click.group()
def mail() -> None:
    """The mail that is there already."""


@mail.command("import")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@uses_database(make=True)
def import_mail(paths: Sequence[Path]) -> None:
    """Log the mail at each PATH: .eml files, mbox files, and folders of these, Maildirs too.

    It is what POST /emails does, while the service goes on: a mail that is here already gains what the copy adds, so an
    import that was interrupted can just be run again. BODY_LIMIT is for what comes over the network; here a mail may
    have 150 MiB.

    What can't be read is named and counted, and the rest goes in. The exit status is 0 if all went in, 1 if not.
    """
    outcomes: Counter[str] = Counter()
    with _read_ahead(_mails(paths)) as batches, _progress() as progress:
        task = progress.add_task("", total=0 if progress.disable else sum(map(_size, paths)))
        for batch in batches:
            outcomes.update(_log(batch, _reporter(progress)))
            let_others_write()
            progress.advance(task, sum(item.size for item in batch))
    click.echo(f"{outcomes['new']:,} new, {outcomes['here']:,} here already, {outcomes[BAD]:,} unreadable.")
    sys.exit(outcomes[BAD] > 0)


def _mails(paths: Iterable[Path]) -> Iterator[_Item]:
    """The mails at the paths, each named by its file."""
    schema = EmailIn()

    def load(raw: bytes | OSError) -> Record:
        if isinstance(raw, OSError):
            raise raw
        email: Record = schema.load(as_email(raw))
        return email

    for label, raw in chain.from_iterable(map(messages, paths)):
        yield _item(label, load, raw, 0 if isinstance(raw, OSError) else len(raw))


def _log(batch: Sequence[_Item], report: Callable[[str], None]) -> Counter[str]:
    """Log what can be, in one transaction; counts what became of it."""
    good = [item for item in batch if not isinstance(item.content, _Unusable)]
    try:
        logged = crm.log_emails([item.content for item in good])  # type: ignore[misc]
    except database.Unavailable:
        raise
    except Exception:  # nothing of it was stored: one after the other shows whose fault it is
        return Counter(_try(item, _log_email, report) for item in batch)
    outcomes = Counter("new" if new else "here" for _, new in logged)
    outcomes[BAD] = sum(_try(item, _log_email, report) == BAD for item in batch if item not in good)
    return outcomes


def _log_email(email: Record) -> str:
    _, new = crm.log_email(email)
    return "new" if new else "here"


def _size(path: Path) -> int:
    """The bytes of the files at a path; how many of them are mail is not known before they are read."""
    files = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names] or [str(path)]
    return sum(os.path.getsize(file) for file in files if os.path.isfile(file))


# ---- contacts and companies -----------------------------------------------------------------------------------------


class _Kind(NamedTuple):
    """Records that are imported from a table: how they are validated, found in it, and stored."""

    name: str  # contact or company
    schema: Schema
    columns: Mapping[str, str]  # field: pattern of its column's name, in lower case and run together

    def field(self, column: str) -> str | None:
        """The field that a column's name means."""
        name = re.sub(r"[\s_-]", "", column).lower()
        return next((field for field, pattern in self.columns.items() if re.fullmatch(pattern, name)), None)


_HOW = """Other columns are ignored. Case, spaces, _ and - in the names make no difference. A cell may hold several
addresses or domains, separated by semicolons or line breaks. An empty cell means none.

A row with the CRM's own id creates or changes that record; what the file has no column for stays as it is. A row
without an id is found by its addresses or domains and its gaps filled, or created, as POST does.

All rows are stored, or none: the whole file is checked first, and every bad row is named by the line where it
begins. Then they are stored some at a time, so that the service can go on writing. If that is interrupted, the rows
stored so far stay: run it again. So they do where another writer makes a row impossible meanwhile, which is then
named, and the others are stored. A dry run only reads. The exit status is 0 if all rows were good, 1 if not."""


def _table_command(group: click.Group) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """What the commands that import a CSV file have in common."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for decorator in (
            uses_database(make=True),
            click.option("--skip-bad-rows", is_flag=True, help="Store the good rows, some hundred at a time."),
            click.option("--dry-run", is_flag=True, help="Only say what would happen."),
            click.argument("path", metavar="FILE.csv", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
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
    """Store the contacts of a CSV file: UTF-8, a header row, cells separated by commas, semicolons or tabs.

    Columns: id, firstName, lastName, companyId, and any number whose names begin with email.
    """
    columns = {
        "id": "id",
        "firstName": "firstname",
        "lastName": "lastname",
        "companyId": "companyid",
        # Not what address books put beside an address: "E-mail 1 - Type", "E-mail Display Name", "Email Opt Out".
        "emailAddresses": "email(?!.*(type|label|displayname|optout|status|verified)).*",
    }
    _import_table(path, _Kind("contact", ContactNew(), columns), dry_run, skip_bad_rows)


@click.group()
def companies() -> None:
    """The companies that the CRM knows."""


@_table_command(companies)
def import_companies(path: Path, dry_run: bool, skip_bad_rows: bool) -> None:
    """Store the companies of a CSV file: UTF-8, a header row, cells separated by commas, semicolons or tabs.

    Columns: id, name, and domains, domain or website.
    """
    columns = {"id": "id", "name": "name", "domains": "domains?|website"}
    _import_table(path, _Kind("company", CompanyNew(), columns), dry_run, skip_bad_rows)


def _import_table(path: Path, kind: _Kind, dry_run: bool, skip_bad_rows: bool) -> None:
    twice = not dry_run and not skip_bad_rows
    if twice and not path.is_file():
        raise click.ClickException("FILE.csv is read twice, so it can't be a pipe. Or use --skip-bad-rows.")
    outcome = "Dry run, nothing was stored: " if dry_run else ""
    with _progress() as progress:
        outcomes = _store_rows(path, kind, progress, dry_run=twice or dry_run)
        if twice and outcomes[BAD]:
            outcome = "Nothing was stored, because of the bad rows; else: "
        elif twice:
            outcomes = _store_rows(path, kind, progress, dry_run=False, again=True)
    counts = ", ".join(f"{outcomes[name]:,} {name}" for name in ("created", "changed", "unchanged", BAD))
    click.echo(f"{outcome}{counts}.")
    sys.exit(outcomes[BAD] > 0)


def _store_rows(path: Path, kind: _Kind, progress: "Progress", dry_run: bool, again: bool = False) -> Counter[str]:
    """Store the rows that are good; counts what became of them, or in a dry run would."""
    outcomes: Counter[str] = Counter()
    report = _reporter(progress)
    # sig: Excel writes one. surrogateescape: what is not UTF-8 is found where the rows have line numbers.
    with progress.open(path, "r", encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
        table = _Table(lines, kind)
        if table.ignored and not again:
            report(f"Ignored columns: {', '.join(table.ignored)}.")
        rows = TableImport(kind.name, filter(None, table.fields), dry_run)
        for batch in _batches(table.rows(), BATCH):
            if dry_run:
                outcomes.update(_try(item, rows.store, report) for item in batch)
                continue
            rows.prepare(item.content for item in batch if not isinstance(item.content, _Unusable))
            left = deque(batch)
            while left:
                with database.writing():
                    end = time.monotonic() + HELD
                    while True:
                        outcomes[_try(left.popleft(), rows.store, report)] += 1
                        if not left or time.monotonic() >= end:
                            break
                let_others_write()
    return outcomes


class _Table:
    """A CSV file (RFC 4180) with a header row. Raises ClickException where that can't be used."""

    def __init__(self, lines: Iterator[str], kind: _Kind) -> None:
        first = next(lines, "")
        self._schema = kind.schema
        self._lists = {name for name, field in kind.schema.fields.items() if isinstance(field, List)}
        self._reader = csv.reader(chain([first], lines), delimiter=max(",;\t", key=first.count), strict=True)
        try:
            header = next(self._reader, [])
            _check_text(header)
        except (csv.Error, ValueError) as error:
            raise click.ClickException(f"The first row can't be read: {error}.") from None
        self.fields = [kind.field(name) for name in header]
        named = zip(header, self.fields, strict=True)
        self.ignored = [name.strip() or f"number {n}" for n, (name, field) in enumerate(named, 1) if field is None]
        found = Counter(filter(None, self.fields))
        if not found:
            raise click.ClickException(
                f"The first row names no column that can be used, such as {', '.join(kind.columns)}."
            )
        twice = [field for field, number in found.items() if number > 1 and field not in self._lists]
        if twice:
            raise click.ClickException(f"The first row names several columns for {', '.join(twice)}.")

    def rows(self) -> Iterator[_Item]:
        """The rows that are not empty, each named by the line where it begins."""
        begin = self._reader.line_num + 1
        try:
            for row in self._reader:
                if any(map(str.strip, row)):
                    yield _item(f"line {begin}", self._load, row)
                begin = self._reader.line_num + 1
        except csv.Error as error:  # where the next row begins, nobody knows
            yield _Item(f"line {begin}", _Unusable(f"{error}; what follows was not read"))

    def _load(self, row: Sequence[str]) -> Record:
        _check_text(row)
        if len(row) != len(self.fields):
            raise ValueError(f"{len(row)} cells, where the first row has {len(self.fields)}")
        payload: dict[str, Any] = {}
        for field, cell in zip(self.fields, map(str.strip, row), strict=True):
            if field in self._lists:
                payload.setdefault(field, []).extend(filter(None, map(str.strip, SEPARATOR.split(cell))))
            elif field and (cell or field != "id"):
                payload[field] = cell or None
        values: Record = self._schema.load(payload)
        return values


def _check_text(row: Sequence[str]) -> None:
    found = NOT_TEXT.search("".join(row))
    if found:
        raise ValueError("it holds a NUL character" if found[0] == "\0" else "it is not UTF-8")


# ---- what both have in common ---------------------------------------------------------------------------------------


def _item(label: str, load: Callable[[Source], Record], source: Source, size: int = 0) -> _Item:
    try:
        return _Item(label, load(source), size)
    except Exception as error:  # whatever it is: one odd mail never stops a mailbox
        return _Item(label, _Unusable(_reason(error)), size)


def _batches(items: Iterable[_Item], most: int, most_bytes: int = 2**20) -> Iterator[list[_Item]]:
    """The items, some at a time. They are read and validated before the transaction that stores them."""
    batch: list[_Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += item.size
        if len(batch) == most or size >= most_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@contextmanager
def _read_ahead(items: Iterable[_Item]) -> Iterator[Iterator[list[_Item]]]:
    """The batches, each read by another process while this one stores the one before: it is half of the work."""
    context = get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    reader = context.Process(target=_send, args=(items, sender, receiver), daemon=True)
    reader.start()
    sender.close()
    try:
        yield iter(receiver.recv, [])
    except EOFError:
        raise click.ClickException("The process that reads the mail has ended early. Run this again.") from None
    finally:
        reader.terminate()
        reader.join()
        receiver.close()


def _send(items: Iterable[_Item], sender: Connection, receiver: Connection) -> None:
    signal(SIGINT, SIG_IGN)  # Ctrl-C is for the process that stores, which ends this one
    receiver.close()  # else nobody would notice here when that process is gone
    with suppress(BrokenPipeError):
        for batch in _batches(items, MAILS, MAIL_BYTES):
            sender.send(batch)
        sender.send([])


def _try(item: _Item, store: Callable[[Record], str], report: Callable[[str], None]) -> str:
    """What became of one; one that can't be stored is reported, and is BAD."""
    try:
        if isinstance(item.content, _Unusable):
            raise item.content
        return store(item.content)
    except database.Unavailable:
        raise
    except Exception as error:  # the verb has taken back what it did, and the others go in
        report(f"{item.label}: {_reason(error)}")
        return BAD


def _reason(error: Exception) -> str:
    """Why something can't be taken, in words that quote nothing of it."""
    if isinstance(error, crm.Invalid):
        return "; ".join(f"{field}: {why}" for field, why in error.errors.items())
    if isinstance(error, ValidationError):
        return "; ".join(f"{field}: {' '.join(map(str, why))}" for field, why in error.normalized_messages().items())
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    own_words = type(error) in (ValueError, _Unusable)  # any other may quote what it stumbled over
    return str(error) if own_words else type(error).__name__


def _progress() -> "Progress":
    """A bar on standard error, by bytes; where that is no terminal, none."""
    from rich.console import Console  # not above: the server does not need it, and would start later
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    columns = BarColumn(), DownloadColumn(), TimeRemainingColumn()
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _reporter(progress: "Progress") -> Callable[[str], None]:
    """Prints a line above the bar, without what a file's name could do to a terminal."""

    def report(line: str) -> None:
        progress.console.out(printable(line), highlight=False)

    return report
