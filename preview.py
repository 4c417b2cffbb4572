"""What is read out of a mail: the words of its HTML, the beginning of its text, its files.  Pure functions."""

import re
from base64 import b64decode
from collections.abc import Iterable, Mapping
from itertools import islice
from mimetypes import guess_type
from typing import Any

from selectolax.lexbor import LexborHTMLParser

SNIPPET_LENGTH = 200  # characters: about what a mail program shows below a subject

_INVISIBLE = ["head", "script", "style", "template", "noscript"]

# The parser takes time in the square of the depth of nesting, and of the number of a tag's attributes: 20,000 nested
# <div> take 0.7 s, 50,000 take 4 s. So count what may begin a tag, an attribute or a word, and stop at so many.
_PIECE = re.compile(r"""<[a-z]|[\s"']+(?=[^\s"'<>])|(?<!<)/""", re.IGNORECASE)
_MOST_PIECES = 20_000  # of a newsletter, about 150 kB


def text_of(html: str) -> str:
    """The words of an HTML body that a reader would see, separated by single spaces; of a huge one, the first."""
    tree = LexborHTMLParser(_bounded(html))
    tree.strip_tags(_INVISIBLE, recursive=True)
    return " ".join(tree.text(separator=" ").split())


def snippet(text: str) -> str:
    """The beginning of a text on one line, at most SNIPPET_LENGTH characters."""
    # Enough for the first words even where they are far apart; most bodies need not be split whole.
    words = " ".join(text.lstrip()[: SNIPPET_LENGTH * 8].split())
    return words if len(words) <= SNIPPET_LENGTH else words[: SNIPPET_LENGTH - 1].rstrip() + "…"


def find_file(attachments: Iterable[Mapping[str, Any]], attachment_id: str) -> dict[str, Any] | None:
    """A file of a mail: name, mimeType and content, decoded to bytes; None where no content was sent, or no base64.

    Base64 in either alphabet (RFC 4648), in one line or many, with padding or without.
    """
    for entry in attachments:
        if str(entry.get("id")) == attachment_id and isinstance(entry.get("content"), str):
            digits = "".join(entry["content"].split()).rstrip("=").replace("-", "+").replace("_", "/")
            try:
                content = b64decode(digits + "=" * (-len(digits) % 4), validate=True)
            except ValueError:
                return None
            return {"name": entry.get("name"), "mimeType": entry.get("mimeType"), "content": content}
    return None


def has_files(attachments: Iterable[Mapping[str, Any]]) -> bool:
    """Whether a reader would speak of attachments: pictures shown inside the text are none.

    Some mail programs mark every file as inline, so the mark counts for images alone.
    """
    return any(not (entry.get("inline") is True and _is_image(entry)) for entry in attachments)


def _is_image(entry: Mapping[str, Any]) -> bool:
    media_type = entry.get("mimeType") or guess_type(str(entry.get("name") or ""))[0] or ""
    return str(media_type).lower().startswith("image/")


def _bounded(html: str) -> str:
    if len(html) <= _MOST_PIECES:
        return html
    end = next(islice(_PIECE.finditer(html), _MOST_PIECES, None), None)
    return html[: end.start()] if end else html
