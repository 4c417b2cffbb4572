"""The pages for people: who may see them, what a browser may do with them, and what they show."""

import html
import re
import sqlite3
from base64 import urlsafe_b64encode
from contextlib import closing
from json import dumps
from pathlib import Path
from threading import Event, Thread
from typing import Any
from unittest.mock import Mock

import pytest
from gunicorn.http.errors import InvalidChunkSize, NoMoreData

import crm
import database
import store
from crm import preview, quoting
from pages import mail_html
from settings import VERSION
from tests.samples import ACME, JANE, WITHIN
from tests.test_seam import Lacking
from web import checkup, sessions, tokens
from web.fields import RECORD_ID

OURS = {"Sec-Fetch-Site": "same-origin"}
COOKIE = "connector"
HOSTILE = (
    "<script>parent.document.title = 'seen'</script><base href='https://evil.example'>"
    "<p onclick='x()' style='position: fixed; background: url(https://evil.example/a)'>Dear John</p>"
    "<img src='https://evil.example/p.gif'><img src='cid:logo'><form action='https://evil.example'><input></form>"
    "<a href='javascript:x()'>x</a><a href='https://acme.example/offer'>Offer</a><iframe src='/'></iframe>"
)
PNG = "iVBORw0KGgo="


@pytest.fixture
def browser(anonymous: Any) -> Any:
    """A browser in which an admin is signed in."""
    answer = anonymous.post("/sign-in", data={"token": tokens.create("u1", "admin", "browser")}, headers=OURS)
    assert (answer.status_code, answer.location) == (303, "/")
    return anonymous


def log(**fields: Any) -> str:
    """Log an email; gives its id."""
    sent: dict[str, Any] = {
        name: [] for name in ("toAddresses", "ccAddresses", "bccAddresses", "attachments", "relatedTo")
    }
    names = ("msgId", "syncThreadId", "inReplyTo", "receivedAt", "rfc822MsgId", "subject", "fromAddress", "fromName")
    empty = dict.fromkeys((*names, "textBody", "htmlBody"))
    email_id: str = crm.log_email({**empty, **sent, **fields})[0]["id"]
    return email_id


# ---- signing in -----------------------------------------------------------------------------------------------------

OPEN = {f"pages.{name}" for name in ("sign_in", "sign_in_with_token", "open_link", "sign_in_by_link", "static")}


def test_who_is_not_signed_in_sees_no_page_and_sends_no_form(app: Any, anonymous: Any) -> None:
    """Of all that the application has; a new one too."""
    log(subject="secret")
    closed = [
        rule for rule in app.url_map.iter_rules() if rule.endpoint.startswith("pages.") and rule.endpoint not in OPEN
    ]
    assert len(closed) > 20
    for rule in closed:
        path = re.sub(r"<[^>]*>", "1", rule.rule)
        for method in rule.methods & {"GET", "POST"}:
            answer = anonymous.open(path, method=method, headers=OURS)
            assert (answer.status_code, answer.location) == ((303, "/sign-in") if method == "GET" else (403, None)), (
                path
            )
            assert "secret" not in answer.text


def test_an_admin_signs_in_with_a_token(browser: Any) -> None:
    """The cookie can't be read by scripts, nor sent along by other sites."""
    assert browser.get("/").status_code == 200
    cookie = browser.get_cookie(COOKIE)
    assert (cookie.http_only, cookie.same_site, cookie.path, cookie.secure) == (True, "Strict", "/", False)


@pytest.mark.parametrize(("scope", "status"), [("sync", 403), (None, 401)])
def test_other_tokens_open_no_page(anonymous: Any, scope: str | None, status: int) -> None:
    """Neither BrightSync's nor one that is none."""
    token = tokens.create("u1", scope) if scope else "bsc_nonsense"
    assert anonymous.post("/sign-in", data={"token": token}, headers=OURS).status_code == status
    assert anonymous.get("/").status_code == 303


def test_trying_tokens_is_slowed_down(anonymous: Any) -> None:
    """As for calls of the API."""
    answers = [anonymous.post("/sign-in", data={"token": f"bsc_{n}"}, headers=OURS) for n in range(12)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429] * 2


def test_a_link_signs_in_once(anonymous: Any) -> None:
    """By its button, which ends it; what only looks at it does not use it up."""
    caller = tokens.authenticate(tokens.create("u1", "admin"))
    assert caller
    path = f"/sign-in/{sessions.offer_link(caller.token_id)}"
    for _ in range(2):
        assert f'action="{path}"><button autofocus>Sign in</button>' in anonymous.get(path).text
        assert anonymous.get("/").status_code == 303
    assert anonymous.post(path, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert anonymous.post(path, headers=OURS).location == "/"
    assert anonymous.get("/").status_code == 200
    anonymous.delete_cookie(COOKIE)
    assert [anonymous.get(path).status_code, anonymous.post(path, headers=OURS).status_code] == [401, 401]
    assert anonymous.get("/").status_code == 303


def test_a_link_is_no_session_and_a_session_no_link(browser: Any, anonymous: Any) -> None:
    """Each secret is good for one thing."""
    secret = browser.get_cookie(COOKIE).value
    assert sessions.redeem(secret) is None
    assert sessions.caller(sessions.offer_link(1)) is None


def test_by_tls_the_cookie_is_bound_to_it(app: Any, anonymous: Any) -> None:
    """Also where a proxy in front speaks TLS, which only a trusted one may say."""
    sent = {"data": {"token": tokens.create("u1", "admin")}, "headers": OURS}
    forwarded = {**sent, "headers": {**OURS, "X-Forwarded-Proto": "https"}}
    assert anonymous.post("/sign-in", base_url="https://localhost", **sent).headers["Set-Cookie"].startswith("__Host-")
    assert "Secure" not in anonymous.post("/sign-in", **forwarded).headers["Set-Cookie"]
    app.config["TRUSTED_PROXIES"] = 1
    cookie = anonymous.post("/sign-in", **forwarded).headers["Set-Cookie"]
    assert re.fullmatch(r"__Host-connector=[\w-]+; Secure; HttpOnly; Path=/; SameSite=Strict", cookie)


def test_signing_out_ends_the_session(browser: Any) -> None:
    """Its secret opens nothing any more."""
    secret = browser.get_cookie(COOKIE).value
    assert browser.post("/sign-out", headers=OURS).location == "/sign-in"
    browser.set_cookie(COOKIE, secret)
    assert browser.get("/").status_code == 303


def test_a_session_ends_with_its_token(browser: Any) -> None:
    """And with its user."""
    [token] = tokens.listed()
    tokens.revoke(token["id"])
    assert browser.get("/").status_code == 303


def test_a_session_ends_with_its_user(browser: Any) -> None:
    """Who is gone sees nothing."""
    crm.remove_user("u1")
    assert browser.get("/").status_code == 303


def test_a_session_that_is_not_used_is_over_after_hours(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Used, it moves on."""
    monkeypatch.setattr(sessions, "now", lambda: "2099-01-01T00:00:00.000000Z")
    assert browser.get("/").status_code == 303


@pytest.mark.sqlite("a file that can be read as a whole")
def test_no_secret_is_stored(browser: Any) -> None:
    """Who reads the database can't sign in with what is there."""
    secret = browser.get_cookie(COOKIE).value
    with closing(sqlite3.connect(database.db.database)) as other:
        assert secret not in "\n".join(other.iterdump())


def test_a_cookie_opens_no_call_and_a_token_no_page(browser: Any, client: Any) -> None:
    """The two ways in are apart."""
    assert browser.get("/api/v1/emails").status_code == 401
    assert client.get("/emails").status_code == 303


# ---- forms ----------------------------------------------------------------------------------------------------------

FORMS = {
    "/emails/{id}/delete": {},
    "/emails/{id}/link": {"contact": "42"},
    "/contacts": {"emailAddresses": "new@acme.example"},
    "/contacts/42": {"lastName": "Changed"},
    "/companies": {"name": "New"},
    "/unmatched/contact": {"address": "new@acme.example"},
    "/unmatched/ignore": {"address": "new@acme.example"},
    "/settings/never-log": {"value": "private.example"},
    "/settings/never-log/1/remove": {},
    "/settings/retention": {"after": "1d"},
    "/settings/users/u1/remove": {},
    "/settings/users": {"email": "new@crm.example"},
    "/settings/tokens": {"email": "john@brightsync.example"},
    "/settings/tokens/1/revoke": {},
    "/settings/sessions/end": {"session": "{session}"},
    "/sign-out": {},
}


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}, {"Sec-Fetch-Site": "none"}]
    + [{"Origin": origin} for origin in ("https://evil.example", "null", "http://[", "http://localhost:81")]
    + [{"Origin": origin} for origin in ("http://a.localhost", "http://localhost@evil.example", "http://\u212a")],
)
def test_forms_of_other_sites_change_nothing(browser: Any, path: str, headers: dict[str, str]) -> None:
    """Whatever cookie comes with them."""
    email_id = log(subject="here")
    crm.put_contact("42", {**JANE, "companyId": None})
    feed = crm.list_changes(limit=100)
    session = sessions.listed()[0]["id"]
    data = {name: value.format(session=session) for name, value in FORMS[path].items()}
    answer = browser.post(path.format(id=email_id), data=data, headers=headers)
    assert (answer.status_code, answer.mimetype) == (403, "text/html")
    assert crm.list_changes(limit=100) == feed
    assert len(tokens.listed()) == 1
    assert browser.get("/").status_code == 200


