"""Full text: which emails have which words.

On PostgreSQL the words of an email are stored with it. On SQLite that would be a third of what it costs to log one; so
sixteen emails are indexed at a time, after the last of them was logged, and a search looks through those that wait by
itself. It writes nothing and waits for nobody.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from peewee import SQL, Cast, Expression, Select, Table, fn

from database import execute
from database.query import Prepared, on_sqlite, param
from models import Email, EmailVector, EmailWords
from store.values import MOST_RECIPIENTS, Draft
from store.words import Phrase, Search, for_fts5, matches, split_texts

AT_A_TIME = 16  # emails; with 32 or 64 to log one costs 3 % less, and a search looks through twice as many by itself
_LONGEST_NAMES = 100_000  # characters, as many as 2,000 addresses have
LARGE = 100_000  # characters: a larger email is indexed at once, so that no search has to look through it

Words = Any  # what `words` makes of an email's texts: as the database reads them

_NAMES = ("subject", "people", "text_body", "html_text")
_INDEXED = Table("email_words_docsize")  # FTS5's own table: a row for each email that is indexed
_LAST = Prepared(lambda: _INDEXED.select(fn.COALESCE(fn.MAX(_INDEXED.c.id), 0)))
_IS_INDEXED = Prepared(lambda: _INDEXED.select(_INDEXED.c.id).where(_INDEXED.c.id == param("id")))
_PUT_IN = Prepared(
    lambda: EmailWords.insert({EmailWords.rowid: param("id")} | {getattr(EmailWords, n): param(n) for n in _NAMES})
)
_STRAYS = Prepared(lambda: _INDEXED.select(_INDEXED.c.id).where(_INDEXED.c.id.not_in(Email.select(Email.id))))
# How many words each text has (https://sqlite.org/fts5.html, 2.3.4).
_SIZES = Prepared(lambda: _INDEXED.select(_INDEXED.c.sz).where(_INDEXED.c.id == param("id")))
_IS_FOUND = Prepared(
    lambda: EmailWords.select(EmailWords.rowid).where(EmailWords.match(param("match")), EmailWords.rowid == param("id"))
)
_HAS_VECTOR = Prepared(
    lambda: EmailVector.select(EmailVector.email).where(
        EmailVector.email == param("id"), EmailVector.words == Cast(param("words"), "tsvector")
    )
)
# A command of FTS5, for which Peewee has no word: https://sqlite.org/fts5.html, 6.3
_TAKE_OUT = f"INSERT INTO email_words (email_words, rowid, {', '.join(_NAMES)}) VALUES ('delete', ?, ?, ?, ?, ?)"

_WRITE_VECTOR = Prepared(
    lambda: EmailVector.insert(email=param("id"), words=Cast(param("words"), "tsvector")).on_conflict(
        conflict_target=[EmailVector.email], preserve=[EmailVector.words]
    )
)


def texts_of(record: dict[str, Any]) -> list[str | None]:
    """The texts of an email in which a search finds words: subject, names and addresses, both bodies."""
    people = [record["fromName"], record["fromAddress"]]
    people += [text for name in ("toAddresses", "ccAddresses", "bccAddresses") for text in record[name]]
    names = "\n".join(filter(None, people[: MOST_RECIPIENTS + 1]))[:_LONGEST_NAMES]
    return [record["subject"], names, record["textBody"], record["htmlText"]]


# ---- the index ------------------------------------------------------------------------------------------------------


def prepare(old: Draft | None, new: Draft | None) -> None:
    """Split what has to be split, before the write lock is taken."""
    if new and old and texts_of(old.record) == texts_of(new.record):
        return
    if not on_sqlite():
        drafts = [new]
    else:  # a new email waits; and what is not indexed by now may be, by the time that it is written
        drafts = [old, new] if old else []
    for draft in filter(None, drafts):
        draft.words = words(texts_of(draft.record))


def words(texts: Sequence[str | None]) -> Words:
    """The texts of an email as they are indexed."""
    return for_fts5(texts) if on_sqlite() else vector(split_texts(texts))


def insert(row_id: int, new: Draft) -> None:
    """A new email: on SQLite it waits."""
    if new.words is not None:
        put_in(row_id, new.words)


def update(row_id: int, old: Draft, new: Draft) -> None:
    """An email has other words."""
    if new.words is None:
        return
    if on_sqlite():
        if not _IS_INDEXED(id=row_id):
            return
        _take_out(row_id, old)
    put_in(row_id, new.words)


def delete(row_id: int, old: Draft) -> None:
    """An email goes. On PostgreSQL its words go with the row."""
    if on_sqlite() and _IS_INDEXED(id=row_id):
        _take_out(row_id, old)


def last_indexed() -> int:
    """On SQLite the row of the last email that is indexed: those behind it wait."""
    return int(_LAST()[0][0])


def strays() -> list[int]:
    """The rows that are indexed, and are no emails any more. On PostgreSQL a foreign key sees to it."""
    return [row_id for (row_id,) in _STRAYS()] if on_sqlite() else []


def has_words(row_id: int, texts: Sequence[str | None]) -> bool:
    """Whether an email with these texts is found by their words, and by no others; one that waits is.

    On SQLite it is asked how many words each text has in the index, and for the longest: to ask for each would take
    minutes for ten thousand emails.
    """
    split = split_texts(texts)
    if not on_sqlite():
        return bool(_HAS_VECTOR(id=row_id, words=vector(split)))
    sizes = _SIZES.first(id=row_id)
    if sizes is None:
        return row_id > last_indexed()
    if sizes[0] != b"".join(_varint(len(words)) for words in split):
        return False
    longest = ((name, max(words, key=len)) for name, words in zip(_NAMES, split, strict=True) if words)
    return all(_IS_FOUND(id=row_id, match=f'{name} : "{word}"') for name, word in longest)


def _varint(number: int) -> bytes:
    """https://sqlite.org/fileformat2.html#varint, of a number below 2 ** 56"""
    rest = _varint(number >> 7) if number > 127 else b""
    return bytes(byte | 128 for byte in rest) + bytes([number & 127])


