"""What mentions an address: however it is written, and nobody else's."""

import base64
import random
from unicodedata import normalize

import pytest

from crm.mentions import Mentions

JANE = Mentions("jane@x.org")
UNSEEN = ["\u200b", "\u00ad", "\u2060", "\ufeff", "\u200d", "\u202e", "\x00", "\ufe0f"]


@pytest.mark.parametrize(
    "text",
    [
        "jane@x.org",
        "JANE@X.Org",
        "_jane@x.org_",
        "**jane@x.org**",
        "E-Mail-jane@x.org",
        "email_jane@x.org",
        "write to jane@x.org.",
        "jane@x.org.Then",
        "jane@x.org.1",
        "jane@x.org.vcf",
        "jane@x.org-please",
        "--jane@x.org--",
        "邮箱jane@x.org谢谢",
        "jane@x.org。谢谢",
        "почтаjane@x.org",
        "jane\uff20x.org",
        "ｊａｎｅ@ｘ．ｏｒｇ",
        "mailto:jane%40x.org",
        "jane%2540x.org",
        "jane=40x.org",
        "ja=\r\nne@x.org",
        "jane&amp;#64;x.org",
        "\\njane\\u0040x.org",
        '"jane"@x.org',
        "jane (at) x [dot] org",
        "bob@y.org,jane@x.org",
        "?to=jane@x.org&x",
        *(f"ja{unseen}ne@x.o{unseen}rg" for unseen in UNSEEN),
    ],
)
def test_it_is_found_as_a_reader_sees_it(text):
    """Each stands in some mail."""
    assert JANE.in_text(text)


@pytest.mark.parametrize(
    "text",
    [
        "mary-jane@x.org",
        "mary.jane@x.org",
        "Mary.Jane@x.org",
        "m_jane@x.org",
        "news+jane@x.org",
        "o'jane@x.org",
        "ojane@x.org",
        "joséjane@x.org",
        "mary\u00ad-jane@x.org",
        "mary%2Djane@x.org",
        "jane@x.org.uk",
        "JANE@X.ORG.UK",
        "jane@x.organic",
        "jane@x.org-shop.example",
        "jane.x.org",
        "jane@ x.org",
        "jane@x-org",
    ],
)
def test_somebody_elses_is_not(text):
    """To erase it would erase the mail of another person."""
    assert not JANE.in_text(text)


@pytest.mark.parametrize(
    ("html", "mentions"),
    [
        ("<b>jane</b>&#64;x.<wbr>org", True),
        ("<a href='mailto:jane%40x.org?subject=hi'>her</a>", True),
        ("<!-- jane@x.org -->", True),
        ("ja<!-- > -->ne@x.org", True),
        ("jane<div title='>'>@x.org</div>", True),
        ("<jane@x.org>", True),
        ("<p it's>jane@x.org</p>", True),
        ("jane&commat;x&period;org", True),
        ("jane&#x200b;@x&shy;.org", True),
        ("<td>mary</td><td>jane@x.org</td>", True),
        ("<td>mary-</td><td>jane@x.org</td>", True),
        ("jane@x.org<br>uk", True),
        ('<p title="never closed>jane@x.org', True),
        ("mary-<wbr>jane@x.org", False),
        ("mary<b>-</b>jane@x.org", False),
        ("mary&#45;jane@x.org", False),
        ("jane@x.org<wbr>.uk", False),
        ("jane@x.org&#46;uk", False),
    ],
)
def test_html_is_read_as_it_is_shown(html, mentions):
    """Tags and entities hide an address, and are part of another's."""
    assert JANE.in_html(html) is mentions


@pytest.mark.parametrize(
    "text", ["JÖRG@MÜNCHEN.example", "jörg@xn--mnchen-3ya.example", "j%C3%B6rg@m%C3%BCnchen.example"]
)
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("sought", ["jörg@münchen.example", "Jo\u0308rg@XN--MNCHEN-3YA.example"])
def test_other_letters_are_the_same(text, form, sought):
    """Composed or not, of either case, as U-label or A-label."""
    assert Mentions(sought).in_text(normalize(form, text))


