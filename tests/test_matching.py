"""What makes two addresses, domains or message ids the same."""

from collections.abc import Callable

import idna
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from crm.matching import (
    MOST_IN_ENTRY,
    candidate_keys,
    normalize_address,
    normalize_addresses,
    normalize_domain,
    normalize_message_id,
    parent_domains,
    split_addresses,
)

# The same cases each time: what fails on one machine fails on all.
same_each_time = settings(derandomize=True, max_examples=300, deadline=None, database=None)

any_text = st.text(max_size=30)
# Letters that have been trouble: final sigma, sharp s, dotted and dotless i, combining marks, other dots, full width.
odd_text = st.text("aZ.@<>,:;\" +'_-ßẞςΣİıéÉ\u0301\u0345ǰﬁ例。．＠K\u200d\u3000\n\x00", max_size=12)
label = st.text("abcXYZ0189äöüßéàçñøåλσяж例え中文한글", min_size=1, max_size=12)


def is_international(text: str) -> bool:
    """Whether IDNA 2008 allows a label, so that it has two forms."""
    try:
        return bool(idna.encode(text, uts46=True))
    except idna.IDNAError:
        return False


# addresses


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("jane@acme.example", "jane@acme.example"),
        ("JANE@ACME.EXAMPLE", "jane@acme.example"),
        (" jane@acme.example\r\n", "jane@acme.example"),
        ("Jane Doe <JANE@acme.example>", "jane@acme.example"),
        ("< jane@acme.example >", "jane@acme.example"),
        ('"Doe, Jane" <jane@acme.example> (home)', "jane@acme.example"),
        ('"<boss@acme.example>" <jane@acme.example>', "jane@acme.example"),
        ("jane@acme.example.", "jane@acme.example"),
        ("jane@acme.example..", "jane@acme.example"),
        ("jane.doe+crm@acme.example", "jane.doe+crm@acme.example"),
        ('"a,b"@acme.example', '"a,b"@acme.example'),
        ('"a@b"@acme.example', '"a@b"@acme.example'),
        ("jane@MÜNCHEN.example", "jane@xn--mnchen-3ya.example"),
        ("jane@mu\u0308nchen.example", "jane@xn--mnchen-3ya.example"),
        ("jane@XN--MNCHEN-3YA.example", "jane@xn--mnchen-3ya.example"),
        ("jane@faß.example", "jane@xn--fa-hia.example"),
        ("jane@fass.example", "jane@fass.example"),
        ("jane@例え。example", "jane@xn--r8jz45g.example"),
        ("JOSÉ@acme.example", "josé@acme.example"),
        ("jose\u0301@acme.example", "josé@acme.example"),
        ("STRASSE@acme.example", "strasse@acme.example"),
        ("straße@acme.example", "strasse@acme.example"),
        ("ΣΊΣΥΦΟΣ@acme.example", "σίσυφοσ@acme.example"),
        ("jane@my_host.example", "jane@my_host.example"),
        ("jane@MY_HÖST.example", "jane@my_höst.example"),
        ("root@localhost", "root@localhost"),
        ("jane@acme.example (Jane Doe)", "jane@acme.example"),
        ("(a (b) \\) c) jane (home) @ (of) acme.example", "jane@acme.example"),
        ("jane@acme.example (Jane", "jane@acme.example"),
        ("Friends: jane@acme.example;", "jane@acme.example"),
        ("mailto:jane@acme.example", "jane@acme.example"),
        ("<MAILTO:jane@acme.example?subject=x>", "jane@acme.example"),
        ('"jane"@acme.example', "jane@acme.example"),
        ('"jane..doe"@acme.example', '"jane..doe"@acme.example'),
        ("'jane@acme.example'", "jane@acme.example"),
        ("“jane@acme.example”", "jane@acme.example"),
        ('"Jane <jane@acme.example>"', "jane@acme.example"),
        ("\"'jane@acme.example'\".", "jane@acme.example"),
        ("o'brien@acme.example", "o'brien@acme.example"),
        ("\u200bjane@ac\u00adme.example\u202c\ufeff", "jane@acme.example"),
        ("\u00a0jane@acme.example\u200d", "jane@acme.example"),
        ("jane@acme.example.,;", "jane@acme.example"),
        ("jane@acme.example>", "jane@acme.example"),
        ('"Doe, Jane <jane@acme.example>', "jane@acme.example"),
        ("<@hop.example:jane@acme.example>", "jane@acme.example"),
        ("jane@[192.0.2.1]", "jane@[192.0.2.1]"),
    ],
)
def test_an_address_is_normalized(text: str, normalized: str) -> None:
    """The part in angle brackets, trimmed, NFC, case-folded, the domain as its A-label without a final dot."""
    assert normalize_address(text) == normalized


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "@",
        "<>",
        "jane",
        "jane@",
        "jane@.",
        "@acme.example",
        "<@acme.example>",
        "undisclosed-recipients:;",
        "jane@ac me.example",
        f"{'x' * 1000}@acme.example",
        f"jane@{'x' * 1000}.example",
    ],
)
def test_what_cannot_be_read_as_an_address_has_no_normalized_form(text: str) -> None:
    """It is kept to the letter, and found by nobody."""
    assert normalize_address(text) is None


