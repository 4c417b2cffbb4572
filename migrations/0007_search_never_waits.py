"""What waits for the search index never takes long, nor does a merge of it.

A mail of more than LARGE characters is indexed at once, with what waits. From 16 pieces of a size on they are merged a
bit with each mail (0004); at as many, by default, all were merged at once, for which mails waited 50 to 150 ms
(https://sqlite.org/fts5.html, 6.2).
"""

from peewee import Database
from playhouse.migrate import SchemaMigrator

MOST = 16  # mails that wait, as in 0005
LARGE = 100_000

_COLUMNS = "subject, people, text_body, html_text"
_LAST = "coalesce((SELECT max(id) FROM email_search_docsize), 0)"
_INDEXED = "EXISTS (SELECT 1 FROM email_search_docsize WHERE id = old.id)"
_IS_LARGE = f"{' + '.join(f'coalesce(length(new.{name}), 0)' for name in _COLUMNS.split(', '))} > {LARGE}"
_TAKE_OUT = f"""INSERT INTO email_search (email_search, rowid, {_COLUMNS})
    SELECT 'delete', old.id, old.subject, old.people, old.text_body, old.html_text WHERE {_INDEXED}"""
_PUT_IN = f"INSERT INTO email_search (rowid, {_COLUMNS}) SELECT id, {_COLUMNS} FROM email WHERE id > {_LAST}"
STATEMENTS = (
    "DROP TRIGGER email_search_insert",
    "DROP TRIGGER email_search_update",
    f"CREATE TRIGGER email_search_insert AFTER INSERT ON email WHEN new.id >= {_LAST} + {MOST} OR {_IS_LARGE} "
    f"BEGIN {_PUT_IN}; END",
    f"CREATE TRIGGER email_search_update AFTER UPDATE OF {_COLUMNS} ON email WHEN {_INDEXED} OR {_IS_LARGE} "
    f"BEGIN {_TAKE_OUT}; {_PUT_IN} OR id = old.id; END",
    "INSERT INTO email_search (email_search, rank) VALUES ('crisismerge', 64)",
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    if db.table_exists("email_search"):  # not where the emails are kept in somebody else's tables
        for statement in STATEMENTS:
            db.execute_sql(statement)
