"""The commands that take in what there is already: `mail import`, `contacts import`, `companies import`.

All go one way: what a file holds is validated by the API's schemas and stored by the API's verbs, in batches; what
can't be taken is named and counted, and stops nothing else. It is named by its place and the reason, never by what is
in it: logs are read by more people than letters are.
"""

import csv
import os
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from itertools import chain
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click
from flask.cli import with_appcontext
from marshmallow import Schema, ValidationError
from marshmallow.fields import List

import database
import models
from clock import now
from mailfile import as_email, messages
from models import Record
from schemas import CompanyNew, ContactNew, EmailIn

if TYPE_CHECKING:
    from rich.progress import Progress

Source = TypeVar("Source")

BATCH = 200  # what one transaction stores, so that other writers get their turn in between …
BATCH_BYTES = 16 * 2**20  # … and less of what is large, so that it fits into memory

BAD = "bad"
NOT_TEXT = re.compile("[\0\ud800-\udfff]")  # surrogates stand for bytes that are not UTF-8
SEPARATOR = re.compile(r"[;\r\n]")


@click.group()
def mail() -> None:
    """The mail that is there already."""


@mail.command("import")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@with_appcontext
def import_mail(paths: Sequence[Path]) -> None:
    """Log the mail at each PATH: .eml files, mbox files, and folders (also Maildirs) of these.

    It is what POST /emails does: a mail that is here already gains what the copy adds, so an import that was
    interrupted can just be run again. BODY_LIMIT is for what comes over the network; here a mail may have 150 MiB.

    What can't be read is named and counted, and the rest goes in. The exit status is 0 if all went in, 1 if not.
    """
    outcomes: Counter[str] = Counter()
    batches = _read_ahead(_mails(paths))
    with _progress() as progress:
        report = _reporter(progress)
        task = progress.add_task("", total=0 if progress.disable else sum(map(_size, paths)))
        for batch in batches:
            outcomes.update(_store(batch, _log_email, report))
            progress.advance(task, sum(item.size for item in batch))
    click.echo(f"{outcomes['new']:,} new, {outcomes['here']:,} here already, {outcomes[BAD]:,} unreadable.")
    _exit(outcomes)


def _mails(paths: Sequence[Path]) -> Iterator["_Item"]:
    """The mails at the paths, each named by its file."""
    schema = EmailIn()
    for label, raw in chain.from_iterable(map(messages, paths)):
        size = 0 if isinstance(raw, OSError) else len(raw)
        yield _item(label, lambda raw: schema.load(as_email(_usable(raw))), raw, size)


def _log_email(email: Record) -> str:
    _, new = models.log_email(email)
    return "new" if new else "here"


@click.group()
def contacts() -> None:
    """The people whom the CRM knows."""


@click.group()
def companies() -> None:
    """The companies that the CRM knows."""


def _takes_table(command: Callable[..., None]) -> Callable[..., None]:
    """What the commands that import a CSV file have in common."""
    for decorate in (
        with_appcontext,
        click.option("--skip-bad-rows", is_flag=True, help="Store the good rows, some hundred at a time."),
        click.option("--dry-run", is_flag=True, help="Only say what would happen."),
        click.argument("path", metavar="FILE.csv", type=click.Path(exists=True, dir_okay=False, path_type=Path)),
    ):
        command = decorate(command)
    return command


@contacts.command("import")
@_takes_table
def import_contacts(path: Path, dry_run: bool, skip_bad_rows: bool) -> None:
    """Store the contacts of a CSV file: UTF-8, a header row, cells separated by commas, semicolons or tabs.

    Columns: id, firstName, lastName, companyId, and any number that begin with email; others are ignored. Case,
    spaces, _ and - in their names make no difference. A cell may hold several addresses, separated by semicolons or
    line breaks. An empty cell means none.

    A row with the CRM's own id creates or changes that contact; columns that the file does not have stay as they are.
    A row without an id is found by its addresses and its gaps filled, or created, as POST /contacts does.

    All rows are stored, or none: every bad one is named by the line where it begins. The exit status is 0 if all rows
    were good, 1 if not.
    """
    columns = {
        "id": "id",
        "firstName": "firstname",
        "lastName": "lastname",
        "companyId": "companyid",
        # Not what address books put next to an address: "E-mail 1 - Type", "E-mail Display Name", "Email Opt Out".
        "emailAddresses": "email(?!.*(type|label|displayname|optout|status|verified)).*",
    }
    verbs = _Verbs(models.add_contact, models.put_contact, models.change_contact)
    _import_table(path, ContactNew(), columns, verbs, dry_run, skip_bad_rows)


