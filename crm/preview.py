"""What is read out of a mail: the words of its HTML, the beginning of its text, its files.  Pure functions."""

import re
from base64 import b64decode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import unescape
from mimetypes import guess_type
from typing import Any

_PLACE = re.compile(r"#([1-9][0-9]{0,5})")  # of a file that has no id
SNIPPET_LENGTH = 200  # characters: about what a mail program shows below a subject

# How much of an HTML body is read, of its tags, and of its words. Newsletters have 150 kB and 3,000 tags; pictures
# inside the HTML may make it larger.
_LONGEST_HTML = 8 * 2**20  # characters
_MOST_TAGS = 200_000
_LONGEST_TEXT = 2 * 2**20  # characters

# A comment, a tag with its attributes, or a declaration (html.spec.whatwg.org, 13.2.5). Each part is either found or
# goes to the end, and is never tried a second time: so any HTML takes time in proportion to its length. A parser that
# builds a tree takes the square of it, for nested tags and for those that are not closed in order.
_TAG = re.compile(
    r"""<(?:!--(?:-?>|.*?(?:--!?>|\Z))|(/?)([a-z][^\s/>]*+)(?:[^>="']++|=\s*+(?:"[^"]*+"?|'[^']*+'?)?+|["'])*+>?|[!?/][^>]*+>?)""",
    re.IGNORECASE | re.DOTALL,
)
_RAW = {"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes", "noscript"}
_END_OF_RAW = {name: re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE) for name in _RAW}
_SHOWN = {"textarea", "xmp"}
_BLOCKS = {"address", "article", "blockquote", "br", "div", "dd", "dl", "dt", "h1", "h2", "h3", "h4", "h5", "h6", "hr"}
_BLOCKS |= {"li", "ol", "p", "pre", "section", "table", "tr", "ul"}
_TO_BASE64, _WHITE_SPACE = bytes.maketrans(b"-_", b"+/"), b" \t\n\v\f\r\x1c\x1d\x1e\x1f"
_REFERENCE = re.compile("&(?:#[0-9]++|#x[0-9a-f]++|[a-z][a-z0-9]{1,31});?", re.IGNORECASE)


def text_of(html: str) -> str:
    """The words of an HTML body that a reader would see, separated by single spaces.

    Left out: comments, attributes, and what stands in title, script, style, template, noscript, iframe. Each tag parts
    words. Of a huge body the first is read: 8 MiB of HTML, 200,000 tags, 2 MiB of text; what follows no search finds.
    """
    return " ".join(" ".join(_shown(html[:_LONGEST_HTML])).split())


def lines_of(html: str, most: int = _LONGEST_TEXT) -> str:
    """The same words, on lines as a reader would see them; what is quoted begins with a `>`. About as many characters
    as `most` says."""
    pieces: list[str] = []
    for piece in _shown(html[:_LONGEST_HTML], lines=True):
        pieces.append(piece if piece[:1] == "\n" else " ".join(piece.split()))
        most -= len(pieces[-1])
        if most < 0:
            break
    return "\n".join(line.strip() for line in " ".join(pieces).split("\n"))


def _shown(html: str, lines: bool = False) -> Iterator[str]:
    """The texts between the tags, with their character references replaced; with `lines`, also where one begins: a
    line feed, and a `>` for each quotation around it."""
    room, start, templates, quotations = _LONGEST_TEXT, 0, 0, 0
    for _ in range(_MOST_TAGS):
        tag = _TAG.search(html, start)
        end = tag.start() if tag else len(html)
        if start < end and not templates:
            yield _unescaped(html[start : min(end, start + room)])
            room -= end - start
        if tag is None or room <= 0:
            return
        start = tag.end()
        name = (tag[2] or "").lower()
        if lines and name in _BLOCKS and not templates:
            if name == "blockquote":
                quotations = max(0, quotations + (-1 if tag[1] else 1))
            yield "\n" + ">" * min(quotations, 1)
        if name == "template":
            templates = max(0, templates + (-1 if tag[1] else 1))
        elif name in _RAW and not tag[1]:
            closing = _END_OF_RAW[name].search(html, start)
            end = closing.start() if closing else len(html)
            if name in _SHOWN and not templates:
                yield _unescaped(html[start : min(end, start + room)])
                room -= end - start
            start = end


def tags(html: str) -> Iterator[tuple[str, bool, str]]:
    """The tags of an HTML body as a browser meets them: the name in lower case, whether it closes, and the whole."""
    for tag in _TAG.finditer(html):
        if tag[2]:
            yield tag[2].lower(), bool(tag[1]), tag[0]


def _unescaped(text: str) -> str:
    return (
        _REFERENCE.sub(lambda found: unescape(found[0]) if len(found[0]) <= 40 else "\ufffd", text)
        if "&" in text
        else text
    )


def snippet(text: str) -> str:
    """The beginning of a text on one line, at most SNIPPET_LENGTH characters."""
    # Enough for the first words even where they are far apart; most bodies need not be split whole.
    words = " ".join(text.lstrip()[: SNIPPET_LENGTH * 8].split())
    return words if len(words) <= SNIPPET_LENGTH else words[: SNIPPET_LENGTH - 1].rstrip() + "…"


def find_file(attachments: Sequence[Mapping[str, Any]], attachment_id: str) -> dict[str, Any] | None:
    """A file of a mail: name, mimeType and content, decoded to bytes; None where no content was sent, or no base64.

    By its id or, where that is missing, twice there or can't stand in a path, by its place: `#1` is the first. Base64
    in either alphabet (RFC 4648), in one line or many, with padding or without.
    """
    found = [entry for entry in attachments if str(entry.get("id")) == attachment_id]
    place = _PLACE.fullmatch(attachment_id)
    if not found and place:
        found = list(attachments[int(place[1]) - 1 : int(place[1])])
    for entry in found:
        if isinstance(entry.get("content"), str):
            try:
                digits = entry["content"].encode("ascii").translate(_TO_BASE64, _WHITE_SPACE).rstrip(b"=")
                content = b64decode(digits + b"=" * (-len(digits) % 4), validate=True)
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
