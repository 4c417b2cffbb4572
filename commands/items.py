"""What an import stores one after the other: an email, or a row of a table, or why it can't be taken."""

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from marshmallow import ValidationError

import crm
from crm import Record

Source = TypeVar("Source")


class Rejected(Exception):
    """Why something can't be taken, in words that quote nothing of it."""


class Item(NamedTuple):
    """What is to be stored: where it stands, its validated values, its size in bytes."""

    label: str
    content: Record | Rejected
    size: int = 0


def load_item(label: str, load: Callable[[Source], Record], source: Source, size: int = 0) -> Item:
    """What `load` makes of a source."""
    try:
        return Item(label, load(source), size)
    except Exception as error:  # whatever it is: one odd email never stops a mailbox
        return Item(label, Rejected(reason_of(error)), size)


def reason_of(error: Exception) -> str:
    """Why something can't be taken, in words that quote nothing of it."""
    if isinstance(error, crm.Invalid):
        return "; ".join(f"{field}: {why}" for field, why in error.errors.items())
    if isinstance(error, ValidationError):
        return "; ".join(f"{field}: {' '.join(map(str, why))}" for field, why in error.normalized_messages().items())
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    own_words = type(error) in (ValueError, Rejected)  # any other may quote what it stumbled over
    return str(error) if own_words else type(error).__name__
