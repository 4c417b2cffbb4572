"""Whether what somebody wrote mentions an e-mail address, as a reader would see it.  Pure: no database, no Flask.

>>> jane = Mentions("jane@x.example")
>>> jane.in_text("Write to Jane@X.example."), jane.in_text("mary-jane@x.example")
(True, False)
>>> jane.in_html("<b>jane</b>&#64;x.<wbr>example")
True

The rule. An address is mentioned where its two parts stand, with an @ between, after what hides it was taken off:
letter case, Unicode's compatible and composed forms, what has no width, HTML's tags and entities, %40, backslashes,
quoted-printable, (at), the A-label or U-label of the domain. It is somebody else's address

- where a letter or digit stands before it, alone or with one of ``. _ + - '`` between: mary-jane@, mary.jane@. But
  E-Mail-jane@ is a label and an address; several such signs, or one after a space, are decoration: _jane@. A letter
  that is not Latin is no part of an address that begins with a Latin one.
- where the domain goes on: jane@x.org.uk, jane@x.organic, jane@x.org-shop.example. It does not at the end of a
  sentence, jane@x.org. or jane@x.org.Then, nor with the ending of a file, jane@x.org.vcf, nor with what can't be a
  top level domain, jane@x.org.1.

All of it takes time in proportion to the text, and memory for a piece of it, whatever the text is.
"""

import re
from base64 import b64decode
from binascii import a2b_qp
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from html import unescape
from itertools import takewhile
from typing import Any
from unicodedata import category, combining, normalize

import idna

from crm.matching import normalize_address

_PIECE = 64 * 1024  # characters that are decoded at a time; what is left of a piece is looked at with the next
_CONTEXT = 96  # characters before and after a find, of which it depends whose address it is
_ROUNDS = 3  # of decoding what was encoded twice
_DEPTH = 3  # of mails in mails, as base64

# Without any of these no text mentions an address, in whatever way it is encoded.
_MAY_HOLD = re.compile(r"[@\uff20\ufe6b&%=\\(\[{]")


def _ranges(members: Iterable[int]) -> str:
    """A character class's inside, for code points in ascending order."""
    runs: list[list[int]] = []
    for code in members:
        if runs and code == runs[-1][1] + 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"{re.escape(chr(low))}-{re.escape(chr(high))}" for low, high in runs)


_LAST = 0x1FFFF  # of the characters with a class of their own; behind it are CJK, tags and what is nobody's

# Unicode's Default_Ignorable_Code_Point, as far as it matters, and control characters other than white space.
_BLANK = {0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x3164, *range(0xFE00, 0xFE10), 0xFFA0}


def _is_unseen(code: int) -> bool:
    kind = category(chr(code))
    return code in _BLANK or kind == "Cf" or (kind == "Cc" and not chr(code).isspace())


_UNSEEN = re.compile(f"[{_ranges(filter(_is_unseen, range(_LAST)))}\U000e0000-\U000e0fff]+")
_WHOLE_SENTENCES = re.compile("[\ufdfa\ufdfb]")  # single characters that stand for up to 18
_CONTROL = re.compile("[\0-\x08\x0e-\x1b\x7f]+")  # the same of ASCII
# To bring marks into their order takes time in the square of their number: no word has more (Unicode TR 15, D4).
_MARK = f"[{_ranges(code for code in range(_LAST) if combining(chr(code)))}]"
_MARKS = re.compile(f"({_MARK}{{30}}){_MARK}+")

# Private characters, for what case folding would lose: of faß.de and fass.de each is somebody's; a sentence's end.
_SHARP_S, _FINAL_SIGMA, _STOP = "\ue000", "\ue001", "\ue002"
_SENTENCE = re.compile(r"\.(?<=[^\W_]\.)(?=[A-Z\u00c0-\u00de][a-z\u00df-\u00ff])")

_AT = r"(?:@|\s?[(\[{]\s?(?:at|@)\s?[)\]}]\s?)"
_DOT = rf"(?:[.\u3002{_STOP}]|\s?[(\[{{]\s?(?:dot|\.)\s?[)\]}}]\s?)"