def test_old_browsers_show_where_a_form_comes_from_by_origin(browser: Any) -> None:
    """Which is ours."""
    assert browser.post("/companies", data={"name": "New"}, headers={"Origin": "http://localhost"}).status_code == 303


def test_by_tls_a_form_without_tls_is_not_ours(browser: Any) -> None:
    """Somebody between them may have written it."""
    token = tokens.create("u1", "admin")
    for scheme, status in (("http", 403), ("https", 303)):
        sent = {"data": {"token": token}, "headers": {"Origin": f"{scheme}://localhost"}}
        assert browser.post("/sign-in", base_url="https://localhost", **sent).status_code == status


@pytest.mark.parametrize("path", FORMS)
def test_what_no_database_can_keep_is_refused(browser: Any, path: str) -> None:
    """PostgreSQL has no character 0."""
    sent = dict.fromkeys(FORMS[path] or {"x": ""}, "x\0y")
    assert browser.post(path.format(id="1"), data=sent, headers=OURS).status_code == 422


@pytest.mark.parametrize(
    ("path", "status"),
    [("/emails?q=%00", 422), ("/contacts/%00", 404), ("/emails?since=2026-13-45", 422), ("/emails?until=x", 422)]
    + [("/emails?since=2026-02-30", 422), ("/emails?since=2026-1-1", 422), ("/emails?since=20260101", 200)]
    + [("/emails?since=0001-01-01&until=9999-12-31", 200), ("/contacts/new?address=" + "(" * 5000, 200)]
    + [("/emails?cursor=%F0", 404), (f"/emails/1/files/{10**30}", 404), (f"/emails/{10**30}", 404)],
)
def test_an_address_that_was_made_up_is_no_fault_of_ours(browser: Any, path: str, status: int) -> None:
    """It has no page, or an answer."""
    log()
    assert browser.get(path).status_code == status


def test_a_number_that_is_no_token_has_no_page(browser: Any) -> None:
    """However large."""
    assert browser.post(f"/settings/tokens/{10**30}/revoke", headers=OURS).status_code == 404


# ---- what a browser may do with a page ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/sign-in", "/", "/emails", "/emails/0", "/settings", "/static/style.css"])
def test_a_page_loads_nothing_from_elsewhere_and_runs_no_script(browser: Any, path: str) -> None:
    """Nor may another site show it."""
    answer = browser.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "script" not in policy
    assert "unsafe" not in policy
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert "<script" not in answer.text
    assert " style=" not in answer.text
    answer.close()


def test_pages_are_kept_in_no_cache(browser: Any) -> None:
    """Somebody else may use the browser next."""
    assert browser.get("/emails").headers["Cache-Control"] == "no-store"


def test_html_of_strangers_is_harmless(browser: Any) -> None:
    """No script, form, frame or remote picture is left, and the frame has a policy of its own."""
    files = [{"name": "logo.png", "mimeType": "image/png", "contentId": "<logo>", "content": PNG}]
    email_id = log(htmlBody=HOSTILE, attachments=files)
    answer = browser.get(f"/emails/{email_id}/html")
    assert answer.headers["Content-Security-Policy"].startswith(f"sandbox {mail_html.SANDBOX}; default-src 'none'; ")
    assert mail_html.SANDBOX.split() == ["allow-popups", "allow-popups-to-escape-sandbox"]
    for word in ("script", "evil", "onclick", "form", "input", "iframe", "<base", "position", "url("):
        assert word not in answer.text.partition("</style>")[2], word
    assert "Dear John" in answer.text
    assert f"data:image/png;base64,{PNG}" in answer.text
    page = browser.get(f"/emails/{email_id}").text
    assert "1 remote picture was not loaded" in page
    assert [one.headers["X-DNS-Prefetch-Control"] for one in (answer, browser.get(f"/emails/{email_id}"))] == [
        "off"
    ] * 2
    assert re.search(r'<iframe [^>]*\bsandbox="[a-z -]+" referrerpolicy="no-referrer"', page)
    assert "allow-s" not in page
    assert '<a href="https://acme.example/offer" target="_blank" rel="noopener noreferrer">' in page
    assert "javascript:" not in page


@pytest.mark.parametrize(
    "value",
    ["url(https://evil.example)", "URL ('//evil.example')", "u\\72l(//evil.example)", "src('//evil.example')"]
    + ["image-set('//evil.example' 1x)", "cross-fade(url(//evil.example), red)", "red url(x) no-repeat"],
)
@pytest.mark.parametrize("name", ["background-color", "list-style", "font", "border", "background", "--x"])
def test_no_style_of_strangers_loads_anything(browser: Any, name: str, value: str) -> None:
    """The frame's policy would not let it; the rest of the style stays."""
    email_id = log(htmlBody=f'<p style="color: red; {name}: {value}; width: 5px">Dear John')
    [style] = re.findall('<p style="([^"]*)"', browser.get(f"/emails/{email_id}/html").text)
    assert style.replace(" ", "") == "color:red;width:5px"


def test_links_and_remote_pictures_are_told_however_they_are_written(browser: Any) -> None:
    """Each link once; those that lead nowhere a browser goes are left out."""
    email_id = log(
        htmlBody="<A HREF=HTTPS://a.example/?x=1&amp;y=2>a</A><a\n title='href' href = 'mailto:b@b.example'>b</a>"
        "<a href='https://a.example/c'>c<a href=\"https://a.example/c\">c</a><a href='data:text/html,x'>d</a>"
        '<a href="&#106;avascript:x">e</a><a>f</a>'
        "<img/src=https://a.example/1.png><IMG SRC='//a.example/2'><img src='cid:x'><img>"
    )
    page = browser.get(f"/emails/{email_id}").text
    shown = [html.unescape(url) for url in re.findall('<li><a href="([^"]+)" target="_blank"', page)]
    assert shown == ["HTTPS://a.example/?x=1&y=2", "mailto:b@b.example", "https://a.example/c"]
    assert "2 remote pictures were not loaded" in page


