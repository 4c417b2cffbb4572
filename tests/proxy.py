"""nginx with the very file that docs/deploy.md tells to install."""

import os
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.samples import PROJECT, Server, free_port, serving, wait_until_it_listens

SITE = PROJECT / "deploy/nginx.conf"
NAME = "crm.example.com"
_PATH = f"{os.environ['PATH']}:/usr/sbin"  # which is not on the PATH of ordinary users of Debian
NGINX = shutil.which("nginx", path=_PATH)

needs_nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed (apt-get install nginx openssl)")

# What Debian's own nginx.conf has around the sites; the folders are those of the test.
_MAIN = """
{user}
daemon off;
pid {folder}/pid;
error_log {folder}/main-error.log;
worker_processes 1;
events {{ worker_connections 768; }}
http {{
    access_log {folder}/main-access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/answers;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/site.conf;
}}
"""


class Proxy(NamedTuple):
    """nginx in front of a connector: its port for TLS and the one without, where its logs are."""

    port: int
    plain_port: int
    folder: Path
    server: Server
    tls: ssl.SSLContext

    def logs(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("*.log"))


@contextmanager
def proxied(folder: Path, allowed: str = "", **settings: object) -> Iterator[Proxy]:
    """A connector behind nginx, as docs/deploy.md has it but for ports and files; `allowed` may see the pages."""
    port, plain_port = free_port(), free_port()
    certificate = _certificate(folder)
    with serving(folder, TRUSTED_PROXIES=1, **settings) as server:
        site = SITE.read_text()
        for old, new in {
            "127.0.0.1:8080": f"127.0.0.1:{server.port}",
            "    listen [::]:443 ssl;\n": "",
            "    listen [::]:80;\n": "",
            "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
            "listen 80;": f"listen 127.0.0.1:{plain_port};",
            f"/etc/letsencrypt/live/{NAME}/fullchain.pem": str(certificate),
            f"/etc/letsencrypt/live/{NAME}/privkey.pem": str(certificate),
            "/var/log/nginx/": f"{folder}/",
            "# allow 192.0.2.7;": f"allow {allowed};" if allowed else "",
        }.items():
            assert site.count(old) == 1, old
            site = site.replace(old, new)
        (folder / "site.conf").write_text(site)
        user = "user root root;" if os.geteuid() == 0 else ""  # else a worker could not enter the test's folder
        (folder / "nginx.conf").write_text(_MAIN.format(user=user, folder=folder))
        with (folder / "nginx-output").open("wb") as output:
            process = subprocess.Popen([NGINX or "", "-c", folder / "nginx.conf", "-p", folder], stderr=output)
        try:
            wait_until_it_listens("127.0.0.1", port, process, folder / "nginx-output")
            yield Proxy(port, plain_port, folder, server, ssl.create_default_context(cafile=str(certificate)))
        finally:
            process.terminate()
            process.wait(30)


def _certificate(folder: Path) -> Path:
    """One of our own, with its key in the same file."""
    made = folder / "certificate.pem"
    openssl = "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2"
    names = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    key = folder / "key.pem"
    command: list[str | Path] = [*openssl.split(), *names, "-keyout", key, "-out", made]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PATH": _PATH})
    made.write_text(key.read_text() + made.read_text())
    return made