_JOINS = f"._+-'{_STOP}"
_LATIN = re.compile(r"[0-9a-z\u00aa\u00ba\u00c0-\u02af\u0300-\u036f\u1e00-\u1eff\ue000]")
_LABEL = re.compile(r"(?<![^\W_])(?:e[-_]?mail|mail)(?:[-_]?(?:to|adresse?|address))?[-_]\Z")
_LABELS = r"(?:\.[^\W_](?:[\w-]*[^\W_])?)+"
_GOES_ON = re.compile(_LABELS)
_GOES_ON_HYPHEN = re.compile(rf"[-_]+[^\W_][\w-]*({_LABELS})?")
_ENDING = re.compile(r"[^\W\d_]{2,}|xn--[\w-]+")
_FILE_ENDINGS = re.compile(
    "asc|bak|csv|docx?|eml|gif|gpg|html?|ics|jpe?g|json|log|mbo?x|msg|odt|p7s|pdf|png|rtf|txt|vcf|xlsx?|xml"
)

# A quotation mark counts after = alone, and what is not closed goes on to the end (html.spec.whatwg.org, 13.2.5).
_INSIDE = r"""(?>[^>=]++|=\s*+"[^"]*+(?:"|\Z)|=\s*+'[^']*+(?:'|\Z)|=)*+(?:>|\Z)"""
_COMMENT = r"<!--(?>(?:[^-]++|-(?!->))*+)(?:-->|\Z)"
_TAG = re.compile(rf"{_COMMENT}|<[a-z/!?]{_INSIDE}", re.IGNORECASE)
_TAGS = re.compile(rf"(?>{_COMMENT}|<[a-z/!?]{_INSIDE})+", re.IGNORECASE)
_FLOWING = (
    "a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd mark nobr o:p q s samp small span strike"
)
_FLOWING += " strong sub sup time tt u var wbr"
_FLOW_TAG = rf"</?(?=[a-z:]{{1,8}}[\s/>])(?:{_FLOWING.replace(' ', '|')})(?=[\s/>]){_INSIDE}"
_FLOW = re.compile(rf"(?>{_COMMENT}|{_FLOW_TAG})+", re.IGNORECASE)

