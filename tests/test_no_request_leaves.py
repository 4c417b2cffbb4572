"""No request leaves the server on behalf of what is in a mail: who sent it would learn that it was read, and where."""

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.samples import EMAILS, log

ELSEWHERE = "http://tracker.example/pixel.gif"
HTML = f"""<?xml version="1.0"?><?xml-stylesheet href="{ELSEWHERE}"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0//EN" "{ELSEWHERE}" [<!ENTITY % e SYSTEM "{ELSEWHERE}"> %e;
<!ENTITY x SYSTEM "{ELSEWHERE}">]>
<html manifest="{ELSEWHERE}" xmlns:xi="http://www.w3.org/2001/XInclude"><head><base href="{ELSEWHERE}">
<link rel="stylesheet prefetch dns-prefetch preconnect" href="{ELSEWHERE}"><script src="{ELSEWHERE}"></script>
<meta http-equiv="refresh" content="0; url={ELSEWHERE}"><style>@import "{ELSEWHERE}"; p {{background: url({ELSEWHERE})}}
</style></head><body background="{ELSEWHERE}"><p>word &x;</p><img src="{ELSEWHERE}" srcset="{ELSEWHERE} 2x">
<img src="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg'%3E%3Cimage href='{ELSEWHERE}'/%3E%3C/svg%3E">
<iframe src="{ELSEWHERE}" srcdoc="<img src={ELSEWHERE}>"></iframe><object data="{ELSEWHERE}"></object>
<embed src="{ELSEWHERE}"><video src="{ELSEWHERE}" poster="{ELSEWHERE}"></video><xi:include href="{ELSEWHERE}"/>
<svg><use href="{ELSEWHERE}#a"/></svg><a href="{ELSEWHERE}" ping="{ELSEWHERE}">link</a><form action="{ELSEWHERE}">
</body></html>"""


@pytest.fixture
def asked() -> Iterator[list[str]]:
    """What this process has asked of any network; it gets nothing."""
    seen: list[str] = []

    def hook(event: str, arguments: Any) -> None:
        if watching and event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto",
                                  "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn"):  # fmt: skip
            seen.append(event)
            raise OSError(f"no network: {event}")

    watching = True
    sys.addaudithook(hook)  # can't be taken away again
    yield seen
    watching = False


def test_a_mail_is_logged_found_and_shown_without_asking_anybody(client: Any, asked: list[str]) -> None:
    """Whatever is named in its HTML, its attachments, its addresses and its links."""
    files = [
        {
            "id": "1",
            "name": "a.html",
            "mimeType": "text/html",
            "content": "PGltZyBzcmM9Imh0dHA6Ly90cmFja2VyLmV4YW1wbGUiPg",
        },
        {"id": "2", "name": ELSEWHERE, "contentLocation": ELSEWHERE, "mimeType": "message/external-body"},
    ]
    contact = client.post("/api/v1/contacts", json={"emailAddresses": ["jane@tracker.example"]}).json
    company = client.post("/api/v1/companies", json={"name": ELSEWHERE, "domains": [ELSEWHERE]}).json
    mail = log(
        client,
        rfc822MsgId=f"<{ELSEWHERE}>",
        subject=ELSEWHERE,
        htmlBody=HTML,
        textBody=ELSEWHERE,
        fromAddress="jane@tracker.example",
        toAddresses=[ELSEWHERE, f"<{ELSEWHERE}@tracker.example>", "x@[192.0.2.1]"],
        attachments=files,
        relatedTo=[{"type": "Contact", "id": contact["id"], "href": ELSEWHERE}],
    )
    for path in (
        f"{EMAILS}/{mail['id']}",
        f"{EMAILS}?q=word",
        f"{EMAILS}?q=tracker",
        f"{EMAILS}/{mail['id']}/attachments/1",
        f"/api/v1/contacts/{contact['id']}/emails",
        f"/api/v1/contacts/lookup?emails={ELSEWHERE}@tracker.example",
        f"/api/v1/companies/lookup?domain={ELSEWHERE}",
        f"/api/v1/companies/{company['id']}",
        "/api/v1/changes",
        "/docs",
    ):
        with client.get(path) as answer:
            assert answer.status_code == 200, path
    assert client.patch(f"{EMAILS}/{mail['id']}", json={"htmlBody": HTML + HTML}).status_code == 200
    assert asked == []


def test_who_asks_is_seen(asked: list[str]) -> None:
    """So that the test above proves something."""
    with pytest.raises(OSError, match="no network"):
        socket.create_connection(("192.0.2.1", 80), timeout=1)
    assert asked
