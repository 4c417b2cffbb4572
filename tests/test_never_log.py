"""What is never logged: the rules, and what becomes of an email that meets one."""

from pathlib import Path
from typing import Any

import pytest
from flask import Flask

import crm
from tests.samples import EMAILS, MAIL, NO_MAIL, assert_error, content, log

RULES = "/api/v1/never-log"
JANE = "jane@acme.example"  # who sends MAIL
KEPT = ("msgId", "rfc822MsgId", "receivedAt")
BARE = NO_MAIL | {name: MAIL[name] for name in KEPT}
INTERNAL = {"fromAddress": "Ann <ann@ours.example>", "toAddresses": ["bob@eu.ours.example"], "ccAddresses": []}
INTERNAL |= {"bccAddresses": ["john@brightsync.example"]}


def add(client: Any, value: str | None = JANE, **settings: Any) -> Any:
    """Add a rule, for an address unless it says otherwise."""
    answer = client.post(RULES, json={"kind": "address", "value": value} | settings)
    assert answer.status_code == 200, answer.text
    return answer.json


def is_kept(client: Any, **fields: Any) -> bool:
    """Whether a mail of its own, with these fields, is logged whole."""
    mail = {"subject": "s", "rfc822MsgId": f"<{len(client.get('/api/v1/changes?limit=1000').json)}@x>"} | fields
    return bool(log(client, **mail)["subject"] == "s")


@pytest.mark.parametrize("rule", [{}, {"value": f"Jane <{JANE.upper()}>"}, {"kind": "domain", "value": "ACME.example"}])
def test_an_email_that_meets_a_rule_has_ids_and_time_and_nothing_else(client: Any, sync: Any, rule: Any) -> None:
    """201, then 200: BrightSync is content, and neither the record nor its copies say anything of it."""
    add(client, **rule)
    answer = sync.post(EMAILS, json=MAIL)
    assert (answer.status_code, content(answer.json)) == (201, BARE)
    again = sync.post(EMAILS, json=MAIL | {"msgId": "copy", "subject": "other"})
    assert (again.status_code, again.json) == (200, answer.json)
    copies = client.get(f"{EMAILS}/{answer.json['id']}/copies").json
    assert [copy["differs"] for copy in copies] == [None, None]
    assert client.get(EMAILS).json == client.get(f"{EMAILS}?q=offer").json == []


def test_a_domain_is_meant_with_all_below_it_and_no_other(client: Any) -> None:
    """In every list; what only ends alike is another's."""
    add(client, "private.example", kind="domain")
    for name in ("fromAddress", "toAddresses", "ccAddresses", "bccAddresses"):
        for address in ("a@private.example", "A <a@x.y.Private.example>"):
            assert not is_kept(client, **{name: address if name == "fromAddress" else ["b@x.example", address]})
    for address in ("a@notprivate.example", "a@private.example.org", "a@example", "private.example", "x"):
        assert is_kept(client, fromAddress=address)


def test_a_mail_between_our_own_people_is_internal(client: Any) -> None:
    """All are users or have a domain of ours; who can't be read, or is not named, may be anybody."""
    add(client, None, kind="internal", domains=["www.OURS.example"])
    assert not is_kept(client, **INTERNAL)
    assert not is_kept(client, fromAddress="john@brightsync.example", toAddresses=["john@brightsync.example"])
    others: list[dict[str, Any]] = [
        {"ccAddresses": ["jane@acme.example"]},
        {"ccAddresses": ["x@brightsync.example"]},
        {"ccAddresses": ["undisclosed-recipients:;"]},
        {"toAddresses": [], "bccAddresses": []},
        {"fromAddress": None},
        {"toAddresses": [f"p{n}@ours.example" for n in range(2001)]},
    ]
    for other in others:
        assert is_kept(client, **INTERNAL | other)
    assert is_kept(client)


