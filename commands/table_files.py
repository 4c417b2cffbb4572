"""The rows of a table that another program has exported: a CSV file, or cards of an address book.

What the columns are called stands in columns.py. Raises ClickException where a file can't be used at all.
"""

import csv
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import click
from marshmallow import Schema, fields
from marshmallow.fields import List

from commands import columns, vcard
from commands.items import Item, Rejected, load_item
from crm import Record
from crm.matching import normalize_address, split_addresses
from crm.table_import import HINTS
from schemas import CompanyNew, ContactNew
from web.fields import Name

Report = Callable[[str], None]

SEPARATOR = re.compile(r"[;\r\n]| ::: ")  # of several addresses or domains in one cell; the last one is Google's
NOT_TEXT = re.compile("[\0\ud800-\udfff]")  # surrogates stand for bytes that are not UTF-8
_NOT_OF_WINDOWS = re.compile("[^\1-\x7f\udc80-\udcff]")  # in a file that was decoded as UTF-8
_WHO = ("id", "firstName", "lastName", "emailAddresses", "name", "domains")
_ADVICE = "save the file as CSV UTF-8"


class _ContactRow(ContactNew):
    """A contact, and what a table says of where it comes from and of its company."""

    companyName = Name("The company's name.", "Acme Ltd")
    companySourceId = fields.String(allow_none=True)
    sourceId = fields.String(allow_none=True)


class _CompanyRow(CompanyNew):
    """A company, and what a table says of where it comes from."""

    sourceId = fields.String(allow_none=True)


class Kind(NamedTuple):
    """Records that are imported from a table: what they are called, how they are validated and found in it."""

    name: str  # contact or company
    schema: Schema
    columns: Mapping[str, str]


CONTACTS = Kind("contact", _ContactRow(), columns.CONTACT)
COMPANIES = Kind("company", _CompanyRow(), columns.COMPANY)


def encoding_of(path: Path, report: Report) -> str:
    """How a file's text is written: by its signature; else UTF-8, or what Excel writes on Windows in Western Europe.

    A file that is UTF-8 but for some bytes is taken for it (`sig`: Excel writes a signature): what Windows writes looks
    like UTF-8 nowhere.
    """
    with path.open("rb") as file:
        if file.read(2) in (BOM_UTF16_LE, BOM_UTF16_BE):
            return "utf-16"
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as text:
        escaped = False
        for piece in iter(partial(text.read, 2**16), ""):
            if not piece.isascii():
                escaped = True
            if _NOT_OF_WINDOWS.search(piece):
                return "utf-8-sig"
    if not escaped:
        return "utf-8-sig"
    report(f"The file is not UTF-8, so it is read as Windows-1252. If letters come out wrong, {_ADVICE}.")
    return "cp1252"


def errors_of(encoding: str) -> str:
    """How to decode: bytes that are not text become surrogates, which are reported with the line of their row."""
    return "surrogatepass" if encoding == "utf-16" else "surrogateescape"


def rows_of(lines: Iterator[str], kind: Kind, report: Report) -> tuple[set[str], Iterator[Item]]:
    """The fields that a file gives, and its rows, each named by the line where it begins. What is odd is reported."""
    try:
        first = next(lines, "")
    except UnicodeError:
        raise click.ClickException(f"The file can't be read as text: {_ADVICE}.") from None
    source = _Cards if vcard.is_card(first) else _Table
    table = source(chain([first], lines), kind, report)
    return table.found, _useful(table.rows(), report)


def _useful(items: Iterator[Item], report: Report) -> Iterator[Item]:
    """The items, except those by which nobody can be found; what is not an address is reported."""
    for item in items:
        if not isinstance(item.content, Rejected):
            if not any(item.content.get(name) for name in _WHO):
                report(f"{item.label}: nothing by which anybody could be found; it is left out.")
                continue
            if not all(map(normalize_address, item.content.get("emailAddresses", []))):
                report(f"{item.label}: not an email address; it is kept as it is.")
        yield item


