"""`flask restore`: back to a copy of the database, without giving out an id twice, and telling readers of the feed."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from glob import escape
from pathlib import Path
from shlex import quote
from shutil import copyfile
from typing import Any, NamedTuple

import click
from flask import current_app
from flask.cli import with_appcontext
from peewee import JOIN, Case, Table, Value

import database
from clock import later, now
from commands.common import Refused, say
from commands.consistency import problems
from database.copies import KEPT, UNDER_WAY
from models import Change, Company, Contact, Email
from terminal import LINES, printable, program

_MAY_BE_GIVEN = 1_000_000  # ids and numbers that a database which can't be read any more may have given since


class Restored(NamedTuple):
    """Where the old database is kept, if there was one, and whether it could be compared with what was restored."""

    kept: Path | None
    compared: bool


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--despite-problems", is_flag=True, help="Take a FILE whose tables do not agree with one another.")
@with_appcontext
def restore(file: Path, despite_problems: bool) -> None:
    """Go back to FILE, a copy that `backup` made. The service may run, unless the database is damaged.

    The copy is brought up to date and checked first, and the old database is kept. While it is being replaced, no mail
    is taken: BrightSync sends it again. Stop the service where the database is of another version than this program.
    """
    if not current_app.config["DATABASE_URL"].startswith("sqlite:"):
        raise click.ClickException("Go back to a dump of a PostgreSQL database with its own pg_restore.")
    path = database.locate(current_app.config["DATABASE_URL"])
    try:
        done = go_back(path, file, despite_problems)
    except Refused as error:
        raise click.ClickException(f"Nothing was replaced. {printable(str(error), keep=LINES)}") from None
    except OSError as error:
        raise click.ClickException(f"Nothing was replaced. {error.strerror}.") from None
    say(f"{path} is now a copy of {file}.")
    if done.kept:
        back = f"{program()} restore {quote(str(done.kept))}"
        say(f"The old one is kept: {done.kept}\nTo go back to it: {back}", keep=LINES)
    say(
        f"""
What came after the copy was made is undone:
- a token that was revoked since is valid again; see: {program()} token list
- a person who was erased since is here again; erase them once more: {program()} person erase ADDRESS
- mail that was logged since is missing""",
        keep=LINES,
    )
    if done.compared:
        say("No id is given again, and programs that read /changes are told of each record that is not as it was.")
    else:
        say("The old database could not be read: let programs that read /changes begin again at 0.")


def go_back(path: Path, file: Path, despite: bool = False) -> Restored:
    """Make the database at `path` hold what `file` does, a copy of it.

    The copy is brought up to date and checked beside the database, before that is touched; `despite` takes one whose
    tables do not agree. A process that is killed at any moment leaves the old database or the new one, whole. The
    service may run: see `database.overwrite`. Raises Refused, and OSError.
    """
    if not file.is_file():
        raise Refused(f"There is no file {file}.")
    if path.exists() and file.samefile(path):
        raise Refused(f"{file} is the database itself.")
    if not path.parent.parent.is_dir():  # else a mistyped DATABASE_URL would look like a database that went back
        raise Refused(f"There is no folder {path.parent.parent}. DATABASE_URL names it.")
    path.parent.mkdir(exist_ok=True, mode=0o700)  # on a new machine, instance/ is not there yet
    new = path.with_name(path.name + UNDER_WAY)
    kept = path.with_name(f"{path.name}{KEPT}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}")
    compared = False

    def complete(old: Path | None) -> None:
        nonlocal compared
        with _as_one_file(new):
            compared = _go_on(old)

    with _only_restore(path.parent):
        try:
            _remove(new)
            _prepare(file, new, path, despite)
            was_there = database.overwrite(path, new, kept, complete)
            return Restored(kept if was_there else None, compared)
        except BlockingIOError:
            raise Refused("The database is damaged, or of another version, and somebody uses it. Stop that.") from None
        except (*database.Unusable, sqlite3.Error) as error:
            raise Refused(f"{database.reason_of(error)}.") from None
        finally:
            database.stop()
            _remove(new)


@contextmanager
def _only_restore(folder: Path) -> Iterator[None]:
    """Only one restore at a time: two would use each other's files. What a killed one has left is removed."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        flock(handle, LOCK_EX | LOCK_NB)
        yield
    except BlockingIOError:
        raise Refused("Another restore is under way.") from None
    finally:
        os.close(handle)