def test_our_own_domains_are_those_of_the_users_unless_they_are_named(client: Any) -> None:
    """Not those of free mail, where anybody has an address."""
    crm.add_user({"email": "ann@gmail.com", "name": None, "timezone": "UTC", "orgId": "o"})
    crm.add_user({"email": "ann@eu.ours.example", "name": None, "timezone": "UTC", "orgId": "o"})
    assert add(client, None, kind="internal")["domains"] == ["brightsync.example", "eu.ours.example"]
    assert not is_kept(client, fromAddress="ann@gmail.com", toAddresses=["x@brightsync.example"])
    assert is_kept(client, fromAddress="other@gmail.com", toAddresses=["x@brightsync.example"])


def test_another_known_contact_may_be_a_reason_to_log_it(client: Any) -> None:
    """With unlessKnown; neither whom the rule is for nor a user is another contact."""
    add(client, "acme.example", kind="domain", unlessKnown=True)
    for address in ("jane@acme.example", "john@brightsync.example", "bob@b.example"):
        client.post("/api/v1/contacts", json={"emailAddresses": [address]})
    people = ["joe@acme.example", "john@brightsync.example", "who@x.example"]
    assert not is_kept(client, fromAddress=JANE, toAddresses=people)
    assert is_kept(client, fromAddress=JANE, toAddresses=[*people, "Bob <BOB@b.example>"])
    add(client, "acme.example", kind="domain")
    assert not is_kept(client, fromAddress=JANE, toAddresses=["bob@b.example"])


@pytest.mark.parametrize("method", ["patch", "put"])
def test_a_change_by_which_it_meets_a_rule_takes_its_content_away(client: Any, method: str) -> None:
    """Also what its copies said otherwise, and from the search; the feed tells of it."""
    record = log(client, **MAIL)
    log(client, **MAIL | {"msgId": "copy", "subject": "[EXT] hello"})
    add(client, "new@private.example")
    change = {"ccAddresses": ["New <new@private.example>"]}
    answer = client.open(f"{EMAILS}/{record['id']}", method=method, json=change if method == "patch" else MAIL | change)
    assert (answer.status_code, content(answer.json)) == (200, BARE)
    assert client.get(f"{EMAILS}/{record['id']}").json == answer.json
    assert [one["differs"] for one in client.get(f"{EMAILS}/{record['id']}/copies").json] == [None, None]
    assert client.get(f"{EMAILS}?q=offer").json == client.get(f"{EMAILS}?address={JANE}").json == []
    assert client.get("/api/v1/changes").json[-1]["action"] == "changed"


def test_what_was_here_before_the_rule_stays_and_gains_nothing(client: Any) -> None:
    """A link to a contact does not cost it its content; a copy brings its ids alone, or a participant who takes all."""
    record = log(client, **MAIL)
    add(client)
    linked = client.patch(f"{EMAILS}/{record['id']}", json={"relatedTo": [{"type": "Contact", "id": "1"}]}).json
    assert linked["subject"] == MAIL["subject"]
    again = log(client, **MAIL | {"msgId": "copy", "subject": "other", "attachments": [{"name": "new"}]})
    assert again == linked
    assert [one["differs"] for one in client.get(f"{EMAILS}/{record['id']}/copies").json] == [None, None]
    met = log(client, **MAIL | {"msgId": "third", "bccAddresses": ["new@x.example"]})
    assert (met["id"], content(met)) == (record["id"], BARE)


def test_without_the_rule_the_next_copy_fills_the_record(client: Any) -> None:
    """Under the id that it has; also the same call once more. A stranger's copy, or what was deleted, fills nothing."""
    rule = add(client)
    record, deleted = log(client, **MAIL), log(client, **MAIL | {"rfc822MsgId": "<d>", "msgId": "d"})
    client.delete(f"{EMAILS}/{deleted['id']}")
    deleted = log(client, **MAIL | {"rfc822MsgId": "<d>", "msgId": "d"})
    assert client.delete(f"{RULES}/{rule['id']}").status_code == 204
    assert_error(client.delete(f"{RULES}/{rule['id']}"), 404)
    assert content(log(client, **MAIL | {"fromAddress": "thief@x.example", "msgId": "t"})) == BARE
    filled = log(client, **MAIL)
    assert (filled["id"], content(filled)) == (record["id"], MAIL)
    assert client.get(f"{EMAILS}?q=offer").json == [filled]
    assert log(client, **MAIL | {"rfc822MsgId": "<d>", "msgId": "d"}) == deleted


