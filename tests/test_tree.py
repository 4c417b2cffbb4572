"""What is in the tree besides code: pinned libraries, and no secret."""

import re
import subprocess

import pytest

from tests.samples import PROJECT
from web import tokens

LISTS = ["requirements.lock", "requirements-dev.lock"]

# How secrets of others look, where they can be told from other text. Two passwords are those of tests.
SECRETS = {
    "token of ours": rf"\b{tokens.PREFIX}[0-9A-Za-z]{{30}}\b",
    "private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "password in an address": r"\b(?:postgres(?:ql)?|mysql|redis|amqps?|smtps?|ftp)://[^\s/:@]+:(?!pass@|hushhush@)[^\s/:@{<$]+@",
    "AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})",
    "GitLab": r"\bglpat-[\w-]{20,}",
    "Google": r"\bAIza[\w-]{35}",
    "PyPI": r"\bpypi-AgEI[\w-]{20,}",
    "Slack": r"\bxox[abeoprs]-[\w-]{10,}|hooks\.slack\.com/services/T\w+/B\w+/\w+",
    "OpenAI, Anthropic, Stripe": r"\b(?:sk|rk|pk)[-_](?:live|test|ant|proj)[-_][\w-]{16,}",
    "JSON Web Token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
}
FILES = re.compile(r"\.(db|sqlite3?|pem|key|p12|pfx|jks|kdbx)(-\w+)?$|(^|/)(\.env|\.netrc|\.pypirc|id_(rsa|ed25519))$")


@pytest.fixture(scope="module")
def tree() -> dict[str, str]:
    """The text of all files that git tracks, by name."""
    listed = ["git", "ls-files", "-z"]
    found = subprocess.run(listed, cwd=PROJECT, capture_output=True, text=True)
    if found.returncode:
        pytest.skip("this is no checkout of git, so its files can't be told from what was made beside them")
    paths = [PROJECT / name for name in found.stdout.split("\0") if name]
    return {
        str(path.relative_to(PROJECT)): path.read_text(errors="replace")
        for path in paths
        if path.is_file()  # not those that were just deleted
    }


@pytest.mark.parametrize("name", LISTS)
def test_every_library_is_pinned_with_hashes(name: str) -> None:
    """To one version and the files of it, from whatever index they come; no index is named."""
    text = (PROJECT / name).read_text()
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if not entry.startswith("#")]
    assert len(entries) > 10
    for entry in entries:
        assert re.match(r"[a-z0-9._-]+(\[[a-z0-9,_-]+\])?==[\w.+!]+( ;[^\n]*)? \\\n", entry), entry
        assert re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry), entry
    assert re.findall(r"https?:|--(?:extra-)?index|--find-links|--trusted-host|file:", text) == []


def test_what_is_tested_is_what_is_deployed() -> None:
    """The list for development has all of the other one, to the letter but for the remarks."""
    runtime, development = (
        {entry.split()[0]: re.findall(r"sha256:\w+", entry) for entry in re.split(r"\n(?=\S)", text)}
        for text in ((PROJECT / name).read_text() for name in LISTS)
    )
    assert runtime.items() <= development.items()


def test_no_secret_is_in_the_tree(tree: dict[str, str]) -> None:
    """Neither a token of ours, nor a key of somebody else's, nor a database."""
    assert "app.py" in tree
    found = [
        (name, kind) for name, text in tree.items() for kind, pattern in SECRETS.items() if re.search(pattern, text)
    ]
    files = [(name, "file") for name in tree if FILES.search(name)]
    assert [*found, *files] == []


def test_a_secret_would_be_found(app: object) -> None:
    """One of each kind; they are put together here so that they are not in the tree."""
    made = {
        "token of ours": tokens.create("u1"),
        "private key": "-----BEGIN RSA PRIVATE " + "KEY-----",
        "password in an address": "postgresql://crm:" + "secret@db.example/crm",
        "AWS": "AKIA" + "ABCDEFGHIJKLMNOP",
        "GitHub": "ghp_" + "a1" * 18,
        "GitLab": "glpat-" + "a1" * 10,
        "Google": "AIza" + "a" * 35,
        "PyPI": "pypi-" + "AgEI" + "a" * 30,
        "Slack": "xoxb-" + "1234567890-abc",
        "OpenAI, Anthropic, Stripe": "sk_live_" + "a1" * 12,
        "JSON Web Token": ".".join(["eyJ" + "a" * 12, "eyJ" + "b" * 12, "c" * 12]),
    }
    assert made.keys() == SECRETS.keys()
    assert [kind for kind, text in made.items() if not re.search(SECRETS[kind], f"x = '{text}'")] == []
    assert all(FILES.search(name) for name in ("instance/connector.db-wal", ".env", "a/.env", "key.pem"))
    assert not any(FILES.search(name) for name in ("database.py", "environment", "a.envy"))


def test_what_security_md_names_is_there() -> None:
    """Each promise names its tests."""
    named = set(re.findall(r"`(test_\w+\.py)`", (PROJECT / "SECURITY.md").read_text()))
    assert len(named) > 10
    assert [name for name in named if not (PROJECT / "tests" / name).is_file()] == []
