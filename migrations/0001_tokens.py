"""The connector's own records, which stay when `models` is replaced.

A frozen copy of the table: what comes later goes into a script of its own. Times are texts, as in the next script.
"""

from peewee import Database, Model, TextField
from playhouse.migrate import SchemaMigrator

from database import NeverReusedId


class Token(Model):
    id = NeverReusedId()
    sha256 = TextField(unique=True)
    user_id = TextField()
    scope = TextField()
    label = TextField(null=True)
    created_at = TextField()
    expires_at = TextField(null=True)
    revoked_at = TextField(null=True)


def up(migrator: SchemaMigrator, db: Database) -> None:
    with db.bind_ctx([Token]):
        db.create_tables([Token])
