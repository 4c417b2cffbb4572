"""The commands: users, tokens, and the server itself.

Imports and what is held about a person have files of their own.
"""

import json
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask

import crm
from settings import VERSION
from terminal import program
from tests.samples import PROJECT, WITHIN, free_port, run_command, serving
from web import tokens

Process = subprocess.CompletedProcess[str]


@pytest.fixture
def run(app: Flask) -> Any:
    """Runs a command in this process; gives its result."""
    runner = app.test_cli_runner()
    return lambda *words: runner.invoke(args=words)


def assert_refused(result: Any, *words: str) -> None:
    """The command failed with a sentence for people that names these, on standard error alone."""
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stdout == ""
    assert re.search(r"^Error: [A-Z].*\.?$", result.stderr, re.MULTILINE)
    assert all(word in result.stderr for word in words), result.stderr


# users


def test_a_user_is_added_with_all_that_is_known(run: Any) -> None:
    """The command prints the id, which a script may keep."""
    options = ["--name", "Carol Jones", "--timezone", "America/New_York", "--id", "crm:7", "--org", "acme"]
    result = run("user", "add", "Carol@Acme.example", *options)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "crm:7\n", "")
    assert crm.get_user("crm:7") == {
        "id": "crm:7",
        "orgId": "acme",
        "name": "Carol Jones",
        "email": "Carol@Acme.example",
        "timezone": "America/New_York",
    }


def test_a_user_needs_only_an_address(run: Any) -> None:
    """The id is made up, the organisation is that of the configuration, the time zone UTC."""
    user = crm.get_user(run("user", "add", "carol@acme.example").stdout.strip())
    assert (user["name"], user["orgId"], user["timezone"]) == (None, "default", "UTC")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["carol"], "e-mail address"),
        ([""], "e-mail address"),
        (["JOHN@brightsync.example"], "here already"),
        (["carol@acme.example", "--id", "u1"], "here already"),
        (["carol@acme.example", "--id", ""], "--id"),
        (["carol@acme.example", "--id", "x" * 256], "--id"),
        (["carol@acme.example", "--timezone", "Mars/Olympus"], "time zone"),
        (["carol@acme.example", "--timezone", ""], "time zone"),
        (["carol@acme.example", "--name", "\udcff"], "--name"),
        (["carol@acme.example", "--org", "\udcff"], "--org"),
        (["carol\udcff@acme.example"], "EMAIL"),
        (["carol@acme.example\x1b[2J"], "EMAIL"),
        ([], "EMAIL"),
        (["carol@acme.example", "--nonsense"], "--nonsense"),
    ],
)
def test_a_user_that_cannot_be_added_gets_a_sentence(run: Any, words: list[str], named: str) -> None:
    """And nothing is stored."""
    assert_refused(run("user", "add", *words), named)
    assert crm.lookup_users(["carol@acme.example", "carol"]) == []


# tokens


def test_a_user_is_removed_once(run: Any) -> None:
    """The user's tokens go with that; who is not there gets a sentence."""
    run("user", "add", "john@crm.example")
    token = run("token", "create", "john@crm.example").stdout.strip()
    assert tokens.authenticate(token) is not None
    assert run("user", "remove", "JOHN@crm.example").output == "Removed JOHN@crm.example, whose tokens have ended.\n"
    assert tokens.authenticate(token) is None
    assert_refused(run("user", "remove", "john@crm.example"), "no user")


def test_users_are_listed_and_changed(run: Any) -> None:
    """In the named fields alone; what can't be is said in a sentence."""
    run("user", "add", "carol@acme.example", "--id", "u2")
    options = ["--email", "Carol.Jones@acme.example", "--name", "Carol Jones", "--timezone", "Europe/Paris"]
    result = run("user", "change", "CAROL@acme.example", *options)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    lines = [line.split("  ") for line in run("user", "list").stdout.splitlines()]
    assert [[word.strip() for word in line if word] for line in lines] == [
        ["id", "email", "name", "timezone"],
        ["u1", "john@brightsync.example", "John Smith", "Europe/Berlin"],
        ["u2", "Carol.Jones@acme.example", "Carol Jones", "Europe/Paris"],
    ]
    run("user", "change", "carol.jones@acme.example", "--name", "")
    assert crm.get_user("u2")["name"] == ""
    assert_refused(run("user", "change", "carol.jones@acme.example"), "--email")
    assert_refused(run("user", "change", "carol@acme.example", "--name", "x"), "no user")
    assert_refused(run("user", "change", "carol.jones@acme.example", "--email", "JOHN@brightsync.example"), "address")
    assert_refused(run("user", "change", "carol.jones@acme.example", "--timezone", "Mars/Olympus"), "time zone")


