"""The kinds of fields that the wire format is made of: how each value is read, and how the description shows it."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from json import dumps, loads
from typing import Any

from marshmallow import ValidationError, fields, validate

from clock import stamp
from crm.records import LONGEST_NAME, MOST_CHARACTERS

LONGEST_ID = 255
LONGEST_ENTRY = 1_000  # characters of each
# What can stand in a path: `lookup` is a call of its own there, and clients resolve dots before they send (RFC 3986).
RECORD_ID = rf"(?!(?:lookup|\.\.?)$)[^/]{{1,{LONGEST_ID}}}"
ID_IN_PATH = {"type": "string", "minLength": 1, "maxLength": LONGEST_ID, "pattern": f"^{RECORD_ID}$"}

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:(?P<second>\d\d)(\.\d+)?([Zz]|[+-]\d\d:?[0-5]\d)?", re.ASCII)


def about(description: str, *examples: Any) -> dict[str, Any]:
    """What the OpenAPI description says of a field."""
    return {"description": description, **({"examples": list(examples)} if examples else {})}


class Text(fields.String):
    """A text or null."""

    def __init__(self, description: str, example: str, **options: Any) -> None:
        super().__init__(allow_none=True, metadata=about(description, example), **options)

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        plain = isinstance(value, str) and not self.validators  # no more to be asked
        return value if plain else super().deserialize(value, *args, **kwargs)


class Name(Text):
    """A name or null, of a length that a list of a hundred can hold."""

    def __init__(self, description: str, example: str) -> None:
        super().__init__(description, example, validate=validate.Length(max=LONGEST_NAME))


class Instant(fields.String):
    """A time in RFC 3339; no offset means UTC. Loaded as the text that is stored and returned."""

    default_error_messages = {"invalid": "Not a date and time of RFC 3339, such as 2026-01-31T09:30:00Z."}
    shape: dict[str, Any] = {"format": "date-time"}

    def __init__(self, description: str, example: str = "2026-01-31T09:30:00.000000Z", **options: Any) -> None:
        super().__init__(metadata={"description": description, **self.shape, "examples": [example]}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        found = _RFC3339.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            raise self.make_error("invalid")
        leap = found["second"] == "60"  # a leap second has no place of its own in UTC as computers count it
        text = value[:17] + "59" + value[19:] if leap else value
        try:
            moment = datetime.fromisoformat(text.upper()) + timedelta(seconds=leap)
            return stamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
        except (ValueError, OverflowError):
            raise self.make_error("invalid") from None


class InstantFilter(Instant):
    """A time to compare with; the empty text, which matches nothing, stays empty."""

    shape = {"anyOf": [Instant.shape, {"maxLength": 0}]}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        return super()._deserialize(value, attr, data, **kwargs) if value else ""


class RecordId(fields.Field[str]):
    """An id of the CRM, which has to fit into a path: a text; an integer is taken as well. Loaded as a text."""

    default_error_messages = {
        "invalid": f"Not an id: a text of 1 to {LONGEST_ID} characters, or an integer.",
        "path": "This can't stand in a path: it holds a slash, or is one or two dots or the word lookup.",
    }

    def __init__(self, description: str, example: str | None = "1", **options: Any) -> None:
        shapes = [ID_IN_PATH, {"type": "integer"}, *[{"type": "null"}] * options.get("allow_none", False)]
        super().__init__(metadata={"description": description, "anyOf": shapes, "examples": [example]}, **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
            value = int(value)  # to JSON, 42.0 is the integer 42; beyond this, what it was is not known
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not 1 <= len(text) <= LONGEST_ID:
            raise self.make_error("invalid")
        if not re.fullmatch(RECORD_ID, text):
            raise self.make_error("path")
        return text


class Recipient(fields.Field[str]):
    """One recipient to the letter; an object with name and address becomes `name <address>`.

    The address may be called `email`, and all of it may stand in an `emailAddress`, as in Microsoft's Graph.
    """

    default_error_messages = {"invalid": "Not a text, nor an object with an address."}
    shapes: list[dict[str, Any]] = [
        {"type": "string"},
        {
            "type": "object",
            "properties": {name: {"type": ["string", "null"]} for name in ("name", "address", "email")}
            | {"emailAddress": {"type": ["object", "string", "null"]}},
        },
    ]

    def __init__(self, description: str = "", **options: Any) -> None:
        shapes = [*self.shapes, {"type": "null"}] if options.get("allow_none") else self.shapes
        metadata = {"anyOf": shapes, "examples": ["Jane Doe <jane@acme.example>"]}
        super().__init__(metadata=metadata | ({"description": description} if description else {}), **options)

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return value if isinstance(value, str) else super().deserialize(value, *args, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        if isinstance(value, Mapping) and isinstance(value.get("emailAddress"), Mapping):
            value = value["emailAddress"]
        if not isinstance(value, Mapping):
            raise self.make_error("invalid")
        addresses = [value[key] for key in ("address", "email", "emailAddress") if value.get(key) is not None]
        name = "" if value.get("name") is None else value["name"]
        if not addresses or not (isinstance(name, str) and isinstance(addresses[0], str)):
            raise self.make_error("invalid")
        address = addresses[0]
        return f"{name} <{address}>" if name and address else name or address


class Entries(fields.List[Any]):
    """A list; null means an empty one, and a null in it nothing."""

    def __init__(self, inner: Any, description: str, most: int | None = None, **metadata: Any) -> None:
        bounds: list[Any] | None = [validate.Length(max=most), _bound_sum] if most else None
        super().__init__(inner, allow_none=True, validate=bounds, metadata={"description": description, **metadata})

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(value, list) and None in value:
            value = [one for one in value if one is not None]
        return [] if value is None else super().deserialize(value, *args, **kwargs)


def _bound_sum(texts: list[str]) -> None:
    if sum(map(len, texts)) > MOST_CHARACTERS:
        raise ValidationError(f"Together they have more than {MOST_CHARACTERS} characters.")


def entry() -> fields.String:
    """An address or a domain, as it was written."""
    return fields.String(validate=validate.Length(max=LONGEST_ENTRY), allow_none=True)


class Texts(fields.List[str]):
    """A list of texts."""

    def __init__(self, description: str, example: str) -> None:
        super().__init__(fields.String(), metadata=about(description, [example]))


class Related(fields.Field[Any]):
    """One object or a list of them, kept in the shape in which it came; null means an empty list."""

    default_error_messages = {"invalid": "Not an object, nor a list of objects."}

    def __init__(self, description: str, **options: Any) -> None:
        shapes = [{"type": "array", "items": {"type": "object"}}, {"type": "object"}]
        if options.get("allow_none"):
            shapes.append({"type": "null"})
        examples = [[{"type": "Contact", "id": "1"}]]
        super().__init__(metadata={"description": description, "anyOf": shapes, "examples": examples}, **options)

    def deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return [] if value is None else super().deserialize(value, *args, **kwargs)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if isinstance(value, list):
            value = [entry for entry in value if entry is not None]
        if not all(isinstance(entry, Mapping) for entry in (value if isinstance(value, list) else [value])):
            raise self.make_error("invalid")
        return value


class Position(fields.String):
    """Where a page ended, as it stands in the Link header: opaque to clients. Loaded as the pair (time, id)."""

    default_error_messages = {"invalid": "Not a cursor: take the whole next link as it was given."}

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        try:
            at, record_id = loads(urlsafe_b64decode(value.encode("ascii")))
            if "\0" in str(record_id).encode().decode():  # nor a surrogate: no text for a database
                raise ValueError
            return Instant("").deserialize(at), RecordId("").deserialize(record_id)
        except (ValueError, TypeError, RecursionError, ValidationError):
            raise self.make_error("invalid") from None

    @staticmethod
    def of(at: str, record_id: str) -> str:
        """The text that is loaded as this time and id."""
        return urlsafe_b64encode(dumps([at, record_id]).encode()).decode("ascii")