def test_a_page_of_an_email_reads_it_once(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be large."""
    email_id = log(textBody="I agree.\n\nOn 3 Jan 2026, Jane Doe wrote:\n> Shall we?\n")
    with monkeypatch.context() as patch:
        counted = Mock(wraps=store.emails.read)
        patch.setattr(store.emails, "read", counted)
        browser.get(f"/emails/{email_id}")
    assert counted.call_count == 1


@pytest.mark.parametrize("body", ["<div>" * 50_000, "<p>" * 50_000, "x" * 400_000, "<b></i>" * 10_000])
def test_html_that_would_take_long_is_shown_as_text(browser: Any, body: str) -> None:
    """A parser takes the square of its depth."""
    email_id = log(htmlBody=f"{body}words")
    page = browser.get(f"/emails/{email_id}").text
    assert "<iframe" not in page
    assert "too large" in page
    if len(body) == 400_000:
        assert "The text is longer" in page
        page = browser.get(f"/emails/{email_id}/text").text
    assert "words" in page
    assert browser.get(f"/emails/{email_id}/html").status_code == 404


FONTS = "".join(f"<font color='{n}'>" for n in range(100))


@pytest.mark.parametrize(
    "body",
    [f"<p>{FONTS}</p>{'<p>x</p>' * 9_000}", f"<table>{FONTS}{'<tr>x' * 19_000}", f"<p>{FONTS}</p>{'<p>x' * 19_000}"]
    + ["".join(f"<p><font color='{n}'>{tag}</p></font></object>" for n in range(3_900)) for tag in ("<object>", "<i>")],
)
def test_html_that_would_grow_is_shown_as_text(browser: Any, body: str) -> None:
    """What is not closed in order is opened again by what follows: 160 kB would become 140 MB."""
    email_id = log(htmlBody=body)
    assert len(body) < mail_html.LONGEST
    assert "<iframe" not in browser.get(f"/emails/{email_id}").text
    assert browser.get(f"/emails/{email_id}/html").status_code == 404


def test_html_that_is_merely_untidy_is_shown(browser: Any) -> None:
    """As mail programs write it."""
    body = "<b><i>x</b></i><font color=red><p>y</font><table><td><a name=x><tr><td></table>" * 1_000
    assert "<iframe" in browser.get(f"/emails/{log(htmlBody=body)}").text


def test_a_picture_is_read_once_however_often_it_is_shown(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have 20 MB, and be named 10,000 times."""
    counted = Mock(wraps=preview.find_file)
    monkeypatch.setattr("pages.mail.find_file", counted)
    files = [{"mimeType": kind, "contentId": kind, "content": PNG} for kind in ("image/PNG", "text/html", "image/svg")]
    email_id = log(htmlBody="".join(f"<img src='CID:{one['mimeType']}'>" for one in files) * 500, attachments=files)
    shown = browser.get(f"/emails/{email_id}/html").text
    assert shown.count(f'src="data:image/png;base64,{PNG}"') == 500
    assert shown.count("src=") == 500
    assert counted.call_count == 3


@pytest.mark.parametrize("kind", [["image/png"], {}, 5, None, "image/png\r\nX: y"])
def test_a_picture_of_an_odd_kind_is_none(browser: Any, kind: Any) -> None:
    """Whatever it says it is."""
    email_id = log(htmlBody="<img src=cid:x>", attachments=[{"mimeType": kind, "contentId": "x", "content": PNG}])
    assert "src=" not in browser.get(f"/emails/{email_id}/html").text


def test_a_link_leads_where_the_page_says(browser: Any) -> None:
    """And nowhere else: neither to a page of ours, nor to what only looks like the address."""
    email_id = log(
        htmlBody="<a title=' href=https://bank.example ' href='https://evil.example/1'>a</a>"
        "<a title=\" href='https://bank.example' \" href=https://evil.example/2 href=https://bank.example>b</a>"
        "<a\nhref='/emails'>c</a><a href='//evil.example'>d</a><a href='data:text/html,x'>e</a>"
        "<a href=' https://a.example '>f</a>"
    )
    shown = browser.get(f"/emails/{email_id}/html").text
    urls = [url.strip() for url in re.findall('href="([^"]+)"', shown)]
    assert urls == ["https://evil.example/1", "https://evil.example/2", "https://a.example"]
    assert shown.count('rel="noopener noreferrer"') == shown.count('target="_blank"') == 6
    page = browser.get(f"/emails/{email_id}").text
    assert re.findall('<li><a href="([^"]+)" target="_blank"', page) == urls


def test_what_is_long_makes_no_long_page(browser: Any) -> None:
    """Of the people and the text a part is shown, and the whole as a page of its own."""
    lines = "".join(f"line {n} <b>&\n" for n in range(20_000))
    people = [f"Person {n} <person{n}@acme.example>" for n in range(1_000)]
    for n in range(60):
        email_id = log(syncThreadId="1", subject=f"{n} {'<' * 900}", textBody=lines, toAddresses=people)
    answer = browser.get(f"/emails/{email_id}")
    assert len(answer.data) < 60_000
    assert re.search(r"And 9\d\d more, in", answer.text)
    whole = browser.get(f"/emails/{email_id}/text")
    assert (whole.text, whole.mimetype) == (lines, "text/plain")
    assert "script" not in whole.headers["Content-Security-Policy"]
    more = re.findall('href="([^"]+)">All emails of this thread', answer.text)[0]
    assert browser.get(more).text.count('<a href="/emails/') == 25


@pytest.mark.parametrize("letter", ["&", "\U0001f600"])
def test_no_page_is_large_whatever_strangers_write(client: Any, browser: Any, letter: str) -> None:
    """It has all of its parts nevertheless."""
    long, name = letter * 20_000, letter * 200
    people = [f"{name} <p{n}{'&' * 50}@acme.example>" for n in range(200)]
    email: dict[str, Any] = {
        **dict.fromkeys(("subject", "fromName", "syncThreadId", "textBody"), long),
        "htmlBody": "".join(f"<a href='https://a.example/{n}{'&' * 900}'>x</a>" for n in range(90)),
        "fromAddress": "jane@acme.example",
        "toAddresses": people,
        "attachments": [{"name": name, "content": "eA==", "mimeType": name} for _ in range(200)],
        "relatedTo": [{"type": name, "id": f"{name}{n}"} for n in range(200)],
    }
    crm.put_company("7", ACME)
    for n in range(60):  # ours, but long as well
        emails = [f"{n}{name}@acme.example" for _ in range(9)] + ["jane@acme.example"] * (n == 0)
        crm.put_contact(f"{n}", {"firstName": name, "lastName": name, "emailAddresses": emails, "companyId": "7"})
        crm.put_company(f"other {n}", {"name": name, "domains": [f"{n}{name}.example"] * 9})
        crm.add_user({"email": f"u{n}@crm.example", "name": name, "timezone": "UTC", "orgId": "o"})
        tokens.create(crm.lookup_users([f"u{n}@crm.example"])[0]["id"], "sync", name)
    for n in range(300):
        rule = {"kind": "address", "value": f"{n}@x.example", "domains": [], "unlessKnown": True, "reason": name}
        crm.add_rule(rule)
    email_id = client.post("/api/v1/emails", json=email).json["id"]
    email = {**email, "htmlBody": None, "subject": f"{letter * 100} a {letter * 100}"}
    for n in range(30):
        client.post("/api/v1/emails", json={**email, "attachments": [], "toAddresses": [], "inReplyTo": f"{n}"})
    paths = ["/", "/emails", "/emails?q=a", "/contacts", "/companies"]
    paths += [f"/emails/{email_id}", f"/emails/{int(email_id) + 1}", f"/emails/{email_id}/raw", "/contacts/0"]
    paths += ["/companies/7", "/settings"]
    large = {}
    for path in paths:
        answer = browser.get(path)
        assert answer.status_code == 200
        assert "</html>" in answer.text
        if len(answer.data) >= 60_000:
            large[path] = len(answer.data)
    assert large == {}


def test_all_of_a_long_record_can_be_saved(client: Any, browser: Any) -> None:
    """The page shows its beginning."""
    email_id = client.post("/api/v1/emails", json={"subject": "An offer", "textBody": "x" * 50_000}).json["id"]
    page = browser.get(f"/emails/{email_id}/raw").text
    assert "… (50000 characters)" in page
    [path] = re.findall('href="([^"]+)" download>save all of it', page)
    answer = browser.get(path)
    assert answer.json == client.get(f"/api/v1/emails/{email_id}").json | {"withheld": None}
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "save all" not in browser.get(f"/emails/{log(subject='Short')}/raw").text


def test_no_direction_of_writing_makes_an_address_look_like_another(client: Any, browser: Any) -> None:
    """Nor does a letter of another alphabet in that of a link."""
    turned = "\u202emoc.elgoog\u2066\u2028"
    files = [{"name": f"{turned}exe.pdf", "content": "eA=="}]
    sent = dict.fromkeys(("subject", "fromName", "fromAddress"), turned) | {"toAddresses": [turned]}
    links = f"<a href='https://{turned}/'>a</a><a href='https://\u0430pple.com'>b</a><a href='https://[\u0430'>c</a>"
    email_id = client.post("/api/v1/emails", json={**sent, "attachments": files, "htmlBody": links}).json["id"]
    page = browser.get(f"/emails/{email_id}").text
    for text in (re.sub(r'href="[^"]*"', "", page), browser.get("/").text, browser.get("/emails").text):
        assert [letter for letter in "\u202e\u2066\u2028\u0430" if letter in text] == []
    assert ">https://xn--pple-43d.com<" in page


def test_what_is_not_known_is_said_so(client: Any, browser: Any) -> None:
    """And never "None"."""
    crm.put_company("7", {"name": None, "domains": []})
    crm.put_contact("42", {"firstName": None, "lastName": None, "emailAddresses": [], "companyId": "7"})
    client.post("/api/v1/emails", json={"attachments": [{}], "relatedTo": {"type": None, "id": None}})
    for path in ("/", "/emails", "/emails/1", "/contacts", "/contacts/42", "/companies", "/companies/7", "/settings"):
        assert "None<" not in browser.get(path).text.replace(">None.<", ""), path
    assert "(no sender)" in browser.get("/emails").text
    assert "<h1>(no subject)</h1>" in browser.get("/emails/1").text
    for path in ("/contacts/42", "/companies/7"):
        assert "<h1>(no name)</h1>" in browser.get(path).text


def test_an_email_links_to_the_records_that_are_here(browser: Any) -> None:
    """By their names; of others the type and id are said."""
    crm.put_contact("42", {**JANE, "companyId": None})
    crm.put_company("7", ACME)
    ids = [("contact", "42"), ("Account", "7"), ("Contact", "43"), ("Deal", "4711"), ("Contact", "a/b")]
    email_id = log(subject="An offer", relatedTo=[{"type": kind, "id": record_id} for kind, record_id in ids])
    records = browser.get(f"/emails/{email_id}").text.partition("<h2>Linked to")[2].partition("</ul>")[0]
    assert re.findall(">([^<>]+)<", records.replace("\n", "")) == [
        *("contact ", "Jane Doe", "Account ", "Acme Ltd", "Contact 43", "Deal 4711", "Contact a/b"),
    ]
    assert re.findall('href="([^"]+)"', records) == ["/contacts/42", "/companies/7"]


@pytest.mark.parametrize("field", ["subject", "fromName", "fromAddress", "textBody"])
def test_what_strangers_write_is_text(browser: Any, field: str) -> None:
    """On each page that shows it."""
    written = "<b>\"'&x"
    email_id = log(**{field: written})
    for path in ("/", "/emails", f"/emails/{email_id}"):
        assert written not in browser.get(path).text
    assert "&lt;b&gt;" in browser.get(f"/emails/{email_id}").text


HOSTILE_TEXTS = [
    *('"><script>x()</script>', "a'b\"c<d>&", "../../x", "a?b#c%2F", "\u202eevil", "{{7*7}}", "javascript:x()"),
    *("a\r\nSet-Cookie: x=1", ".", "..", "a/b", "%00", "é" * 300),
]


@pytest.mark.parametrize(
    "fields",
    [dict.fromkeys(("subject", "fromAddress", "fromName", "syncThreadId"), text) for text in HOSTILE_TEXTS]
    + [{"relatedTo": [{"type": kind, "id": text} for text in HOSTILE_TEXTS]} for kind in ("Contact", 'x"><script>')]
    + [{"relatedTo": odd} for odd in ({}, {"type": "contact", "id": {"x": 1}}, [{"id": None, "type": ["x"]}])]
    + [
        {"attachments": [dict.fromkeys(("id", "name", "size", "mimeType", "contentId"), text) | {"content": "eA=="}]}
        for text in HOSTILE_TEXTS
    ]
    + [{"attachments": [{"name": {}, "size": [], "mimeType": 5, "contentId": 5, "content": 5}]}]
    + [{"toAddresses": HOSTILE_TEXTS, "htmlBody": "<img src='cid:../../x'>"}],
)
def test_a_hostile_email_breaks_no_page(client: Any, browser: Any, fields: dict[str, Any]) -> None:
    """Nor any that one comes to from there."""
    sent = client.post("/api/v1/emails", json={"htmlBody": "<img src='cid:..'>x", **fields})
    assert sent.status_code == 201, sent.text
    path = f"/emails/{sent.json['id']}"
    pages = [path, f"{path}/html", f"{path}/raw", "/", "/emails", f"{path}/files/1"]
    links = [html.unescape(url) for url in re.findall('href="([^"]*)"', browser.get(path).text)]
    assert [url for url in links if not url.startswith(("/", "#"))] == []
    for one in [*pages, *(url for url in links if url.startswith("/") and "static" not in url)]:
        answer = browser.get(one)
        assert answer.status_code in (200, 404), one
        assert "<script" not in answer.text
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("record_id", [text for text in HOSTILE_TEXTS if re.fullmatch(RECORD_ID, text)])
def test_a_hostile_id_breaks_no_page(browser: Any, record_id: str) -> None:
    """It is a link wherever it is shown. Those that can't stand in a path, no call takes."""
    crm.put_contact(record_id, {**JANE, "lastName": record_id, "companyId": None})
    crm.put_company(record_id, {**ACME, "name": record_id})
    for path in ("/contacts", "/companies", "/settings", "/companies?q=a"):
        text = browser.get(path).text
        assert "<script" not in text
        links = [html.unescape(url) for url in re.findall('href="(/(?:contacts|companies)/[^"]+)"', text)]
        for url in links:
            assert browser.get(url).status_code == 200


# ---- what they show -------------------------------------------------------------------------------------------------


def test_an_empty_installation_shows_the_next_steps(browser: Any) -> None:
    """With the commands."""
    page = browser.get("/").text
    assert "flask token create" in page
    assert "flask contacts import" in page
    log(subject="First")
    page = browser.get("/").text
    assert "First" in page
    assert "flask contacts import" not in page


def test_emails_are_found_by_words_people_and_time(browser: Any) -> None:
    """The words are marked; a company is found by name or domain. Days are the user's, and the last is among them."""
    file = {"name": "bill.pdf", "content": "aGVsbG8="}
    log(subject="An offer", fromAddress="jane@mail.acme.example", receivedAt="2026-01-02T22:59:00.000000Z")
    log(subject="A bill", fromAddress="bob@b.example", receivedAt="2026-01-02T23:01:00.000000Z", attachments=[file])
    crm.put_company("7", {"name": "Acme Ltd", "domains": ["acme.example"]})
    offer, bill = [True, False], [False, True]
    asked = {
        "": [True, True],
        "?q=offer": offer,
        "?address=BOB@b.example": bill,
        "?address=acme.example": offer,
        "?address=acme+ltd": offer,
        "?address=nobody": [False, False],
        "?since=2026-01-03": bill,
        "?until=2026-01-02": offer,
        "?files=on": bill,
    }
    for path, found in asked.items():
        text = browser.get(f"/emails{path}").text.partition('<ol class="emails">')[2]
        assert ["offer" in text, "bill" in text] == found, path
    assert "An <mark>offer</mark>" in browser.get("/emails?q=offer").text


def test_lists_go_on_behind_their_first_page(browser: Any) -> None:
    """By a link that keeps the search."""
    for n in range(30):
        log(subject=f"Offer {n}", receivedAt=f"2026-01-{n + 1:02}T00:00:00.000000Z")
    first = browser.get("/emails?q=offer").text
    following = html.unescape(re.findall(r'<a rel="next" href="([^"]+)"', first)[0])
    subjects = [re.findall(r"<mark>Offer</mark> (\d+)", text) for text in (first, browser.get(following).text)]
    assert [int(n) for page in subjects for n in page] == list(range(29, -1, -1))
    assert browser.get("/emails?cursor=nonsense").status_code == 404


@pytest.mark.parametrize("noun", ["contacts", "companies"])
def test_contacts_and_companies_go_on_behind_their_first_page(browser: Any, noun: str) -> None:
    """In the order of names, also where several have one, or names look like nothing else."""
    for n in range(60):
        name = ["same", "é\U0001f600", f"{n:02} & <b>"][n % 3]
        crm.put_contact(f"{n}", {"firstName": name, "lastName": None, "emailAddresses": [], "companyId": None})
        crm.put_company(f"{n}", {"name": name, "domains": []})
    path, found = f"/{noun}", []
    for _ in range(3):
        text = browser.get(path).text
        found += re.findall(rf'<li><a href="/{noun}/(\d+)"', text)
        path = html.unescape("".join(re.findall(r'<a rel="next" href="([^"]+)"', text)))
    assert path == ""
    assert (len(found), len(set(found))) == (60, 60)


@pytest.mark.parametrize("path", ["/emails", "/contacts", "/companies", "/contacts/42", "/companies/7"])
def test_a_place_of_another_list_breaks_no_page(browser: Any, path: str) -> None:
    """It may be there, or not."""
    crm.put_company("7", ACME)
    crm.put_contact("42", {**JANE, "companyId": "7"})
    log(subject="An offer", fromAddress="jane@acme.example")
    pairs: list[Any] = [
        *(["2026-01-31T09:30:00Z", "1"], ["jane doe", "42"], ["x", 5], [[], {}], ["\0", "x"], ["x", "\ud800"], ["x"]),
        *({}, None, 5, ["9999-12-31T23:59:59.999999Z", "9" * 200]),
    ]
    texts = ["nonsense", "é", "W" * 5000, *(urlsafe_b64encode(dumps(one).encode()).decode() for one in pairs)]
    texts.append(urlsafe_b64encode(b"[" * 3000).decode())
    for text in texts:
        answer = browser.get(path, query_string={"cursor": text, "q": "a"})
        assert answer.status_code in (200, 404), text


@pytest.mark.parametrize("name", ["endpoint", "_method", "_scheme", "_external", "_anchor", "self", "values"])
def test_a_made_up_argument_leads_nowhere_else(browser: Any, name: str) -> None:
    """Flask would take some of them for its own."""
    for n in range(30):
        log(subject=f"Offer {n}")
    text = browser.get("/emails", query_string={"q": "offer", "_external": "1", name: "javascript"}).text
    [following] = re.findall(r'<a rel="next" href="([^"]+)"', text)
    assert following.startswith("/emails?q=offer&amp;")
    assert browser.get(html.unescape(following)).text.count('<a href="/emails/') == 5


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_the_ends_of_time_are_shown(browser: Any, client: Any, time: str, zone: str) -> None:
    """Though the user's clock does not have them."""
    crm.change_user("u1", {"timezone": zone})
    sent = client.post("/api/v1/emails", json={"subject": "An offer", "receivedAt": time})
    for path in ("/", "/emails", f"/emails/{sent.json['id']}"):
        assert time[:10] in browser.get(path).text


def test_a_sender_becomes_a_contact_and_has_the_email(browser: Any) -> None:
    """With the company of the domain."""
    crm.put_company("7", ACME)
    email_id = log(subject="An offer", fromAddress="jane@acme.example", fromName="Jane Doe")
    page = browser.get(f"/emails/{email_id}").text
    form = browser.get(html.unescape(re.findall(r'href="([^"]+)">Create contact', page)[0])).text
    values = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form))
    assert values == {"firstName": "Jane", "lastName": "Doe"}
    answer = browser.post("/contacts", data={**values, "emailAddresses": "jane@acme.example\r\n"}, headers=OURS)
    [contact] = crm.lookup_contacts(["jane@acme.example"])
    assert answer.location == f"/contacts/{contact['id']}"
    assert contact["companyId"] == "7"
    page = browser.get(answer.location).text
    assert "An offer" in page
    assert "Acme Ltd" in page
    assert "Jane Doe" in browser.get("/companies/7").text


