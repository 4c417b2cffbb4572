"""Queries that are written with Peewee's builder and rendered to SQL once.

    READ = Prepared(lambda: Contact.select().where(Contact.id == param("id")))
    for row in READ(id="42"): …

To render a query costs 200 to 500 µs, to run one that was rendered 10. So a query is built at its first use, with the
places of its values left open, and from then on its SQL is run as it is. What a call gives are plain tuples.

SQLite and PostgreSQL differ in `is_any`, `each` and `json_list` below, and in nothing else that a query is made of.
"""

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from json import dumps
from operator import itemgetter
from typing import Any

from peewee import SQL, Cast, Select, SqliteDatabase, Value, __exception_wrapper__, fn, logger  # type: ignore[attr-defined]

from database.common import db

Row = tuple[Any, ...]
_Fill = Callable[[Mapping[str, Any]], Sequence[Any]]


class _Param:
    """The place of a value that each call gives."""

    def __init__(self, name: str) -> None:
        self.name = name


def param(name: str) -> Any:
    """The place of a value in a query; each call gives the value by this name, as the driver takes it."""
    return Value(_Param(name), converter=False)


class Prepared:
    """A query that is rendered to SQL at its first use, and from then on only run."""

    def __init__(self, build: Callable[[], Any]) -> None:
        self._build = build  # a function: a query may depend on the kind of database, which is not known at import
        self._rendered: tuple[Any, str, _Fill] = (None, "", tuple)

    def __call__(self, **values: Any) -> list[Row]:
        """All rows. A list among the values is for `is_any`."""
        cursor = self.run(**values)
        with __exception_wrapper__:  # a damaged page may be one that only a later row needs
            found: list[Row] = cursor.fetchall()
        return found

    def run(self, **values: Any) -> Any:
        """Run it and give the cursor: for `rowcount`."""
        sql, fill = self._statement()
        return db.execute_sql(sql, fill(values))

    def first(self, **values: Any) -> Row | None:
        """The first row, if there is one."""
        found = self(**values)
        return found[0] if found else None

    def each(self, **values: Any) -> Generator[Row, None, None]:
        """The rows one by one, as all together may be too large for the memory. Close it to be given no more."""
        sql, fill = self._statement()
        with __exception_wrapper__:
            yield from db.stream(sql, fill(values))

    def many(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Run it once for each of many rows of values."""
        sql, fill = self._statement()
        given = [fill(row) for row in rows]
        if given:
            logger.debug((sql, given))  # as Peewee does with the others
            with __exception_wrapper__:
                db.cursor().executemany(sql, given)

    def _statement(self) -> "tuple[str, _Fill]":
        known, sql, fill = self._rendered
        if known is not db.obj.__class__:
            sql, parameters = self._build().sql()
            fill = _filler(parameters)
            self._rendered = db.obj.__class__, sql, fill
        return sql, fill


def _filler(parameters: list[Any]) -> _Fill:
    """What makes the parameters of a statement of the values by their names: each statement of each call does it."""
    fixed = {str(place): one for place, one in enumerate(parameters) if not isinstance(one, _Param)}
    names = [one.name if isinstance(one, _Param) else str(place) for place, one in enumerate(parameters)]
    if fixed:
        fill = _filler([_Param(name) for name in names])
        return lambda values: fill({**fixed, **values})
    pick = itemgetter(*names) if len(names) > 1 else lambda values: [values[name] for name in names]
    if on_sqlite():
        return lambda values: [dumps(one) if one.__class__ is list else one for one in pick(values)]
    return lambda values: list(pick(values))


def on_sqlite() -> bool:
    """Whether the database that is open is SQLite's; else it is PostgreSQL's."""
    return isinstance(db.obj, SqliteDatabase)


def is_any(column: Any, name: str) -> Any:
    """Whether a column has any of a list of values: one parameter, so one statement serves lists of every length."""
    if on_sqlite():
        values, value = each(name)
        return column.in_(Select((values,), (value,)))
    return column == fn.ANY(param(name))


def each(name: str) -> tuple[Any, Any]:
    """A list of texts that a call gives, as a source of rows, and the column with the value."""
    if on_sqlite():
        return fn.json_each(param(name)).alias("each"), SQL('"each"."value"')
    return fn.unnest(Cast(param(name), "text[]")).alias("each"), SQL('"each"."each"')


def json_list(rows: Select, *columns: Any) -> Any:
    """The rows of a query, in its order, as one column with a JSON list: of values, or of lists for several columns.

    NULL or "[]" where there are none.
    """
    inner = rows.select(*columns).alias("entry")
    fields = [getattr(inner.c, column.column_name) for column in columns]
    entry = fields[0] if len(fields) == 1 else (fn.json_array if on_sqlite() else fn.json_build_array)(*fields)
    return Select((inner,), (json_group(entry),))


def json_group(value: Any) -> Any:
    """The values of a group (GROUP BY) as one column with a JSON list."""
    return (fn.json_group_array if on_sqlite() else fn.json_agg)(value)
