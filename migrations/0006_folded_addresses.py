"""Addresses stand, folded, where they are looked up, as domains do: to a contact by address is three walks down a tree.

It was five, of which none is short in a database that has outgrown the caches: the address's number, by that the
contact's id, by that the contact's row number, the row, its addresses. A mail that is logged asks for no numbers first.
"""

from peewee import Database, SqliteDatabase
from playhouse.migrate import SchemaMigrator

_SQLITE = (
    """CREATE TABLE new_contact (
        id TEXT NOT NULL PRIMARY KEY,
        first_name TEXT,
        last_name TEXT,
        company_id TEXT REFERENCES company (id) ON DELETE SET NULL,
        created_at TEXT NOT NULL,
        updated_at TEXT NOT NULL
    ) WITHOUT ROWID""",
    """INSERT INTO new_contact
        SELECT id, first_name, last_name, company_id, created_at, updated_at FROM contact ORDER BY id""",
    """CREATE TABLE new_contact_address (
        contact_id TEXT NOT NULL REFERENCES contact (id) ON DELETE CASCADE,
        position INTEGER NOT NULL,
        text TEXT NOT NULL,
        folded TEXT,
        PRIMARY KEY (contact_id, position)
    ) WITHOUT ROWID""",
    """INSERT INTO new_contact_address SELECT contact_id, position, text,
        (SELECT folded FROM address WHERE id = address_id) FROM contact_address ORDER BY contact_id, position""",
    """CREATE TABLE new_recipient (
        email_id INTEGER NOT NULL REFERENCES email (id) ON DELETE CASCADE,
        role TEXT NOT NULL,
        position INTEGER NOT NULL,
        text TEXT NOT NULL,
        folded TEXT,
        at TEXT NOT NULL,
        PRIMARY KEY (email_id, role, position)
    ) WITHOUT ROWID""",
    """INSERT INTO new_recipient SELECT email_id, role, position, text,
        (SELECT folded FROM address WHERE id = address_id), at FROM recipient ORDER BY email_id, role, position""",
    # References are off while a migration runs (playhouse.migrate): nothing goes with what is dropped.
    "DROP TABLE recipient",
    "DROP TABLE contact_address",
    "DROP TABLE contact",
    "ALTER TABLE new_contact RENAME TO contact",
    "ALTER TABLE new_contact_address RENAME TO contact_address",
    "ALTER TABLE new_recipient RENAME TO recipient",
    "CREATE INDEX contact_company_id ON contact (company_id)",
    "CREATE INDEX contact_updated_at_id ON contact (updated_at, id)",
)
_POSTGRESQL = tuple(
    statement
    for table in ("contact_address", "recipient")
    for statement in (
        f'ALTER TABLE {table} ADD COLUMN folded TEXT COLLATE "C"',
        f"UPDATE {table} SET folded = address.folded FROM address WHERE address.id = {table}.address_id",
        f"ALTER TABLE {table} DROP COLUMN address_id",
    )
)
_BOTH = (
    "CREATE INDEX contact_address_folded_contact_id ON contact_address (folded, contact_id)",
    "CREATE INDEX recipient_folded_at_email_id_role ON recipient (folded, at, email_id, role)",
    "DROP TABLE address",
)


def up(migrator: SchemaMigrator, db: Database) -> None:
    made = "SELECT 1 FROM schema_migration WHERE name = '0002_records'"
    if db.execute_sql(made).fetchone():  # else an address table is somebody else's
        for statement in (*(_SQLITE if isinstance(db, SqliteDatabase) else _POSTGRESQL), *_BOTH):
            db.execute_sql(statement)