_ESCAPE = re.compile(r"\\(?:u00|x)([0-7][0-9a-f])|\\[nrt]", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#0*[0-9]{1,9};?|#x0*[0-9a-f]{1,9};?|[a-z][a-z0-9]{1,31};?)", re.IGNORECASE)
_BASE64 = re.compile(r"(?:^[A-Za-z0-9+/]{20,998}={0,2}[ \t]*(?:\r?\n|\Z))+", re.MULTILINE)
_ENCODED_WORD = re.compile(r"=\?[^?\s]{1,60}\?([bq])\?([^?\s]{0,998})\?=(?:\s+(?==\?))?", re.IGNORECASE)
_BINARY = bytes(code if 32 <= code < 127 or code in b"\t\r\n" else 32 for code in range(256))
_TEXTUAL = re.compile(
    r"text/|message/|multipart/|application/(?:.*(?:json|xml|script|mbox|rtf|csv|yaml|ics))", re.IGNORECASE
)


class Mentions:
    """An address to look for. Raises ValueError for what can't be read as one."""

    def __init__(self, address: str) -> None:
        key = normalize_address(address)
        if key is None:
            raise ValueError("This can't be read as an e-mail address.")
        self.key = key
        local, _, domain = key.rpartition("@")
        local, labels = _seen(local), domain.split(".")
        self._latin_start = bool(_LATIN.match(local)) or not local[:1].isalnum()
        shown = [_shown(label) for label in labels]
        self._latin_end = labels[-1] == shown[-1]
        self._dotted = len(labels) > 1
        spelled = re.escape(local).replace("ss", f"(?:ss|{_SHARP_S})").replace("σ", f"[σ{_FINAL_SIGMA}]")
        spelled = spelled.replace(r"\.", f"[.{_STOP}]")
        hosts = _DOT.join(
            f"(?:{'|'.join(map(re.escape, dict.fromkeys([label, _seen(name)])))})"
            for label, name in zip(labels, shown, strict=True)
        )
        self._spelled = re.compile(rf'{spelled}"?{_AT}{hosts}')  # begins with a literal: fast
        self._kept = 4 * len(key) + 16 * len(labels) + 2 * _CONTEXT + 64

    def in_text(self, text: str | None) -> bool:
        """Whether a text mentions it, as it stands or decoded."""
        return bool(text and _MAY_HOLD.search(text)) and self._in_pieces(text or "")

    def in_html(self, html: str | None) -> bool:
        """Whether HTML mentions it: in what is shown, in a tag, or in a comment."""
        if not html or not _MAY_HOLD.search(html):
            return False
        if "<" not in html:
            return self._in_pieces(html, html=True)
        # Cells of a table are words of their own; and yet whatever a tag does, it may be shown as nothing.
        flowing = _TAGS.sub(" ", _FLOW.sub("", html))
        if self._in_pieces(flowing, html=True):
            return True
        run_together = _TAGS.sub("", html)
        if run_together != flowing and self._in_pieces(run_together, html=True):
            return True
        tags = (found[0] for found in _TAG.finditer(html) if found.end() - found.start() > 8)
        return any(self._in_pieces(some, html=True) for some in _gathered(filter(_MAY_HOLD.search, tags)))

    def in_value(self, value: Any) -> bool:
        """Whether a JSON value mentions it: in a name or a text at any depth; text inside files is decoded."""
        waiting = [value]
        while waiting:
            one = waiting.pop()
            if isinstance(one, str):
                if self.in_text(one):
                    return True
            elif isinstance(one, list):
                waiting += one
            elif isinstance(one, Mapping):
                waiting += one.keys()
                waiting += [inside for name, inside in one.items() if name != "content"]
                content = one.get("content")
                if isinstance(content, str):
                    if self._in_file(content, str(one.get("mimeType") or "")):
                        return True
                else:
                    waiting.append(content)
        return False

    def _in_file(self, content: str, media_type: str) -> bool:
        """Whether a file mentions it: any that holds plain bytes of text. What is packed or encrypted is not opened."""
        digits = "".join(content.split()).rstrip("=").replace("-", "+").replace("_", "/")
        try:
            data = b64decode(digits + "=" * (-len(digits) % 4), validate=True)
        except ValueError:
            return self.in_text(content)
        del digits
        return any(self._in_source(text) for text in _texts(data, bool(_TEXTUAL.match(media_type))))

    def _in_source(self, text: str, depth: int = _DEPTH) -> bool:
        """Whether a file's text mentions it; it may be HTML, a calendar, or a mail with parts of its own."""
        unfolded = re.sub(r"\r?\n[ \t]", "", text) if "\n " in text or "\n\t" in text else text  # RFC 5545, RFC 6350
        if self.in_text(text) or (unfolded != text and self.in_text(unfolded)) or self.in_html(text):
            return True
        if "=?" in text and self.in_text(_ENCODED_WORD.sub(_word, text)):
            return True
        for block in _BASE64.finditer(text) if depth else ():
            digits = "".join(block[0].split()).rstrip("=")
            digits = digits[:-1] if len(digits) % 4 == 1 else digits  # no byte begins with a single digit
            data = b64decode(digits + "=" * (-len(digits) % 4))
            if any(self._in_source(inner, depth - 1) for inner in _texts(data, True)):
                return True
        return False

    def _in_pieces(self, text: str, html: bool = False) -> bool:
        """Whether one of the candidate_keys of a text has it: as it stands, decoded, decoded from quoted-printable."""
        tails = ["", "", ""]
        end, first = 0, True
        while end < len(text):
            start, end = end, _cut(text, end)
            piece = text[start:end]
            written = _without_entities(piece) if html else piece
            decoded = _decoded(written)
            candidate_keys = written, decoded, _decoded(_unquoted(piece)) if "=" in piece else decoded
            last = end == len(text)
            seen: dict[str, str] = {}
            known: set[str] = set()
            for n, reading in enumerate(candidate_keys):
                if reading not in seen:
                    seen[reading] = _seen(reading)
                whole = tails[n] + seen[reading]
                if whole not in known and self._stands_in(whole, first, last):
                    return True
                known.add(whole)
                tails[n] = whole[-self._kept :]
            first = False
        return False

    def _stands_in(self, text: str, first: bool, last: bool) -> bool:
        for found in self._spelled.finditer(text):
            start, end = found.span()
            # What stands at an edge is looked at with its surroundings, in the piece before or after.
            if (first or start >= _CONTEXT) and (last or end <= len(text) - _CONTEXT):
                before, after = text[max(0, start - _CONTEXT) : start], text[end : end + _CONTEXT]
                if not self._begins_before(before) and not self._goes_on(after):
                    return True
        return False

    def _begins_before(self, before: str) -> bool:
        word = before[-2:].rstrip(_JOINS)
        if not word:
            return False
        joined = _LATIN.match(word[-1]) if self._latin_start else word[-1].isalnum()
        return bool(joined) and not _LABEL.search(before)

    def _goes_on(self, after: str) -> bool:
        if not after:
            return False
        if _LATIN.match(after) if self._latin_end else after[0].isalnum():
            return True
        if after[0] in "-_":
            found = _GOES_ON_HYPHEN.match(after)
            return found is not None and (not self._dotted or _is_host(found[1] or ""))
        found = _GOES_ON.match(after)
        return found is not None and _is_host(found[0])


def _is_host(labels: str) -> bool:
    """Whether .so.many.labels can end a domain."""
    last = labels.rpartition(".")[2]
    return bool(_ENDING.fullmatch(last)) and last.isascii() and not _FILE_ENDINGS.fullmatch(last)


def _shown(label: str) -> str:
    try:
        return idna.decode(label) if label.startswith("xn--") else label
    except (idna.IDNAError, UnicodeError):
        return label


def _seen(text: str) -> str:
    """A text with all taken off that a reader does not see, in one form of those that look or count the same."""
    if text.isascii():
        return _SENTENCE.sub(_STOP, _CONTROL.sub("", text)).lower()
    text = _WHOLE_SENTENCES.sub(" ", _UNSEEN.sub("", text))
    text = normalize("NFKC", _MARKS.sub(r"\1", text))
    text = _SENTENCE.sub(_STOP, text).replace("ẞ", _SHARP_S).replace("ß", _SHARP_S).replace("ς", _FINAL_SIGMA)
    return normalize("NFKC", _MARKS.sub(r"\1", text.casefold()))


def _decoded(text: str) -> str:
    """Without HTML's entities, %40 and backslashes, also where one hides another."""
    for _ in range(_ROUNDS):
        before = text
        text = _without_entities(text)
        if "\\" in text:
            text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else " ", text)
        if "%" in text:
            text = _unquoted(text.replace("=", "=3D").replace("%", "="))
        if text == before:
            break
    return text


