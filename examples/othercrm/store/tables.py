"""The CRM's tables, as pwiz wrote them, but for the first lines; and those that the connector adds.

    python -m pwiz -o -e sqlite -t accounts,contacts,leads,users,… crm.db

Instead of a database of its own, each model is bound to the connector's: one file, one kind of connection, one writer
at a time. What a CRM has no place for is in the tables whose names begin with connector_.
"""

from peewee import (
    SQL,
    BooleanField,
    CharField,
    CompositeKey,
    ForeignKeyField,
    IntegerField,
    Model,
    TextField,
)

from database import db


class MomentField(TextField):
    """A time: `2026-01-31 09:30:00`, with microseconds where it has some, is `2026-01-31T09:30:00.000000Z` to `crm`."""

    field_type = "DATETIME"

    def db_value(self, value: str | None) -> str | None:
        return value and value.replace("T", " ").removesuffix("Z").removesuffix(".000000")

    def python_value(self, value: str | None) -> str | None:
        return value and f"{value[:19].replace(' ', 'T')}.{value[20:]:0<6}Z"


class BaseModel(Model):
    class Meta:
        database = db


class Accounts(BaseModel):
    id = CharField(max_length=36, primary_key=True)
    name = CharField(null=True)
    website = CharField(null=True)
    date_entered = MomentField()
    date_modified = MomentField()
    deleted = BooleanField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        table_name = "accounts"


class ConnectorDomains(BaseModel):
    account = ForeignKeyField(column_name="account_id", field="id", model=Accounts)
    position = IntegerField()
    text = TextField()
    normalized = CharField(index=True, max_length=998, null=True)

    class Meta:
        table_name = "connector_domains"
        indexes = ((("account", "position"), True),)
        primary_key = CompositeKey("account", "position")


class Emails(BaseModel):
    id = CharField(max_length=36, primary_key=True)
    name = CharField(null=True)
    message_id = CharField(index=True, null=True)
    date_sent = MomentField(null=True)
    date_entered = MomentField()
    date_modified = MomentField()
    deleted = BooleanField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        table_name = "emails"


class ConnectorEmails(BaseModel):
    email = ForeignKeyField(column_name="email_id", field="id", model=Emails, primary_key=True)
    thread_key = CharField(index=True, max_length=998, null=True)
    withheld = BooleanField()
    sent = TextField()

    class Meta:
        table_name = "connector_emails"


class ConnectorCopies(BaseModel):
    email = ForeignKeyField(column_name="email_id", field="id", model=Emails)
    digest = CharField(max_length=32)
    msg_key = CharField(index=True, max_length=998, null=True)
    msg_id = TextField(null=True)
    user_id = CharField(max_length=36, null=True)
    logged_at = CharField(max_length=27, null=True)
    contents = TextField()
    differs = TextField(null=True)

    class Meta:
        table_name = "connector_copies"
        indexes = ((("email", "digest"), True),)
        primary_key = CompositeKey("email", "digest")


class Contacts(BaseModel):
    id = CharField(max_length=36, primary_key=True)
    first_name = CharField(null=True)
    last_name = CharField(null=True)
    account = ForeignKeyField(column_name="account_id", field="id", model=Accounts, null=True)
    date_entered = MomentField()
    date_modified = MomentField()
    deleted = BooleanField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        table_name = "contacts"


class EmailAddresses(BaseModel):
    id = CharField(max_length=36, primary_key=True)
    address = CharField()
    address_lower = CharField(index=True)
    opt_out = BooleanField(constraints=[SQL("DEFAULT 0")])
    deleted = BooleanField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        table_name = "email_addresses"


class EmailAddressLinks(BaseModel):
    id = CharField(max_length=36, primary_key=True)
    email_address = ForeignKeyField(column_name="email_address_id", field="id", model=EmailAddresses)
    bean_module = CharField(max_length=100)
    bean_id = CharField(max_length=36)
    primary_address = BooleanField(constraints=[SQL("DEFAULT 0")])
    deleted = BooleanField(constraints=[SQL("DEFAULT 0")])
    connector_text = TextField(null=True)
    connector_position = IntegerField(null=True)

    class Meta:
        table_name = "email_address_links"
        indexes = ((("bean_id", "bean_module"), False),)


class EmailBeans(BaseModel):
    id = CharField(max_length=36, primary_key=True)
    email = ForeignKeyField(column_name="email_id", field="id", model=Emails)
    bean_module = CharField(max_length=100)
    bean_id = CharField(max_length=36)
    deleted = BooleanField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        table_name = "email_beans"
        indexes = ((("bean_id", "bean_module"), False),)


class EmailRecipients(BaseModel):
    id = CharField(max_length=36, primary_key=True)
    email = ForeignKeyField(column_name="email_id", field="id", model=Emails)
    email_address = ForeignKeyField(column_name="email_address_id", field="id", model=EmailAddresses)
    address_type = CharField(max_length=4)
    deleted = BooleanField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        table_name = "email_recipients"


class EmailsText(BaseModel):
    email = ForeignKeyField(column_name="email_id", field="id", model=Emails, primary_key=True)
    from_addr = CharField(null=True)
    to_addrs = TextField(null=True)
    cc_addrs = TextField(null=True)
    bcc_addrs = TextField(null=True)
    description = TextField(null=True)
    description_html = TextField(null=True)

    class Meta:
        table_name = "emails_text"


class Leads(BaseModel):
    id = CharField(max_length=36, primary_key=True)
    first_name = CharField(null=True)
    last_name = CharField(null=True)
    account = ForeignKeyField(column_name="account_id", field="id", model=Accounts, null=True)
    date_entered = MomentField()
    date_modified = MomentField()
    deleted = BooleanField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        table_name = "leads"


class Notes(BaseModel):
    id = CharField(max_length=36, primary_key=True)
    filename = CharField(null=True)
    file_mime_type = CharField(max_length=100, null=True)
    parent_type = CharField(max_length=100, null=True)
    parent_id = CharField(max_length=36, null=True)
    date_entered = MomentField()
    date_modified = MomentField()
    deleted = BooleanField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        table_name = "notes"
        indexes = ((("parent_id", "parent_type"), False),)


class Users(BaseModel):
    id = CharField(max_length=36, primary_key=True)
    first_name = CharField(null=True)
    last_name = CharField(null=True)
    time_zone = CharField(max_length=64, null=True)
    date_entered = MomentField()
    date_modified = MomentField()
    deleted = BooleanField(constraints=[SQL("DEFAULT 0")])

    class Meta:
        table_name = "users"
