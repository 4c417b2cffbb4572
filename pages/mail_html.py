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

# Without rights, but that a link, which somebody has clicked, opens as a page of its own.
SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
POLICY = f"sandbox {SANDBOX}; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"

# nh3 takes the square of the depth: what is nested deeper, or longer, is shown as text. Newsletters have 150,000
# characters, and tables 30 deep.
LONGEST = 300_000
DEEPEST = 120
_MOST_TAGS = 20_000
_MOST_PICTURES = 8 * 2**20  # characters of the email's own pictures, each as often as it is shown
_MOST_LINKS = 100
# What is bold or coloured and not closed in order is opened again by whatever follows: of 160 kB a parser may make 140
# MB. Of equal ones it opens three (html.spec.whatwg.org, 13.2.4.3).
_OPENED_AGAIN = {"a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u"}
_MOST_EQUAL = 3
_MOST_OPENED_AGAIN = 8_000_000  # characters
_CLOSED_BY_THE_NEXT = {"p", "li", "td", "th", "tr", "dd", "dt", "option", "tbody", "thead", "tfoot", "colgroup"}
_EMPTY = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_URL = re.compile("(?:https?|mailto):", re.IGNORECASE)
_ATTRIBUTE = re.compile(
    r"""[ \t\n\f\r/]*+([^ \t\n\f\r/>][^ \t\n\f\r/>=]*+)"""
    r"""(?:[ \t\n\f\r]*+=[ \t\n\f\r]*+(?:"([^"]*+)"?|'([^']*+)'?|([^ \t\n\f\r>]*+)))?"""
)
_LOADS = re.compile(r"url\s*\(|src\s*\(|image|\\", re.IGNORECASE)  # a value of a style that would; or that hides it
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
    open_now: list[tuple[str, str]] = []  # the tags, from the outermost
    names: Counter[str] = Counter()  # of these
    reopened: Counter[str] = Counter()  # tags that a parser may open again, as they were not closed in order
    links: dict[str, None] = {}
    remote = size = total = 0
    for number, (name, closes, text) in enumerate(tags(html)):
        total += size
        if number >= _MOST_TAGS or total > _MOST_OPENED_AGAIN:
            return None
        if name == "img":
            remote += _value(name, text, "src").partition(":")[0].lower() not in ("", "cid", "data")
        if name in _EMPTY or name in _CLOSED_BY_THE_NEXT:
            continue
        if not closes:
            open_now.append((name, text))
            names[name] += 1
            size += len(text) * (name in _OPENED_AGAIN)
            if name == "a" and len(links) < _MOST_LINKS and _URL.match(url := _value(name, text, "href")):
                links[url] = None
        elif names[name]:
            in_order = open_now[-1][0] == name
            ended = ""
            while ended != name:
                ended, its_text = open_now.pop()
                names[ended] -= 1
                if ended in _OPENED_AGAIN:
                    stays = not in_order and reopened[its_text] < _MOST_EQUAL
                    reopened[its_text] += stays
                    size -= len(its_text) * (not stays)
        if len(open_now) > DEEPEST:
            return None
    return Outline(list(links), remote)


def _value(name: str, tag: str, wanted: str) -> str:
    """The value of an attribute as a browser reads it, "" where a tag has none."""
    for found in _ATTRIBUTE.finditer(tag, len(name) + 1):
        if found[1].lower() == wanted:
            return unescape(found[2] or found[3] or found[4] or "").strip()
    return ""


def shown(html: str, picture: Callable[[str], Mapping[str, Any] | None]) -> str:
    """What may be shown of HTML that has an `outline`.

    `picture` gives the file (mimeType, content) that a `cid:` means; it is asked once for each.
    """
    pictures: dict[str, str | None] = {}
    room = _MOST_PICTURES

    def attribute(tag: str, name: str, value: str) -> str | None:
        nonlocal room
        if name == "style":
            return ";".join(one for one in value.split(";") if not _LOADS.search(one))
        if (tag, name) == ("a", "href"):  # nowhere but where the page says
            return value if _URL.match(value.strip()) else None
        if (tag, name) != ("img", "src") or value.lower().startswith("data:image/"):
            return value
        if not value.lower().startswith("cid:"):
            return None
        if value not in pictures:
            pictures[value] = _as_url(picture(value[4:]))
        url = pictures[value]
        if url is None or len(url) > room:
            return None
        room -= len(url)
        return url

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


def _as_url(file: Mapping[str, Any] | None) -> str | None:
    """A picture as an address that holds it; None for what is none."""
    if file is None or str(file["mimeType"]).lower() not in _PICTURES or len(file["content"]) > _MOST_PICTURES:
        return None
    return f"data:{file['mimeType'].lower()};base64,{b64encode(file['content']).decode()}"