class _Table:
    """A CSV file (RFC 4180) with a header row."""

    def __init__(self, lines: Iterator[str], kind: Kind, report: Report) -> None:
        self._schema = kind.schema
        self._lists = {name for name, field in kind.schema.fields.items() if isinstance(field, List)}
        self._lines_before = 0
        first = next(lines)
        delimiter = max(",;\t", key=first.count)
        if told := re.fullmatch(r'"?sep=([,;\t])"?\s*', first, re.IGNORECASE):  # Excel's own way to say it
            delimiter, first, self._lines_before = told[1], next(lines, ""), 1
        self._reader = csv.reader(chain([first], lines), delimiter=delimiter, strict=True)
        try:
            header = next(self._reader, [])
            _check_text(header)
        except (csv.Error, ValueError) as error:
            raise click.ClickException(f"The first row can't be read: {error}.") from None
        self._fields = [columns.field_of(name, kind.columns) for name in header]
        found = Counter(filter(None, self._fields))
        self.found = set(found)
        if not found:
            names = [name for name in kind.columns if name not in HINTS]
            raise click.ClickException(f"The first row names no column that can be used, such as {', '.join(names)}.")
        twice = [name for name, number in found.items() if number > 1 and name not in {*self._lists, *HINTS}]
        if twice:
            raise click.ClickException(f"The first row names several columns for {', '.join(twice)}.")
        named = zip(header, self._fields, strict=True)
        ignored = [name.strip() or f"number {n}" for n, (name, field) in enumerate(named, 1) if field is None]
        if ignored:
            report(f"Ignored columns: {', '.join(ignored)}.")
        missed, right = columns.missed_names(ignored, found, kind.columns)
        if missed:
            report(f"Warning: {', '.join(missed)} may be a name, and is ignored. To have it, call it {right}.")

    def rows(self) -> Iterator[Item]:
        begin = self._line()
        try:
            for row in self._reader:
                if any(map(str.strip, row)):
                    yield load_item(f"line {begin}", self._load, row)
                begin = self._line()
        except (csv.Error, UnicodeError) as error:  # where the next row begins, nobody knows
            why = str(error) if isinstance(error, csv.Error) else "it is no text"
            yield Item(f"line {begin}", Rejected(f"{why}; what follows was not read"))

    def _line(self) -> int:
        return self._lines_before + self._reader.line_num + 1

    def _load(self, row: Sequence[str]) -> Record:
        _check_text(row)
        if len(row) != len(self._fields):
            raise ValueError(f"{len(row)} cells, where the first row has {len(self._fields)}")
        payload: dict[str, Any] = {}
        for field, cell in zip(self._fields, map(str.strip, row), strict=True):
            if field in self._lists:
                payload.setdefault(field, []).extend(_entries(cell))
            elif field in HINTS:
                payload[field] = payload.get(field) or cell or None
            elif field and (cell or field != "id"):
                payload[field] = cell or None
        _first_company(payload)
        values: Record = self._schema.load(payload)
        return values


def _entries(cell: str) -> Iterator[str]:
    """The addresses or domains in a cell; a comma separates where there is an address on either side."""
    for text in filter(None, map(str.strip, SEPARATOR.split(cell))):
        parts = split_addresses([text])
        yield from map(str.strip, parts) if all(map(normalize_address, parts)) else [text]


def _first_company(payload: dict[str, Any]) -> None:
    """Of several companies in one cell the first: HubSpot puts semicolons between them, and Google colons."""
    ids = re.split(r"[;,]", payload.get("companySourceId") or "")
    if len(ids) > 1:
        payload["companySourceId"] = ids[0].strip()
    if name := payload.get("companyName"):
        payload["companyName"] = (SEPARATOR if len(ids) > 1 else re.compile(" ::: ")).split(name)[0].strip()


class _Cards:
    """A file of vCards."""

    def __init__(self, lines: Iterator[str], kind: Kind, report: Report) -> None:
        if kind.name != "contact":
            raise click.ClickException("These are cards of people: import them with `contacts import`.")
        self._lines, self._schema, self._report = lines, kind.schema, report
        self.found = {"firstName", "lastName", "emailAddresses", *HINTS}

    def rows(self) -> Iterator[Item]:
        begin = 0
        try:
            for begin, card in vcard.cards(self._lines):
                if vcard.is_group(card):
                    self._report(f"line {begin}: it is a group, which is left out.")
                else:
                    yield load_item(f"line {begin}", self._load, card)
        except UnicodeError:
            yield Item(f"line {begin}", Rejected("behind this card the file is no text; it was not read"))

    def _load(self, card: Any) -> Record:
        payload = vcard.as_row(card)
        _check_text([text for found in card.values() for one in found for text in one])
        values: Record = self._schema.load(payload)
        return values


def _check_text(row: Sequence[str]) -> None:
    found = NOT_TEXT.search("".join(row))
    if found:
        reason = "it holds a NUL character" if found[0] == "\0" else "it is not UTF-8"
        raise ValueError(f"{reason}: {_ADVICE}")
