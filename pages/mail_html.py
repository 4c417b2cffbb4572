"""The HTML of an email, made harmless: what is shown of it in a frame of its own.

Two walls: here everything is taken out that is no text, layout or picture of the email itself (by nh3, a list of what
may stay); and the frame is shown under a policy by which a browser runs no script, loads nothing and knows no cookie,
whatever stood in it.
"""

import re
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Mapping
from html import unescape
from typing import Any, NamedTuple

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
_URL = re.compile("(?:https?|mailto):", re.IGNORECASE)
_ATTRIBUTES_OF = {
    name: re.compile(rf"""[\s/"']{name}\s*=\s*(?:"([^"]*)|'([^']*)|([^\s>]+))""", re.IGNORECASE)
    for name in ("href", "src")
}
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


class Outline(NamedTuple):
    """What is said of an email's HTML beside it."""

    links: list[str]  # where they lead, each once
    remote_pictures: int  # that are not loaded


def outline(html: str) -> Outline | None:
    """None for an HTML body that is too long or too deep to be shown as HTML."""
    if len(html) > LONGEST:
        return None
    open_now: Counter[str] = Counter()
    links: dict[str, None] = {}
    depth = remote = 0
    for number, (name, closes, text) in enumerate(tags(html)):
        if number >= _MOST_TAGS:
            return None
        if name == "img":
            remote += _value(text, "src").partition(":")[0].lower() not in ("", "cid", "data")
        if name in _EMPTY or name in _CLOSED_BY_THE_NEXT:
            continue
        if not closes:
            open_now[name] += 1
            depth += 1
            if name == "a" and len(links) < _MOST_LINKS and _URL.match(url := _value(text, "href")):
                links[url] = None
        elif open_now[name]:
            open_now[name] -= 1
            depth -= 1
        if depth > DEEPEST:
            return None
    return Outline(list(links), remote)


def _value(tag: str, name: str) -> str:
    """The value of an attribute, "" where a tag has none."""
    found = _ATTRIBUTES_OF[name].search(tag)
    return unescape(next(filter(None, found.groups()), "")).strip() if found else ""


def shown(html: str, picture: Callable[[str], Mapping[str, Any] | None]) -> str:
    """What may be shown of HTML that has an `outline`.

    `picture` gives the file (mimeType, content) that a `cid:` means.
    """
    room = _MOST_PICTURES

    def attribute(tag: str, name: str, value: str) -> str | None:
        nonlocal room
        if (tag, name) != ("img", "src") or value.lower().startswith("data:image/"):
            return value
        file = picture(value[4:]) if value.lower().startswith("cid:") else None
        if file is None or file["mimeType"] not in _PICTURES or len(file["content"]) > room:
            return None
        room -= len(file["content"])
        return f"data:{file['mimeType']};base64,{b64encode(file['content']).decode()}"

    return nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=attribute,
        filter_style_properties=_STYLES,
        url_schemes={"http", "https", "mailto", "cid", "data"},
        link_rel="noopener noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