@same_each_time
@given(st.one_of(any_text, odd_text, st.builds("{}@{}".format, odd_text, odd_text)))
@example("jane@acme.example..")
@example("jane@a.。")
def test_normalizing_an_address_twice_changes_nothing(text: str) -> None:
    """What is stored normalized is found by what is normalized."""
    normalized = normalize_address(text)
    assert normalized is None or normalize_address(normalized) == normalized


@same_each_time
@given(st.text("abcdefghijklmnopqrstuvwxyz0189.+-äöüéàçñøåλяж", min_size=1, max_size=20), label)
def test_letter_case_makes_no_difference_to_an_address(local: str, host: str) -> None:
    """Neither before nor behind the @."""
    assume("ß" not in host)  # its upper case is SS, which is another domain's name
    address = f"{local}@{host}.example"
    assert (
        normalize_address(address.upper()) == normalize_address(address.lower()) == normalize_address(address.title())
    )


@same_each_time
@given(label)
def test_both_forms_of_an_international_domain_are_one(name: str) -> None:
    """The U-label and the A-label (RFC 5890, 2.3.2.1), in addresses and as domains."""
    assume(is_international(name))
    a_label = idna.encode(name, uts46=True).decode()
    assert (
        normalize_address(f"jane@{name}.example")
        == normalize_address(f"jane@{a_label}.example")
        == f"jane@{a_label}.example"
    )
    assert (
        normalize_domain(f"{name}.example") == normalize_domain(f"{a_label.upper()}.example.") == f"{a_label}.example"
    )


@same_each_time
@given(odd_text, st.sampled_from(["{}", " {} ", "<{}>", "Jane <{}>", '"a@b.example" <{}>', "{}\n"]))
def test_what_stands_around_an_address_makes_no_difference(text: str, frame: str) -> None:
    """A display name, brackets, white space."""
    address = f"{text}@acme.example"
    assume(not set("<>") & set(address))
    assert normalize_address(frame.format(address)) == normalize_address(address)


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("Team: a@x.example, B@y.example;", ["a@x.example", "b@y.example"]),
        ('Team: "A, B" <a@x.example>, b@y.example (B); c@z.example', ["a@x.example", "b@y.example", "c@z.example"]),
        ("Doe, Jane <jane@x.example>", ["jane@x.example"]),
        ("a@x.example; A@x.example, A <a@x.example>", ["a@x.example"]),
        ("undisclosed-recipients:;", []),
        ("jane@x.example", ["jane@x.example"]),
        ("", []),
    ],
)
def test_each_address_of_an_entry_is_found(text: str, addresses: list[str]) -> None:
    """Of a group each member, once; `normalize_address` gives the first."""
    assert normalize_addresses(text) == addresses
    assert normalize_address(text) == (addresses[0] if addresses else None)


def test_an_entry_has_no_more_addresses_than_a_limit() -> None:
    """However long it is."""
    assert len(normalize_addresses(",".join(f"p{n}@x.example" for n in range(100_000)))) == MOST_IN_ENTRY


# domains


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("acme.example", "acme.example"),
        ("ACME.Example.", "acme.example"),
        ("www.acme.example", "acme.example"),
        ("WWW.acme.example", "acme.example"),
        ("www2.acme.example", "www2.acme.example"),
        ("wwwacme.example", "wwwacme.example"),
        ("www.example", "www.example"),
        ("https://www.acme.example/a?b@c#d", "acme.example"),
        ("acme.example/a@b", "acme.example"),
        ("https://acme.example:8080", "acme.example"),
        ("ftp://user:pass@acme.example/", "acme.example"),
        ("jane@acme.example", "acme.example"),
        ("Jane <jane@www.acme.example>", "acme.example"),
        (" MÜNCHEN.example ", "xn--mnchen-3ya.example"),
        ("http://münchen.example/ä", "xn--mnchen-3ya.example"),
        ("localhost", "localhost"),
    ],
)
def test_a_domain_is_normalized(text: str, normalized: str) -> None:
    """Without scheme, path, port, address, a leading www. and the final dot; case, IDNA."""
    assert normalize_domain(text) == normalized