def test_an_email_is_linked_to_a_contact(browser: Any) -> None:
    """By name, address or id; what is nobody's, or several people's, is said."""
    crm.put_contact("42", {**JANE, "companyId": None})
    for n in range(2):
        crm.put_contact(f"bob {n}", {"firstName": "Bob", "lastName": None, "emailAddresses": [], "companyId": None})
    email_id = log(subject="An offer")
    for wanted in ("JANE@acme.example", "42", " jane D"):
        answer = browser.post(f"/emails/{email_id}/link", data={"contact": wanted}, headers=OURS)
        assert answer.location == f"/emails/{email_id}"
    assert crm.get_email(email_id)["relatedTo"][0] == {"type": "Contact", "id": "42"}
    for wanted in ("nobody@acme.example", "43", "", "Bob", "a/b", ".."):
        answer = browser.post(f"/emails/{email_id}/link", data={"contact": wanted}, headers=OURS)
        assert answer.status_code == 422
        assert "Contact: " in answer.text
    assert len(crm.get_email(email_id)["relatedTo"]) == 1


def test_an_email_is_deleted_and_stays_away_or_not(browser: Any) -> None:
    """As the form says."""
    for data, withheld in (({}, True), ({"forget": "on"}, False)):
        email_id = log(subject="An offer", rfc822MsgId="<a@acme.example>")
        assert browser.post(f"/emails/{email_id}/delete", data=data, headers=OURS).location == "/emails"
        email_id = log(subject="An offer", rfc822MsgId="<a@acme.example>")
        assert bool(crm.get_email(email_id)["withheld"]) is withheld
        crm.delete_email(email_id, remember=False)


