"""What makes two addresses, domains or message ids the same.  Pure functions: no database, no Flask.

>>> normalize_address("Jane <JANE@MÜNCHEN.example.>")
'jane@xn--mnchen-3ya.example'
"""

import re
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from unicodedata import normalize

import idna

# A folded text is an index key. Longer ones are nonsense (RFC 5321 allows 254, RFC 5322 lines of 998), and every
# database has a limit for them: PostgreSQL's is 2,704 bytes.
_LONGEST_KEY = 998
_LONGEST_KEY_BYTES = 2000
# Of an address (64 + 1 + 255: RFC 5321, 4.5.3.1), and of what is not ASCII. Normalizing takes the square of a run of
# combining marks, and IDNA of a label, so what is longer is not even begun.
_LONGEST_ADDRESS = 320
_LONGEST_ENTRY = 10_000  # in which an address is sought: a pattern at work lets no other thread run
_LONGEST_LABEL = 63  # between the dots of a host; IDNA takes the square of it, and then refuses a longer one

_IN_ANGLES = re.compile(r"<([^<>]*)>")
# What folding only has to put in lower case: one @, ASCII, no brackets, no space, no final dot.
_PLAIN = re.compile(r"[!-;=?A-~]+@[A-Za-z0-9.-]*[A-Za-z0-9-]")
_DOMAIN = re.compile(r"[^\s,;:<>@]+")
_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
# A quoted string, or a quote that is never closed, or a comma outside.
_QUOTED_OR_COMMA = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|(\Z))|,', re.DOTALL)


def bare_address(text: str) -> str:
    """The part in ``<>`` if there is one that holds an ``@``, else the whole; trimmed, otherwise as written."""
    if len(text) > _LONGEST_ENTRY:
        return text.strip()
    # Asked for in the pattern, the @ would be sought from each of a thousand others anew.
    angles = [inside for inside in _IN_ANGLES.findall(text) if "@" in inside]
    return (angles[-1] if angles else text).strip()


def normalize_address(text: str) -> str | None:
    """The form in which two e-mail addresses are compared, or None for what can't be read as an address.

    The part in ``<>`` if there is one; trimmed, NFC, case-folded; the domain as its IDNA A-label, without a final dot.
    No dot or ``+tag`` tricks: only the mail's own server knows whether they mean the same mailbox (RFC 5321, 2.3.11).
    """
    if len(text) <= _LONGEST_ADDRESS and _PLAIN.fullmatch(text):  # as nearly all are
        return text.lower()
    bare = bare_address(text)
    if len(bare) > _LONGEST_ADDRESS:
        return None
    local, at, domain = bare.rpartition("@")
    folded_domain = _fold_host(domain)
    if not (local and at and _DOMAIN.fullmatch(folded_domain)):
        return None
    folded = f"{_fold_case(local)}@{folded_domain}"
    return folded if _is_key(folded) else None


def normalize_domain(text: str) -> str | None:
    """The form in which two domains are compared, or None where there is none.

    Taken off: scheme, path and port of a URL, an address before ``@``, a leading ``www.``, a final dot; case, IDNA.
    """
    host = _SCHEME.sub("", bare_address(text))
    host = re.split(r"[/?#]", host, maxsplit=1)[0].rpartition("@")[2]
    host = re.sub(r":\d*$", "", host, flags=re.ASCII)
    if len(host) > (_LONGEST_KEY if host.isascii() else _LONGEST_ADDRESS):
        return None
    host = _fold_host(host)
    rest = host.removeprefix("www.")
    host = rest if "." in rest else host  # www.com is somebody's domain, .com is nobody's
    return host if _DOMAIN.fullmatch(host) and _is_key(host) else None


def parent_domains(domain: str) -> list[str]:
    """A folded domain and its parents, nearest first: ``a.b.c`` gives ``[a.b.c, b.c, c]``."""
    labels = domain.split(".")
    return [".".join(labels[n:]) for n in range(len(labels))]


def normalize_message_id(text: str | None) -> str | None:
    """The form in which Message-IDs, msgIds and thread ids are compared; None for none.

    White space and one pair of angle brackets are taken off; letter case counts (RFC 5322, 3.6.4). What is too long
    for an index is represented by its digest.
    """
    key = (text or "").strip()
    if key[:1] == "<" and key[-1:] == ">":
        key = key[1:-1].strip()
    if not _is_key(key):
        return "sha256:" + sha256(key.encode()).hexdigest()
    return key or None


def split_addresses(values: Iterable[str]) -> list[str]:
    """The addresses in a query parameter's values: split at commas, but not inside double quotes; no empty ones.

    Behind a quote that is never closed, each comma counts.
    """
    return [entry for value in values for entry in _split(value) if entry.strip()]


def _split(value: str) -> Iterator[str]:
    start = 0
    for found in _QUOTED_OR_COMMA.finditer(value):
        if found[0] == ",":
            yield value[start : found.start()]
            start = found.end()
        elif found[1] is not None:  # such a quote: sought from each of a thousand, its end would take their square
            first, *rest = value[found.start() :].split(",")
            yield value[start : found.start()] + first
            yield from rest
            return
    yield value[start:]


def candidate_keys(text: str, fold: Callable[[str], str | None]) -> list[str]:
    """The folded keys that a value of a query string may mean, the likeliest first.

    Clients leave the ``+`` of Gmail's ids and of ``name+tag`` addresses unencoded in query strings, where it means a
    space (WHATWG URL, application/x-www-form-urlencoded). So what misses as it came is looked up once more with ``+``
    for each space, with and without those around it.
    """
    spellings = [text, text.strip().replace(" ", "+"), text.replace(" ", "+")] if " " in text else [text]
    return list(dict.fromkeys(key for key in map(fold, spellings) if key))


def _is_key(text: str) -> bool:
    return len(text) <= _LONGEST_KEY and len(text.encode()) <= _LONGEST_KEY_BYTES


def _fold_case(text: str) -> str:
    return normalize("NFC", normalize("NFC", text).casefold())


def _fold_host(text: str) -> str:
    """A host name in lower case as its A-label; one that IDNA refuses (``my_host``) just in lower case.

    IDNA's own mapping instead of case-folding for what is not ASCII: case-folding would turn ``faß.de`` into
    ``fass.de``, which belongs to somebody else (IDNA 2008, UTS 46 non-transitional).
    """
    host = text.strip()
    if not host.isascii() and max(map(len, host.split("."))) <= _LONGEST_LABEL:
        try:
            host = idna.encode(normalize("NFC", host), uts46=True).decode("ascii")
        except idna.IDNAError:
            host = _fold_case(host)
    elif not host.isascii():
        host = _fold_case(host)
    return host.lower().rstrip(".")
