"""GET /api/v1/emails/{id}/attachments/{attachmentId}: a file out of a mail."""

from base64 import b64encode

import pytest
from werkzeug.http import parse_options_header

FILE = {"id": "1", "name": "offer.pdf", "mimeType": "application/pdf", "content": b64encode(b"%PDF-1.4").decode()}


def attach(client, **changes):
    """Log a mail with one file and give the path of the file."""
    mail = client.post("/api/v1/emails", json={"attachments": [{**FILE, **changes}]}).json
    return f"/api/v1/emails/{mail['id']}/attachments/{changes.get('id', '1')}"


def test_it_is_decoded_and_goes_by_its_name_and_type(client):
    """What was base64 in the mail comes as the file's own bytes."""
    answer = client.get(attach(client))
    assert answer.status_code == 200
    assert answer.data == b"%PDF-1.4"
    assert answer.mimetype == "application/pdf"
    assert answer.headers["Content-Disposition"] == "attachment; filename=offer.pdf"


def test_a_browser_saves_it_and_never_shows_it(client):
    """HTML that came by mail must not run as a page of ours."""
    answer = client.get(attach(client, name="a.html", mimeType="text/html"))
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("Angebot für Jörg.pdf", "filename*=UTF-8''Angebot%20f%C3%BCr%20J%C3%B6rg.pdf"),
        ('a"b\r\nSet-Cookie: x.pdf', 'a\\"b__Set-Cookie'),
        ("../../etc/passwd", ".._.._etc_passwd"),
        (None, "filename=attachment"),
        ({"not": "a name"}, "attachment;"),
    ],
)
def test_no_name_breaks_the_header_or_leaves_the_folder(client, name, header):
    """Names are other people's input: line breaks and slashes become underscores."""
    answer = client.get(attach(client, name=name))
    assert answer.status_code == 200
    assert header in answer.headers["Content-Disposition"]


@pytest.mark.parametrize("kind", [None, "", "no type", "text/html\r\nX: y", 5, "a/b/c"])
def test_what_is_no_media_type_is_just_bytes(client, kind):
    """The media type is other people's input as well."""
    answer = client.get(attach(client, mimeType=kind))
    assert (answer.status_code, answer.mimetype) == (200, "application/octet-stream")


@pytest.mark.parametrize("content", [None, 5, "no base64!", "YWJjZ"])
def test_it_is_404_where_no_file_was_sent(client, content):
    """Often only the description of a file is logged."""
    answer = client.get(attach(client, content=content))
    assert answer.status_code == 404
    assert answer.json["code"] == 404


def test_it_is_404_for_another_attachment_or_email(client):
    """An id that is not in this mail is not there."""
    path = attach(client)
    assert client.get(path[:-1] + "2").status_code == 404
    assert client.get(path.replace("/emails/1/", "/emails/2/")).status_code == 404


@pytest.mark.parametrize("content", ["++//", "--__", "+ +/\r\n/", "--//"])
def test_either_alphabet_and_line_breaks_are_read(client, content):
    """Gmail has base64url, MIME has lines of 76."""
    assert client.get(attach(client, content=content)).data == b"\xfb\xef\xff"


def test_missing_padding_is_no_fault(client):
    """base64url mostly comes without."""
    assert client.get(attach(client, content="YWI")).data == b"ab"


def test_an_integer_id_is_found(client):
    """Some mailboxes number their attachments."""
    assert client.get(attach(client, id=7)).data == b"%PDF-1.4"


def test_an_empty_file_is_a_file(client):
    """Nothing in it, but sent."""
    answer = client.get(attach(client, content=""))
    assert (answer.status_code, answer.data) == (200, b"")


def test_a_sync_token_can_not_fetch_it(client, sync):
    """BrightSync has no use for it."""
    assert sync.get(attach(client)).status_code == 403


@pytest.mark.parametrize("letter", ["a", "é", "東", "😀", "%", '"', "\\", "\u202e", "\u0301", "℀", "\ud800"])
@pytest.mark.parametrize("length", [1, 250, 100_000])
def test_the_header_of_any_name_is_bounded(client, letter, length):
    """What nginx and clients take is a few thousand bytes; what decides how the file is opened is the ending."""
    header = client.get(attach(client, name=letter * length + ".pdf")).headers["Content-Disposition"]
    assert header.isascii()
    assert header.isprintable()
    assert len(header) < 1200
    options = parse_options_header(header)[1]
    assert options["filename"].endswith(".pdf") or length == 1
    assert len(options["filename"].encode()) <= 255
    assert not set("/\\\u202e") & set(options["filename"])


@pytest.mark.parametrize("name", [".", "..", "...", " ", "", None, "a" * 300 + "." + "b" * 300, "." + "b" * 300])
def test_a_name_is_never_a_folder(client, name):
    options = parse_options_header(client.get(attach(client, name=name)).headers["Content-Disposition"])[1]
    assert options["filename"].strip(".")
    assert len(options["filename"]) <= 255


@pytest.mark.parametrize("odd", [{}, {"id": None}, {"id": "same"}, {"id": "a/b"}, {"id": ""}])
def test_a_file_without_a_usable_id_is_found_by_its_place(client, odd):
    """Ids are the mailbox's: missing, twice there, or with a slash."""
    files = [{**odd, "name": name, "content": b64encode(name.encode()).decode()} for name in ("a.txt", "b.txt")]
    email = client.post("/api/v1/emails", json={"attachments": files}).json["id"]
    path = f"/api/v1/emails/{email}/attachments/"
    assert [client.get(f"{path}%23{n}").data for n in (1, 2)] == [b"a.txt", b"b.txt"]
    assert [client.get(f"{path}%23{n}").status_code for n in ("0", "3", "-1", "x", "01", "9" * 50)] == [404] * 6


def test_an_id_that_looks_like_a_place_is_an_id(client):
    """What is called `#2` is found under its name, wherever it stands."""
    files = [{"id": id, "content": b64encode(id.encode()).decode()} for id in ("#2", "#1")]
    email = client.post("/api/v1/emails", json={"attachments": files}).json["id"]
    assert client.get(f"/api/v1/emails/{email}/attachments/%232").data == b"#2"