def _prepare(file: Path, new: Path, path: Path, despite: bool) -> None:
    """Make the file whose content is taken: whole, of the present schema, and checked."""
    size = sum(part.stat().st_size for part in database.parts(file))
    kept = sum(part.stat().st_size for part in database.parts(path))
    database.check_room(new.parent, 2 * size + kept if kept else size)  # this file, the log by which it is taken
    for part in database.parts(file):  # with its log, which a backup does not have
        copy = Path(f"{new}{part.name.removeprefix(file.name)}")
        os.close(database.open_private(copy))
        copyfile(part, copy)
    try:
        with _as_one_file(new):
            database.start(f"sqlite:///{new}")
            found = problems()
            if found and not despite:
                raise Refused("\n".join([f"{file} is not good enough:", *found]))
    except database.Unusable as error:
        raise Refused(f"{database.reason_of(error)}.".replace(str(new), str(file))) from None


@contextmanager
def _as_one_file(new: Path) -> Iterator[None]:
    """Within it the new file is the database; afterwards it has no log, and is on the disk."""
    database.attach(f"sqlite:///{new}")
    try:
        yield
        database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        database.rows("PRAGMA journal_mode = delete")
    finally:
        database.stop()
    with new.open("rb") as handle:
        os.fsync(handle.fileno())


def _remove(path: Path) -> None:
    for part in path.parent.glob(f"{escape(path.name)}*"):
        part.unlink()


# ---- ids and the change feed ----------------------------------------------------------------------------------------


def _go_on(old: Path | None) -> bool:
    """Let ids and the change feed of the new file go on where the old database has ended; False where that can't be
    read. Nobody writes to it meanwhile."""
    if old:
        database.db.attach(str(old), "old")
        with suppress(*database.Unavailable):  # of another version, it may lack a table or a column
            with database.db.atomic():
                database.raise_last_ids("old")
                _tell_of_differences()
            return True
    with database.db.atomic():
        database.raise_last_ids(more=_MAY_BE_GIVEN)
        for kind, model in _records():
            _append(kind, model.id, Value("changed"), model.select())
    return False


def _records() -> list[tuple[str, Any]]:
    """The tables of the records of which the feed tells; others may be a CRM's own."""
    kinds = {"company": Company, "contact": Contact, "email": Email} if database.db.table_exists(Change) else {}
    return [(kind, model) for kind, model in kinds.items() if database.db.table_exists(model)]


def _tell_of_differences() -> None:
    """The feed becomes the old one, with what the restore does to the records as its newest entries.

    So it does not matter how far a reader has got: all that it knows is an earlier state of the old database.
    """
    if database.db.table_exists(Change):
        columns = list(Change._meta.columns)
        Change.delete().execute()
        Change.insert_from(Table("change", columns, schema="old").select(), columns).execute()
    for kind, new in _records():
        old: Any = Table(new._meta.table_name, ["id", "updated_at"], schema="old")
        action = Case(None, [(old.id.is_null(), "created")], "changed")
        both = new.select().join(old, JOIN.LEFT_OUTER, on=(old.id == new.id))
        _append(kind, new.id, action, both.where(old.id.is_null() | (old.updated_at != new.updated_at)))
        _append(kind, old.id, Value("deleted"), old.select().where(old.id.not_in(new.select(new.id))))


def _append(kind: str, record_id: Any, action: Any, records: Any) -> None:
    newest = Change.select(Change.at).order_by(Change.seq.desc()).limit(1).scalar()
    entries = records.select(Value(later(newest) if newest else now()), Value(kind), record_id.cast("text"), action)
    Change.insert_from(entries, [Change.at, Change.type, Change.record_id, Change.action]).execute()
