"""Who did what: the token of each change, and the calls that were refused.

A frozen copy of the tables: what comes later goes into a script of its own. No reference to the table of tokens: what
somebody did stays known when his token is deleted.
"""

from peewee import Database, IntegerField, Model, TextField
from playhouse.migrate import SchemaMigrator, migrate

from database import NeverReusedId


class Refusal(Model):
    seq = NeverReusedId()
    at = TextField(index=True)
    status = IntegerField()
    method = TextField()
    route = TextField()
    address = TextField()
    token_id = IntegerField(null=True)


def up(migrator: SchemaMigrator, db: Database) -> None:
    with db.bind_ctx([Refusal]):
        db.create_tables([Refusal])
    if db.table_exists("change"):  # not where the records are kept in somebody else's tables
        migrate(migrator.add_column("change", "token_id", IntegerField(null=True)))
