"""The search index merges its pieces later: each commit adds one, and to merge by four cost 17 % of logging a mail."""

from peewee import Database
from playhouse.migrate import SchemaMigrator


def up(migrator: SchemaMigrator, db: Database) -> None:
    if db.table_exists("email_search"):  # not where the emails are kept in somebody else's tables
        # 4 is the default, 16 the most: https://sqlite.org/fts5.html, 6.1
        db.execute_sql("INSERT INTO email_search (email_search, rank) VALUES ('automerge', 16)")
