"""What makes two emails one, judged by hashes of what was logged: what a PATCH made of it does not count.  Pure.

A hash has a key, which the database keeps: so nobody who has but the hashes can try whose email it was.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from hashlib import blake2b
from itertools import zip_longest
from json import dumps
from typing import Any

from crm.merging import NO_EMAIL, Hash, address_key, is_blank
from store.values import Logged

Contents = list[str | None]

COMPARED = ("subject", "fromAddress", "receivedAt", "textBody", "htmlBody")
_SENDER = COMPARED.index("fromAddress")
_REST = [name for name in NO_EMAIL if name not in ("subject", "textBody", "htmlBody")]


@cache
def hash_with(key: str) -> Hash:
    """A hash of 64 bits, of a text and what the text is: "copy", or a field of an email."""
    secret = bytes.fromhex(key)
    begun = {what: blake2b(digest_size=8, key=secret, person=what[:16].encode()) for what in ("copy", *NO_EMAIL)}

    def hashed(what: str, text: str) -> str:
        one = begun[what].copy()
        one.update(text.encode())
        return one.hexdigest()

    return hashed


def contents_of(email: Mapping[str, Any], hashed: Hash) -> Contents:
    """For each of COMPARED the hash of what an email has there; None for nothing, or white space."""

    def of(name: str) -> str | None:
        text = email[name]
        if is_blank(text):
            return None
        return hashed(name, address_key(text) if name == "fromAddress" else text)

    return [of(name) for name in COMPARED]


def digest_of(email: Mapping[str, Any], contents: Contents, user_id: str | None, hashed: Hash) -> str:
    """The hash of all that was sent, and of whose token it was: the same for a POST that is made again."""
    return hashed("copy", dumps([user_id, contents, [email[name] for name in _REST]]))


def identify(known: Iterable[Logged], message_key: str | None, contents: Contents) -> Logged | None:
    """Of some emails, with this Message-ID or a copy of the same msgId, the one of which an email is a copy."""
    known = list(known)
    for one in known:
        if message_key and one.message_key == message_key:
            return one
    return next((one for one in known if is_same(one, message_key, contents)), None)


def is_same(one: Logged, message_key: str | None, contents: Contents) -> bool:
    """Whether two emails are one by a msgId that both have.

    It is a mailbox's own word, and two mailboxes may use it for two emails. So it says something only where one of the
    two has no Message-ID, and nothing contradicts.
    """
    return not (message_key and one.message_key) and not _contradicts(as_logged(one), contents)


def as_logged(one: Logged) -> Contents:
    """The contents of an email as its copies made it: of each field the first that had it, and no other sender."""
    found: Contents = []
    for copy in one.copies:
        if not _contradicts(found[_SENDER : _SENDER + 1], copy.contents[_SENDER : _SENDER + 1]):
            found = [old or new for old, new in zip_longest(found, copy.contents)]
    return found


def has_another_sender(copy: Contents, *known: Contents) -> bool:
    """Whether a copy has a sender, and it is none of those that are known: its Message-ID was used twice, or stolen."""
    senders = {one[_SENDER] for one in known if one} - {None}
    return bool(senders and copy[_SENDER] and copy[_SENDER] not in senders)


def _contradicts(one: Contents, other: Contents) -> bool:
    return any(a and b and a != b for a, b in zip(one, other, strict=False))
