"""The tables: every table, column, key and index of the connector, stated once. A new database is made from them.

    company ◄── company_domain          a domain as written, and normalized, by which it is looked up
       ▲
    contact ◄── contact_address         an address as written, and normalized
                     ┆ equal
    email ◄──── recipient               sender and recipients, as written and normalized
       ▲ ▲ ◄─── link                    the CRM's records and the domains that an email belongs to
       │ └───── copy                    what each mailbox's copy said otherwise, and its msgId
       └─────── email_words             full text
    user                                whose mailboxes are watched
    change                              what was created, changed and deleted, in order

    token, refusal                      the connector's own: who may call, who was refused
    session                             who is signed in to the pages, or may sign in by a link
    withheld, secret                    what must not come back, as hashes, and their key
    never_log, retention                what is never logged, and how long emails are kept
    call_count, unmatched               how many calls each user's token made; addresses that nobody knew
    backup                              when the last copy was made

Arrows are foreign keys. Contacts and emails are joined where their normalized addresses are equal, and never by copies
of ids: a contact who is added today has the emails of last year.

A CRM whose tables are laid out alike changes `table_name` and `column_name` here, and nothing else. One whose tables
differ replaces modules of `store/`; see docs/own-tables.md.

Times are RFC 3339 texts in UTC with microseconds (`2026-01-31T09:30:00.000000Z`): always 27 characters, so they sort as
they read, on every database, and go out as they are.
"""

from peewee import (
    SQL,
    BooleanField,
    CompositeKey,
    Field,
    ForeignKeyField,
    IntegerField,
    JSONField,
    Model,
    SqliteDatabase,
    TextField,
)
from playhouse.sqlite_ext import FTS5Model, SearchField

from database import NeverReusedId, db, declare


class Table(Model):
    """What all tables have in common."""

    class Meta:
        database = db
        legacy_table_names = False


# ---- the CRM's records ----------------------------------------------------------------------------------------------


class Company(Table):
    """A company, under the CRM's own id."""

    id = TextField(primary_key=True)
    name = TextField(null=True)
    name_key = TextField()  # the name, normalized; "" where there is none
    created_at = TextField()
    updated_at = TextField()

    class Meta:
        without_rowid = True
        indexes = ((("updated_at", "id"), False), (("name_key", "id"), False))


class CompanyDomain(Table):
    """A domain of a company: as written, and normalized, by which it is looked up (NULL for what is no domain)."""

    company = ForeignKeyField(Company, on_delete="CASCADE", index=False)
    position = IntegerField()
    text = TextField()
    normalized = TextField(null=True)

    class Meta:
        primary_key = CompositeKey("company", "position")
        without_rowid = True
        indexes = ((("normalized", "company"), False),)


class Contact(Table):
    """A person whom the CRM knows, under the CRM's own id."""

    id = TextField(primary_key=True)
    first_name = TextField(null=True)
    last_name = TextField(null=True)
    name_key = TextField()  # both, normalized; "" where there is none
    company = ForeignKeyField(Company, null=True, on_delete="SET NULL")
    created_at = TextField()
    updated_at = TextField()

    class Meta:
        without_rowid = True
        indexes = ((("updated_at", "id"), False), (("name_key", "id"), False))


class ContactAddress(Table):
    """An address of a contact: as written, and normalized, by which it is looked up (NULL for what is no address)."""

    contact = ForeignKeyField(Contact, on_delete="CASCADE", index=False)
    position = IntegerField()
    text = TextField()
    normalized = TextField(null=True)

    class Meta:
        primary_key = CompositeKey("contact", "position")
        without_rowid = True
        indexes = ((("normalized", "contact"), False),)


class User(Table):
    """A person whose mailbox is watched."""

    id = TextField(primary_key=True)
    org_id = TextField()
    name = TextField(null=True)
    email = TextField()
    normalized = TextField(unique=True)
    timezone = TextField()
    created_at = TextField()

    class Meta:
        table_name = "crm_user"  # "user" is a reserved word of PostgreSQL


