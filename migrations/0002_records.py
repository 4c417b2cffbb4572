"""The CRM's records.  Whoever puts his own tables behind `models` deletes this script before the first start.

A frozen copy of the tables: what comes later goes into a script of its own.

Times are RFC 3339 texts in UTC with microseconds (`2026-01-31T09:30:00.000000Z`): always 27 characters, so they sort
as they read, on every database, and go out as they are.
"""

from peewee import (
    BooleanField,
    CompositeKey,
    Database,
    ForeignKeyField,
    IntegerField,
    JSONField,
    Model,
    SqliteDatabase,
    TextField,
)
from playhouse.migrate import SchemaMigrator

from database import NeverReusedId


class Address(Model):
    id = NeverReusedId()
    folded = TextField(unique=True)


class Company(Model):
    id = TextField(primary_key=True)
    name = TextField(null=True)
    created_at = TextField()
    updated_at = TextField()

    class Meta:
        indexes = ((("updated_at", "id"), False),)


class CompanyDomain(Model):
    company = ForeignKeyField(Company, on_delete="CASCADE", index=False)
    position = IntegerField()
    text = TextField()
    folded = TextField(null=True)

    class Meta:
        table_name = "company_domain"
        primary_key = CompositeKey("company", "position")
        without_rowid = True
        indexes = ((("folded", "company"), False),)


class Contact(Model):
    id = TextField(primary_key=True)
    first_name = TextField(null=True)
    last_name = TextField(null=True)
    company = ForeignKeyField(Company, null=True, on_delete="SET NULL")
    created_at = TextField()
    updated_at = TextField()

    class Meta:
        indexes = ((("updated_at", "id"), False),)


class ContactAddress(Model):
    contact = ForeignKeyField(Contact, on_delete="CASCADE", index=False)
    position = IntegerField()
    text = TextField()
    address = ForeignKeyField(Address, null=True, index=False)

    class Meta:
        table_name = "contact_address"
        primary_key = CompositeKey("contact", "position")
        without_rowid = True
        indexes = ((("address", "contact"), False),)


class User(Model):
    id = TextField(primary_key=True)
    org_id = TextField()
    name = TextField(null=True)
    email = TextField()
    folded = TextField(unique=True)
    timezone = TextField()
    created_at = TextField()

    class Meta:
        table_name = "crm_user"  # "user" is a reserved word of PostgreSQL


class Email(Model):
    # Small columns first: what a list needs is read without the pages that the bodies fill.
    id = NeverReusedId()
    at = TextField()
    msg_id = TextField(null=True)
    rfc822_msg_id = TextField(null=True)
    rfc822_key = TextField(null=True, unique=True)
    sync_thread_id = TextField(null=True)
    thread_key = TextField(null=True)
    in_reply_to = TextField(null=True)
    received_at = TextField(null=True)
    created_at = TextField()
    updated_at = TextField()
    from_name = TextField(null=True)
    has_attachments = BooleanField()
    subject = TextField(null=True)
    snippet = TextField(null=True)
    people = TextField()
    related_to = JSONField(null=True)
    text_body = TextField(null=True)
    html_text = TextField(null=True)
    html_body = TextField(null=True)
    attachments = JSONField(null=True)

    class Meta:
        indexes = ((("at", "id"), False), (("thread_key", "at", "id"), False))


class Recipient(Model):
    email = ForeignKeyField(Email, on_delete="CASCADE", index=False)
    role = TextField()
    position = IntegerField()
    text = TextField()
    address = ForeignKeyField(Address, null=True, index=False)
    at = TextField()

    class Meta:
        primary_key = CompositeKey("email", "role", "position")
        without_rowid = True
        indexes = ((("address", "at", "email", "role"), False),)


class Relation(Model):
    email = ForeignKeyField(Email, on_delete="CASCADE", index=False)
    type = TextField()
    record_id = TextField()
    at = TextField()

    class Meta:
        primary_key = CompositeKey("email", "type", "record_id")
        without_rowid = True
        indexes = ((("type", "record_id", "at", "email"), False),)


class Sighting(Model):
    msg_key = TextField()
    email = ForeignKeyField(Email, on_delete="CASCADE")

    class Meta:
        primary_key = CompositeKey("msg_key", "email")
        without_rowid = True


class Change(Model):
    seq = NeverReusedId()
    at = TextField()
    type = TextField()
    record_id = TextField()
    action = TextField()


TABLES = [
    Address,
    Company,
    CompanyDomain,
    Contact,
    ContactAddress,
    User,
    Email,
    Recipient,
    Relation,
    Sighting,
    Change,
]


def up(migrator: SchemaMigrator, db: Database) -> None:
    with db.bind_ctx(TABLES):
        db.create_tables(TABLES)
    for statement in FULL_TEXT if isinstance(db, SqliteDatabase) else FULL_TEXT_POSTGRESQL:
        db.execute_sql(statement)


# The search index keeps no second copy of the texts: it reads them from the email's own row, and these triggers keep
# the two in step within the transaction (https://sqlite.org/fts5.html, 4.4.3 External Content Tables).
_COLUMNS = "subject, people, text_body, html_text"
_OLD = f"""INSERT INTO email_search (email_search, rowid, {_COLUMNS})
    VALUES ('delete', old.id, old.subject, old.people, old.text_body, old.html_text);"""
_NEW = f"""INSERT INTO email_search (rowid, {_COLUMNS})
    VALUES (new.id, new.subject, new.people, new.text_body, new.html_text);"""
FULL_TEXT = (
    f"CREATE VIRTUAL TABLE email_search USING fts5({_COLUMNS}, content='email', content_rowid='id', "
    "tokenize='unicode61 remove_diacritics 2')",
    f"CREATE TRIGGER email_search_insert AFTER INSERT ON email BEGIN {_NEW} END",
    f"CREATE TRIGGER email_search_delete AFTER DELETE ON email BEGIN {_OLD} END",
    f"CREATE TRIGGER email_search_update AFTER UPDATE OF {_COLUMNS} ON email BEGIN {_OLD} {_NEW} END",
)
# With PostgreSQL the words are a column, which whoever writes the row fills (`database.indexed`).
FULL_TEXT_POSTGRESQL = (
    "ALTER TABLE email ADD COLUMN words tsvector",
    "CREATE INDEX email_words ON email USING gin (words)",
)