def test_tokens_are_listed_with_addresses_and_last_use(run: Any, app: Flask, client: Any) -> None:
    """A token of somebody who is gone shows the id."""
    client.get("/api/v1/users/me")
    app.extensions["activity"].flush()
    tokens.create("gone", label="old")
    _, first, second = run("token", "list").stdout.splitlines()
    assert first.split()[:4] == ["1", "john@brightsync.example", "admin", "-"]
    assert re.fullmatch(r"[-\d]+T[.:\d]+Z", first.split()[5])
    assert "gone (no such user)" in second
    assert second.split()[-3:] == ["-", "-", "-"]


def test_a_token_is_printed_alone(run: Any) -> None:
    """So that a script can take it: TOKEN=$(flask token create …)."""
    result = run("token", "create", "John <JOHN@brightsync.example>")
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.fullmatch(r"bsc_[0-9A-Za-z]{30}\n", result.stdout)
    caller = tokens.authenticate(result.stdout.strip())
    assert caller is not None
    assert (caller.user_id, caller.scopes) == ("u1", {"sync"})


def test_a_token_has_a_scope_a_label_and_an_end(run: Any) -> None:
    """As it was asked for."""
    options = ["--scope", "admin", "--expires", "36500", "--label", "für das CRM"]
    result = run("token", "create", "john@brightsync.example", *options)
    caller = tokens.authenticate(result.stdout.strip())
    assert caller is not None
    assert "admin" in caller.scopes
    [row] = tokens.listed()
    assert row["label"] == "für das CRM"
    assert int(row["expiresAt"][:4]) - int(row["createdAt"][:4]) in (99, 100)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["nobody@acme.example"], "no user"),
        (["nobody"], "no user"),
        (["john@brightsync.example", "--scope", "root"], "--scope"),
        (["john@brightsync.example", "--expires", "0"], "--expires"),
        (["john@brightsync.example", "--expires", "-1"], "--expires"),
        (["john@brightsync.example", "--expires", "36501"], "--expires"),
        (["john@brightsync.example", "--expires", "soon"], "--expires"),
        (["john@brightsync.example", "--expires", "9" * 5000], "--expires"),
        (["john@brightsync.example", "--label", "\udcff"], "--label"),
        (["\udcff"], "EMAIL"),
        ([], "EMAIL"),
    ],
)
def test_a_token_that_cannot_be_made_gets_a_sentence(run: Any, words: list[str], named: str) -> None:
    """And none is made."""
    assert_refused(run("token", "create", *words), named)
    assert tokens.listed() == []


def test_tokens_are_listed_without_their_text(run: Any) -> None:
    """One line each, in columns, with what is needed to end one."""
    token = run("token", "create", "john@brightsync.example", "--label", "BrightSync").stdout.strip()
    run("token", "create", "john@brightsync.example", "--scope", "admin", "--expires", "30")
    run("token", "revoke", "2")
    result = run("token", "list")
    assert (result.exit_code, result.stderr) == (0, "")
    head, first, second = (re.split(r" {2,}", line) for line in result.stdout.splitlines())
    assert head == ["id", "user", "scope", "label", "createdAt", "lastUsedAt", "expiresAt", "revokedAt"]
    assert first[:4] == ["1", "john@brightsync.example", "sync", "BrightSync"]
    assert first[5:] == ["-", "-", "-"]
    assert second[:4] == ["2", "john@brightsync.example", "admin", "-"]
    assert "-" not in second[6:]
    assert token[4:] not in result.stdout


def test_a_list_of_no_tokens_is_its_head(run: Any) -> None:
    """And no failure."""
    result = run("token", "list")
    assert (result.exit_code, len(result.stdout.splitlines())) == (0, 1)


def test_a_token_is_revoked_once(run: Any) -> None:
    """It is said whose and what for, as an id is easily mistaken; a second time, that it had ended."""
    token = run("token", "create", "john@brightsync.example", "--label", "BrightSync").stdout.strip()
    result = run("token", "revoke", "1")
    assert (result.exit_code, result.output) == (0, "Revoked token 1 of john@brightsync.example, BrightSync.\n")
    assert tokens.authenticate(token) is None
    assert_refused(run("token", "revoke", "1"), "ended before")