def put_in(row_id: int, words: Words) -> None:
    """Index an email, of whose texts `words` has made this. On SQLite it must not be in the index yet."""
    if on_sqlite():
        _PUT_IN.run(id=row_id, **dict(zip(_NAMES, words, strict=True)))
    else:
        _WRITE_VECTOR.run(id=row_id, words=words)


def _take_out(row_id: int, old: Draft) -> None:
    if old.words is None:
        raise AssertionError("prepare() was not called")
    execute(_TAKE_OUT, [row_id, *old.words])


# ---- searching ------------------------------------------------------------------------------------------------------


def found() -> Any:
    """The query for the ids of the emails that have the words of a search; its values are those of `values`."""
    if on_sqlite():
        indexed = EmailWords.select(EmailWords.rowid.alias("id")).where(EmailWords.match(param("match")))
        waiting, row_id = _waiting()
        return indexed.union_all(Select((waiting,), (row_id,)))
    # OFFSET 0: all that are found, and then in order. The server takes a rare word to be in one email of 200, and would
    # walk through all emails in the order of time: 8 s at a million, for 2 ms.
    return EmailVector.select(EmailVector.email.alias("id")).where(_HAS_WORDS).offset(0)


def is_found(row_id: Any) -> Any:
    """The condition that one email has the words; it is tested email by email, so only where these are few."""
    if on_sqlite():
        own = EmailWords.select(SQL("1")).where(EmailWords.match(param("match")), EmailWords.rowid == row_id)
        waiting, waiting_id = _waiting()
        return fn.EXISTS(own) | row_id.in_(Select((waiting,), (waiting_id,)))
    return EmailVector.select(_HAS_WORDS).where(EmailVector.email == row_id)


def is_common(search: Search, values: Mapping[str, Any]) -> bool:
    """Whether so many emails have the words that to put them in order would take long. Of beginnings it is not asked:
    on SQLite, to test one email for these takes as long as to find all."""
    if any(phrase.beginning for phrase in search.wanted + search.unwanted):
        return False
    return len(_SOME(match=values["match"], limit=_MANY + 1)) > _MANY


def _waiting() -> tuple[Any, Any]:
    """What waits and was found without the index, as a source of rows, and the column with the email's id."""
    return fn.json_each(param("waiting")).alias("each"), SQL('"each"."value"')


_HAS_WORDS = Expression(EmailVector.words, "@@", Cast(param("match"), "tsquery"))
_MANY = 3_000  # emails: 10 ms
_SOME = Prepared(
    lambda: (
        EmailWords.select(EmailWords.rowid).where(EmailWords.match(param("match")))
        if on_sqlite()
        else EmailVector.select(EmailVector.email).where(_HAS_WORDS)
    ).limit(param("limit"))
)


def values(search: Search, waiting: Mapping[int, Sequence[str]]) -> dict[str, Any]:
    """The values of `found`; `waiting` has the words of the emails that are not indexed yet, by their rows."""
    if not on_sqlite():
        return {"match": _tsquery(search)}
    return {"match": _fts5(search), "waiting": [row_id for row_id, texts in waiting.items() if matches(search, texts)]}


def _fts5(search: Search) -> str:
    """https://sqlite.org/fts5.html, 3"""

    def written(phrase: Phrase) -> str:
        return f'"{" ".join(phrase.words)}"{"*" * phrase.beginning}'

    unwanted = " OR ".join(map(written, search.unwanted))
    return " AND ".join(map(written, search.wanted)) + (f" NOT ({unwanted})" if unwanted else "")


def _tsquery(search: Search) -> str:
    """https://www.postgresql.org/docs/current/datatype-textsearch.html"""

    def written(phrase: Phrase) -> str:
        words = " <-> ".join(f"'{word}'" for word in phrase.words)
        return f"({words}{':*' * phrase.beginning})"

    return " & ".join([*map(written, search.wanted), *(f"!{written(phrase)}" for phrase in search.unwanted)])


# What a tsvector holds (https://www.postgresql.org/docs/current/textsearch-limitations.html). Of a text that is larger,
# the first words are found in phrases too, those that follow alone, and what comes after 1 MB of words not at all.
_ROOM = 1_000_000  # bytes
_LAST_PLACE = 16_383
_MOST_PLACES = 255  # of one word


def vector(texts: list[list[str]]) -> str:
    """The words of an email and their places, as PostgreSQL reads them."""
    places: dict[str, list[str]] = {}
    place, room = 0, _ROOM
    for words in texts:
        place += 1  # no phrase goes from one text to the next
        for word in words:
            place += 1
            if word not in places:
                room -= len(word.encode()) + 4
                if room < 0:
                    break
                places[word] = []
            if place < _LAST_PLACE and len(places[word]) < _MOST_PLACES:
                places[word].append(str(place))
                room -= 2
    return " ".join(f"'{word}':{','.join(at)}" if at else f"'{word}'" for word, at in places.items())