def test_what_was_deleted_is_not_filled_when_a_rule_has_gone(client: Any) -> None:
    """The deletion counts, whichever was first."""
    client.delete(f"{EMAILS}/{log(client, **MAIL)['id']}")
    rule = add(client)
    record = log(client, **MAIL)
    client.delete(f"{RULES}/{rule['id']}")
    assert log(client, **MAIL) == record


def test_a_batch_is_tested_alike(client: Any) -> None:
    """As an import logs them."""
    add(client)
    emails = [NO_MAIL | MAIL, NO_MAIL | {"msgId": "o", "subject": "s"}, NO_MAIL | MAIL | {"msgId": "copy"}]
    [(one, _), (other, _), (copy, new)] = crm.log_emails(emails)
    assert (one["subject"], one["toAddresses"], other["subject"]) == (None, [], "s")
    assert (copy["id"], new) == (one["id"], False)


def test_rules_are_listed_and_a_value_has_one(client: Any, sync: Any) -> None:
    """The second time it gets the new settings; a sync token may do none of it."""
    one = add(client, reason="private")
    two = add(client, "private.example", kind="domain")
    assert add(client, JANE.upper(), unlessKnown=True) == one | {"unlessKnown": True, "reason": None}
    assert client.get(RULES).json == [one | {"unlessKnown": True, "reason": None}, two]
    assert_error(sync.get(RULES), 403)
    assert_error(client.delete(f"{RULES}/x"), 404)


@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "address", "value": "everybody"},
        {"kind": "address"},
        {"kind": "domain", "value": JANE},
        {"kind": "domain", "value": "co.uk"},
        {"kind": "domain", "value": "com"},
        {"kind": "domain", "value": ".".join("abcdefghi") + ".example"},
        {"kind": "internal", "domains": ["gmail.com"]},
        {"kind": "internal", "domains": ["co.uk"]},
        {"kind": "internal", "domains": [""]},
        {"kind": "address", "value": JANE, "domains": ["x.example"]},
        {"kind": "all"},
        {"value": JANE},
    ],
)
def test_a_rule_that_would_mean_somebody_else_is_refused(client: Any, rule: Any) -> None:
    """422, and there is no rule."""
    assert_error(client.post(RULES, json=rule), 422)
    assert client.get(RULES).json == []