@pytest.mark.parametrize("token_id", ["7", "0", "-1", "one", "1.5", "", "9" * 30, "9" * 5000])
def test_a_token_that_is_not_there_gets_a_sentence(run: Any, token_id: str) -> None:
    """Whatever was typed."""
    assert_refused(run("token", "revoke", "--", token_id))


# the server


def test_the_first_start_shows_a_curl_line_that_works(tmp_path: Path) -> None:
    """A new user pastes it and sees that it runs; the second start shows no token."""
    with serving(tmp_path) as server:
        [line] = re.findall(r"^\s+(curl .*)$", server.output.read_text(), re.MULTILINE)
        curl, option, header, url = shlex.split(line)
        assert (curl, option) == ("curl", "-H")
        call = urllib.request.Request(url, headers=dict([header.split(": ")]))
        with urllib.request.urlopen(call, timeout=WITHIN) as answer:
            assert json.load(answer)["email"] == "admin@localhost"
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(WITHIN) == 0
    with serving(tmp_path) as server:
        assert "bsc_" not in server.output.read_text()
        assert "curl" not in server.output.read_text()


def test_the_curl_line_of_an_ipv6_address_has_brackets(tmp_path: Path) -> None:
    """As every URL with one (RFC 3986, 3.2.2)."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6")
    with serving(tmp_path, HOST="::1") as server:
        assert f"http://[::1]:{server.port}/api/v1/users/me" in server.output.read_text()


def test_a_database_with_a_token_is_not_new(tmp_path: Path) -> None:
    """Who has set it up by command gets no second admin token at the start."""
    assert run_command(tmp_path, "flask", "user", "add", "john@brightsync.example").returncode == 0
    made = run_command(tmp_path, "flask", "token", "create", "john@brightsync.example")
    assert (made.returncode, made.stderr) == (0, "")
    with serving(tmp_path) as server:
        assert "bsc_" not in server.output.read_text()
        headers = {"Authorization": f"Bearer {made.stdout.strip()}"}
        call = urllib.request.Request(f"http://127.0.0.1:{server.port}/api/v1/users/me", headers=headers)
        with urllib.request.urlopen(call, timeout=WITHIN) as answer:
            assert json.load(answer)["email"] == "john@brightsync.example"


@pytest.mark.parametrize(
    "command", ["commands serve", "commands token list", "gunicorn", "flask run", "flask token list"]
)
def test_a_wrong_setting_ends_every_start_with_one_sentence(tmp_path: Path, command: str) -> None:
    """Which setting and why; exit status 1, no traceback, and no worker that is started again and again."""
    done = run_command(tmp_path, *command.split(), PORT="http")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"The configuration can't be used\. PORT: .*\.\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file/connector.db", "file", "folder"])
@pytest.mark.parametrize("command", ["commands serve", "gunicorn", "flask run"])
def test_a_database_that_cannot_be_used_ends_the_start_with_one_sentence(
    tmp_path: Path, command: str, place: str
) -> None:
    """A folder that can't be made, a file that is not a database, a folder in the place of the file."""
    (tmp_path / "file").write_text("This is not a database. " * 100)
    (tmp_path / "folder").mkdir()
    done = run_command(tmp_path, *command.split(), DATABASE_URL=f"sqlite:///{tmp_path}/{place}", PORT=free_port())
    assert (done.returncode, done.stdout) == (1, "")
    version = r"(\S+ INFO BrightSync CRM connector .*\n)?"  # the log of gunicorn has begun
    assert re.fullmatch(version + r"The configuration can't be used\. DATABASE_URL: .*\.\n", done.stderr)


@pytest.mark.parametrize("host", ["x" * 300, "\x1b[2J", ""])
def test_what_is_no_address_ends_the_start_with_one_sentence(tmp_path: Path, host: str) -> None:
    """As every wrong setting does."""
    done = run_command(tmp_path, "commands", "serve", HOST=host, PORT=free_port())
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "The configuration can't be used. HOST: It must be an address of this machine.\n"