class Email(Table):
    """An email: its fields, and what lists show of it.

    Small columns come first: so a list is read without the pages that the bodies fill.
    """

    id = NeverReusedId()
    at = TextField()  # receivedAt, else createdAt: the place in every list
    msg_id = TextField(null=True)
    rfc822_msg_id = TextField(null=True)
    message_key = TextField(null=True, unique=True)  # rfc822_msg_id, normalized
    sync_thread_id = TextField(null=True)
    thread_key = TextField(null=True)  # sync_thread_id, normalized
    thread = TextField(null=True)  # a hash that all emails of a conversation have: store/emails.py says of what
    in_reply_to = TextField(null=True)
    received_at = TextField(null=True)
    created_at = TextField()
    updated_at = TextField()
    from_name = TextField(null=True)
    has_attachments = BooleanField()
    subject = TextField(null=True)
    snippet = TextField(null=True)
    related_to = JSONField(null=True)
    text_body = TextField(null=True)
    html_text = TextField(null=True)  # the words of html_body
    html_body = TextField(null=True)
    attachments = JSONField(null=True)
    more_recipients = JSONField(null=True)  # roles and texts, where an email has thousands
    withheld = TextField(null=True)  # why only ids and time are here: deleted (it had more before), rule (NeverLog)
    removed = JSONField(null=True)  # what a PATCH or PUT took away, as hashes: a copy does not bring it back

    class Meta:
        indexes = ((("at", "id", "withheld", "has_attachments"), False), (("thread", "at", "id"), False))


class Recipient(Table):
    """The sender or a recipient of an email: as written, and normalized (NULL for what is no address).

    Of an entry with several addresses the further ones are rows behind those of the list, without a text.
    """

    email = ForeignKeyField(Email, on_delete="CASCADE", index=False)
    role = TextField()  # from, to, cc, bcc
    position = IntegerField()
    text = TextField(null=True)
    normalized = TextField(null=True)
    at = TextField()  # the email's: an address has its emails in the order of time

    class Meta:
        primary_key = CompositeKey("email", "role", "position")
        without_rowid = True
        indexes = ((("normalized", "at", "email", "role"), False),)


class Link(Table):
    """What an email belongs to: a record of the CRM, by an entry of its relatedTo, with the type in lower case; and as
    the type Domain each domain of its sender and recipients, and those above it."""

    email = ForeignKeyField(Email, on_delete="CASCADE", index=False)
    type = TextField()
    record_id = TextField()
    at = TextField()  # the email's

    class Meta:
        primary_key = CompositeKey("email", "type", "record_id")
        without_rowid = True
        indexes = ((("type", "record_id", "at", "email"), False),)


class Copy(Table):
    """A copy of an email as a mailbox has it: whose it is, and what it says otherwise.

    A row without `logged_at` only records a msgId that a PATCH gave to the email, by which it is found as well.
    """

    email = ForeignKeyField(Email, on_delete="CASCADE", index=False)
    digest = TextField()  # of all that was sent: the same copy once more has no second row
    copy_key = TextField(null=True)  # its msgId, normalized
    msg_id = TextField(null=True)
    user_id = TextField(null=True)  # whose token it came with; no foreign key, as for tokens
    logged_at = TextField(null=True)
    contents = JSONField()  # hashes of what tells emails apart, in the order of crm.identity.COMPARED
    differs = JSONField(null=True)  # the fields in which it disagreed with the record when it was logged

    class Meta:
        primary_key = CompositeKey("email", "digest")
        without_rowid = True
        indexes = ((("copy_key", "email"), False),)


class Change(Table):
    """The change feed. A deleted record leaves its id here and nothing else."""

    seq = NeverReusedId()
    at = TextField()
    type = TextField()  # email, contact, company
    record_id = TextField()
    action = TextField()  # created, changed, deleted
    token_id = IntegerField(null=True)  # no foreign key: what a token did stays known when it is deleted


# For lists with what was deleted since; other changes are not in it, and do not pay for it.
Change.add_index(Change.type, Change.at, Change.record_id, where=SQL("action = 'deleted'"), name="change_deleted")


class EmailWords(FTS5Model):
    """Full text on SQLite, by email id: the words that store/words.py has split; the texts are not kept twice.

    To take an email out, the same words are given again (https://sqlite.org/fts5.html, 4.4.2 Contentless Tables).
    """

    subject = SearchField()
    people = SearchField()
    text_body = SearchField()
    html_text = SearchField()

    class Meta:
        database = db
        table_name = "email_words"
        options = {"content": "", "tokenize": "ascii"}  # a word is what stands between spaces


class TextSearchVector(Field):
    """PostgreSQL's type of a text's words and their places."""

    field_type = "TSVECTOR"


