"""The search index is written for some mails at once: each for itself was a third of what it costs to log one.

New mails wait until there are MOST, or somebody searches (`database.full_text`). As ids only grow, these are the mails
behind the last one that is indexed, and FTS5 has a row in `docsize` for each of those. What is not in the index must
not be taken out of it, which would damage it (https://sqlite.org/fts5.html, 4.4.3 External Content Tables).
"""

from peewee import Database
from playhouse.migrate import SchemaMigrator

MOST = 16  # with 32 or 64 a mail would cost 3 % less, and the search that comes first would wait twice as long

_COLUMNS = "subject, people, text_body, html_text"
_LAST = "coalesce((SELECT max(id) FROM email_search_docsize), 0)"
_INDEXED = "EXISTS (SELECT 1 FROM email_search_docsize WHERE id = old.id)"
_TAKE_OUT = f"""INSERT INTO email_search (email_search, rowid, {_COLUMNS})
    VALUES ('delete', old.id, old.subject, old.people, old.text_body, old.html_text);"""
_PUT_IN = f"INSERT INTO email_search (rowid, {_COLUMNS}) SELECT id, {_COLUMNS} FROM email WHERE id"
STATEMENTS = (
    "DROP TRIGGER email_search_insert",
    "DROP TRIGGER email_search_update",
    "DROP TRIGGER email_search_delete",
    f"CREATE TRIGGER email_search_insert AFTER INSERT ON email WHEN new.id >= {_LAST} + {MOST} "
    f"BEGIN {_PUT_IN} > {_LAST}; END",
    f"CREATE TRIGGER email_search_update AFTER UPDATE OF {_COLUMNS} ON email WHEN {_INDEXED} "
    f"BEGIN {_TAKE_OUT} {_PUT_IN} = old.id; END",
    f"CREATE TRIGGER email_search_delete AFTER DELETE ON email WHEN {_INDEXED} BEGIN {_TAKE_OUT} END",
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    if db.table_exists("email_search"):  # not where the emails are kept in somebody else's tables
        for statement in STATEMENTS:
            db.execute_sql(statement)
