"""The wire format, and nothing else: what is taken, what is returned, and with that the OpenAPI description.

`load` validates what comes in. What goes out is chosen and ordered, not converted: the verbs of `crm` give values
as the wire has them (`Wire.dump`).
"""

from collections.abc import Mapping
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, post_load, pre_load, validate

from crm.matching import normalize_address, split_addresses
from crm.records import MOST_ENTRIES, BadRecord
from web.fields import (
    Entries,
    Instant,
    InstantFilter,
    Name,
    Position,
    Recipient,
    RecordId,
    Related,
    Text,
    Texts,
    about,
    entry,
)

MOST_ADDRESSES = 200  # distinct ones in one look-up


class Wire(Schema):
    """A shape on the wire. Unknown fields are ignored: a client that learns a new one must not stop logging."""

    class Meta:
        unknown = EXCLUDE

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        """The schema's fields of a record, and no other: nothing gets out that the description does not show.

        Takes a mapping, or any object with such attributes; several of them where `many`.
        """
        if self.many if many is None else many:
            return [self.dump(one, many=False) for one in obj]
        if isinstance(obj, Mapping):
            try:
                return {name: obj[name] for name in self.dump_fields}
            except KeyError:
                missing = ", ".join(name for name in self.dump_fields if name not in obj)
                raise BadRecord(f"without {missing}") from None
        return {name: getattr(obj, name) for name in self.dump_fields}


class Identified(Wire):
    """A record that the CRM has an id for."""

    id = fields.String(metadata=about("The id of the record.", "1"))


class Returned(Wire):
    """A shape that is returned: each of its fields is always there."""

    def on_bind_field(self, field_name: str, field_obj: Any) -> None:
        field_obj.required = True