@companies.command("import")
@_takes_table
def import_companies(path: Path, dry_run: bool, skip_bad_rows: bool) -> None:
    """Store the companies of a CSV file: UTF-8, a header row, cells separated by commas, semicolons or tabs.

    Columns: id, name, and domains, domain or website; others are ignored. Case, spaces, _ and - in their names make no
    difference. A cell may hold several domains, separated by semicolons or line breaks. An empty cell means none.

    A row with the CRM's own id creates or changes that company; columns that the file does not have stay as they are.
    A row without an id is found by its domains and its gaps filled, or created, as POST /companies does.

    All rows are stored, or none: every bad one is named by the line where it begins. The exit status is 0 if all rows
    were good, 1 if not.
    """
    columns = {"id": "id", "name": "name", "domains": "domains?|website"}
    verbs = _Verbs(models.add_company, models.put_company, models.change_company)
    _import_table(path, CompanyNew(), columns, verbs, dry_run, skip_bad_rows)


class _Verbs(NamedTuple):
    """How the records of a kind are stored."""

    add: Callable[[Mapping[str, Any]], tuple[Record, bool]]
    put: Callable[[str, Mapping[str, Any]], tuple[Record, bool]]
    change: Callable[[str, Mapping[str, Any]], Record]

    def store(self, row: Mapping[str, Any], given: set[str]) -> str:
        """Store a row of a table that has the columns `given`; says what that did."""
        before = now()
        values = {name: value for name, value in row.items() if name != "id"}
        if "id" not in row:
            record, created = self.add(values)
        else:
            try:
                record, created = (
                    self.change(row["id"], {name: values[name] for name in values if name in given}),
                    False,
                )
            except models.NotFound:
                record, created = self.put(row["id"], values)
        return "created" if created else "changed" if record["updatedAt"] >= before else "unchanged"


class _NothingStored(Exception):
    """Takes back what the transaction did."""


