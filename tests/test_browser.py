"""The pages in a real browser: what strangers write runs nothing and loads nothing, and everybody can use them."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from threading import Thread
from typing import Any

import pytest

from tests.samples import Server, ask, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and find_spec("playwright")), reason="there is no Chromium, or no playwright"
)

NAME = "connector.example"  # of this machine, as the browser sees it

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
HOSTILE = """
<html><head><base href="{elsewhere}/"><link rel="stylesheet" href="{elsewhere}/style">
<meta http-equiv="refresh" content="0; url={elsewhere}/refresh">
<style>@import "{elsewhere}/import"; body {{ background: url({elsewhere}/background) }}</style>
<script>document.title = "ran"; top.document.title = "ran"; fetch("{elsewhere}/fetch")</script></head>
<body onload="top.document.title = 'ran'"><h1 style="position: fixed; inset: 0; background: url({elsewhere}/css)">Dear
John</h1><img src="{elsewhere}/pixel"><img src="x" onerror="top.document.title = 'ran'"><img src="cid:logo" alt="logo">
<svg><script>top.document.title = "ran"</script><image href="{elsewhere}/svg"/></svg><video src="{elsewhere}/video"
poster="{elsewhere}/poster"></video><iframe src="{elsewhere}/frame"></iframe><object data="{elsewhere}/object"></object>
<form action="{elsewhere}/form"><input autofocus onfocus="top.document.title = 'ran'"><button>Go</button></form>
<a href="javascript:top.document.title = 'ran'">script</a> <a href="https://acme.example/offer">Offer</a>
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service, with some emails in it."""
    with serving(tmp_path_factory.mktemp("browser")) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The system's browser, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # Its own walls need rights that root in a container has not.
        arguments = ["--no-sandbox"] * (os.geteuid() == 0) + [f"--host-resolver-rules=MAP {NAME} 127.0.0.1"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A page of a browser that knows nobody yet."""
    context = chromium.new_context()
    context.set_default_timeout(20_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def elsewhere() -> Iterator[tuple[str, list[str]]]:
    """Another server on this machine, with what it was asked for."""
    asked: list[str] = []
    handler = partial(_Elsewhere, asked)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as other:
        thread = Thread(target=other.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{other.server_port}", asked
        other.shutdown()
        thread.join()


class _Elsewhere(BaseHTTPRequestHandler):
    def __init__(self, asked: list[str], *args: Any) -> None:
        self._asked = asked
        super().__init__(*args)

    def do_GET(self) -> None:
        self._asked.append(self.path)
        target = self.path.partition("?")[2]
        form = f'<form method="post" action="{target}"><input name="name" value="Forged"><button>Go</button></form>'
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(form.encode())

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def address(server: Server, path: str = "/") -> str:
    return f"http://127.0.0.1:{server.port}{path}"


def call(server: Server, method: str, path: str, body: Any = None) -> Any:
    """A call of the API; gives the answer's JSON."""
    status, _, answer = ask(server, method, f"/api/v1{path}", json.dumps(body).encode() if body else None)
    assert status < 300
    return json.loads(answer)


def sign_in(page: Any, server: Server) -> None:
    page.goto(address(server))
    page.get_by_label("Admin token").fill(server.token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(address(server))


def log(server: Server, **fields: Any) -> str:
    return str(call(server, "POST", "/emails", fields)["id"])


def test_the_link_of_the_first_start_signs_in(page: Any, server: Server) -> None:
    """Once, by a key."""
    [link] = re.findall(r"http://\S+/sign-in/\S+", server.output.read_text())
    page.goto(link)
    page.locator("button:focus").press("Enter")  # the page focuses it as it is drawn, which may be after it is loaded
    page.wait_for_url(address(server))
    assert page.title().startswith("Overview")
    page.context.clear_cookies()
    page.goto(link)
    assert page.get_by_text("This link has been used").is_visible()


def test_forms_work_without_tls(page: Any, server: Server) -> None:
    """Where a browser sends no Sec-Fetch-Site, as it does to this machine alone or by TLS."""
    sent = []
    page.on("request", lambda request: sent.append(request.all_headers()) if request.method == "POST" else None)
    elsewhere = f"http://{NAME}:{server.port}/"
    page.goto(elsewhere)
    page.get_by_label("Admin token").fill(server.token)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(elsewhere)
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{elsewhere}sign-in")
    assert [(one.get("sec-fetch-site"), one["origin"]) for one in sent] == [(None, elsewhere[:-1])] * 2


def test_html_of_strangers_runs_and_loads_nothing(page: Any, server: Server, elsewhere: tuple[str, list[str]]) -> None:
    """No script, style, picture or form of it reaches anybody; its own picture and words are shown."""
    other, asked = elsewhere
    files = [{"name": "logo.png", "mimeType": "image/png", "contentId": "<logo>", "content": PNG}]
    email_id = log(server, subject="Hostile", htmlBody=HOSTILE.format(elsewhere=other), attachments=files)
    requests: list[str] = []
    page.context.on("request", lambda request: requests.append(request.url))
    sign_in(page, server)
    page.goto(address(server, f"/emails/{email_id}"))
    page.wait_for_load_state("networkidle")
    frame = page.frame_locator("iframe")
    assert frame.get_by_text("Dear").is_visible()
    assert frame.get_by_alt_text("logo").is_visible()
    assert (
        frame.locator("script, form, input, style + style, base, meta[http-equiv], video, iframe, object").count() == 0
    )
    assert page.title().startswith("Hostile")
    assert asked == []
    assert [url for url in requests if not url.startswith((address(server), "data:"))] == []
    assert page.evaluate("document.cookie") == ""
    page.get_by_text("1 link in this email").click()
    assert page.get_by_role("link", name="https://acme.example/offer").get_attribute("rel") == "noopener noreferrer"


def test_a_link_of_an_email_opens_as_a_page_of_its_own(
    page: Any, server: Server, elsewhere: tuple[str, list[str]]
) -> None:
    """Which learns nothing of where it was, and has a browser's rights again."""
    other, asked = elsewhere
    email_id = log(server, subject="A link", htmlBody=f"<a href='{other}/offer?/'>Our offer</a>")
    sign_in(page, server)
    page.goto(address(server, f"/emails/{email_id}"))
    with page.context.expect_page() as opened:
        page.frame_locator("iframe").get_by_role("link", name="Our offer").click()
    opened.value.wait_for_load_state()
    assert opened.value.url == f"{other}/offer?/"
    assert [opened.value.evaluate(one) for one in ("document.referrer", "opener", "origin")] == ["", None, other]
    assert asked[0] == "/offer?/"
    assert page.url == address(server, f"/emails/{email_id}")


def test_an_email_is_found_and_its_sender_made_a_contact(page: Any, server: Server) -> None:
    """From the search to the timeline."""
    log(server, subject="An unusual zugzwang", fromAddress="jane@acme.example", fromName="Jane Doe", textBody="Hello")
    sign_in(page, server)
    page.get_by_role("link", name="Emails", exact=True).click()
    page.get_by_label("Words").fill("zugzwang")
    page.get_by_role("button", name="Search").click()
    assert page.locator("mark").first.inner_text() == "zugzwang"
    page.get_by_role("link", name="zugzwang").first.click()
    page.get_by_role("link", name="Create contact").click()
    page.get_by_role("button", name="Create contact").click()
    assert page.title().startswith("Jane Doe")
    assert page.get_by_role("link", name="An unusual zugzwang").is_visible()


def test_a_token_that_is_made_here_works_until_it_is_revoked(page: Any, server: Server) -> None:
    """And so does a session that began with it."""
    sign_in(page, server)
    page.get_by_role("link", name="Settings").click()
    page.get_by_text("New token").click()
    page.get_by_label("User's address").fill("admin@localhost")
    page.get_by_label("Scope").select_option("admin")
    page.get_by_role("button", name="Create token").click()
    token = page.locator(".secret").inner_text().strip()
    assert call(server._replace(token=token), "GET", "/users/me")["email"] == "admin@localhost"
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, server._replace(token=token))
    page.get_by_role("link", name="Settings").click()
    page.get_by_text("Revoke", exact=True).last.click()
    page.get_by_role("button", name=re.compile("Revoke")).last.click()
    page.goto(address(server, "/emails"))
    assert page.title().startswith("Sign in")


def test_a_form_of_another_site_changes_nothing(page: Any, server: Server, elsewhere: tuple[str, list[str]]) -> None:
    """Though the browser is signed in."""
    sign_in(page, server)
    page.goto(f"{elsewhere[0]}/?{address(server, '/companies')}")
    page.get_by_role("button", name="Go").click()
    page.wait_for_url(address(server, "/companies"))
    page.get_by_role("heading", name="Not allowed").wait_for()
    assert call(server, "GET", "/companies") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 380])