def test_a_contact_is_changed_unless_somebody_was_faster(browser: Any) -> None:
    """The form knows the version that it shows."""
    crm.put_contact("42", {**JANE, "companyId": None})
    shown = crm.get_contact("42")
    fields = {"firstName": "Jane", "lastName": "Roe", "emailAddresses": "jane@acme.example\njr@home.example"}
    for status in (303, 412):
        answer = browser.post("/contacts/42", data={**fields, "version": shown["updatedAt"]}, headers=OURS)
        assert answer.status_code == status
    changed = crm.get_contact("42")
    assert changed["lastName"] == "Roe"
    assert changed["emailAddresses"] == ["jane@acme.example", "jr@home.example"]


WRONG = [
    ("/contacts", {"lastName": "Doe", "emailAddresses": "555-1234\njane@acme.example"}, "Addresses: 555-1234 can"),
    ("/contacts", {"lastName": "Doe", "emailAddresses": " \r\n "}, "Addresses: Give at least one"),
    ("/contacts", {"lastName": "x" * 1001, "emailAddresses": "j@acme.example"}, "Last name: Longer than"),
    ("/contacts", {"lastName": "Doe", "emailAddresses": f"{'x' * 1001}@acme.example"}, "Addresses: "),
    ("/contacts/42", {"lastName": "Roe", "company": "Nobody Ltd"}, "Company: No company has this name"),
    ("/contacts/42", {"lastName": "Roe", "company": "Twice"}, "Company: Several"),
    ("/contacts/42", {"lastName": "Roe", "emailAddresses": "jane@acme.example\n@"}, "Addresses: @ can"),
    ("/companies", {"name": "Acme", "domains": "not a domain"}, "Domains: not a domain can"),
    ("/companies", {"name": "  ", "domains": ""}, "Name: Give a name"),
    ("/companies/7", {"name": "x" * 1001}, "Name: Longer than"),
    ("/settings/never-log", {"value": "", "reason": "family"}, "Address or domain: Give"),
    ("/settings/never-log", {"value": "com", "reason": "family"}, "Address or domain: Below"),
    ("/settings/retention", {"after": "1.5y", "keepLinked": "on"}, "Emails go after: Give a number"),
    ("/settings/users", {"email": "x", "name": "New"}, "Address: This can"),
    ("/settings/users", {"email": "new@crm.example", "timezone": "Mars/Base"}, "Time zone: This is no time zone"),
    ("/settings/users", {"email": "john@brightsync.example", "name": "New"}, "here already"),
    ("/settings/tokens", {"email": "nobody@crm.example", "scope": "sync", "label": "x"}, "Address: No user has it"),
    ("/settings/tokens", {"email": "john@brightsync.example", "scope": "root", "label": "x"}, "no such scope"),
    ("/contacts", {"lastName": "a\0b", "emailAddresses": "j@acme.example"}, "can't be stored"),
]


