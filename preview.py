"""What a list shows of a mail without its bodies, and what a search reads of HTML.  Pure functions."""

import re
from collections.abc import Iterable, Mapping
from mimetypes import guess_type
from typing import Any

from selectolax.lexbor import LexborHTMLParser

SNIPPET_LENGTH = 200  # characters: about what a mail program shows below a subject

_INVISIBLE = ["head", "script", "style", "template", "noscript"]

# Opening and closing tags, without those that are commonly left open.
_TAG = re.compile(
    r"<(/?)(?!(?:area|base|br|col|dd|dt|hr|img|input|li|link|meta|option|p|source|td|th|tr|wbr)\b)[a-z]", re.IGNORECASE
)
_DEEPEST = 1000  # the parser takes time in the square of the nesting: 50,000 nested <div> are 4 s, 1,000 are 2 ms


def text_of(html: str) -> str:
    """The words of an HTML body that a reader would see, separated by single spaces; none of a nesting bomb."""
    if _nested_too_deep(html):
        return ""
    tree = LexborHTMLParser(html)
    tree.strip_tags(_INVISIBLE, recursive=True)
    return " ".join(tree.text(separator=" ").split())


def snippet(text: str) -> str:
    """The beginning of a text on one line, at most SNIPPET_LENGTH characters."""
    # Enough for the first words even where they are far apart; most bodies need not be split whole.
    words = " ".join(text.lstrip()[: SNIPPET_LENGTH * 8].split())
    return words if len(words) <= SNIPPET_LENGTH else words[: SNIPPET_LENGTH - 1].rstrip() + "…"


def has_files(attachments: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a reader would speak of attachments: pictures shown inside the text are none.

    Some mail programs mark every file as inline, so the mark counts for images alone.
    """
    return any(not (entry.get("inline") is True and _is_image(entry)) for entry in attachments)


def _is_image(entry: Mapping[str, Any]) -> bool:
    media_type = entry.get("mimeType") or guess_type(str(entry.get("name") or ""))[0] or ""
    return str(media_type).lower().startswith("image/")


def _nested_too_deep(html: str) -> bool:
    depth = 0
    for tag in _TAG.finditer(html):
        depth = max(depth - 1, 0) if tag[1] else depth + 1
        if depth > _DEEPEST:
            return True
    return False