def _import_table(
    path: Path, schema: Schema, columns: Mapping[str, str], verbs: _Verbs, dry_run: bool, skip_bad_rows: bool
) -> None:
    outcomes: Counter[str] = Counter()
    one_transaction = dry_run or not skip_bad_rows
    try:
        with _progress() as progress, database.writing() if one_transaction else nullcontext():
            report = _reporter(progress)
            # The signature is Excel's. What is not UTF-8 is no reason to stop: the table names the rows that hold it.
            with progress.open(path, "r", encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
                table = _Table(lines, schema, columns)
                if table.ignored:
                    report(f"Ignored columns: {', '.join(table.ignored)}.")
                given = set(filter(None, table.fields))
                for batch in _batches(table.items()):
                    outcomes.update(_store(batch, lambda row: verbs.store(row, given), report))
            if dry_run or (outcomes[BAD] and not skip_bad_rows):
                raise _NothingStored
        outcome = ""
    except _NothingStored:
        outcome = "Dry run, nothing was stored: " if dry_run else "Nothing was stored, because of the bad rows; else: "
    counts = ", ".join(f"{outcomes[name]:,} {name}" for name in ("created", "changed", "unchanged", BAD))
    click.echo(f"{outcome}{counts}.")
    _exit(outcomes)


class _Table:
    """A CSV file (RFC 4180) with a header row. Raises ClickException where that can't be used."""

    def __init__(self, lines: Iterator[str], schema: Schema, columns: Mapping[str, str]) -> None:
        """`columns` gives for each field a pattern of the names, in lower case and run together, of its column."""
        first = next(lines, "")

        def usable(delimiter: str) -> tuple[int, int]:
            names = next(csv.reader([first], delimiter=delimiter), [])
            return sum(_field(name, columns) is not None for name in names), len(names)

        self._schema = schema
        self._lists = {name for name, field in schema.fields.items() if isinstance(field, List)}
        self._reader = csv.reader(chain([first], lines), delimiter=max(",;\t", key=usable), strict=True)
        try:
            header = next(self._reader, [])
            _check_text(header)
        except (csv.Error, ValueError) as error:
            raise click.ClickException(f"The header row can't be read: {error}.") from None
        self.fields = [_field(name, columns) for name in header]
        self.ignored = [
            name.strip() or f"column {n} (no name)"
            for n, (name, field) in enumerate(zip(header, self.fields, strict=True), 1)
            if field is None
        ]
        found = Counter(field for field in self.fields if field)
        if not found:
            raise click.ClickException(f"The first row names no column that can be used: {', '.join(columns)}.")
        for field, number in found.items():
            if number > 1 and field not in self._lists:
                raise click.ClickException(f"The first row names {number} columns for {field}.")

    def items(self) -> Iterator["_Item"]:
        """The rows, each named by the line where it begins."""
        begin = self._reader.line_num + 1
        try:
            for row in self._reader:
                if any(map(str.strip, row)):
                    yield _item(f"line {begin}", self._values, row)
                begin = self._reader.line_num + 1
        except csv.Error as error:  # there is no telling where the next row begins
            yield _Item(
                f"line {begin}", ValueError(f"can't be told apart from what follows, which was not read: {error}")
            )

    def _values(self, row: Sequence[str]) -> Record:
        if len(row) != len(self.fields):
            raise ValueError(f"{len(row)} cells, where the header has {len(self.fields)}")
        _check_text(row)
        payload: dict[str, Any] = {}
        for field, cell in zip(self.fields, row, strict=True):
            if field in self._lists:
                payload.setdefault(field, []).extend(filter(None, map(str.strip, SEPARATOR.split(cell))))
            elif field and (field != "id" or cell.strip()):
                payload[field] = cell.strip() or None
        values: Record = self._schema.load(payload)
        return values


def _field(name: str, columns: Mapping[str, str]) -> str | None:
    """The field that a column's name means."""
    plain = re.sub(r"[\s_-]", "", name).lower()
    return next((field for field, pattern in columns.items() if re.fullmatch(pattern, plain)), None)


def _check_text(row: Sequence[str]) -> None:
    found = NOT_TEXT.search("".join(row))
    if found:
        raise ValueError("holds a NUL character" if found[0] == "\0" else "is not UTF-8")


class _Item(NamedTuple):
    """What is to be stored."""

    label: str
    content: Record | Exception  # or why it can't be
    size: int = 0  # in bytes


def _item(label: str, load: Callable[[Source], Record], source: Source, size: int = 0) -> _Item:
    try:
        return _Item(label, load(source), size)
    except Exception as error:  # whatever it is: one odd mail never stops a mailbox
        return _Item(label, error, size)


def _batches(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """The items, as many at a time as one transaction stores. They are read and validated before it begins."""
    batch: list[_Item] = []
    size = 0
    for item in items:
        batch.append(item)
        size += item.size
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _read_ahead(items: Iterable[_Item]) -> Iterator[list[_Item]]:
    """The batches, each read by another process while this one stores the one before: it is half of the work."""
    context = get_context("fork")  # now, while no thread draws the bar
    receiver, sender = context.Pipe(duplex=False)
    reader = context.Process(target=_send, args=(items, sender), daemon=True)
    reader.start()
    sender.close()
    return _received(reader, receiver)


def _send(items: Iterable[_Item], sender: Connection) -> None:
    for batch in _batches(items):
        sender.send(batch)
    sender.send([])


def _received(reader: BaseProcess, receiver: Connection) -> Iterator[list[_Item]]:
    try:
        while batch := receiver.recv():
            yield batch
    except EOFError:
        raise click.ClickException("The process that reads the mail was ended. Run this again.") from None
    finally:
        reader.terminate()
        reader.join()


def _store(batch: Sequence[_Item], store: Callable[[Record], str], report: Callable[[str], None]) -> Counter[str]:
    """Store what can be in one transaction; counts what became of it."""
    outcomes: Counter[str] = Counter()
    try:
        with database.writing():
            for label, content, _ in batch:
                try:
                    outcomes[store(_usable(content))] += 1
                except database.Unavailable:
                    raise
                except Exception as error:  # the verb has taken back what it did, and the others go in
                    report(f"{label}: {_reason(error)}")
                    outcomes[BAD] += 1
    except database.Unavailable as error:
        raise click.ClickException(f"The database can't be written: {error}. Run this again when it can.") from None
    return outcomes


def _usable(content: Source | Exception) -> Source:
    if isinstance(content, Exception):
        raise content
    return content


def _reason(error: Exception) -> str:
    """Why something can't be taken, in words that quote nothing of it."""
    if isinstance(error, models.Invalid):
        return "; ".join(f"{field}: {why}" for field, why in error.errors.items())
    if isinstance(error, ValidationError):
        return "; ".join(f"{field}: {' '.join(map(str, why))}" for field, why in error.normalized_messages().items())
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error) if type(error) is ValueError else type(error).__name__  # ours, and the unforeseen


def _progress() -> "Progress":
    """A bar on standard error; where that is no terminal, none."""
    from rich.console import Console  # not above: the server does not need it, and would start later
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    return Progress(
        BarColumn(), DownloadColumn(), TimeRemainingColumn(), console=console, disable=not console.is_terminal
    )


def _reporter(progress: "Progress") -> Callable[[str], None]:
    """Prints a line above the bar, without what a file's name could do to a terminal."""

    def report(line: str) -> None:
        printable = "".join(character if character.isprintable() else "\ufffd" for character in line)
        progress.console.out(printable, highlight=False)

    return report


def _size(path: Path) -> int:
    """The bytes of the files at a path; how many of them are mail is not known before they are read."""
    files = [os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names] or [str(path)]
    return sum(os.path.getsize(file) for file in files if os.path.isfile(file))


def _exit(outcomes: Counter[str]) -> None:
    sys.exit(1 if outcomes[BAD] else 0)


COMMANDS = [mail, contacts, companies]