@pytest.mark.parametrize(("path", "data", "sentence"), WRONG)
def test_a_form_that_is_filled_in_wrongly_is_not_lost(
    browser: Any, path: str, data: dict[str, str], sentence: str
) -> None:
    """What is wrong is said, of which field, and all is there to be sent again."""
    crm.put_company("7", {"name": "Twice", "domains": ["acme.example"]})
    crm.put_company("8", {"name": "Twice", "domains": ["other.example"]})
    crm.put_contact("42", {**JANE, "companyId": None})
    feed = crm.list_changes(limit=100)
    versions = {"/contacts/42": crm.get_contact("42"), "/companies/7": crm.get_company("7")}
    sent = {**data, "version": versions[path]["updatedAt"]} if path in versions else data
    answer = browser.post(path, data=sent, headers=OURS)
    assert answer.status_code in (409, 422)
    assert sentence in html.unescape(answer.text)
    assert crm.list_changes(limit=100) == feed
    assert (crm.list_rules(), crm.get_retention(), len(tokens.listed()), len(crm.list_users()[0])) == ([], None, 1, 1)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', answer.text))
    fields |= dict(re.findall(r'<textarea name="(\w+)" rows="3">\n([^<]*)<', answer.text))
    expected = {name: value.replace("\0", "").replace("\r\n", "\n") for name, value in sent.items()}
    assert {name: html.unescape(value).replace("\r\n", "\n") for name, value in fields.items()} == expected
    assert "Send again" in answer.text


def test_what_was_entered_is_shown_where_it_can_t_be_sent_again(browser: Any) -> None:
    """As somebody was faster, or has deleted the record. Of a form of another site nothing is."""
    crm.put_contact("42", {**JANE, "companyId": None})
    data = {"lastName": "Entered", "emailAddresses": "jane@acme.example", "version": "old"}
    for status, link in ((412, True), (404, False)):
        answer = browser.post("/contacts/42", data=data, headers=OURS)
        assert answer.status_code == status
        assert 'value="Entered"' in answer.text
        assert ('<a href="/contacts/42">' in answer.text) is link
        assert "Send again" not in answer.text
        if status == 412:
            crm.delete_contact("42")
    assert "Entered" not in browser.post("/contacts", data=data).text
    browser.delete_cookie(COOKIE)
    answer = browser.post("/contacts", data=data, headers=OURS)
    assert answer.status_code == 403
    assert 'value="Entered"' in answer.text


def test_pages_lead_to_each_other_under_the_prefix_at_which_they_are(browser: Any) -> None:
    """Also those of an error."""
    for _ in range(30):
        log(subject="An offer", fromAddress="new@acme.example")
    crm.put_contact("42", {**JANE, "companyId": None})
    under = {"environ_overrides": {"SCRIPT_NAME": "/crm"}}
    answers = [browser.get(path, **under) for path in ("/", "/emails", "/emails/1", "/contacts/42", "/settings")]
    answers.append(browser.post("/contacts/42", data={"version": "old"}, headers=OURS, **under))
    for answer in answers:
        links = re.findall('(?:href|action|src)="(/[^"]*)"', answer.text)
        assert len(links) > 5
        assert [link for link in links if not link.startswith("/crm/")] == []


def test_a_search_that_is_none_is_not_lost(browser: Any) -> None:
    """It can be bettered."""
    page = browser.get("/emails?q=%22%22&address=jane@acme.example&since=2026-02-30&cursor=x").text
    assert re.findall(r'name="(\w+)" value="([^"]*)"', page) == [
        *(("q", "&#34;&#34;"), ("address", "jane@acme.example"), ("since", "2026-02-30"))
    ]


def test_a_form_that_was_sent_twice_makes_one_record(browser: Any) -> None:
    """An impatient user clicks twice."""
    for _ in range(2):
        browser.post("/contacts", data={"lastName": "Doe", "emailAddresses": "new@acme.example"}, headers=OURS)
        browser.post("/companies", data={"name": "Globex"}, headers=OURS)
        browser.post("/companies", data={"name": "Acme", "domains": "acme.example"}, headers=OURS)
    assert len(crm.list_contacts().records) == 1
    assert sorted(one["name"] for one in crm.list_companies().records) == ["Acme", "Globex"]


def test_a_contact_s_company_is_named_as_people_name_it(browser: Any) -> None:
    """By its name or domain; as it is, it stays, also where another one has that name."""
    for n in (7, 8):
        crm.put_company(f"{n}", {"name": "Acme", "domains": [f"acme{n}.example"]})
    crm.put_contact("42", {**JANE, "emailAddresses": ["odd", "jane@acme.example"], "companyId": "8"})
    for text, company_id in (("Acme", "8"), ("ACME7.example", "7"), ("acme", "7"), ("", None), ("8", "8")):
        version = crm.get_contact("42")["updatedAt"]
        data = {"lastName": "Doe", "emailAddresses": "odd\njane@acme.example", "version": version, "company": text}
        assert browser.post("/contacts/42", data=data, headers=OURS).status_code == 303
        assert crm.get_contact("42")["companyId"] == company_id
        shown = re.findall('name="company" value="([^"]*)"', browser.get("/contacts/42").text)
        assert shown == ["Acme" if company_id else ""]


def test_nothing_means_no_rule(browser: Any) -> None:
    """That internal emails are never logged, somebody has to say."""
    assert browser.post("/settings/never-log", data={"value": " "}, headers=OURS).status_code == 422
    assert crm.list_rules() == []
    assert 'name="internal"' in browser.get("/settings").text
    browser.post("/settings/never-log", data={"internal": "on"}, headers=OURS)
    assert [rule["kind"] for rule in crm.list_rules()] == ["internal"]
    assert "Emails among our own people: users, and addresses at brightsync.example" in browser.get("/settings").text


@pytest.mark.parametrize("path", FORMS)
def test_where_a_form_was_sent_to_there_is_a_page(browser: Any, path: str) -> None:
    """For who opens its address once more, as after an error."""
    email_id = log(subject="An offer")
    crm.put_contact("42", {**JANE, "companyId": None})
    answer = browser.get(path.format(id=email_id), follow_redirects=True)
    assert (answer.status_code, answer.mimetype) == (200, "text/html")


def test_a_form_that_ended_too_soon_changes_nothing(browser: Any) -> None:
    """A shorter one would lose what a record has."""
    environ = {"CONTENT_LENGTH": "9", "wsgi.input_terminated": True}
    answer = browser.post("/companies", data={"name": "Ac"}, headers=OURS, environ_overrides=environ)
    assert answer.status_code == 400
    assert "did not arrive as a whole" in answer.text
    assert crm.list_companies().records == []


@pytest.mark.parametrize("error", [InvalidChunkSize(b"zz"), NoMoreData(), ConnectionResetError()])
def test_a_form_that_is_no_http_is_no_fault_of_ours(browser: Any, error: Exception) -> None:
    """Nor is one that breaks off."""
    source = Mock()
    source.read.side_effect = source.readinto.side_effect = error
    environ = {"wsgi.input": source, "wsgi.input_terminated": True}
    answer = browser.post("/companies", headers=OURS, environ_overrides=environ)
    assert (answer.status_code, answer.mimetype) == (400, "text/html")


@pytest.mark.parametrize("is_known", [True, False])
def test_what_is_sent_is_bounded(browser: Any, is_known: bool) -> None:
    """Nobody fills the disk with files that no form has."""
    if not is_known:
        browser.delete_cookie(COOKIE)
    head = b'--x\r\nContent-Disposition: form-data; name="name"; filename="file"\r\n\r\n'
    bodies = {"multipart/form-data; boundary=x": head, "application/x-www-form-urlencoded": b"name="}
    for path in ("/companies", "/sign-in", "/sign-in/x"):
        for kind, begin in bodies.items():
            answer = browser.post(path, data=begin + b"x" * 600_000, content_type=kind, headers=OURS)
            assert (answer.status_code, answer.mimetype) == (413, "text/html")
    assert crm.list_companies().records == []


