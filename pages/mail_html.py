"""The HTML of an email, made harmless: what is shown of it in a frame of its own.

Two walls: here everything is taken out that is no text, layout or picture of the email itself (by nh3, a list of what
may stay); and the frame is shown under a policy by which a browser runs no script, loads nothing and knows no cookie,
whatever stood in it.
"""

from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import nh3

from crm.preview import tags

POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"

# nh3 takes the square of the depth: what is nested deeper, or longer, is shown as text. Newsletters have 150,000
# characters, and tables 30 deep.
LONGEST = 300_000
DEEPEST = 120
_MOST_TAGS = 20_000
_MOST_PICTURES = 8 * 2**20  # bytes of the email's own pictures
_MOST_LINKS = 100
_CLOSED_BY_THE_NEXT = {"p", "li", "td", "th", "tr", "dd", "dt", "option", "tbody", "thead", "tfoot", "colgroup"}
_EMPTY = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}

_TAGS = (nh3.ALLOWED_TAGS | {"font", "center", "big", "section", "main"}) - {"map", "area"}
_LOOKS = {"style", "align", "valign", "width", "height", "bgcolor", "color", "border", "cellpadding", "cellspacing"}
_ATTRIBUTES = {
    "*": _LOOKS | {"dir", "lang", "title"},
    "a": {"href"},
    "img": {"src", "alt"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan"},
    "font": {"size", "face"},
}
_STYLES = {
    *("background-color", "border", "border-collapse", "border-color", "border-style", "border-width", "color"),
    *("border-top", "border-bottom", "border-left", "border-right", "border-radius", "border-spacing"),
    *("display", "font", "font-family", "font-size", "font-style", "font-weight", "height", "letter-spacing"),
    *("line-height", "list-style", "list-style-type", "margin", "margin-top", "margin-bottom", "margin-left"),
    *("margin-right", "max-width", "min-width", "padding", "padding-top", "padding-bottom", "padding-left"),
    *("padding-right", "text-align", "text-decoration", "text-indent", "text-transform", "vertical-align"),
    *("white-space", "width", "word-break", "overflow-wrap"),
}


class Shown(NamedTuple):
    """What is shown of an email's HTML."""

    html: str
    links: list[str]  # where its links lead, each once
    remote_pictures: int  # that are not loaded


def is_showable(html: str) -> bool:
    """Whether an HTML body is short and flat enough to be shown as HTML."""
    if len(html) > LONGEST:
        return False
    open_now: Counter[str] = Counter()
    depth = 0
    for number, (name, closes) in enumerate(tags(html)):
        if number >= _MOST_TAGS:
            return False
        if name in _EMPTY or name in _CLOSED_BY_THE_NEXT:
            continue
        if not closes:
            open_now[name] += 1
            depth += 1
        elif open_now[name]:
            open_now[name] -= 1
            depth -= 1
        if depth > DEEPEST:
            return False
    return True


def shown(html: str, picture: Callable[[str], Mapping[str, Any] | None]) -> Shown:
    """What may be shown of HTML that `is_showable`.

    `picture` gives the file (mimeType, content) that a `cid:` means.
    """
    links: dict[str, None] = {}
    remote, room = 0, _MOST_PICTURES

    def attribute(tag: str, name: str, value: str) -> str | None:
        nonlocal remote, room
        if (tag, name) == ("a", "href"):
            if _scheme(value) in ("http", "https", "mailto") and len(links) < _MOST_LINKS:
                links[value] = None
            return value
        if (tag, name) != ("img", "src"):
            return value
        if value.lower().startswith("cid:"):
            file = picture(value[4:])
            if file is None or file["mimeType"] not in _PICTURES or len(file["content"]) > room:
                return None
            room -= len(file["content"])
            return f"data:{file['mimeType']};base64,{b64encode(file['content']).decode()}"
        if value.lower().startswith("data:image/"):
            return value
        remote += 1
        return None

    cleaned = nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=attribute,
        filter_style_properties=_STYLES,
        url_schemes={"http", "https", "mailto", "cid", "data"},
        link_rel="noopener noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    return Shown(cleaned, list(links), remote)


def _scheme(url: str) -> str | None:
    """The scheme of an address, None for what is none."""
    try:
        return urlsplit(url.strip()).scheme.lower()
    except ValueError:
        return None