def test_everybody_can_use_the_pages(chromium: Any, server: Server, scheme: str, width: int) -> None:
    """axe-core (WCAG 2) finds nothing, and nothing has to be scrolled sideways, whatever stands in an email."""
    from axe_playwright_python.sync_playwright import Axe

    email_id = log(
        server, subject="An offer", fromAddress="bob@acme.example", htmlBody="<p>Hello</p>", syncThreadId="1"
    )
    word = "Donaudampfschifffahrtsgesellschaft" * 9
    people = [f"{word} <person{n}@{'sub.' * (n % 5)}acme.example>" for n in range(200)]
    files = [{"name": word, "size": 1e15, "content": "eA=="}, {}]
    texts = dict.fromkeys(("subject", "fromName", "fromAddress", "textBody"), word)
    ugly_id = log(server, **texts, toAddresses=people, attachments=files, relatedTo={"type": word, "id": word})
    arabic = "عرض السعر رقم 4711"
    other_id = log(server, subject=arabic, fromName=arabic, toAddresses=["", "undisclosed-recipients:;"])
    page = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800}).new_page()
    problems = []
    sign_in(page, server)
    call(server, "PUT", "/companies/7", {"name": "Acme", "domains": ["acme.example"]})
    call(server, "PUT", "/contacts/42", {"firstName": "Bob", "emailAddresses": ["bob@acme.example"], "companyId": "7"})
    paths = ["/", "/emails?q=offer", f"/emails/{email_id}", f"/emails/{email_id}/raw", "/contacts", "/contacts/new"]
    paths += ["/contacts/42", "/companies", "/companies/7", "/settings", "/emails/none", "/sign-in"]
    paths += [f"/emails/{ugly_id}", f"/emails/{other_id}", "/emails", "/emails?q=%22%22&since=2026-02-30"]
    for path in paths:
        page.goto(address(server, path))
        found = Axe().run(page).response["violations"]
        problems += [(path, one["id"], one["nodes"][0]["html"]) for one in found]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            problems.append((path, "wider than the window", ""))
        assert len(page.content().encode()) < 60_000
    page.context.close()
    assert problems == []