def test_contacts_are_found_by_name_and_address(browser: Any) -> None:
    """In the order of names; what LIKE reads otherwise is text."""
    for n, name in enumerate(["Zoë", "anna", "100%", "a_b"]):
        crm.put_contact(str(n), {**JANE, "firstName": name, "lastName": None, "emailAddresses": [], "companyId": None})
    crm.put_contact("42", {**JANE, "companyId": None})
    found = {
        text: re.findall(r'<li><a href="/contacts/(\d+)"', browser.get("/contacts", query_string={"q": text}).text)
        for text in ("", "ZOË", "ann", "0%", "jane@ACME.example", "doe", "nobody")
    }
    assert found == {
        "": ["2", "3", "1", "42", "0"],
        "ZOË": ["0"],
        "ann": ["1"],
        "0%": ["2"],
        "jane@ACME.example": ["42"],
        "doe": ["42"],
        "nobody": [],
    }


def test_a_token_is_shown_once_and_works(browser: Any) -> None:
    """And is gone with a click."""
    data = {"email": "john@brightsync.example", "scope": "sync", "label": "BrightSync"}
    page = browser.post("/settings/tokens", data=data, headers=OURS).text
    [token, *_] = re.findall(r"bsc_\w+", page)
    headers = {"Authorization": f"Bearer {token}"}
    assert browser.get("/api/v1/users/me", headers=headers).status_code == 200
    page = browser.get("/settings").text
    assert "BrightSync" in page
    assert token not in page
    token_id = tokens.listed()[-1]["id"]
    assert browser.post(f"/settings/tokens/{token_id}/revoke", headers=OURS).status_code == 303
    assert browser.get("/api/v1/users/me", headers=headers).status_code == 401


def test_the_overview_says_who_is_silent_and_what_nobody_knows(browser: Any, sync: Any, app: Any) -> None:
    """An address is made a contact, or ignored, with a click."""
    log(subject="An offer", fromAddress="New Person <new@acme.example>")
    for address in ("new@acme.example", "other@acme.example"):
        assert sync.get(f"/api/v1/contacts/lookup?emails={address}").json == []
    app.extensions["activity"].flush()
    page = browser.get("/").text
    assert "john@brightsync.example" in page
    assert 'never: <strong class="bad">silent</strong>' in page
    assert browser.post("/unmatched/ignore", data={"address": "other@acme.example"}, headers=OURS).location == "/"
    assert "other@acme.example" not in browser.get("/").text
    answer = browser.post("/unmatched/contact", data={"address": "new@acme.example"}, headers=OURS)
    [contact] = crm.lookup_contacts(["new@acme.example"])
    assert answer.location == f"/contacts/{contact['id']}"


def test_a_rule_and_how_long_emails_are_kept_are_set(browser: Any) -> None:
    """And taken back."""
    browser.post("/settings/never-log", data={"value": "Private.example", "reason": "family"}, headers=OURS)
    [rule] = crm.list_rules()
    assert (rule["kind"], rule["value"], rule["reason"]) == ("domain", "private.example", "family")
    assert "private.example (family)" in browser.get("/settings").text
    browser.post(f"/settings/never-log/{rule['id']}/remove", headers=OURS)
    assert crm.list_rules() == []
    browser.post("/settings/retention", data={"after": "3y", "keepLinked": "on"}, headers=OURS)
    assert crm.get_retention() == ("3y", True)
    assert browser.post("/settings/retention", data={"after": "soon"}, headers=OURS).status_code == 422
    browser.post("/settings/retention", data={"after": ""}, headers=OURS)
    assert crm.get_retention() is None


def test_a_company_has_its_people_and_their_mail(browser: Any) -> None:
    """By the domain, too."""
    crm.put_company("7", ACME)
    log(subject="From somebody there", fromAddress="anybody@acme.example")
    assert "From somebody there" in browser.get("/companies/7").text


def test_what_an_email_quotes_is_folded_away(browser: Any) -> None:
    """What it adds comes first."""
    email_id = log(textBody="I agree.\n\nOn 3 Jan 2026, Jane Doe wrote:\n> Shall we?\n")
    page = browser.get(f"/emails/{email_id}").text
    assert page.index("I agree.") < page.index("With what it quotes") < page.index("Shall we?")


def test_of_a_long_text_no_more_is_read_than_is_shown(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a line begins a quotation takes time, and somebody may send 2,000 that nearly do."""
    looked_at = Mock(wraps=quoting._header)
    monkeypatch.setattr(quoting, "_header", looked_at)
    email_id = log(textBody=f"{'On ' * 66}:\n" * 2_000)
    looked_at.reset_mock()
    assert browser.get(f"/emails/{email_id}").status_code == 200
    assert looked_at.call_count < 200


def test_files_are_saved_and_never_shown(browser: Any) -> None:
    """By their place."""
    files = [{"name": "a.html", "mimeType": "text/html", "content": "PGI+"}, {"name": "b"}]
    email_id = log(attachments=files)
    answer = browser.get(f"/emails/{email_id}/files/1")
    assert answer.data == b"<b>"
    assert answer.headers["Content-Disposition"].startswith("attachment; ")
    assert answer.headers["Content-Security-Policy"].startswith("sandbox")
    assert browser.get(f"/emails/{email_id}/files/2").status_code == 404


def test_errors_are_pages(browser: Any) -> None:
    """With a sentence."""
    for path in ("/emails/999", "/contacts/nobody", "/companies/none"):
        answer = browser.get(path)
        assert (answer.status_code, answer.mimetype) == (404, "text/html")
        assert "There is no such record" in answer.text
    assert browser.get("/emails?q=%22%22").status_code == 422


def test_the_pages_change_the_feed_as_their_token(browser: Any) -> None:
    """So the audit trail says who it was, as `flask audit` does."""
    browser.post("/companies", data={"name": "New"}, headers=OURS)
    crm.put_contact("a/b", {**JANE, "companyId": None})
    crm.delete_contact("a/b")
    log(subject="An offer")
    assert crm.list_changes()[0]["tokenId"] == tokens.listed()[0]["id"]
    trail = browser.get("/settings").text.partition("What was done")[2]
    rows = [re.sub(r"<[^>]*>", " ", row).split() for row in re.findall("<tr>(.*?)</tr>", trail, re.DOTALL)]
    [company] = crm.list_companies().records
    assert [row[2:] for row in rows[1:]] == [
        ["created", "email", "1", "a", "command"],
        ["deleted", "contact", "a/b", "a", "command"],
        ["created", "contact", "a/b", "a", "command"],
        ["created", "company", company["id"], "token", "1", "browser"],
    ]
    for path in re.findall('<a href="([^"]+)">(?!contact)', trail):
        assert browser.get(path).status_code == 200


def test_the_audit_trail_ends_after_fifty(browser: Any) -> None:
    """The newest are there, also where numbers are missing."""
    for n in range(60):
        crm.put_contact(str(n), {**JANE, "emailAddresses": [], "companyId": None})
    trail = browser.get("/settings").text.partition("What was done")[2]
    assert re.findall(r"contact (\d+)", trail) == [str(n) for n in range(59, 9, -1)]


def test_who_is_signed_in_is_shown_and_signed_out(app: Any, browser: Any) -> None:
    """Others, or this browser itself; a link that nobody has used is no session."""
    other = app.test_client()
    other.post("/sign-in", data={"token": tokens.create("u1", "admin", "other")}, headers=OURS)
    sessions.offer_link(1)
    page = browser.get("/settings").text.partition("Signed in")[2].partition("Refused")[0]
    assert page.count("john@brightsync.example") == 2
    assert page.count("(this browser)") == 1
    ids = re.findall(r'name="session" value="(\w+)"', page)
    assert sorted(ids) == sorted(one["id"] for one in sessions.listed())
    mine = sessions.id_of(browser.get_cookie(COOKIE).value)
    for session, status in ((next(one for one in ids if one != mine), 200), ("nonsense", 200), (mine, 303)):
        assert browser.post("/settings/sessions/end", data={"session": session}, headers=OURS).status_code == 303
        assert other.get("/").status_code == 303
        assert browser.get("/").status_code == status


def test_signing_in_makes_a_new_session(app: Any, browser: Any) -> None:
    """Whatever cookie the browser had before: who planted it does not know the new one."""
    planted = browser.get_cookie(COOKIE).value
    browser.post("/sign-in", data={"token": tokens.create("u1", "admin")}, headers=OURS)
    assert browser.get_cookie(COOKIE).value != planted
    other = app.test_client()
    other.set_cookie(COOKIE, "planted")
    other.post("/sign-in", data={"token": tokens.create("u1", "admin")}, headers=OURS)
    assert other.get_cookie(COOKIE).value != "planted"


def test_the_overview_says_how_the_installation_is(browser: Any, app: Any) -> None:
    """With the last backup, and what the doctor sees at a glance."""
    page = browser.get("/").text.partition("This installation")[2]
    assert VERSION in page
    assert "never, as far as this database knows" in page
    for sentence in ("Room: the database takes", "The database can be written", "Valid tokens: 1"):
        assert sentence in page
    assert "PROBLEM" not in page.upper()
    checkup.note_backup()
    checkup.note_backup()
    assert "as far as this database knows" not in browser.get("/").text
    assert (checkup.last_backup() or "") > "2026"


@pytest.mark.sqlite("a file that others may read")
def test_what_is_wrong_stands_above_all_else(browser: Any) -> None:
    """The worst first; only then who is silent, and far below what is well."""
    assert "To be seen to" not in browser.get("/").text
    file = Path(database.db.database)
    file.chmod(0o644)
    file.parent.chmod(0o755)
    page = browser.get("/").text
    places = [page.index(text) for text in ("To be seen to", "Problem:", "Warning:", "This installation")]
    assert places == sorted(places)
    assert page.index("This installation") < page.index("The database can be written")


@pytest.mark.sqlite("a file that goes")
def test_a_file_that_goes_meanwhile_is_nothing_to_be_seen_to(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a backup ends in this moment."""
    listed = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [*listed(self, pattern), self / "connector.db.gone"])
    monkeypatch.setattr(Path, "is_file", lambda _: True)
    monkeypatch.setattr("web.checkup.UNFINISHED", "nothing at all")
    monkeypatch.setattr(database, "parts", lambda path: [path, path.with_name("gone")])
    page = browser.get("/").text
    assert "The folder can't be looked at" not in html.unescape(page)
    assert "Room: the database takes" in page