def test_a_domain_with_sharp_s_is_another():
    """IDNA 2008 knows both; in the local part case folding makes them one, as it does for a record's address."""
    assert not Mentions("a@faß.example").in_text("a@fass.example")
    assert not Mentions("a@fass.example").in_text("a@faß.example")
    assert Mentions("a@faß.example").in_text("A@FAẞ.example, a@xn--fa-hia.example")
    assert Mentions("straße@x.example").in_text("STRASSE@x.example")
    assert Mentions("ΣΑΣ@x.example").in_text("σας@x.example")


def b64(data):
    return base64.encodebytes(data).decode()


MAIL = b"From: bob@y.org\r\n\r\n--x\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n--x--\r\n"


@pytest.mark.parametrize(
    "data",
    [
        b"name,mail\nJane,jane@x.org\n",
        b"<p>jane</p><b>jane</b>&#64;x.org",
        b"BEGIN:VCARD\r\nEMAIL:jane@\r\n x.org\r\nEND:VCARD",
        b'{"mail": "jane\\u0040x.org"}',
        "jane@x.org".encode("utf-16"),
        "über jane@x.org".encode("latin-1"),
        b"%PDF-1.4 \xff\xfe\x01 /URI (mailto:jane@x.org)",
        b"To: =?utf-8?q?jane=40x.org?=\r\n\r\nhi",
        b"To: =?utf-8?b?amFuZUB4Lm9yZw==?=\r\n\r\nhi",
        b"\r\nja=\r\nne=40x.org",
        MAIL % base64.encodebytes(b"this is a text for jane@x.org, and goes on for some lines" * 3),
        MAIL % base64.encodebytes(MAIL % base64.encodebytes(b"a mail in a mail, for jane@x.org and others" * 3)),
    ],
)
@pytest.mark.parametrize("media_type", ["text/plain", "message/rfc822", None])
def test_files_are_read(data, media_type):
    """Whatever their type is said to be."""
    file = {"id": "1", "name": "a", "mimeType": media_type, "content": b64(data)}
    assert JANE.in_value([file])
    assert not Mentions("bob@x.org").in_value([file])


def test_any_json_is_walked_through():
    """However deep, also the names."""
    for value in [{"jane@x.org": 1}, [[{"a": [None, 1.5, True, "jane@x.org"]}]], {"content": {"x": "jane@x.org"}}]:
        assert JANE.in_value(value)
    assert not JANE.in_value([{"content": "no base64 $"}, {"content": None}, 1, None, "jane"])


def test_where_a_text_is_cut_makes_no_difference():
    """Long texts are decoded piece by piece."""
    seed = random.randrange(10**9)
    chance = random.Random(seed)
    hidden = ["jane@x.org", "jane%40x.org", "ja\u200bne@x.org", "jane&#64;x.org", "ja" + "\u200b" * 70_000 + "ne@x.org"]
    others = ["mary-jane@x.org", "jane@x.org.uk", "mary%2Djane@x.org", "joséjane@x.org"]
    for filler in ["a ", "@ ", "%%", "&", "é", "=", "e\u0301", "jane ", "邮"]:
        for text, mentions in [(one, True) for one in hidden] + [(one, False) for one in others]:
            before = filler * ((64 * 1024 - chance.randrange(2 * len(text) if len(text) < 100 else 40)) // len(filler))
            assert JANE.in_text(f"{before} {text} {filler * 200}") is mentions, (seed, filler, text)


@pytest.mark.parametrize(
    "unit",
    ["@", "=40", "&#64;", "<b>", '<a="', "<!--", "<", "a\u0300\u0316", "\u0300\u0316", "\ufdfa", "jane@", "(at", "&#0"],
)
def test_no_text_is_too_much(unit):
    """Twice as long takes twice as long; none fails. (Times: bench/README.md.)"""
    text = unit * (300_000 // len(unit))
    assert not JANE.in_text(text)
    assert not JANE.in_html(text)
    assert not JANE.in_value({"content": b64(text.encode())})
    assert JANE.in_text(f"{text} jane@x.org")


def test_what_is_no_address_can_not_be_sought():
    """It would be found everywhere."""
    with pytest.raises(ValueError):
        Mentions("everybody")
