"""What was deleted and stays away: hashes of its ids and contents, and nothing else."""

from clock import now
from crm.identity import as_logged, hash_with, is_same
from crm.matching import normalize_message_id
from crm.merging import Hash
from crm.records import Record
from crm.seam import store
from store.values import Logged


def list_withheld(after: int = 0, limit: int = 100) -> list[Record]:
    """Emails that were deleted and stay away, in the order in which they were, from behind a number: seq, id (that the
    record had), reason (deleted, erased, retention), at."""
    return store.withheld.page(after, limit)


def forget_withheld(email_id: str | None = None, message_id: str | None = None) -> list[str]:
    """Let an email that was deleted be logged anew, by the id that it had or by its rfc822MsgId; gives the ids."""
    ids = [email_id] if email_id is not None else []
    with store.transaction():
        if key := normalize_message_id(message_id):
            ids += [one.email_id for one in store.withheld.find(hashes()("rfc822MsgId", key), None)]
        return [one for one in dict.fromkeys(ids) if store.withheld.delete(one)]


def withhold(logged: Logged, reason: str, hashed: Hash) -> None:
    """Keep hashes of an email by which its copies are known, beside those that were kept of it before."""
    contents, at = as_logged(logged), now()
    before = _kept_before(logged, hashed)
    for old_id in {one.email_id for one in before}:
        store.withheld.rename(old_id, logged.email_id, reason, at)
    kept = [(one.message_key, one.copies[0].copy_key, one.copies[0].contents) for one in before]
    for message_key, copy_key in _all_hashed_keys(logged, hashed):
        if (message_key, copy_key, contents) not in kept:
            store.withheld.insert(logged.email_id, message_key, copy_key, contents, reason, at)


def forget(logged: Logged, hashed: Hash) -> None:
    """Drop what was kept of an email before."""
    for old_id in {one.email_id for one in _kept_before(logged, hashed)}:
        store.withheld.delete(old_id)


def _kept_before(logged: Logged, hashed: Hash) -> list[Logged]:
    """What was kept of an email when it was deleted before: a copy has come since, of which a record was made."""
    contents = as_logged(logged)
    return [
        one
        for message_key, copy_key in _all_hashed_keys(logged, hashed)
        for one in store.withheld.find(message_key, copy_key)
        if (message_key and one.message_key == message_key) or is_same(one, message_key, contents)
    ]


def _all_hashed_keys(logged: Logged, hashed: Hash) -> list[tuple[str | None, str | None]]:
    """The keys of each copy of an email as hashes; of one without any there is nothing by which it could be known."""
    copy_keys = dict.fromkeys(copy.copy_key for copy in logged.copies if copy.copy_key)
    keys = copy_keys or ([None] if logged.message_key else [])
    return [hashed_keys(logged.message_key, copy_key, hashed) for copy_key in keys]


def hashed_keys(message_key: str | None, copy_key: str | None, hashed: Hash) -> tuple[str | None, str | None]:
    """The keys of an email as hashes."""
    return message_key and hashed("rfc822MsgId", message_key), copy_key and hashed("msgId", copy_key)


def hashes() -> Hash:
    """What hashes ids and contents, with the database's key."""
    return hash_with(store.withheld.key())
