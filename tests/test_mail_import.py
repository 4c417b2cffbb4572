"""`flask mail import`: real mail goes in as if it were posted, and nothing that is odd about it stops the rest."""

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from email.message import EmailMessage
from mailbox import mbox
from pathlib import Path
from typing import Any

import pytest

import crm
import database
from commands import imports
from commands.items import Item
from commands.mailfile import as_email

CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"
corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus is not here")


def _mail(number: int, **fields: str) -> EmailMessage:
    mail = EmailMessage()
    mail["Message-ID"] = f"<{number}@acme.example>"
    mail["From"] = "Jane Doe <jane@acme.example>"
    mail["To"] = "john@brightsync.example"
    mail["Subject"] = f"Offer {number}"
    for name, value in fields.items():
        mail[name] = value
    mail.set_content("See the file attached.")
    return mail


def _write(folder: Path, *mails: EmailMessage) -> Path:
    folder.mkdir(exist_ok=True)
    for n, mail in enumerate(mails, 1):
        (folder / f"{n}.eml").write_bytes(mail.as_bytes())
    return folder


@pytest.fixture
def run(app: Any) -> Any:
    """`flask mail import` with these paths."""
    return lambda *paths, **options: app.test_cli_runner().invoke(args=["mail", "import", *map(str, paths)], **options)


def _all_emails(client: Any) -> list[dict[str, Any]]:
    return list(_pages(client, "/api/v1/emails?limit=100"))


def _pages(client: Any, path: str) -> Iterator[dict[str, Any]]:
    while path:
        answer = client.get(path)
        yield from answer.json
        path = answer.headers.get("Link", "").partition(">")[0][1:]


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def test_standard_input_is_a_file_like_others(run: Any, client: Any) -> None:
    """As the service's user may not read where the mail is."""
    done = run("-", input=b"".join(b"From x\n%s\n" % _mail(n).as_bytes() for n in (1, 2)))
    assert (done.exit_code, done.stdout) == (0, "2 new, 0 here already, 0 unreadable.\n")
    assert len(_all_emails(client)) == 2


def test_a_folder_a_file_and_an_mbox_go_in(run: Any, client: Any, tmp_path: Path) -> None:
    """Every kind of path is taken, several at once."""
    folder = _write(tmp_path / "mail", _mail(1), _mail(2))
    box = mbox(tmp_path / "archive.mbox")
    box.add(_mail(3))
    box.add(_mail(4))
    box.close()
    result = run(folder, tmp_path / "archive.mbox", folder / "1.eml")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "4 new, 1 here already, 0 unreadable.\n"
    assert {email["subject"] for email in _all_emails(client)} == {"Offer 1", "Offer 2", "Offer 3", "Offer 4"}


def test_it_merges_a_copy_as_a_post_does(run: Any, client: Any, tmp_path: Path) -> None:
    """The record that is here gains the recipients that the copy adds."""
    posted = client.post("/api/v1/emails", json={"rfc822MsgId": "1@acme.example", "subject": "First"}).json
    result = run(_write(tmp_path / "mail", _mail(1, Cc="carol@acme.example")))
    assert result.stdout == "0 new, 1 here already, 0 unreadable.\n"
    merged = client.get(f"/api/v1/emails/{posted['id']}").json
    assert merged["subject"] == "First"
    assert merged["ccAddresses"] == ["carol@acme.example"]


def test_a_second_import_changes_nothing(run: Any, client: Any, tmp_path: Path) -> None:
    """A mail without any id is known by its bytes."""
    nameless = _mail(1)
    del nameless["Message-ID"]
    folder = _write(tmp_path / "mail", nameless, _mail(2))
    assert run(folder).stdout == "2 new, 0 here already, 0 unreadable.\n"
    before = _all_emails(client)
    assert run(folder).stdout == "0 new, 2 here already, 0 unreadable.\n"
    assert _all_emails(client) == before


def test_what_cannot_be_read_is_named_and_the_rest_goes_in(run: Any, client: Any, tmp_path: Path) -> None:
    """By its place and the reason; the exit status tells."""
    folder = _write(tmp_path / "mail", _mail(1))
    (folder / "0.eml").write_bytes(b"")
    (folder / "notes").write_bytes(b"secret: none of your business\n\nhidden")
    result = run(folder, tmp_path / "missing.eml")
    assert result.exit_code == 1
    assert result.stdout == "1 new, 0 here already, 3 unreadable.\n"
    assert result.stderr.splitlines() == [
        f"{folder}/0.eml: empty",
        f"{folder}/notes: no header field of a mail",
        f"{tmp_path}/missing.eml: No such file or directory",
    ]
    assert len(_all_emails(client)) == 1


