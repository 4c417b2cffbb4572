"""Containerfile and compose files: the image is built and run by podman, as a user would. Run by ``make test-image``.

Where no registry of images can be reached, a Debian made by debootstrap stands for the base that the Containerfile
names, and the libraries come from where this machine's pip has them. All of it is kept in build/image.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from settings import VERSION
from tests.samples import EMAILS, PROJECT, free_port, until

FILE = (PROJECT / "Containerfile").read_text()
BASE = "docker.io/library/python:3.11-slim"
KEPT = PROJECT / "build/image"
MISSING = [name for name in ("podman", "debootstrap") if not shutil.which(name)]
# Only what every machine allows: in a container of its own, root may not raise limits.
ENGINE = """[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "{}"
"""
STORAGE = f'[storage]\ndriver = "overlay"\ngraphroot = "{KEPT}/storage"\nrunroot = "{KEPT}/run"\n'
# What python:3.11-slim has and Debian's own Python puts elsewhere.
LIKE_THE_BASE = "ln -s /usr/bin/python3 /usr/local/bin/python && ln -s /usr/bin/python3 /usr/local/bin/python3"

pytestmark = [
    pytest.mark.image,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a base image"),
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {MISSING}"),
]


def podman(*words: str, check: bool = True, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(["podman", *words], input=stdin, capture_output=True, text=True, timeout=600, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def image() -> Iterator[str]:
    """The name of the image, freshly built."""
    KEPT.mkdir(parents=True, exist_ok=True)
    (KEPT / "storage.conf").write_text(STORAGE)
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(PROJECT)
        patched.setenv("CONTAINERS_STORAGE_CONF", str(KEPT / "storage.conf"))
        patched.setenv("CONTAINERS_CONF", str(KEPT / "containers.conf"))
        (KEPT / "containers.conf").write_text(ENGINE.format("runc" if shutil.which("runc") else "crun"))
        options: list[str] = []
        if podman("pull", BASE, check=False).returncode:
            options = _stand_in()
        podman(
            "build",
            "--isolation=chroot",
            "--format=docker",
            f"--build-arg=VERSION={VERSION}",
            *options,
            "--tag=connector",
            ".",
        )
        podman("image", "prune", "--force")  # the one of the run before
        runs = podman("run", "--rm", "connector", "--help", check=False)
        if runs.returncode:
            pytest.skip(f"podman can't run a container here: {runs.stderr}")
        yield "connector"


def _stand_in() -> list[str]:
    """A Debian under the name of the base, and the options of a build that reaches no package index."""
    if podman("image", "exists", BASE, check=False).returncode:
        root = KEPT / "debian"
        shutil.rmtree(root, ignore_errors=True)
        subprocess.run(
            ["debootstrap", "--variant=minbase", "--include=python3-pip,ca-certificates", "bookworm", root],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        subprocess.run(["chroot", root, "sh", "-c", LIKE_THE_BASE], check=True)
        subprocess.run(f"tar -C {root} -c . | podman import - {BASE}", shell=True, check=True, capture_output=True)
        shutil.rmtree(root)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(KEPT / "wheels"), "--python-version=3.11"]
    subprocess.run([*pip, "--only-binary=:all:", "--require-hashes", "-r", "requirements.lock"], check=True)
    (KEPT / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n")
    return [f"--volume={KEPT}/wheels:/wheels:ro", f"--volume={KEPT}/pip.conf:/etc/pip.conf:ro", "--pull-never"]


def test_the_image_says_how_it_is_run(image: str) -> None:
    """A fixed user, a volume, a check that needs no curl, and what it is."""
    [found] = json.loads(podman("image", "inspect", image).stdout)
    config = found["Config"]
    assert (config["User"], config["Volumes"], config["WorkingDir"]) == ("10001:10001", {"/data": {}}, "/data")
    assert (config["Entrypoint"], config["Cmd"]) == (["connector"], ["serve"])
    assert found["Healthcheck"]["Test"] == ["CMD", "connector", "health"]
    assert config["Labels"]["org.opencontainers.image.version"] == VERSION
    assert found["Size"] < 500e6
    assert "secret" not in str(found).lower()


def test_a_folder_a_user_a_token_and_mail_that_stays(image: str) -> None:
    """As docs/deploy.md has it: root file system read-only, no capability, and all that is kept in the volume."""
    port = free_port()
    podman("volume", "create", "data")
    try:
        command = ["run", "--rm", "--volume=data:/data", image]
        podman(*command, "user", "add", "john@crm.example")
        token = podman(*command, "token", "create", "john@crm.example", "--scope", "admin").stdout.strip()
        hardened = [
            "--read-only",
            "--read-only-tmpfs=false",
            "--tmpfs=/tmp",
            "--cap-drop=all",
            "--security-opt=no-new-privileges",
        ]
        place = ["--detach", "--name=app", "--volume=data:/data", f"--publish=127.0.0.1:{port}:8080"]
        podman("run", *hardened, *place, image)

        def call(path: str, body: bytes | None = None) -> tuple[int, Any]:
            headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
            request = Request(f"http://127.0.0.1:{port}{path}", body, headers)
            with urlopen(request, timeout=30) as answer:
                return answer.status, json.load(answer)

        def is_live() -> bool:
            try:
                return call("/health/live")[0] == 200
            except (URLError, OSError):
                return False

        until(is_live)
        assert call(EMAILS, b'{"subject": "Offer", "fromAddress": "jane@acme.example"}')[0] == 201
        podman("healthcheck", "run", "app")
        inside = ["exec", "--interactive", "app"]
        assert podman(*inside, "id").stdout.startswith("uid=10001(connector) gid=10001(connector)")
        for path in ("/x", "/opt/connector/x", "/etc/x", "/var/tmp/x", "/run/x"):
            assert "Read-only file system" in podman(*inside, "touch", path, check=False).stderr, path
        assert "PROBLEM" not in podman(*inside, "connector", "doctor", check=False).stdout
        table = "email\njane@acme.example\n"
        assert "1 created" in podman(*inside, "connector", "contacts", "import", "-", stdin=table).stdout
        advice = podman(*inside, "connector", "token", "revoke", "77", check=False).stderr
        assert "see: connector token list" in advice
        podman(*inside, "connector", "backup", "backup.db")

        podman("restart", "app")
        until(is_live)
        [email] = call(EMAILS)[1]
        assert email["subject"] == "Offer"
        podman("exec", "app", "python", "-c", "import os; os.rename('instance', 'elsewhere')")
        assert podman("healthcheck", "run", "app", check=False).returncode == 1
        podman("stop", "app")
        assert podman("inspect", "--format={{.State.ExitCode}}", "app").stdout.strip() == "0"
        logs = podman("logs", "app")
        assert "Traceback" not in logs.stderr
        assert "bsc_" not in logs.stdout + logs.stderr
    finally:
        podman("rm", "--force", "--ignore", "app")
        podman("volume", "rm", "--force", "data")


def test_secrets_come_from_files(image: str, tmp_path: Path) -> None:
    """A wrong one is named, and not shown."""
    (tmp_path / "url").write_text("postgres://jane:hushhush@db/crm\n")
    mount = f"--volume={tmp_path}/url:/run/secrets/database_url:ro"
    done = podman("run", "--rm", mount, "--env=DATABASE_URL_FILE=/run/secrets/database_url", image, check=False)
    assert done.returncode == 1
    assert "DATABASE_URL: It must be" in done.stderr
    assert "hushhush" not in done.stdout + done.stderr


def test_the_image_has_the_modules_of_the_single_file() -> None:
    """And its context nothing else."""
    shipped = re.findall(r"^SHIPPED := \$\(wildcard \*\.py\) (.+)$", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    folders = shipped[0].split()
    assert re.findall(r"^COPY (\w+) /opt/connector/\1$", FILE, re.MULTILINE) == folders
    ignored = (PROJECT / ".containerignore").read_text().split("*\n", 1)[1].split()
    assert ignored == ["!*.py", "!requirements.lock", "!LICENSE", *(f"!{name}" for name in folders), "**/__pycache__"]