def test_where_it_cannot_listen_it_does_not_start(tmp_path: Path) -> None:
    """An address that is not ours, a port in use: before a token is shown, which would not be shown again.

    After some seconds, in which a server that is just ending would have given the port back; so all at once.
    """
    with socket.create_server(("127.0.0.1", 0)) as other, ThreadPoolExecutor() as starts:
        taken = other.getsockname()[1]
        places = {("300.1.1.1", free_port()): "Can't connect to", ("192.0.2.1", free_port()): "Can't connect to"}
        places["127.0.0.1", taken] = "Connection in use:"

        def start(place: tuple[str, int]) -> Any:
            folder = tmp_path / place[0]
            folder.mkdir()
            return run_command(folder, "commands", "serve", HOST=place[0], PORT=place[1])

        for (place, said), done in zip(places.items(), starts.map(start, places), strict=True):
            assert (done.returncode, done.stdout) == (1, "")
            assert f"{said} {place}" in done.stderr
            assert "Traceback" not in done.stderr
            assert "bsc_" not in done.stderr


@pytest.mark.parametrize("command", ["--help", "user --help", "token --help", "token create --help", "serve --help"])
def test_help_describes_every_command_and_option(run: Any, command: str) -> None:
    """In one line each."""
    result = run(*command.split())
    assert result.exit_code == 0
    listed = re.findall(r"^  (\S+(?: \S+)*)(  +\S.*|)$", result.stdout.partition("\n\n")[2], re.MULTILINE)
    assert listed
    assert [name for name, text in listed if name.startswith("-") and not text] == []


def test_no_command_means_serve(tmp_path: Path) -> None:
    """As the unit starts it."""
    with serving(tmp_path, "commands") as server:
        assert server.token


@pytest.mark.parametrize("words", [["token"], ["token", "steal"], ["nonsense"], ["--nonsense"], ["mail"]])
def test_what_is_no_command_needs_no_database_and_makes_none(tmp_path: Path, words: list[str]) -> None:
    """It is said what there is."""
    done = run_command(tmp_path, "commands", *words)
    assert (done.returncode, "Usage: " in done.stderr) == (2, True)
    assert not [*tmp_path.iterdir()]


def test_a_command_that_is_not_there_gets_a_sentence(tmp_path: Path) -> None:
    """Of either program."""
    for name in ("commands", "flask"):
        done = run_command(tmp_path, name, "token", "steal")
        assert (done.returncode, done.stdout) == (2, "")
        assert "No such command" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("called_as", "name"),
    [("", "flask"), ("sudo connector", "sudo connector"), ("x\x1b[2J", "x\ufffd[2J")],
)
def test_advice_names_the_command_as_it_is_called(tmp_path: Path, called_as: str, name: str) -> None:
    """So that it can be typed."""
    run_command(tmp_path, "commands", "user", "add", "john@brightsync.example")
    done = run_command(tmp_path, "commands", "token", "revoke", "7", CALLED_AS=called_as)
    assert done.stderr.endswith(f"see: {name} token list\n")
    done = run_command(tmp_path, "commands", "tokens", CALLED_AS=called_as)
    assert f"Usage: {name} " in done.stderr


def test_the_single_file_is_named_as_it_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """With its folder."""
    monkeypatch.delenv("CALLED_AS", raising=False)
    monkeypatch.setattr("sys.argv", ["my dist/connector.pyz", "token", "list"])
    assert program() == "python3 'my dist/connector.pyz'"


# no database


@pytest.mark.parametrize(
    "words",
    ["backup copy.db", "token list", "token revoke 1", "audit", "person export jane@acme.example", "doctor"]
    + ["person erase jane@acme.example", "shell", "database copy --to sqlite:///{}/copy.db"],
)
def test_a_mistyped_database_is_named_and_not_made(tmp_path: Path, words: str) -> None:
    """An empty one would look like the right one without its content."""
    done = run_command(tmp_path, "flask", *words.format(tmp_path).split())
    assert done.returncode == 1
    assert re.search(rf"There is no (database|file) {tmp_path}/connector.db", done.stderr + done.stdout)
    assert not [*tmp_path.glob("*.db")]


COMMANDS = ["backup copy.db", "token list", "token revoke 1", "audit", "person export jane@acme.example"]


@pytest.mark.parametrize("words", [*COMMANDS, "person erase jane@acme.example"])
def test_an_empty_database_of_postgresql_gets_no_tables(postgres: Any, tmp_path: Path, words: str) -> None:
    """It may be another program's, or the wrong one."""
    url = postgres.create()
    with psycopg.connect(url, autocommit=True) as connection:
        done = run_command(tmp_path, "flask", *words.split(), DATABASE_URL=url)
        assert (done.returncode, done.stdout) == (1, "")
        assert "none of the connector's tables" in done.stderr
        assert not connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchall()