@pytest.mark.parametrize("text", ["", " ", ".", "@", "jane@", "https://", "/", "?", "a b", "a,b", "x" * 1000])
def test_what_is_no_domain_has_no_normalized_form(text: str) -> None:
    """It is kept to the letter, and found by nobody."""
    assert normalize_domain(text) is None


@same_each_time
@given(st.one_of(any_text, odd_text))
def test_whatever_is_asked_for_does_not_fail(text: str) -> None:
    """Each function gives a key that fits into an index, or none; the longest texts too."""
    for normalize in (normalize_address, normalize_domain, normalize_message_id):
        for asked in (text, text * 200):
            key = normalize(asked)
            assert key is None or 0 < len(key) <= 998


@same_each_time
@given(
    st.lists(label, min_size=1, max_size=4).map(".".join), st.lists(st.sampled_from(["eu", "mail", "a"]), max_size=3)
)
def test_the_parents_of_a_domain_end_it_at_its_dots(domain: str, below: list[str]) -> None:
    """Nearest first, itself among them; never a piece of a label."""
    whole = ".".join([*below, domain, "acme.example"])
    parents = parent_domains(whole)
    assert parents[0] == whole
    assert parents[len(below)] == f"{domain}.acme.example"
    assert parents[-1] == "acme.example"
    assert all(shorter == longer.partition(".")[2] for longer, shorter in zip(parents, parents[1:], strict=False))


# message ids


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("<a@acme.example>", "a@acme.example"),
        ("a@acme.example", "a@acme.example"),
        (" <a@acme.example>\r\n", "a@acme.example"),
        ("< a@acme.example >", "a@acme.example"),
        ("<<a@acme.example>>", "<a@acme.example>"),
        ("<a@acme.example", "<a@acme.example"),
        ("A@acme.example", "A@acme.example"),
        ("a b", "a b"),
        (None, None),
        ("", None),
        (" ", None),
        ("<>", None),
        ("< >", None),
    ],
)
def test_a_message_id_is_normalized(text: str | None, normalized: str | None) -> None:
    """White space and one pair of angle brackets are taken off; letter case counts."""
    assert normalize_message_id(text) == normalized


def test_long_message_ids_are_told_apart() -> None:
    """What is too long for an index is represented by its digest, brackets or not."""
    keys = {normalize_message_id("x" * length) for length in (998, 999, 1000, 100_000)}
    assert len(keys) == 4
    assert normalize_message_id(f"<{'x' * 5000}>") == normalize_message_id("x" * 5000)


# queries


@pytest.mark.parametrize(
    ("values", "entries"),
    [
        (["a,b", "c"], ["a", "b", "c"]),
        ([",a,, ,b,"], ["a", "b"]),
        (['"a,b"@x,c'], ['"a,b"@x', "c"]),
        (['"a\\",b"@x,c'], ['"a\\",b"@x', "c"]),
        (['"Doe, Jane" <jane@x>,c'], ['"Doe, Jane" <jane@x>', "c"]),
        (['"a,b', "c"], ['"a', "b", "c"]),
        (["", " "], []),
        ([], []),
    ],
)
def test_addresses_are_split_at_commas_outside_of_quotes(values: list[str], entries: list[str]) -> None:
    """A quotation mark that is not closed hides no comma."""
    assert split_addresses(values) == entries


@pytest.mark.parametrize(
    ("text", "normalize", "keys"),
    [
        ("a@x", normalize_address, ["a@x"]),
        ("a b@x", normalize_address, ["a b@x", "a+b@x"]),
        (" b@x", normalize_address, ["b@x", "+b@x"]),
        ("<a b c>", normalize_message_id, ["a b c", "a+b+c"]),
        ("a ", normalize_message_id, ["a", "a+"]),
        ("nonsense", normalize_address, []),
    ],
)
def test_a_value_with_spaces_may_have_had_pluses(
    text: str, normalize: Callable[[str], str | None], keys: list[str]
) -> None:
    """As it came first, then with + for each space."""
    assert candidate_keys(text, normalize) == keys
