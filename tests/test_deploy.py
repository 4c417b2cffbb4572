"""docs/deploy.md: the proxy in front of the connector, and the units that start it."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPMessage, HTTPSConnection
from importlib.machinery import SourceFileLoader
from pathlib import Path
from pwd import getpwnam
from secrets import token_hex
from tempfile import mkdtemp
from types import ModuleType
from typing import Any
from zipfile import ZipFile

import pytest

from settings import Settings
from tests import machine
from tests.proxy import NAME, SITE, Proxy, needs_nginx, proxied
from tests.samples import EMAILS, PROJECT, WITHIN, environment, until

GUIDE = PROJECT / "docs/deploy.md"
BODY_LIMIT: Any = Settings().fields["BODY_LIMIT"].load_default
LINE = 8190  # bytes of a request line that the connector takes
ADDRESSES = ",".join(f"person.number.{n:03}@company-{n:03}.example" for n in range(200))
SECRET = "hushhush"


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """nginx and a connector."""
    with proxied(tmp_path_factory.mktemp("deploy")) as running:
        yield running


def call(
    proxy: Proxy, method: str, path: str, body: Any = None, token: str | None = None, **headers: str
) -> tuple[int, HTTPMessage, Any]:
    """Status, headers and JSON of the answer to a call from outside."""
    named = {"Authorization": f"Bearer {token or proxy.server.token}", "Content-Type": "application/json", "Host": NAME}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(HTTPSConnection(NAME, proxy.port, timeout=WITHIN, context=proxy.tls)) as connection:
        connection._create_connection = lambda *_: socket.create_connection(("127.0.0.1", proxy.port))  # type: ignore[attr-defined]
        with suppress(OSError):  # it has heard enough
            connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.headers, json.load(answer)


def assert_shape(error: dict[str, Any], status: int) -> None:
    assert error.keys() == {"code", "status", "message", "errors"}
    assert (error["code"], error["errors"]) == (status, {})


# the proxy


@needs_nginx
def test_the_calls_pass_through_the_proxy(proxy: Proxy) -> None:
    """With the id of the request, and told to come back by TLS only."""
    status, headers, record = call(proxy, "POST", EMAILS, '{"subject": "x"}', X_Request_ID="from-outside")
    assert (status, record["subject"], headers["X-Request-ID"]) == (201, "x", "from-outside")
    assert headers["Strict-Transport-Security"]
    assert call(proxy, "GET", headers["Location"])[2] == record
    assert call(proxy, "GET", "/health/live")[0] == 200
    assert call(proxy, "GET", "/api/v1/users/me", token="bsc_x")[0] == 401


@needs_nginx
@pytest.mark.parametrize("path", ["/", "/docsx", "/docs/../metrics", "/metrics", "/health/ready", "/api"])
def test_nothing_else_passes(proxy: Proxy, path: str) -> None:
    """What is for those who run it stays inside."""
    status, headers, error = call(proxy, "GET", path)
    assert status == 404
    assert_shape(error, 404)
    assert error["message"] == "The proxy refused it."
    assert (headers["Cache-Control"], headers["X-Content-Type-Options"]) == ("no-store", "nosniff")


@needs_nginx
@pytest.mark.parametrize(("allowed", "is_let_in"), [("127.0.0.1", True), ("127.0.0.0/8", True), ("192.0.2.7", False)])
def test_the_pages_are_for_those_who_are_named(tmp_path: Path, allowed: str, is_let_in: bool) -> None:
    """By TLS, with its cookie. The calls pass in any case, and what stays inside stays there."""
    with proxied(tmp_path, allowed) as proxy:

        def browse(method: str, path: str, body: str = "", **headers: str) -> tuple[int, HTTPMessage, str]:
            named = {"Content-Type": "application/x-www-form-urlencoded", "Host": NAME, "Sec-Fetch-Site": "same-origin"}
            with closing(HTTPSConnection(NAME, proxy.port, timeout=WITHIN, context=proxy.tls)) as connection:
                connection._create_connection = lambda *_: socket.create_connection(("127.0.0.1", proxy.port))  # type: ignore[attr-defined]
                connection.request(method, path, body, named | headers)
                answer = connection.getresponse()
                return answer.status, answer.headers, answer.read().decode()

        status, headers, page = browse("POST", "/sign-in", f"token={proxy.server.token}")
        assert status == (303 if is_let_in else 404)
        for path in ("/", "/sign-in", "/static/style.css"):
            assert browse("GET", path)[0] == (404 if not is_let_in else 303 if path == "/" else 200)
        if is_let_in:
            cookie = headers["Set-Cookie"].partition(";")[0]
            assert cookie.startswith("__Host-")
            status, headers, page = browse("GET", "/", Cookie=cookie)
            assert (status, f"https://{NAME}/api/v1/emails" in page) == (200, True)
            assert headers["Strict-Transport-Security"]
            assert browse("POST", "/companies", "name=New", Cookie=cookie, **{"Sec-Fetch-Site": "cross-site"})[0] == 403
        else:
            assert_shape(json.loads(page), 404)
        assert call(proxy, "GET", "/api/v1/users/me")[0] == 200
        assert [call(proxy, "GET", path)[0] for path in ("/metrics", "/health/ready")] == [404, 404]


@needs_nginx
def test_answers_with_long_headers_pass(proxy: Proxy) -> None:
    """A search of 4 kB with a next page, and an attachment with a name of any length."""
    word = "w" * 4000
    files = [{"id": "1", "name": "\u20ac" * 100_000, "content": "eA=="}]
    for _ in range(2):
        mail = call(proxy, "POST", EMAILS, json.dumps({"textBody": word, "attachments": files}))[2]
    status, headers, _ = call(proxy, "GET", f"{EMAILS}?q={word}&limit=1")
    assert status == 200
    assert word in headers["Link"]
    with closing(HTTPSConnection(NAME, proxy.port, timeout=WITHIN, context=proxy.tls)) as connection:
        connection._create_connection = lambda *_: socket.create_connection(("127.0.0.1", proxy.port))  # type: ignore[attr-defined]
        path = f"{EMAILS}/{mail['id']}/attachments/1"
        connection.request("GET", path, headers={"Authorization": f"Bearer {proxy.server.token}"})
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, b"x")
        assert len(answer.headers["Content-Disposition"]) < 4096


@needs_nginx
def test_what_the_page_for_aurinko_offers_passes(proxy: Proxy) -> None:
    """All addresses outside of /api/v1 that docs/aurinko.md names."""
    offered = set(re.findall(r"\$BASE(/(?!api/)[\w./-]+)", (PROJECT / "docs/aurinko.md").read_text()))
    assert offered == {"/openapi.json", "/docs", "/health/live"}
    for path in (*offered, "/docs/start.js"):
        with closing(HTTPSConnection(NAME, proxy.port, timeout=WITHIN, context=proxy.tls)) as connection:
            connection._create_connection = lambda *_: socket.create_connection(("127.0.0.1", proxy.port))  # type: ignore[attr-defined]
            connection.request("GET", path)
            assert connection.getresponse().status == 200, path


def test_the_proxy_takes_bodies_as_large_as_the_connector_does() -> None:
    """client_max_body_size is BODY_LIMIT."""
    assert re.findall(r"client_max_body_size (\d+)m;", SITE.read_text()) == [str(BODY_LIMIT // 1024**2)]
    assert BODY_LIMIT % 1024**2 == 0


@needs_nginx
def test_a_body_of_the_limit_passes_and_one_byte_more_is_too_large(proxy: Proxy) -> None:
    """413 in the shape of all errors, from proxy and connector alike, with Content-Length or chunked."""
    fits = b'{"textBody": "%s"}' % (b"x" * (BODY_LIMIT - 16))
    assert call(proxy, "POST", EMAILS, fits)[0] == 201
    for body in (fits + b" ", iter([fits, b" "])):
        status, _, error = call(proxy, "POST", EMAILS, body)
        assert status == 413
        assert_shape(error, 413)


@needs_nginx
def test_a_look_up_of_two_hundred_addresses_passes(proxy: Proxy) -> None:
    """Lines and headers as long as the connector takes; longer ones are refused in the shape of all errors."""
    assert call(proxy, "GET", f"/api/v1/contacts/lookup?emails={ADDRESSES}")[0] == 200
    path = "/api/v1/contacts/lookup?emails="
    longest = path + "x" * (LINE - len(f"GET {path} HTTP/1.1"))
    assert call(proxy, "GET", longest)[0] == 200
    for length in (1, 100, 20_000):
        status, _, error = call(proxy, "GET", longest + "x" * length)
        assert status == 414
        assert_shape(error, 414)
    status, _, error = call(proxy, "GET", "/api/v1/users/me", X_Long="x" * 20_000)
    assert status == 431
    assert_shape(error, 431)


@needs_nginx
def test_where_a_call_comes_from_is_what_the_proxy_says(proxy: Proxy) -> None:
    """A caller could write anything into X-Forwarded-For, and so blame or block somebody else."""
    assert call(proxy, "GET", "/api/v1/users/me", token=f"bsc_{SECRET}", X_Forwarded_For="203.0.113.9")[0] == 401
    listed = subprocess.run(
        [sys.executable, "-m", "commands", "audit", "--refused"],
        cwd=PROJECT,
        env=environment(proxy.folder),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "127.0.0.1" in listed
    assert "203.0.113.9" not in listed


@needs_nginx
def test_a_call_without_tls_is_refused_and_not_passed_on(proxy: Proxy) -> None:
    """Neither answered nor sent on, so that a wrong address is noticed at once."""
    for port, status in ((proxy.plain_port, 403), (proxy.port, 400)):
        with closing(HTTPConnection("127.0.0.1", port, timeout=WITHIN)) as connection:
            connection.request("GET", f"{EMAILS}?q={SECRET}", headers={"Host": NAME})
            answer = connection.getresponse()
            assert (answer.status, answer.headers["Location"]) == (status, None)
            answer.read()


@needs_nginx
def test_a_connector_that_is_down_is_said_in_the_shape_of_all_errors(tmp_path: Path) -> None:
    """With Retry-After. And neither this nor anything before it writes an address into a log of nginx."""
    with proxied(tmp_path) as proxy:
        path = f"/api/v1/contacts/lookup?emails={SECRET}@acme.example"
        assert call(proxy, "GET", path, X_Request_ID="the-id")[0] == 200
        for odd in (f"/{SECRET}?{SECRET}", f"{path}{'x' * 20_000}", f"/api/v1/contacts/{SECRET}", f"/%zz{SECRET}"):
            assert call(proxy, "GET", odd)[0] in (400, 404, 414)
        proxy.server.process.terminate()
        proxy.server.process.wait(WITHIN)
        status, headers, error = call(proxy, "GET", path)
        assert (status, headers["Retry-After"]) == (502, "5")
        assert_shape(error, 502)
        assert error["message"] == "The connector does not answer; try again later."
        until(lambda: "GET 502" in proxy.logs())  # it is written once the answer has gone
        logs = proxy.logs()
    assert "GET 200" in logs
    assert "the-id" in logs
    assert SECRET not in logs
    assert proxy.server.token not in logs


# the units


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
@pytest.mark.parametrize("unit", [path.name for path in PROJECT.glob("deploy/connector*.*")])
def test_systemd_understands_the_units(tmp_path: Path, unit: str) -> None:
    """No unknown setting, no command that is not there."""
    for path in PROJECT.glob("deploy/connector*.*"):
        # The user and the program are made on the machine that it is deployed to.
        text = path.read_text().replace("User=connector", "User=daemon")
        (tmp_path / path.name).write_text(text.replace("/opt/connector/connector.pyz", "/dev/null"))
    checked = subprocess.run(["systemd-analyze", "verify", tmp_path / unit], capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_the_proxy_asks_where_the_service_listens() -> None:
    """The unit leaves HOST and PORT as they are, and trusts one proxy."""
    host, port = (Settings().fields[name].load_default for name in ("HOST", "PORT"))
    assert f"server {host}:{port};" in SITE.read_text()
    unit = (PROJECT / "deploy/connector.service").read_text()
    assert "TRUSTED_PROXIES=1" in unit
    assert not re.search(r"\b(HOST|PORT)=", unit)


# the guide


def test_every_file_that_the_guide_names_is_there() -> None:
    """And every file of deploy/ is named."""
    named = set(re.findall(r"\bdeploy/[\w.-]+", GUIDE.read_text()))
    assert named == {str(path.relative_to(PROJECT)) for path in PROJECT.glob("deploy/*") if path.is_file()}


def test_every_command_that_the_guide_names_is_one(app: Any) -> None:
    """With the options that it shows."""
    shown = re.findall(r"^ *sudo connector ([a-z].*)", GUIDE.read_text(), re.MULTILINE)
    groups = {"user", "token", "contacts", "database", "retention"}
    assert {line.split()[0] for line in shown} == {"doctor", "restore", "audit"} | groups
    for line in shown:
        group = line.split()[0] in groups
        helped = app.test_cli_runner().invoke(args=[*line.split()[: 1 + group], "--help"])
        assert helped.exit_code == 0, line
        for option in re.findall(r"--[a-z-]+", line):
            assert option in helped.output, line


# the settings


def _read(text: str) -> Any:
    loader = SourceFileLoader("deploy_connector", str(PROJECT / "deploy/connector"))
    module = ModuleType(loader.name)
    exec(compile(loader.get_data(loader.path), loader.path, "exec"), module.__dict__)  # no .pyc beside it
    return module.read(text)


def test_the_command_reads_the_settings_as_systemd_does_and_runs_nothing() -> None:
    """A password is a password, whatever a shell would make of it (systemd.exec(5), EnvironmentFile=)."""
    assert _read("PGPASSWORD=se$cret&(1)\nWORKERS=2 # two") == {"PGPASSWORD": "se$cret&(1)", "WORKERS": "2 # two"}
    assert _read('A="x $(touch y) \\"q\\" \\n"\nB=\'a\\\'\nC=a\\ b\\\nc\nD = e  \n;F=1\n#G=1\nnone\nH=') == {
        "A": 'x $(touch y) "q" \\n',
        "B": "a\\",
        "C": "a bc",
        "D": "e",
        "H": "",
    }
    assert _read('A="two\nlines"\nB=it\'s "x"\nA=again') == {"A": "again", "B": 'it\'s "x"'}
    assert _read('A=1\r\nB="x\r\ny"\r\n# \\x\r\nC=2') == {"A": "1", "B": "x\r\ny", "C": "2"}
    assert _read("export A=1\n1A=1\nÄ=1\nA B=1\n=1\nA") == {}


def test_a_comment_that_systemd_reads_in_two_ways_is_refused() -> None:
    """The line after it was part of it up to systemd 253, and is a setting since 254."""
    with pytest.raises(ValueError, match="a comment ends with a backslash"):
        _read("# one \\\nWORKERS=2\n")


GENERATOR = Path("/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator")


@pytest.mark.skipif(not GENERATOR.exists(), reason="systemd is not installed")
@pytest.mark.parametrize(
    "line",
    [
        "a b  ",
        "  a",
        "a&(1)|;<>#x",
        '"a b "  ',
        "'a\"b '",
        "it's",
        '"a" "b"c',
        '"a\\"b\\x\\\\"',
        "'a\\b'",
        "a\\\nb",
        "a\\ ",
        "a\\\\b",
        '"x\ny"',
        '"a\\\nb"',
        '"open',
        "é",
        "a=b",
        "'a'\\''b'",
        "",
        "   ",
        "''",
        '""',
        "a \\\n",
        "a \\\n  b",
        "\\\na",
        '"a"  b  ',
        '"a" \'b\' c "d"',
        "a#b ;c",
        "# a",
        "a\tb\t",
        "a\r",
        "a\\\r\nb",
        '"a\\\rb"',
        '"a\\"',
        "a\\",
        "'open",
        "'se&(1)cret'",
    ],
)
def test_systemd_itself_reads_the_same(tmp_path: Path, line: str) -> None:
    """Its generator of environments has the same parser; it expands variables besides, so there is no "$" here."""
    (tmp_path / "environment.d").mkdir()
    (tmp_path / "environment.d/a.conf").write_text(f"VALUE={line}\nNEXT=1\n")
    done = subprocess.run(
        [GENERATOR], env={"XDG_CONFIG_HOME": str(tmp_path), "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    found = re.findall(r'^(VALUE|NEXT)=(?:"((?:[^"\\]|\\.)*)"|(.*))$', done.stdout, re.MULTILINE)
    shown = {name: _ESCAPE.sub(lambda c: _ESCAPED.get(c[1], c[1]), quoted) or bare for name, quoted, bare in found}
    # It drops what has no value; the service gets it as an empty text (systemd.exec(5)).
    assert {name: value for name, value in _read(f"VALUE={line}\nNEXT=1\n").items() if value} == shown


_ESCAPE = re.compile(r"\\(.)")
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r"}


@pytest.fixture
def service() -> Iterator[tuple[str, Path]]:
    """A user of the system, and a folder of that user that root alone can make."""
    if os.geteuid() != 0 or not shutil.which("useradd") or not Path("/usr/sbin/runuser").exists():
        pytest.skip("only root can add a user of the system")
    user = f"connector-{token_hex(4)}"
    folder = Path(mkdtemp(prefix="connector-"))  # pytest's own can be entered by root alone
    try:
        folder.chmod(0o755)
        subprocess.run(["useradd", "--system", "--home-dir", folder / "data", user], check=True, capture_output=True)
        (folder / "data").mkdir(mode=0o700)
        shutil.chown(folder / "data", user)
        yield user, folder
    finally:
        subprocess.run(["userdel", user], check=False, capture_output=True)
        shutil.rmtree(folder)


def _as_root(service: tuple[str, Path], settings: bytes, *words: str, **environment: str) -> Any:
    """What `connector` does with such settings; its program shows how it was started."""
    user, folder = service
    text = (PROJECT / "deploy/connector").read_text()
    for old, new in {
        'USER, FOLDER, PROGRAM = "connector"': f'USER, FOLDER, PROGRAM = "{user}"',
        "/var/lib/connector": f"{folder}/data",
        "/opt/connector/connector.pyz": f"{folder}/program.py",
        "/etc/connector.env": f"{folder}/connector.env",
    }.items():
        assert text.count(f"{old}") == 1, old
        text = text.replace(old, new)
    (folder / "connector").write_text(text)
    (folder / "connector.env").write_bytes(settings)
    (folder / "connector.env").chmod(0o600)
    (folder / "program.py").write_text(
        "import json, os, sys\n"
        "print(json.dumps([sys.argv[1:], os.getcwd(), os.geteuid(), os.umask(0), dict(os.environ)]))"
    )
    return subprocess.run(
        [sys.executable, "-I", folder / "connector", *words],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_command_runs_as_the_services_user_with_its_settings_alone(service: tuple[str, Path]) -> None:
    """Started by root: what root's own shell has set, such as another DATABASE_URL, is not for it."""
    settings = b'PGPASSWORD=se$cret&(1)\nWORKERS=\'2\'\n# comment\nORG_ID="a \\"b\\" $(touch x)"'
    done = _as_root(service, settings, "token", "create", "$(x) 'y", DATABASE_URL="sqlite:////elsewhere", TERM="vt100")
    assert done.returncode == 0, done.stderr
    words, folder, user, umask, environment = json.loads(done.stdout)
    assert words == ["token", "create", "$(x) 'y"]
    assert (folder, user, umask) == (str(service[1] / "data"), getpwnam(service[0]).pw_uid, 0o077)
    shown = {name: environment[name] for name in ("PGPASSWORD", "WORKERS", "ORG_ID", "TRUSTED_PROXIES", "HOME", "TERM")}
    assert shown == {
        "PGPASSWORD": "se$cret&(1)",
        "WORKERS": "2",
        "ORG_ID": 'a "b" $(touch x)',
        "TRUSTED_PROXIES": "1",
        "HOME": str(service[1] / "data"),
        "TERM": "vt100",
    }
    assert "DATABASE_URL" not in environment
    assert not (service[1] / "data/x").exists()