def test_there_is_an_end_of_rules(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One more is 409; one that is there may still be changed."""
    monkeypatch.setattr("crm.never_log.MOST_RULES", 1)
    add(client)
    add(client)
    assert_error(client.post(RULES, json={"kind": "address", "value": "x@x.example"}), 409)


# ---- commands -------------------------------------------------------------------------------------------------------


def run(app: Flask, *words: str) -> Any:
    """What a command does."""
    return app.test_cli_runner().invoke(args=["never-log", *words])


def test_a_rule_is_applied_to_what_is_here(app: Flask, client: Any) -> None:
    """A dry run counts and changes nothing; then their content goes, from the search too, and others stay."""
    met = [log(client, **MAIL | {"rfc822MsgId": f"<{n}>", "msgId": f"{n}"})["id"] for n in range(5)]
    other = log(client, fromAddress="x@x.example", subject="offer")
    for words in (["acme.example"], [JANE]):
        assert run(app, "add", *words, "--past", "--dry-run").output == "5 emails would lose their content.\n"
    assert client.get(RULES).json == []
    assert run(app, "add", "acme.example", "--past").output.endswith("\n5 emails have lost their content.\n")
    assert [email["id"] for email in client.get(f"{EMAILS}?q=offer").json] == [other["id"]]
    for number, email_id in enumerate(met):
        kept = {"rfc822MsgId": f"<{number}>", "msgId": f"{number}"}
        assert content(client.get(f"{EMAILS}/{email_id}").json) == BARE | kept
    assert run(app, "add", "acme.example", "--past").output.endswith("\n0 emails have lost their content.\n")


def test_what_changes_meanwhile_is_looked_at_again(app: Flask, client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Emails are read outside the write lock: one that is changed before it is taken is not overwritten unseen."""
    first, late = log(client, **MAIL), log(client, subject="late")
    changed: list[int] = []

    def others_write(*_: Any) -> None:
        if not changed:
            changed.append(1)
            client.patch(f"{EMAILS}/{first['id']}", json={"fromAddress": "x@x.example"})
            client.patch(f"{EMAILS}/{late['id']}", json={"fromAddress": JANE})

    monkeypatch.setattr("store.emails.prepare", others_write)
    rule = {"kind": "address", "value": JANE, "domains": [], "unlessKnown": False, "reason": None}
    assert crm.apply_rule(rule) == [late["id"]]
    assert client.get(f"{EMAILS}/{first['id']}").json["subject"] == MAIL["subject"]


def test_rules_are_kept_by_commands(app: Flask, client: Any, tmp_path: Path) -> None:
    """add, list, remove, and which rule a file meets."""
    assert run(app, "add", JANE, "--reason", "private").output == "Rule 1: jane@acme.example\n"
    assert "2: private.example, unless" in run(app, "add", "private.example", "--unless-known").output
    assert "internal (brightsync.example)" in run(app, "add", "--internal").output
    assert "internal (a.example, b.example)" in run(app, "add", "--internal", "b.example", "a.example").output
    assert run(app, "list").output.splitlines()[0] == "1: jane@acme.example (private)"
    for sender, says in ((JANE, "It meets rule 1: jane@acme.example\n"), ("x@x.example", "It meets no rule.\n")):
        (tmp_path / "a.eml").write_text(f"From: {sender}\nTo: b@b.example\nSubject: s\n\nhello\n")
        assert run(app, "test", str(tmp_path / "a.eml")).output == says
    assert client.get(EMAILS).json == []
    assert (run(app, "remove", "1").exit_code, run(app, "remove", "1").exit_code) == (0, 1)
    assert (run(app, "add").exit_code, run(app, "add", "a@x.example", "--dry-run").exit_code) == (2, 2)
    assert run(app, "add", "nonsense").exit_code == 1


def test_a_person_s_rule_is_disclosed_and_only_its_reason_erased(app: Flask, client: Any) -> None:
    """It keeps their emails away; a reason that mentions them does not."""
    one, two = add(client, reason="private"), add(client, "b.example", kind="domain", reason=f"asked by {JANE}")
    assert [(kind, rule["id"]) for kind, rule in crm.export_person(JANE)] == [("rule", one["id"]), ("rule", two["id"])]
    assert crm.erase_person(JANE, dry_run=True)["rules"] == [two["id"]]
    assert client.get(RULES).json[1]["reason"]
    assert crm.erase_person(JANE)["rules"] == [two["id"]]
    assert client.get(RULES).json == [one, two | {"reason": None}]


@pytest.mark.sqlite("it reads the file")
def test_nothing_is_left_in_the_file(app: Flask, client: Any, tmp_path: Path, storage: str) -> None:
    """Neither of what was here nor of what came later."""
    for number in range(60):
        log(client, **MAIL | {"rfc822MsgId": f"<{number}>", "msgId": f"{number}", "subject": f"hushhush {number}"})
    log(client, **MAIL | {"rfc822MsgId": "<1>", "msgId": "copy", "textBody": "hushhush, said otherwise"})
    was = any(b"hushhush" in file.read_bytes() for file in tmp_path.glob("connector.db*"))
    assert was == (storage == "sqlite")
    run(app, "add", JANE, "--past")
    log(client, **MAIL | {"rfc822MsgId": "<late>", "msgId": "late", "subject": "hushhush"})
    assert [file.name for file in tmp_path.glob("connector.db*") if b"hushhush" in file.read_bytes()] == []
