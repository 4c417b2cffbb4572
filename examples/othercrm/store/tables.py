"""EspoCRM 9's tables, as pwiz writes them, without the columns that are not needed here; and one of the connector's.

    python -m pwiz -e mysql -H localhost -u espocrm -P -t contact,lead,account,user,… espocrm

EspoCRM has no foreign keys, so the models have none: an id is a text of 17 characters.
"""

from typing import Any

from peewee import (
    AutoField,
    BooleanField,
    CharField,
    CompositeKey,
    DateTimeField,
    Model,
    TextField,
)

from models import Table

from .crm import crm


class Long(TextField):
    """A text of up to 16 MiB."""

    field_type = "MEDIUMTEXT"


class Row(Model):
    """What the CRM's tables have in common."""

    deleted: Any = BooleanField(default=False, null=True)

    class Meta:
        database = crm


class Account(Row):
    id = CharField(max_length=17, primary_key=True)
    name = CharField(max_length=249, null=True)
    website = CharField(null=True)
    created_at = DateTimeField(null=True)
    modified_at = DateTimeField(null=True)

    class Meta:
        table_name = "account"


class Contact(Row):
    id = CharField(max_length=17, primary_key=True)
    first_name = CharField(max_length=100, null=True)
    last_name = CharField(max_length=100, null=True)
    account_id = CharField(max_length=17, index=True, null=True)
    created_at = DateTimeField(null=True)
    modified_at = DateTimeField(null=True)

    class Meta:
        table_name = "contact"


class AccountContact(Row):
    id = AutoField()
    account_id = CharField(max_length=17, null=True)
    contact_id = CharField(max_length=17, index=True, null=True)

    class Meta:
        table_name = "account_contact"
        indexes = ((("account_id", "contact_id"), True),)


class Lead(Row):
    id = CharField(max_length=17, primary_key=True)
    first_name = CharField(max_length=100, null=True)
    last_name = CharField(max_length=100, null=True)
    status = CharField(default="New", null=True)
    created_account_id = CharField(max_length=17, index=True, null=True)
    created_at = DateTimeField(null=True)
    modified_at = DateTimeField(null=True)

    class Meta:
        table_name = "lead"


class User(Row):
    id = CharField(max_length=17, primary_key=True)
    user_name = CharField(max_length=50, null=True)
    type = CharField(max_length=24, default="regular", null=True)
    first_name = CharField(max_length=100, null=True)
    last_name = CharField(max_length=100, null=True)
    is_active = BooleanField(default=True)
    created_at = DateTimeField(null=True)
    modified_at = DateTimeField(null=True)

    class Meta:
        table_name = "user"


class EmailAddress(Row):
    id = CharField(max_length=17, primary_key=True)
    name = CharField(null=True)
    lower = CharField(index=True, null=True)
    invalid = BooleanField(default=False)
    opt_out = BooleanField(default=False)

    class Meta:
        table_name = "email_address"


class EntityEmailAddress(Row):
    id = AutoField()
    entity_id = CharField(max_length=17, index=True, null=True)
    email_address_id = CharField(max_length=17, index=True, null=True)
    entity_type = CharField(max_length=100, null=True)
    primary = BooleanField(default=False, null=True)

    class Meta:
        table_name = "entity_email_address"
        indexes = ((("entity_id", "email_address_id", "entity_type"), True),)


class Email(Row):
    id = CharField(max_length=17, primary_key=True)
    name = CharField(null=True)
    from_string = CharField(null=True)
    message_id = CharField(index=True, null=True)
    body_plain = Long(null=True)
    body = Long(null=True)
    is_html = BooleanField(default=True)
    status = CharField(default="Archived", null=True)
    date_sent = DateTimeField(index=True, null=True)
    from_email_address_id = CharField(max_length=17, index=True, null=True)
    parent_id = CharField(max_length=17, null=True)
    parent_type = CharField(max_length=100, null=True)
    created_at = DateTimeField(null=True)
    modified_at = DateTimeField(null=True)

    class Meta:
        table_name = "email"


class EmailEmailAddress(Row):
    id = AutoField()
    email_id = CharField(max_length=17, index=True, null=True)
    email_address_id = CharField(max_length=17, index=True, null=True)
    address_type = CharField(max_length=4, null=True)

    class Meta:
        table_name = "email_email_address"
        indexes = ((("email_id", "email_address_id", "address_type"), True),)


CRM: list[Any] = [Account, Contact, AccountContact, Lead, User]
CRM += [EmailAddress, EntityEmailAddress, Email, EmailEmailAddress]


class Seen(Table):
    """What the CRM's tables said of a record when the connector last wrote or met it: in the connector's database."""

    kind = TextField()  # contact, company
    id = TextField()
    record = TextField()

    class Meta:
        primary_key = CompositeKey("kind", "id")