@pytest.mark.parametrize(("settings", "named"), [(b"A=\xff", "not UTF-8"), (b"# x\\\nA=1", "ends with a backslash")])
def test_settings_that_systemd_would_not_take_are_named(service: tuple[str, Path], settings: bytes, named: str) -> None:
    """In one sentence, before anything is run."""
    done = _as_root(service, settings, "token", "list")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert named in done.stderr


# the script


NAME_OF_SITE = "crm.example"
CALL = """
import json, ssl, sys
from urllib.request import Request, urlopen
address, token, body = sys.argv[1:]
headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
call = Request(address, body.encode() or None, headers)
print(urlopen(call, context=ssl._create_unverified_context()).read().decode())
"""
DUE = "[Timer]\nOnCalendar=\nOnActiveSec=1\nRandomizedDelaySec=0\nAccuracySec=1\n"


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two files of the connector that differ, and one that is none."""
    subprocess.run(["make", "dist"], cwd=PROJECT, check=True, capture_output=True)
    folder = tmp_path_factory.mktemp("releases")
    for name in ("first", "second"):
        shutil.copy(PROJECT / "dist/connector.pyz", folder / name)
    with ZipFile(folder / "second", "a") as archive:
        archive.writestr("second", "")
    (folder / "damaged").write_bytes((folder / "first").read_bytes()[:-1000])
    return folder


@pytest.mark.system
@machine.needs_machine
def test_the_script_installs_upgrades_and_goes_back(releases: Path) -> None:
    """On a Debian with nothing on it: as docs/deploy.md has it, by a systemd that starts the units as they are."""
    with machine.booted(project=PROJECT, releases=releases) as debian:

        def install(*words: str, check: bool = True) -> Any:
            return debian.run("/srv/project/deploy/install.sh", *words, check=check)

        def connector(*words: str, **how: Any) -> Any:
            return debian.run("/usr/local/sbin/connector", *words, **how)

        def call(path: str, body: str = "", base: str = "http://127.0.0.1:8080") -> Any:
            return json.loads(debian.run("python3", "-c", CALL, base + path, token, body).stdout)

        def subjects() -> list[str]:
            return [email["subject"] for email in call(EMAILS)]

        # What can't be done is said, and nothing is changed.
        for words, sentence in {
            ("/nowhere",): "There is no /nowhere. Make it first, as yourself: make dist\n",
            ("--nginx", NAME_OF_SITE, "/srv/releases/first"): f"There is no certificate of {NAME_OF_SITE}. ",
            ("--nginx",): "Usage: sudo deploy/install.sh ",
            ("--other",): "Usage: sudo deploy/install.sh ",
        }.items():
            refused = install(*words, check=False)
            assert (refused.returncode, refused.stdout) == (1, "")
            assert refused.stderr.startswith(sentence)
        assert debian.run("id", "connector", check=False).returncode == 1
        assert "Nothing was installed." in install("/srv/releases/damaged", check=False).stderr
        assert not debian.run("ls", "/opt/connector").stdout

        # From zero.
        done = install("/srv/releases/first")
        token = re.findall(r"\bbsc_\w+", done.stdout)[0]
        assert "The connector runs." in done.stdout
        call(EMAILS, '{"subject": "before"}')
        assert "PROBLEM" not in connector("doctor").stdout
        assert "1 created" in connector("contacts", "import", "-", stdin="email\njane@acme.example\n").stdout
        assert "see: sudo connector token list" in connector("token", "revoke", "77", check=False).stderr
        assert "bsc_" not in debian.run("journalctl", "--unit=connector.service").stdout
        debian.run("sh", "-c", "echo WORKERS=1 >>/etc/connector.env")
        debian.run("systemctl", "disable", "--now", "connector-backup.timer")

        # Again: nothing is to be done.
        pid = debian.run("systemctl", "show", "--property=MainPID", "connector.service").stdout
        assert install("/srv/releases/first").stdout == "The connector runs. Look it over: sudo connector doctor\n"
        assert debian.run("systemctl", "show", "--property=MainPID", "connector.service").stdout == pid

        # An upgrade, with a backup before it; settings, data and what is enabled stay.
        backup = re.findall(r"Wrote \S+/(backups/before-\S+\.db): ", install("/srv/releases/second").stdout)[0]
        assert debian.run("cmp", "/opt/connector/connector.pyz", "/srv/releases/second").returncode == 0
        assert debian.run("tail", "-n1", "/etc/connector.env").stdout == "WORKERS=1\n"
        assert debian.run("stat", "-c%a%U", "/etc/connector.env").stdout == "600root\n"
        assert debian.run("systemctl", "is-enabled", "connector-backup.timer", check=False).stdout == "disabled\n"
        call(EMAILS, '{"subject": "after"}')
        assert subjects() == ["after", "before"]

        # The timers start what they are for.
        connector("retention", "set", "--after", "3y")
        for timer in ("backup", "retention"):
            debian.run("mkdir", "-p", f"/run/systemd/system/connector-{timer}.timer.d")
            debian.run("sh", "-c", f"cat >/run/systemd/system/connector-{timer}.timer.d/due.conf", stdin=DUE)
            debian.run("systemctl", "daemon-reload")
            debian.run("systemctl", "start", f"connector-{timer}.timer")
            journal = ["journalctl", "--output=cat", f"--unit=connector-{timer}.service"]
            until(lambda: "Finished" in debian.run(*journal).stdout)  # noqa: B023
        assert "2 emails" in debian.run("journalctl", "--unit=connector-backup.service").stdout

        # The way back.
        debian.run("systemctl", "stop", "connector.service")
        debian.run("cp", "/opt/connector/connector.old.pyz", "/opt/connector/connector.pyz")
        connector("restore", backup)
        debian.run("systemctl", "start", "connector.service")
        until(lambda: connector("health", check=False).returncode == 0)
        assert subjects() == ["before"]

        # The proxy.
        folder = f"/etc/letsencrypt/live/{NAME_OF_SITE}"
        debian.run("mkdir", "-p", folder)
        key = ["-keyout", f"{folder}/privkey.pem", "-out", f"{folder}/fullchain.pem", "-subj", f"/CN={NAME_OF_SITE}"]
        debian.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *key)
        debian.run("systemctl", "start", "nginx.service")
        for _ in range(2):
            install("--nginx", NAME_OF_SITE, "/srv/releases/first")
            assert call("/health/live", base="https://127.0.0.1")["status"] == "live"


def test_the_script_is_for_root() -> None:
    """It says so, and does nothing."""
    if os.geteuid() == 0:
        command = ["runuser", "-u", "nobody", "--", "sh", "-s"]
        text = (PROJECT / "deploy/install.sh").read_text()  # nobody may not read where the project is
        done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    else:
        done = subprocess.run([PROJECT / "deploy/install.sh"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("It adds a user and units, which root alone may do: sudo ")
