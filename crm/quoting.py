"""What an email adds: its text without what it quotes, its signature and disclaimers.  Pure functions.

How mail programs begin a quotation and how people sign, in a dozen languages, says mail-parser-reply. Its patterns are
asked here line by line: over a whole text, by itself, it takes the square of its length and more, it hides what stands
below an answer between quoted lines, and what follows a sentence that begins with "Thanks,".
"""

import re
from collections.abc import Sequence
from functools import cache
from itertools import chain

from mailparser_reply.constants import MAIL_LANGUAGES  # type: ignore[import-untyped]
from mailparser_reply.parser import EmailMessage  # type: ignore[import-untyped]

_MOST_LINES = 2_000  # that are looked at; those behind them stay
_LONGEST_LINE = 200  # characters of a line that are looked at
_LONGEST_HEADER = 8  # lines, as Outlook's "From: …, Sent: …"
_LONGEST_SIGN = 80  # characters
_LONGEST_SIGNATURE = 25  # lines, with disclaimers
# Between angle brackets an address, in a sentence that ends with a colon: "El lun, Jane <jane@x.example> escribió:"
_ATTRIBUTION = re.compile(r"[^<>]+<[^<>\s]+@[^<>\s]+>[^<>:]*:")
_RULE = re.compile(r"[-_=*]{4,}(?:.*[-_=*]{4,})?")  # "----- Forwarded message -----"


def new_text(text: str, most: int | None = None) -> str:
    """What an email's text adds: without quoted lines, what a mail program says above them, and what stands at its end:
    a signature, a disclaimer. Where nothing would be left, as in a mail that was only forwarded, the whole.

    It looks at the first 2,000 lines, or as far as the result has `most` characters.
    """
    lines = [line.rstrip() for line in text.split("\n", _MOST_LINES)]
    plain = [line[:_LONGEST_LINE].strip() for line in lines]
    plain[_MOST_LINES:] = [""] * (len(lines) > _MOST_LINES)  # all that is behind them
    kept = _without_quotations(plain, most)
    while kept and (not plain[kept[-1]] or _RULE.fullmatch(plain[kept[-1]])) and kept[-1] < _MOST_LINES:
        kept.pop()
    kept = kept[: _signature([plain[n] for n in kept])]
    return "\n".join(lines[n] for n in kept).strip() or text.strip()


def _without_quotations(lines: Sequence[str], most: int | None) -> list[int]:
    """The numbers of the lines that are not quoted; none where a mail begins with what it forwards."""
    kept: list[int] = []
    n, begun, size = 0, False, 0
    while n < len(lines):
        line = lines[n]
        if line[:1] == ">":
            n += 1
            continue
        if end := _header(lines, n):
            while end < len(lines) and not lines[end]:
                end += 1
            if end == len(lines) or lines[end][:1] != ">":  # all that follows is quoted, and nothing marks it
                return kept if begun else []
            n = end
            continue
        begun = begun or bool(line)
        kept.append(n)
        n += 1
        size += len(line)
        if most is not None and size > most:
            break
    return kept


def _header(lines: Sequence[str], n: int) -> int:
    """Where a header of a quotation that begins at a line ends; 0 for none."""
    line = lines[n]
    wrapped = n + 1 < len(lines) and lines[n + 1][-1:] == ":"
    if not line or not (wrapped or ":" in line or "：" in line or line[0] in "-_*"):
        return 0  # nearly every line
    found = _patterns()[0].match("\n".join(lines[n : n + _LONGEST_HEADER]))
    if found and found[0].strip():
        return n + found[0].rstrip().count("\n") + 1
    for end in (n + 1, n + 2):  # two lines, but not one that stands above such a line
        following = next((one for one in lines[end : end + 2] if one), "")
        if following[:1] == ">" and _ATTRIBUTION.fullmatch(" ".join(lines[n:end])):
            return 0 if end > n + 1 and _ATTRIBUTION.fullmatch(lines[n + 1]) else end
    return 0


def _signature(lines: Sequence[str]) -> int:
    """Where the signature or a disclaimer begins; else the end."""
    _, sign, disclaimer = _patterns()
    for n in range(max(1, len(lines) - _LONGEST_SIGNATURE), len(lines)):
        line = lines[n]
        if line and (
            (len(line) < _LONGEST_SIGN and sign.fullmatch(line))
            or (disclaimer.match(line) and "mail" in "".join(lines[n:]).lower())
        ):
            return n
    return len(lines)


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """The beginning of a quotation; a line that begins a signature, or a disclaimer."""

    def listed(name: str) -> str:
        found = [language[name] for language in MAIL_LANGUAGES.values() if language.get(name)]
        return "|".join(chain.from_iterable([one] if isinstance(one, str) else one for one in found))

    header = EmailMessage("", languages=list(MAIL_LANGUAGES)).HEADER_REGEX
    sign = rf"--|__+|(?:{listed('signatures')})[\s,.!]*|(?:{listed('sent_from')})\b.{{0,60}}"
    return header, re.compile(sign, re.IGNORECASE), re.compile(listed("disclaimers"), re.IGNORECASE)