def test_a_mail_that_crashes_the_parser_stops_nothing(
    run: Any, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is what it holds told: an error that nobody foresaw is named by its kind alone."""

    def crash(raw: bytes) -> dict[str, Any]:
        if b"Offer 1" in raw:
            raise KeyError("secret")
        return as_email(raw)

    monkeypatch.setattr(imports, "as_email", crash)
    result = run(_write(tmp_path / "mail", _mail(1), _mail(2)))
    assert result.stderr == f"{tmp_path}/mail/1.eml: KeyError\n"
    assert [email["subject"] for email in _all_emails(client)] == ["Offer 2"]


def test_a_mail_that_the_schema_refuses_is_named_with_the_field(
    run: Any, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a POST would answer 422 does not go in here either."""
    monkeypatch.setattr(imports, "as_email", lambda raw: {**as_email(raw), "receivedAt": "yesterday"})
    result = run(_write(tmp_path / "mail", _mail(1)))
    assert result.exit_code == 1
    assert "receivedAt: Not a date and time" in result.stderr
    assert "yesterday" not in result.stderr
    assert not _all_emails(client)


def test_a_mail_that_cannot_be_stored_leaves_the_others_of_its_batch(
    run: Any, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had written is taken back, and theirs stays."""
    log_emails = crm.log_emails

    def fail_afterwards(emails: Sequence[Mapping[str, Any]]) -> Any:
        with database.writing():
            outcomes = log_emails(emails)
            if "Offer 2" in [email["subject"] for email in emails]:
                raise crm.Invalid(subject="It is odd.")
            return outcomes

    monkeypatch.setattr(crm, "log_emails", fail_afterwards)
    monkeypatch.setattr(crm, "log_email", lambda email: fail_afterwards([email])[0])
    result = run(_write(tmp_path / "mail", _mail(1), _mail(2), _mail(3)))
    assert result.stderr == f"{tmp_path}/mail/2.eml: subject: It is odd.\n"
    assert {email["subject"] for email in _all_emails(client)} == {"Offer 1", "Offer 3"}


def test_batches_are_kept_one_by_one(run: Any, client: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the database can't be written any more, what went in before stays, and a sentence says why it stopped."""
    log_emails = crm.log_emails

    def full(emails: Sequence[Mapping[str, Any]]) -> Any:
        if "Offer 4" in [email["subject"] for email in emails]:
            raise database.Unavailable[0]("database or disk is full")
        return log_emails(emails)

    monkeypatch.setattr(imports, "MAILS", 2)
    monkeypatch.setattr(crm, "log_emails", full)
    result = run(_write(tmp_path / "mail", _mail(1), _mail(2), _mail(3), _mail(4), _mail(5)))
    assert result.exit_code == 1
    assert "Error: The database can't serve now: database or disk is full." in result.stderr
    assert {email["subject"] for email in _all_emails(client)} == {"Offer 1", "Offer 2"}


def test_a_batch_ends_early_where_mails_are_large() -> None:
    """So that a folder full of large mails fits into memory."""
    items = [Item(str(size), {}, size) for size in (1, 1, 1, 60, 60, 200, 1)]
    labels = [[item.label for item in batch] for batch in imports._batches(items, 3, 100)]
    assert labels == [["1", "1", "1"], ["60", "60"], ["200"], ["1"]]


def test_a_mail_larger_than_the_body_limit_goes_in(run: Any, app: Any, client: Any, tmp_path: Path) -> None:
    """The limit is for what comes over the network."""
    app.config["BODY_LIMIT"] = 1024
    mail = _mail(1)
    mail.add_attachment(b"x" * 4096, maintype="application", subtype="octet-stream", filename="a.bin")
    assert run(_write(tmp_path / "mail", mail)).exit_code == 0
    assert _all_emails(client)[0]["attachments"][0]["size"] == 4096


def test_a_file_name_does_nothing_to_the_terminal(run: Any, tmp_path: Path) -> None:
    """Neither escape sequences nor bytes that are no text, nor what looks like the bar's own markup."""
    folder = tmp_path / "mail"
    folder.mkdir()
    (Path(os.fsdecode(os.fsencode(folder) + b"/[red]:x:\x1b[2J\xff.eml"))).write_bytes(b"")
    assert run(folder).stderr == f"{folder}/[red]:x:\ufffd[2J\ufffd.eml: empty\n"


def test_an_interrupted_import_says_what_is_stored(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends the reading process too, and no traceback is shown."""
    log_emails = crm.log_emails
    calls = iter([log_emails])

    def interrupt(emails: Any) -> Any:
        if call := next(calls, None):
            return call(emails)
        raise KeyboardInterrupt

    monkeypatch.setattr(crm, "log_emails", interrupt)
    _write(tmp_path / "mail", *map(_mail, range(imports.MAILS + 1)))
    result = run(tmp_path / "mail")
    told = "Interrupted. Stored before that: 16 new, 0 bad. Run it again: nothing is stored twice.\n"
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", told)


def test_a_terminal_gets_a_bar_and_standard_output_only_the_summary(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar goes to standard error."""
    monkeypatch.setattr("click.testing._NamedTextIOWrapper.isatty", lambda _: True)
    result = run(_write(tmp_path / "mail", _mail(1)))
    assert "100%" in result.stderr
    assert result.stdout == "1 new, 0 here already, 0 unreadable.\n"


def test_a_path_is_needed(run: Any) -> None:
    """Nothing named is a mistake, not an empty import."""
    result = run()
    assert result.exit_code == 2
    assert "PATH" in result.stderr


@corpus
def test_each_mail_of_the_corpus_comes_back_equal_in_every_field(run: Any, client: Any) -> None:
    """Code point by code point, lists in order, attachments byte for byte.

    One at a time: several of them share a Message-ID, so together they would be copies of one mail.
    """
    for path in CORPUS.rglob("*.eml"):
        result = run(path)
        assert result.stdout == "1 new, 0 here already, 0 unreadable.\n", path
        (found,) = _all_emails(client)
        sent = {**as_email(path.read_bytes()), "relatedTo": []}
        assert _instant(found["receivedAt"]) == _instant(sent.pop("receivedAt")), path
        assert {name: found[name] for name in sent} == sent, path
        client.delete(f"/api/v1/emails/{found['id']}?remember=false")


@corpus
def test_a_second_import_of_the_corpus_changes_nothing(run: Any, client: Any) -> None:
    """No record, no change in the feed."""
    number = len(list(CORPUS.rglob("*.eml")))
    assert run(CORPUS).exit_code == 0
    before = _all_emails(client), list(_pages(client, "/api/v1/changes?limit=1000"))
    assert run(CORPUS).stdout == f"0 new, {number} here already, 0 unreadable.\n"
    assert (_all_emails(client), list(_pages(client, "/api/v1/changes?limit=1000"))) == before


def test_links_in_a_folder_are_not_followed(run: Any, client: Any, tmp_path: Path) -> None:
    """Who may write into a Maildir could have other people's mail imported; a link that is named is meant."""
    secret = _write(tmp_path / "secret", _mail(1))
    walked = _write(tmp_path / "walked", _mail(2))
    (walked / "new").mkdir()
    (walked / "cur").mkdir()
    (walked / "3.eml").symlink_to(secret / "1.eml")
    (walked / "new" / "1").symlink_to(secret / "1.eml")
    (walked / "folder").symlink_to(secret)
    (walked / "1.eml").rename(walked / "cur" / "1")
    assert run(walked).exit_code == 0
    assert [email["subject"] for email in _all_emails(client)] == ["Offer 2"]
    (tmp_path / "link.eml").symlink_to(secret / "1.eml")
    assert run(tmp_path / "link.eml").exit_code == 0
    assert len(_all_emails(client)) == 2


def test_a_special_file_is_not_waited_for(run: Any, tmp_path: Path) -> None:
    """Nobody writes into this FIFO; /dev/zero has no end."""
    os.mkfifo(tmp_path / "1.eml")
    for path in (tmp_path / "1.eml", Path("/dev/zero")):
        result = run(path)
        assert result.exit_code == 1
        assert "not a file" in result.output