class EmailVector(Table):
    """Full text on PostgreSQL: the same words."""

    email = ForeignKeyField(Email, on_delete="CASCADE", primary_key=True)
    words = TextSearchVector(index=True, index_type="GIN")

    class Meta:
        table_name = "email_words"


# ---- the connector's own --------------------------------------------------------------------------------------------


class Token(Table):
    """Who may call, and what. The token itself is stored nowhere, only its SHA-256."""

    id = NeverReusedId()
    sha256 = TextField(unique=True)
    user_id = TextField()  # no foreign key: users may be kept in somebody else's tables
    scope = TextField()  # sync, admin
    label = TextField(null=True)
    created_at = TextField()
    expires_at = TextField(null=True)
    revoked_at = TextField(null=True)
    last_used_at = TextField(null=True)  # to the hour or so


class Refusal(Table):
    """A call that was refused; of many alike, a sample."""

    seq = NeverReusedId()
    at = TextField(index=True)
    status = IntegerField()
    method = TextField()
    route = TextField()
    address = TextField()  # where it came from
    token_id = IntegerField(null=True)
    times = IntegerField()  # such calls of this address or token within the hour: 1, 10, 100 …


class Session(Table):
    """Somebody signed in to the pages, or a link by which one may sign in once. Only the SHA-256 of the secret is here.

    Both end with the token that they were made with.
    """

    sha256 = TextField(primary_key=True)
    token = ForeignKeyField(Token, on_delete="CASCADE")
    is_link = BooleanField()
    created_at = TextField()
    expires_at = TextField()  # of a session moved on while it is used

    class Meta:
        without_rowid = True


class Withheld(Table):
    """An email that was deleted or erased, and must not come back: a row for each msgId of its copies.

    Nothing in it can be read: all of it is hashes with the key of `Secret`.
    """

    seq = NeverReusedId()
    email = TextField(index=True)  # the id that the record had
    message_key = TextField(null=True, index=True)
    copy_key = TextField(null=True, index=True)
    contents = JSONField()
    reason = TextField()  # deleted, erased, retention
    at = TextField()


class Secret(Table):
    """The key of all hashes, in one row, made with the first email. A backup has it, so that they hold on return."""

    key = TextField(primary_key=True)

    class Meta:
        without_rowid = True


class NeverLog(Table):
    """A rule of what is never logged: with whom."""

    id = NeverReusedId()
    kind = TextField()  # address, domain, internal
    key = TextField(unique=True)  # normalized address or domain; of the rule for internal emails ""
    domains = JSONField()  # of that one: our own
    unless_known = BooleanField()  # it is logged where another contact takes part
    reason = TextField(null=True)
    created_at = TextField()


class Retention(Table):
    """How long emails are kept, in one row; none: for ever."""

    after = TextField(primary_key=True)  # such as 3y
    keep_linked = BooleanField()  # what has a relatedTo stays

    class Meta:
        without_rowid = True


class Backup(Table):
    """When `flask backup` made the last copy, in one row; none: never."""

    at = TextField(primary_key=True)

    class Meta:
        without_rowid = True


class CallCount(Table):
    """How often a user's token of scope sync made a call on a day (UTC), by its outcome."""

    day = TextField()
    user_id = TextField()  # no foreign key, as for tokens
    status = IntegerField()
    call = TextField()  # method and route; empty for calls that succeeded, except POST /api/v1/emails
    times = IntegerField()
    last_at = TextField()

    class Meta:
        primary_key = CompositeKey("day", "user_id", "status", "call")
        without_rowid = True


class Unmatched(Table):
    """An address that was looked up with a token of scope sync, and that no contact had then."""

    address = TextField(primary_key=True)  # normalized
    times = IntegerField()
    last_at = TextField(index=True)
    users = JSONField()  # the ids of those who asked, at most web.unmatched.MOST_USERS
    ignored = BooleanField()

    class Meta:
        without_rowid = True


# The list begins with what was asked for most.
Unmatched.add_index(Unmatched.times.desc(), Unmatched.address, name="unmatched_times")


RECORDS = [Company, CompanyDomain, Contact, ContactAddress, User, Email, Recipient, Link, Copy, Change]
OWN = [Token, Refusal, Session, Withheld, Secret, NeverLog, Retention, Backup, CallCount, Unmatched]


def tables() -> list[type[Model]]:
    """The tables of the database that is open, each after those that it refers to."""
    return [*RECORDS, EmailWords if isinstance(db.obj, SqliteDatabase) else EmailVector, *OWN]


declare(tables)
