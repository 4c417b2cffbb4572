"""The configuration: environment variables, their defaults, and what is said of a wrong one."""

import re
from pathlib import Path
from typing import Any

import pytest

import settings
from tests.samples import PROJECT

README = PROJECT / "docs" / "settings.md"
DEFAULTS: dict[str, Any] = {
    "DATABASE_URL": "sqlite:///instance/connector.db",
    "HOST": "127.0.0.1",
    "PORT": 8080,
    "WORKERS": 2,
    "THREADS": 4,
    "BODY_LIMIT": 36 * 1024 * 1024,
    "METRICS": "off",
    "PAGES": "on",
    "TRUSTED_PROXIES": 0,
    "FREE_MAIL_COMPANIES": "off",
    "UNMATCHED": "on",
    "ORG_ID": "default",
}


def test_without_any_setting_the_defaults_are_used() -> None:
    """A file beside the program, and only this machine can call."""
    assert settings.load({}) == DEFAULTS


def test_settings_are_read_from_the_environment() -> None:
    """Numbers from their digits; what is no setting of ours is nobody's business here."""
    own = {"DATABASE_URL": "sqlite:////data/x.db", "HOST": "::", "PORT": "80", "WORKERS": "8", "THREADS": "1"}
    own |= {
        "BODY_LIMIT": "1048576",
        "ORG_ID": "acme",
        "METRICS": "on",
        "PAGES": "off",
        "TRUSTED_PROXIES": "1",
        "FREE_MAIL_COMPANIES": "on",
        "UNMATCHED": "off",
    }
    numbers = {"PORT": 80, "WORKERS": 8, "THREADS": 1, "BODY_LIMIT": 1048576, "TRUSTED_PROXIES": 1}
    assert settings.load({**own, "PATH": "/bin", "FLASK_DEBUG": "1"}) == {**own, **numbers}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "http"),
        ("PORT", ""),
        ("PORT", "0"),
        ("PORT", "65536"),
        ("PORT", "80.5"),
        ("PORT", "9" * 5000),
        ("WORKERS", "0"),
        ("WORKERS", "-1"),
        ("THREADS", "many"),
        ("BODY_LIMIT", "36M"),
        ("BODY_LIMIT", "100"),
        ("BODY_LIMIT", "1e9"),
        ("METRICS", "yes"),
        ("METRICS", ""),
        ("TRUSTED_PROXIES", "yes"),
        ("TRUSTED_PROXIES", "-1"),
        ("HOST", ""),
        ("ORG_ID", ""),
        ("ORG_ID", "x" * 256),
        ("DATABASE_URL", ""),
        ("DATABASE_URL", "connector.db"),
        ("DATABASE_URL", "sqlite:///"),
        ("DATABASE_URL", "sqlite:///:memory:"),
        ("DATABASE_URL", "sqlite:///instance"),
        ("DATABASE_URL", "sqlite:////dev/null"),
        ("DATABASE_URL", "postgres://localhost/crm"),
        ("DATABASE_URL", "mysql://jane:hushhush@localhost/crm"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(name: str, value: str) -> None:
    """With the reason; and without its value, which may hold a password."""
    with pytest.raises(settings.Misconfigured) as raised:
        settings.load({name: value})
    message = str(raised.value)
    assert re.fullmatch(rf"The configuration can't be used\. {name}: [A-Z][^\n]*\.", message)
    assert "hushhush" not in message


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_setting_may_be_in_a_file(tmp_path: Path, name: str) -> None:
    """NAME_FILE, as containers hand out secrets; a newline ends the value, and blanks belong to it."""
    value = {"DATABASE_URL": "postgresql://jane:hush hush @db/crm"}.get(name, str(DEFAULTS[name]))
    (tmp_path / "secret").write_text(f"{value}\n")
    found = settings.load({f"{name}_FILE": str(tmp_path / "secret")})[name]
    assert str(found) == value


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (None, r"DATABASE_URL_FILE: /.*/secret can't be read: No such file or directory\."),
        (b"\xff", r"DATABASE_URL_FILE: The file is not UTF-8\."),
        (b"mysql://jane:hushhush@db/crm", r"DATABASE_URL: It must be [^\n]*\."),
        (b"", r"DATABASE_URL: It must be [^\n]*\."),
    ],
)
def test_a_file_that_is_no_setting_is_named_in_one_sentence(tmp_path: Path, content: bytes | None, named: str) -> None:
    """Without what is in it."""
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    with pytest.raises(settings.Misconfigured) as raised:
        settings.load({"DATABASE_URL_FILE": str(tmp_path / "secret")})
    assert re.fullmatch(rf"The configuration can't be used\. {named}", str(raised.value))


def test_a_setting_is_given_once(tmp_path: Path) -> None:
    """Which of two counts would be a guess. What is wrong besides is named as well."""
    (tmp_path / "secret").write_text("9000")
    with pytest.raises(settings.Misconfigured) as raised:
        settings.load({"PORT": "80", "PORT_FILE": str(tmp_path / "secret"), "WORKERS": "0"})
    message = str(raised.value)
    assert "PORT_FILE: Set it or the variable without _FILE, not both." in message
    assert "WORKERS: " in message


def test_all_wrong_settings_are_named_at_once() -> None:
    """So that a start is not tried again for each of them."""
    with pytest.raises(settings.Misconfigured) as raised:
        settings.load({"PORT": "x", "WORKERS": "y"})
    assert "PORT: " in str(raised.value)
    assert "WORKERS: " in str(raised.value)


def test_a_wrong_setting_ends_the_program_with_status_1() -> None:
    """Python prints what a SystemExit was given, without a traceback, and exits with 1."""
    with pytest.raises(SystemExit) as raised:
        settings.load({"PORT": "x"})
    assert isinstance(raised.value.code, str)


def documented(readme: Path) -> dict[str, str]:
    """The settings in the table of docs/settings.md, with their defaults as they stand there."""
    return dict(re.findall(r"^\| `([A-Z_]+)` \| `([^`|]*)` \|", readme.read_text(), re.MULTILINE))


@pytest.mark.skipif(not README.exists(), reason="there is no page of settings")
def test_the_table_of_the_readme_is_true() -> None:
    """Every setting is there with its default, and no other."""
    assert documented(README) == {name: str(value) for name, value in DEFAULTS.items()}


def test_every_setting_is_described() -> None:
    """Where it is defined."""
    described = {
        name for name, field in settings.Settings().fields.items() if field.metadata["description"].endswith(".")
    }
    assert described == DEFAULTS.keys()