def _without_entities(text: str) -> str:
    return _ENTITY.sub(lambda found: _entity(found[0]), text) if "&" in text else text


@lru_cache(4096)
def _entity(written: str) -> str:
    return unescape(written)


def _unquoted(text: str) -> str:
    """Without quoted-printable (RFC 2045, 6.7)."""
    data = a2b_qp(text.encode("utf-8", "surrogatepass"))
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _word(found: re.Match[str]) -> str:
    """An encoded word of a mail's header (RFC 2047)."""
    if found[1].lower() == "q":
        return _unquoted(found[2].replace("_", " "))
    try:
        return b64decode(found[2] + "=" * (-len(found[2]) % 4)).decode("utf-8", "replace")
    except ValueError:
        return found[0]


def _texts(data: bytes, textual: bool) -> Iterator[str]:
    """What the bytes of a file may say; of one that is no text what is printable, so that a link in a PDF is found."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        yield data.decode("utf-16", "replace")
    elif b"\0" in data[:4096]:  # two bytes a character, perhaps
        yield data.replace(b"\0", b"").translate(_BINARY).decode("ascii")
    try:
        yield data.decode()
    except UnicodeDecodeError:
        yield data.decode("latin-1") if textual else data.translate(_BINARY).decode("ascii")


def _cut(text: str, start: int) -> int:
    """Where a piece ends: at white space, else before what may be half a code, never before a mark."""
    end = start + _PIECE
    if end >= len(text):
        return len(text)
    blank = max(text.rfind(" ", end - 1024, end), text.rfind("\n", end - 1024, end))
    if blank > 0:
        return blank + 1
    code = max(text.rfind(sign, end - _CONTEXT, end) for sign in "&%=\\")
    if code > 0:
        return code
    return end - sum(1 for _ in takewhile(combining, reversed(text[end - _CONTEXT : end + 1])))


def _gathered(texts: Iterable[str]) -> Iterator[str]:
    """The texts, several in one, a line each."""
    some: list[str] = []
    size = 0
    for text in texts:
        some.append(text)
        size += len(text)
        if size > _PIECE:
            yield "\n".join(some)
            some, size = [], 0
    yield "\n".join(some)