@pytest.mark.sqlite("PostgreSQL has no backups of ours")
def test_a_backup_is_known_to_the_overview(browser: Any, app: Any, tmp_path: Any) -> None:
    """One that failed is not."""
    for name, is_known in ((".", False), ("copy.db", True)):
        app.test_cli_runner().invoke(args=["backup", str(tmp_path / name)])
        assert bool(checkup.last_backup()) is is_known


def test_the_overview_does_not_wait_for_others_who_write(browser: Any, app: Any) -> None:
    """They may take their time."""
    written, shown = Event(), Event()

    def write() -> None:
        with database.writing():
            written.set()
            shown.wait(WITHIN)
        database.release()

    thread = Thread(target=write)
    thread.start()
    written.wait(WITHIN)
    page = browser.get("/").text
    shown.set()
    thread.join()
    assert "Somebody else writes at this moment" in page


def test_thirty_days_are_drawn_as_a_line(browser: Any, sync: Any, app: Any) -> None:
    """From the oldest at the left to today, the most emails of a day at the top."""
    assert "<polyline" in browser.get("/").text
    log(subject="An offer")
    for _ in range(3):
        app.extensions["activity"].count("u1", 201, "POST /api/v1/emails")
    app.extensions["activity"].flush()
    points = re.findall('points="([^"]*)"', browser.get("/").text)[0].split()
    assert (len(points), points[0], points[-2:]) == (30, "2,22.0", ["114,22.0", "118,2.0"])


# ---- a store without a function -------------------------------------------------------------------------------------

# What of a page needs a function of the store, by a text that stands in it.
NEEDED = {
    "companies.insert": [("/companies", "Create company")],
    "companies.named": [("/contacts/42", 'name="company"')],
    "companies.update": [("/companies/7", "Save")],
    "contacts.find": [("/emails/{id}", '<a class="tag" href="/contacts/42">')],
    "contacts.insert": [("/contacts", "New contact"), ("/emails/{id}", "Create contact"), ("/", "Create contact")],
    "contacts.update": [("/contacts/42", "Save")],
    "emails.delete": [("/emails/{id}", "Delete this email")],
    "emails.page": [("/", "Newest emails"), ("/", 'href="/emails"'), ("/contacts/42", "Emails</h2>")],
    "emails.page_of_copies": [("/emails/{id}", "Mailboxes")],
    "emails.update": [("/emails/{id}", "Link to this email")],
    "never_log.delete": [("/settings", "Remove rule")],
    "never_log.listed": [("/settings", "Never log</h2>")],
    "never_log.save": [("/settings", "Add rule"), ("/emails/{id}", "Never log emails")],
    "retention.read": [("/settings", "Retention")],
    "retention.write": [("/settings", "Save")],
    "timelines.page": [("/companies/7", "Emails</h2>")],
    "timelines.thread": [("/emails/{id}", "Thread")],
    "users.delete": [("/settings", "the mail stays")],
    "users.find": [("/settings", "Create token"), ("/emails/{id}", "our user")],
    "users.insert": [("/settings", "Add user")],
    "users.page": [("/settings", "Table of users")],
}
# A page that shows a record, or a list of them, needs these.
WHOLE = {"emails.page": "/emails", "emails.read": "/emails/{id}", "contacts.read": "/contacts/42"} | {
    "companies.read": "/companies/7"
}


@pytest.mark.parametrize("storage", ["memory"], indirect=True)
def test_a_page_shows_what_the_crm_offers_and_no_more(
    browser: Any, sync: Any, app: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever function its store lacks, each page has an answer, and nothing that leads to "not offered"."""
    crm.put_company("7", ACME)
    crm.put_contact("42", {**JANE, "companyId": "7"})
    people = {"fromAddress": "jane@acme.example", "toAddresses": ["new@acme.example", "john@brightsync.example"]}
    for n in range(2):
        email_id = log(subject=f"Offer {n}", textBody="x", syncThreadId="1", relatedTo=[{"type": "x"}], **people)
    rule = {"kind": "address", "value": "a@x.example", "domains": [], "unlessKnown": True, "reason": None}
    crm.add_rule(rule)
    sync.get("/api/v1/contacts/lookup?emails=new@acme.example")
    app.extensions["activity"].flush()
    paths = ["/", "/emails", "/emails?q=offer", "/emails/{id}", "/emails/{id}/raw", "/emails/{id}/text", "/settings"]
    paths += ["/contacts", "/contacts?q=doe", "/contacts/new", "/contacts/42", "/companies", "/companies/7"]
    whole = {path: browser.get(path.format(id=email_id)).text for path in paths}
    parts = {name: getattr(store, name) for name in store.__all__ if not callable(getattr(store, name))}
    names = [f"{part}.{name}" for part in parts for name in dir(parts[part]) if name[0] != "_"]
    assert set(NEEDED) <= set(names)
    for name in names:
        part, _, function = name.partition(".")
        with monkeypatch.context() as patch:
            patch.setattr(store, part, Lacking(parts[part], function))
            for path in paths:
                answer = browser.get(path.format(id=email_id))
                is_missing = WHOLE.get(name, "-") in path.partition("?")[0] and answer.status_code == 501
                assert answer.status_code == 200 or is_missing, (name, path)
                for where, text in NEEDED.get(name, ()):
                    if where == path:
                        assert text in whole[path], (name, path)
                        assert text not in answer.text, (name, path)
