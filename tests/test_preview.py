"""preview: the words of an HTML body, the beginning of a text, and what counts as an attachment."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm.preview import SNIPPET_LENGTH, has_files, snippet, text_of


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("   ", ""),
        ("just text", "just text"),
        ("<p>one</p><p>two</p>", "one two"),
        ("one<br>two<br/>three", "one two three"),
        ("<table><tr><td>one</td><td>two</td></tr></table>", "one two"),
        ("<ul><li>one<li>two</ul>", "one two"),
        ("a &amp; b &lt;c&gt; &euro;&nbsp;5 &#128512;", "a & b <c> € 5 😀"),
        ("<p>one\r\n\t two\u00a0three</p>", "one two three"),
        ("<html><head><title>no</title><style>no</style></head><body>yes</body></html>", "yes"),
        ("yes<style>no</style><script>no</script><template>no</template><noscript>no</noscript>", "yes"),
        ("<!-- no -->yes<!--[if mso]><p>no</p><![endif]-->", "yes"),
        ("<p>unclosed <b>tags <i>everywhere", "unclosed tags everywhere"),
        ("</div></p>yes</table>", "yes"),
        ("<p onclick='no'>yes<img alt='no' src=no></p>", "yes"),
        ("<?xml version='1.0'?><!DOCTYPE html><p>yes</p>", "yes"),
        ("<textarea>yes</textarea>", "yes"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("<frameset>", ""),
        ("<", "<"),
    ],
)
def test_the_words_that_a_reader_would_see(html: str, text: str) -> None:
    """Without tags, styles, scripts and comments; blocks, cells and lines are apart by a space."""
    assert text_of(html) == text


def test_a_long_mail_is_read_whole() -> None:
    """A newsletter of many paragraphs is not cut."""
    assert text_of("<table>" + "<tr><td><p>word</p></td></tr>" * 5000 + "</table>") == " ".join(["word"] * 5000)
    assert text_of("<div>" * 200 + "deep" + "</div>" * 200) == "deep"
    assert text_of("<p>open" * 5000).count("open") == 5000
    assert text_of("<ul>" + "<li>item" * 5000).count("item") == 5000


@pytest.mark.parametrize("bomb", ["<div>", "<DIV >", "<b>", "<div\n>", "<div class='x'>"])
def test_what_is_nested_deep_is_read(bomb: str) -> None:
    """No tree is built, so depth costs nothing; of very many tags the first are read."""
    assert text_of(bomb * 100_000 + "deep") == "deep"
    assert text_of(bomb * 200_001 + "late") == ""


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("yes<!-->yes<!--->yes<!-- no --!>yes<!-- no", "yes yes yes yes"),
        ("<a title='>no' b=\">no\" c=no d = '>no'>yes</a", "yes"),
        ("<a title='no", ""),
        ('<a b"c>yes', "yes"),
        ("yes<script>no</scripts>no</SCRIPT >yes<style>no", "yes yes"),
        ("<template>no<template>no</template>no</template>yes</template>yes", "yes yes"),
        ("<textarea><b>&amp;</textarea>", "<b>&"),
        ("<![CDATA[no]]>yes<?no>yes</>yes</ no>yes", "yes yes yes yes"),
        ("&#0000064; &#x1F600; &#" + "9" * 5000 + ";", "@ 😀 \ufffd"),
        ("a<3 <", "a<3 <"),
        ("<title>no <b> </title><iframe>no</iframe>yes", "yes"),
    ],
)
def test_html_is_read_as_browsers_read_it(html: str, text: str) -> None:
    """Comments, quotes, raw text and references, whole or broken off."""
    assert text_of(html) == text


def test_of_a_huge_body_the_first_is_read() -> None:
    """2 MiB of text, within 8 MiB of HTML: so large pictures inside the HTML hide no words."""
    assert text_of(f"<img src='data:{'x' * 7 * 2**20}'>found").endswith("found")
    assert text_of(f"<img src='data:{'x' * 8 * 2**20}'>found") == ""
    assert len(text_of("x" * 3 * 2**20)) == 2 * 2**20


@settings(max_examples=300, deadline=None, derandomize=True)
@given(html=st.text(st.sampled_from("<>/!-abpdiv \"'=&;#x\n\ufffd[]?") | st.characters(), max_size=200))
def test_any_text_can_be_read_as_html(html: str) -> None:
    """Nothing that a mail may hold makes it fail, and words are parted by single spaces."""
    text = text_of(html)
    assert text == " ".join(text.split())


@pytest.mark.parametrize(
    ("text", "beginning"),
    [
        ("", ""),
        (" \r\n\t ", ""),
        ("\r\n\r\n  Dear John,\r\n\r\n\tsee\u00a0the  offer.\r\n", "Dear John, see the offer."),
        ("x" * SNIPPET_LENGTH, "x" * SNIPPET_LENGTH),
        ("x" * (SNIPPET_LENGTH + 1), "x" * (SNIPPET_LENGTH - 1) + "…"),
        ("ab " * SNIPPET_LENGTH, "ab " * 66 + "a…"),
        ("abc " * SNIPPET_LENGTH, "abc " * 49 + "abc…"),
        ("\n" * 100_000 + "late", "late"),
        ("e\u0301" * 10, "e\u0301" * 10),
    ],
)
def test_a_snippet_is_the_beginning_on_one_line(text: str, beginning: str) -> None:
    """White space is one space; an ellipsis stands for what was cut."""
    assert snippet(text) == beginning


@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=st.text(st.sampled_from("ab \n\u00a0\u2003") | st.characters(), max_size=3 * SNIPPET_LENGTH))
def test_a_snippet_is_never_longer_than_a_line(text: str) -> None:
    """Whole words of the text, or as many characters as there is room for."""
    line = snippet(text)
    assert len(line) <= SNIPPET_LENGTH
    assert line == " ".join(line.split())
    assert " ".join(text.split()).startswith(line.removesuffix("…"))


IMAGE: dict[str, Any] = {"mimeType": "image/png", "inline": True}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], False),
        ([IMAGE], False),
        ([IMAGE, IMAGE], False),
        ([IMAGE | {"mimeType": "IMAGE/PNG; name=x"}], False),
        ([{"name": "logo.PNG", "inline": True}], False),
        ([{"name": "logo.svg", "mimeType": None, "inline": True}], False),
        ([IMAGE | {"inline": False}], True),
        ([{"mimeType": "image/png"}], True),
        ([IMAGE | {"inline": None}], True),
        ([{"mimeType": "application/pdf", "inline": True}], True),
        ([{"name": "offer.pdf", "inline": True}], True),
        ([{"name": "logo.png", "mimeType": "application/pdf", "inline": True}], True),
        ([IMAGE, {"name": "offer.pdf"}], True),
        ([{}], True),
        ([{"inline": True}], True),
        ([{"name": ["x"], "mimeType": {"a": 1}, "inline": True}], True),
        ([{"name": "data:image/png;x,y\x00", "mimeType": 5, "inline": True}], True),
    ],
)
def test_what_a_reader_would_call_an_attachment(files: list[dict[str, Any]], expected: bool) -> None:
    """Everything but pictures inside the text, whatever the entries hold."""
    assert has_files(files) is expected
