"""The search index is written for some mails at once: each for itself was a third of what it costs to log one.

A mail waits in the backlog until MOST wait, or somebody searches (`database.full_text`), which empties it. Whoever
takes a row out of the backlog thereby indexes the mail. What is not indexed must not be taken out of the index, which
would damage it (https://sqlite.org/fts5.html, 4.4.3 External Content Tables).
"""

from peewee import Database
from playhouse.migrate import SchemaMigrator

MOST = 16  # of 32 or 64 each would cost 3 % less, and the search that comes first would wait twice as long

_COLUMNS = "subject, people, text_body, html_text"
_OLD = "old.subject, old.people, old.text_body, old.html_text"
_WAITS = "EXISTS (SELECT 1 FROM email_search_backlog WHERE email_id = old.id)"
_TAKE_OUT = f"INSERT INTO email_search (email_search, rowid, {_COLUMNS}) SELECT 'delete', old.id, {_OLD}"

STATEMENTS = (
    "CREATE TABLE email_search_backlog (email_id INTEGER NOT NULL PRIMARY KEY)",
    "DROP TRIGGER email_search_insert",
    "DROP TRIGGER email_search_update",
    "DROP TRIGGER email_search_delete",
    "CREATE TRIGGER email_search_insert AFTER INSERT ON email BEGIN "
    "INSERT INTO email_search_backlog VALUES (new.id); END",
    f"CREATE TRIGGER email_search_update AFTER UPDATE OF {_COLUMNS} ON email WHEN NOT {_WAITS} BEGIN {_TAKE_OUT}; "
    "INSERT INTO email_search_backlog VALUES (old.id); END",
    f"CREATE TRIGGER email_search_delete AFTER DELETE ON email BEGIN {_TAKE_OUT} WHERE NOT {_WAITS}; "
    "DELETE FROM email_search_backlog WHERE email_id = old.id; END",
    "CREATE TRIGGER email_search_index AFTER DELETE ON email_search_backlog BEGIN "
    f"INSERT INTO email_search (rowid, {_COLUMNS}) SELECT id, {_COLUMNS} FROM email WHERE id = old.email_id; END",
    "CREATE TRIGGER email_search_enough AFTER INSERT ON email_search_backlog "
    f"WHEN (SELECT count(*) FROM email_search_backlog) >= {MOST} BEGIN DELETE FROM email_search_backlog; END",
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    if db.table_exists("email_search"):  # not where the emails are kept in somebody else's tables
        for statement in STATEMENTS:
            db.execute_sql(statement)