class Whole(Wire):
    """A shape of which all is set: what is not sent is null, or an empty list."""

    @post_load
    def complete(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        for name, field in self.load_fields.items():
            if name not in data and name != "id":
                data[name] = [] if isinstance(field, Entries | Related) else None
        return data


class Versioned(Returned):
    """A record as it is returned, with its times."""

    createdAt = Instant("When the record was made.")
    updatedAt = Instant("When the record was last changed.")


# ---- emails ---------------------------------------------------------------------------------------------------------

_JOHN = "John <john@brightsync.example>"
_FILE = {
    "id": "1",
    "name": "offer.pdf",
    "mimeType": "application/pdf",
    "size": 8,
    "inline": False,
    "contentId": None,
    "contentLocation": None,
    "content": "JVBERi0xLjQ=",
}
_FILES = "Commonly id, name, mimeType, size, inline, contentId, contentLocation, content (base64); other keys are kept."
_RELATED = "The CRM's records that the email belongs to: one object or a list of them, commonly with type and id."


class EmailFields(Wire):
    """What is known of an email; all of it is optional."""

    msgId = Text("The id of this copy in its mailbox.", "18c2f0a9d1e4")
    syncThreadId = Text("The id of the thread.", "18c2f0a9d1e0")
    inReplyTo = Text("The Message-ID of the email that this one answers.", "<first@mail.acme.example>")
    receivedAt = Instant("When the email was received; no offset means UTC.", allow_none=True)
    rfc822MsgId = Text("The Internet Message-ID: what makes two copies one email.", "<hello@mail.acme.example>")
    subject = Text("The subject.", "Offer 4711")
    fromAddress: Any = Recipient("The sender's address, to the letter.", allow_none=True)
    fromName = Text("The sender's name.", "Jane Doe")
    toAddresses: Any = Entries(
        Recipient(allow_none=True), "The recipients, each to the letter and in order.", examples=[[_JOHN]]
    )
    ccAddresses: Any = Entries(
        Recipient(allow_none=True), "The recipients of a copy.", examples=[["carol@acme.example"]]
    )
    bccAddresses: Any = Entries(
        Recipient(allow_none=True), "The recipients of a blind copy.", examples=[["dave@acme.example"]]
    )
    textBody = Text("The body as plain text, to the letter.", "Dear John,\r\nsee the offer attached.")
    htmlBody = Text("The body as HTML, to the letter: make it safe where you show it.", "<p>Dear John,</p>")
    attachments: Any = Entries(fields.Dict(allow_none=True), _FILES, examples=[[_FILE]])
    relatedTo: Any = Related(_RELATED, allow_none=True)


class EmailIn(Whole, EmailFields):
    """An email to be logged, or to be put in the place of one."""


class EmailPut(EmailIn):
    """An email to be put in the place of one, which keeps its ids where they are not named."""

    @post_load(pass_original=True)
    def keep_ids(self, data: dict[str, Any], original: Any, **kwargs: Any) -> dict[str, Any]:
        return {name: value for name, value in data.items() if name in original or name not in _IDS}


_IDS = ("msgId", "rfc822MsgId")


class EmailPatch(EmailFields):
    """The fields of an email that are to change; a list is replaced whole."""


class Email(Versioned, EmailFields, Identified):
    """An email as it is returned: null for a value that is not known, an empty list for a list."""

    fromAddress = Text("The sender's address, to the letter.", "jane@acme.example")
    toAddresses = Texts("The recipients, each to the letter and in order.", _JOHN)
    ccAddresses = Texts("The recipients of a copy.", "carol@acme.example")
    bccAddresses = Texts("The recipients of a blind copy.", "dave@acme.example")
    attachments = fields.List(fields.Dict(), metadata=about(_FILES, [_FILE]))
    relatedTo = Related(_RELATED)


class EmailCopy(Returned):
    """A copy of an email as one mailbox has it."""

    msgId = Text("The id of the copy in its mailbox.", "18c2f0a9d1e4")
    userId = Text("The user whose token it came with; null for an import.", "1")
    loggedAt = Instant("When it was logged.")
    differs = fields.Dict(
        allow_none=True,
        metadata=about(
            "The fields in which it says otherwise than the record did then, with its own values; of "
            "lists the entries that the record did not have to the letter, and of files no content that it had. "
            "null for none.",
            {"subject": "[EXT] Offer 4711"},
        ),
    )


class EmailHead(Email):
    """An email without bodies and attachments."""

    class Meta(Wire.Meta):
        exclude = ("textBody", "htmlBody", "attachments")

    snippet = fields.String(metadata=about("The beginning of what the email adds.", "Dear John, see"))
    hasAttachments = fields.Boolean(metadata=about("Whether there are files; images in the text are none.", True))


class TimelineEntry(EmailHead):
    """An email of a contact or company."""

    roles = fields.List(
        fields.String(validate=validate.OneOf(["from", "to", "cc", "bcc", "relatedTo"])),
        metadata=about("Why the email is here.", ["from"]),
    )


class Thread(Returned, Identified):
    """A conversation."""

    id = fields.String(metadata=about("The id of its first email.", "1"))
    subject = Text("The subject of its first email.", "Offer 4711")
    participants = Texts("The normalized addresses of its newest emails, sorted, at most 50.", "jane@acme.example")
    count = fields.Integer(metadata=about("How many emails it has.", 3))
    firstAt = Instant("When its first email was received.")
    lastAt = Instant("When its last email was received.")


# ---- contacts, companies, users -------------------------------------------------------------------------------------


class Identifiable(Wire):
    """A record that may be sent with the CRM's own id; null means none."""

    id: Any = RecordId("The CRM's own id.", allow_none=True)

    @pre_load
    def without_null_id(self, data: Any, **kwargs: Any) -> Any:
        null = isinstance(data, Mapping) and data.get("id", "") is None
        return {name: value for name, value in data.items() if name != "id"} if null else data


class ContactFields(Wire):
    """What is known of a person; all of it is optional."""

    firstName = Name("The first name.", "Jane")
    lastName = Name("The last name.", "Doe")
    emailAddresses: Any = Entries(
        entry(),
        "The addresses, as written; the first is the primary one.",
        MOST_ENTRIES,
        examples=[["jane@acme.example"]],
    )
    companyId: Any = RecordId("The id of the contact's company.", None, allow_none=True)


class ContactIn(Whole, ContactFields):
    """A contact to be put under an id."""


class ContactNew(Identifiable, ContactIn):
    """A contact to be found or created; without an id it is given one."""


class ContactPatch(ContactFields):
    """The fields of a contact that are to change; the list is replaced whole."""


class Contact(Versioned, ContactFields, Identified):
    """A contact as it is returned."""

    emailAddresses = Texts("The addresses, as written; the first is the primary one.", "jane@acme.example")
    companyId = Text("The id of the contact's company.", "1")


class CompanyFields(Wire):
    """What is known of a company; all of it is optional."""

    name = Name("The name.", "Acme Ltd")
    domains: Any = Entries(entry(), "The domains, as written.", MOST_ENTRIES, examples=[["acme.example"]])


class CompanyIn(Whole, CompanyFields):
    """A company to be put under an id."""


class CompanyNew(Identifiable, CompanyIn):
    """A company to be found or created; without an id it is given one."""


class CompanyPatch(CompanyFields):
    """The fields of a company that are to change; the list is replaced whole."""


class Company(Versioned, CompanyFields, Identified):
    """A company as it is returned."""

    domains = Texts("The domains, as written.", "acme.example")


class Listed(Returned):
    """A record of a list; one that was deleted has its id, when that was, and `deleted`, and nothing else."""

    deleted = fields.Boolean(metadata=about("That it was deleted; of others it is missing."))

    def on_bind_field(self, field_name: str, field_obj: Any) -> None:
        field_obj.required = field_name in ("id", "updatedAt")

    def dump(self, obj: Any, *, many: bool | None = None) -> Any:
        if self.many if many is None else many:
            return [self.dump(one, many=False) for one in obj]
        return {name: obj[name] for name in self.dump_fields if name in obj}


class ListedContact(Listed, Contact):
    """A contact of a list, or what is left of one that was deleted."""


class ListedCompany(Listed, Company):
    """A company of a list, or what is left of one that was deleted."""


class User(Returned, Identified):
    """A person whose mailbox is watched."""

    orgId = fields.String(metadata=about("The id of the organisation.", "default"))
    name = Text("The name.", "John Smith")
    email = fields.String(metadata=about("The address.", "john@brightsync.example"))
    timezone = fields.String(metadata=about("The time zone (IANA).", "Europe/Berlin"))


class UserPatch(Wire):
    """The fields of a user that are to change."""

    name = Name("The name.", "John Smith")
    email = fields.String(metadata=about("The address.", "john.smith@brightsync.example"))
    timezone = fields.String(metadata=about("The time zone (IANA).", "Europe/Berlin"))


class Change(Returned):
    """A record that was created, changed or deleted."""

    seq = fields.Integer(metadata=about("The place in the order of all changes.", 17))
    at = Instant("When it happened.")
    type = fields.String(
        validate=validate.OneOf(["email", "contact", "company"]), metadata=about("What the record is.")
    )
    id = fields.String(metadata=about("The id of the record.", "42"))
    action = fields.String(
        validate=validate.OneOf(["created", "changed", "deleted"]), metadata=about("What happened to it.")
    )


class NeverLogFields(Wire):
    """A rule of what is never logged."""

    kind = fields.String(
        required=True,
        validate=validate.OneOf(["address", "domain", "internal"]),
        metadata=about(
            "address: this one takes part. domain: somebody at it, or below it. internal: everybody is "
            "a user or has one of the domains.",
            "address",
        ),
    )
    value = Name("The address or domain; null for internal.", "jane@private.example")
    domains: Any = Entries(
        entry(),
        "Of internal: our own domains. Where none is sent, those of the users' addresses, without free mail.",
        MOST_ENTRIES,
        examples=[[]],
    )
    unlessKnown = fields.Boolean(
        metadata=about(
            "Whether an email is logged all the same where another known contact takes part, who is no user.", False
        )
    )
    reason = Name("Why.", "Private")


class NeverLogRuleIn(NeverLogFields):
    """A rule to be added."""

    @post_load
    def complete(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        return {"value": None, "domains": [], "unlessKnown": False, "reason": None, **data}


class NeverLogRule(Returned, NeverLogFields, Identified):
    """A rule of what is never logged, as it is returned; the value and the domains are normalized."""

    domains = Texts("Of internal: our own domains.", "acme.example")
    createdAt = Instant("When the rule was made.")


class RefusedCalls(Returned):
    """Calls of one kind that were refused for one reason, within 30 days."""

    status = fields.Integer(metadata=about("The HTTP status.", 422))
    call = fields.String(metadata=about("The call.", "POST /api/v1/emails"))
    count = fields.Integer(metadata=about("How many there were.", 3))
    last = Instant("When the last one was.")


class SyncState(Returned):
    """What came with a user's tokens of the scope `sync`."""

    userId = fields.String(metadata=about("The id of the user.", "u1"))
    email = Text("The user's address; null if the CRM does not tell its users.", "john@brightsync.example")
    lastCall = Instant("When the last call came; null if none did.", allow_none=True)
    lastEmail = Instant("When the last email was logged; null if none was.", allow_none=True)
    emailsToday = fields.Integer(metadata=about("Emails logged today, in UTC.", 12))
    emails7Days = fields.Integer(metadata=about("And in seven days, with today.", 80))
    emails30Days = fields.Integer(metadata=about("And in thirty.", 301))
    refusals = fields.Nested(
        RefusedCalls(many=True), metadata=about("Calls that were refused within thirty days, by reason.")
    )


class UnmatchedAddress(Returned):
    """An address that was looked up, and that nobody knows."""

    address = fields.String(metadata=about("The address, normalized.", "new@acme.example"))
    count = fields.Integer(metadata=about("How often it was looked up.", 5))
    lastAsked = Instant("When it was looked up last.")
    users = fields.Integer(metadata=about("By how many users; 100 may be more.", 2))
    freeMail = fields.Boolean(metadata=about("Whether anybody gets an address of this domain.", False))


class Health(Returned):
    """How the service is."""

    status = fields.String(metadata=about("What the call asked about.", "ready"))


class Live(Health):
    """That the service runs."""

    status = fields.String(metadata=about("What the call asked about.", "live"))
    version = fields.String(metadata=about("The connector's version.", "1.0.0"))


class Error(Returned):
    """The one shape of errors."""

    code = fields.Integer(metadata=about("The HTTP status.", 422))
    status = fields.String(metadata=about("Its name.", "Unprocessable Entity"))
    message = fields.String(metadata=about("What is wrong.", "A value can't be used."))
    errors = fields.Dict(
        metadata=about(
            "For each wrong field, by its place and name, what is wrong.",
            {"json": {"companyId": ["There is no such company."]}},
        )
    )


# ---- queries --------------------------------------------------------------------------------------------------------


class AddressQuery(Wire):
    """Addresses to look up."""

    emails = fields.List(
        fields.String(metadata={"pattern": r"[^\s\x1c-\x1f\x85,]"}),
        required=True,
        validate=validate.Length(min=1),
        metadata={
            "description": f"Up to {MOST_ADDRESSES} distinct addresses: separated by commas, as repeated `emails=`, as "
            "`emails[]=`, or any mix. A comma inside double quotes does not separate.",
            "examples": [["jane@acme.example", "john@brightsync.example"]],
            "example": ["jane@acme.example", "john@brightsync.example"],  # Swagger UI begins with it
        },
    )

    @post_load
    def split(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        addresses: dict[str, str] = {}
        for text in split_addresses(data["emails"]):
            addresses.setdefault(normalize_address(text) or text, text)
        if not addresses:
            raise ValidationError("No address to look up.", "emails")
        if len(addresses) > MOST_ADDRESSES:
            raise ValidationError(f"More than {MOST_ADDRESSES} distinct addresses.", "emails")
        return {"emails": list(addresses.values())}


class CompanyQuery(Wire):
    """A domain to look up, or a name."""

    domain = fields.String(
        metadata={
            "description": "A domain; a URL or an address is taken as well.",
            "examples": ["acme.example"],
            "example": "acme.example",  # Swagger UI begins with it
        }
    )
    name = fields.String(metadata=about("A name, in any letter case.", "Acme Ltd"))


class PageQuery(Wire):
    """Which page of a list."""

    limit = fields.Integer(
        load_default=25, validate=validate.Range(1, 100), metadata=about("The most records of one page.")
    )
    cursor = Position(
        attribute="after", metadata=about("Where the page begins; stands in the `next` link of the one before.")
    )


class EmailQuery(PageQuery):
    """Which emails: those that pass every filter. A filter with an empty value matches nothing."""

    rfc822MsgId = fields.String(metadata=about("The Internet Message-ID.", "<hello@mail.acme.example>"))
    msgId = fields.String(metadata=about("The id of any copy that was seen.", "18c2f0a9d1e4"))
    syncThreadId = fields.String(metadata=about("The id of the thread.", "18c2f0a9d1e0"))
    address = fields.String(metadata=about("A sender or recipient.", "jane@acme.example"))
    domain = fields.String(metadata=about("The domain of a sender or recipient, or one above it.", "acme.example"))
    contactId = fields.String(metadata=about("A contact, by address or by link.", "1"))
    receivedAfter = InstantFilter("Received at this time or later.", "2026-01-01T00:00:00Z")
    receivedBefore = InstantFilter("Received before this time.", "2026-02-01T00:00:00Z")
    hasAttachments = fields.Boolean(metadata=about("Those with files, or those without.", True))
    q = fields.String(
        metadata=about(
            'Words to be found in subject, bodies, names and addresses: `offer "net price" deliver* '
            "-draft` finds emails with the word, the phrase and the beginning, without the last one. At most "
            "32 words; 422 for a search that takes longer than two seconds, 503 where too many search at once.",
            "offer",
        )
    )

    def load(self, data: Mapping[str, Any], **options: Any) -> Any:  # type: ignore[override]
        """A filter whose name is mistyped must not answer with everybody's mail."""
        if data.keys() - self.fields.keys() and not data.keys() & (self.fields.keys() - PageQuery().fields.keys()):
            raise ValidationError("There is no filter of this name.")
        return super().load(data, **options)

    @post_load
    def gather(self, data: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        page = {"limit": data.pop("limit"), "after": data.pop("after", None)}
        return {"filters": data, **page}


class ThreadQuery(PageQuery):
    """Which threads: all, or those in which a contact or a company has a part."""

    contactId = fields.String(attribute="contact_id", metadata=about("A contact, by address or by link.", "1"))
    companyId = fields.String(
        attribute="company_id", metadata=about("A company, as in its timeline; not together with contactId.")
    )


class EmailDelete(Wire):
    """Whether an email stays away."""

    remember = fields.Boolean(load_default=True, metadata=about("Whether its copies stay away."))


class UpdatedQuery(PageQuery):
    """Which contacts or companies."""

    updatedSince = InstantFilter("Changed at this time or later.", "2026-01-01T00:00:00Z", attribute="updated_since")
    includeDeleted = fields.Boolean(attribute="deleted", metadata=about("Also those that were deleted since.", True))


class UnmatchedQuery(Wire):
    """How much of the list."""

    limit = fields.Integer(load_default=100, validate=validate.Range(1, 1000), metadata=about("The most addresses."))


class ChangeQuery(Wire):
    """Which changes."""

    after = fields.Integer(
        load_default=0,
        validate=validate.Range(0, 2**63 - 1),
        metadata=about("The last `seq` that was read; 0 to begin."),
    )
    limit = fields.Integer(
        load_default=25, validate=validate.Range(1, 1000), metadata=about("The most changes of one answer.")
    )