@pytest.mark.parametrize(("folders", "made"), [("new/connector.db", True), ("mistyped/new/connector.db", False)])
def test_restore_makes_the_databases_own_folder_alone(tmp_path: Path, folders: str, made: bool) -> None:
    """A new machine has no instance/; more than that is missing where DATABASE_URL is mistyped."""
    assert run_command(tmp_path, "flask", "user", "add", "john@brightsync.example").returncode == 0
    assert run_command(tmp_path, "flask", "backup", str(tmp_path / "copy.db")).returncode == 0
    url = f"sqlite:///{tmp_path}/{folders}"
    done = run_command(tmp_path, "flask", "restore", str(tmp_path / "copy.db"), DATABASE_URL=url)
    assert (tmp_path / folders).parent.is_dir() == made
    assert (f"There is no folder {tmp_path}/mistyped." in done.stderr) != made
    assert not (tmp_path / "mistyped").exists()


def test_a_setting_that_would_move_the_cursor_is_shown_without(tmp_path: Path) -> None:
    """The sentence quotes it."""
    url = f"sqlite:///{tmp_path}/\x1b[2J/\u202e\udcff.db"
    done = run_command(tmp_path, "flask", "token", "list", DATABASE_URL=url)
    assert done.returncode == 1
    assert "\ufffd[2J" in done.stderr
    assert "\x1b" not in done.stderr


def test_an_empty_file_of_sqlite_is_not_taken_for_the_connectors(tmp_path: Path) -> None:
    """Nor filled with tables by a command that only reads."""
    path = tmp_path / "connector.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE other (id)")
    done = run_command(tmp_path, "flask", "token", "list")
    assert (done.returncode, done.stdout) == (1, "")
    assert "belongs to another program" in done.stderr
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema").fetchall() == [("other",)]


@pytest.mark.parametrize("program", ["flask", "commands"])
@pytest.mark.parametrize("words", [["--help"], ["token", "--help"], ["backup", "--help"]])
def test_help_needs_no_database_and_makes_none(tmp_path: Path, program: str, words: list[str]) -> None:
    """It is what a person reads first."""
    done = run_command(tmp_path, program, *words)
    assert (done.returncode, done.stderr) == (0, "")
    assert not [*tmp_path.iterdir()]


def test_a_label_that_would_move_the_cursor_is_shown_without(run: Any) -> None:
    """A database may have been filled by somebody else."""
    tokens.create("u1", label="\x1b[2J\u202e")
    assert "\ufffd[2J\ufffd" in run("token", "list").stdout


@pytest.mark.parametrize(
    "words", [["user", "list"], ["doctor"], ["serve"], ["database", "copy", "--to", "sqlite:///x"]]
)
def test_a_missing_library_for_postgresql_is_named(tmp_path: Path, words: list[str]) -> None:
    """As in connector.pyz, which is made without it."""
    (tmp_path / "psycopg.py").write_text("raise ImportError")
    settings = {"DATABASE_URL": "postgresql://nobody@127.0.0.1/none", "PYTHONPATH": tmp_path}
    done = run_command(tmp_path, "commands", *words, **settings)
    assert done.returncode == 1
    assert "Psycopg, the library for PostgreSQL, is missing here; connector-postgresql.pyz has it." in (
        done.stdout + done.stderr
    )
    assert "Traceback" not in done.stderr


# the version


def test_the_version_is_stated_once_and_shown_everywhere(run: Any, anonymous: Any, tmp_path: Path) -> None:
    """By the command, with or without `flask`, by the service, its description and the log's first line."""
    line = f"BrightSync CRM connector {VERSION}"
    assert run("version").stdout == run_command(tmp_path, "commands", "--version").stdout == f"{line}\n"
    assert anonymous.get("/health/live").json["version"] == VERSION
    assert anonymous.get("/openapi.json").json["info"]["version"] == VERSION
    with serving(tmp_path) as server:
        first, *_ = server.output.read_text().splitlines()
    assert re.fullmatch(rf"\S+ INFO {line}, Python 3\.\d+\.\S+", first)
    assert f"\n## [{VERSION}]" in (PROJECT / "CHANGELOG.md").read_text()
