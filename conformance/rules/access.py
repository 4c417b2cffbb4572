"""Who am I, who may call, and what anybody may ask."""

import re
from collections.abc import Iterator

from conformance.client import NO_CREDENTIALS, Answer, Credentials, NotOffered
from conformance.rule import AURINKO, OURS, rule, same, true
from conformance.session import Session, at

NO_TOKEN = "Every call under `/api/v1` needs a token … Otherwise 401 with `WWW-Authenticate`"
BASIC = "or Basic with the token as the password (any user name) or as the user name (empty password)"
NO_TOKEN_NEEDED = "**Outside `/api/v1`, without a token:**"

CALLS = (
    ("GET", "/users/me"),
    ("GET", "/users/lookup?emails={address}"),
    ("GET", "/contacts/lookup?emails={address}"),
    ("GET", "/companies/lookup?domain={domain}"),
    ("GET", "/emails?rfc822MsgId={word}"),
    ("GET", "/emails"),
    ("GET", "/contacts"),
    ("GET", "/companies"),
    ("GET", "/emails/{word}"),
    ("GET", "/contacts/{word}"),
    ("GET", "/companies/{word}"),
    ("GET", "/changes"),
    ("GET", "/users"),
    ("PATCH", "/users/{word}"),
    ("DELETE", "/users/{word}"),
    ("POST", "/emails"),
    ("POST", "/contacts"),
    ("POST", "/companies"),
    ("PUT", "/contacts/{word}"),
    ("PUT", "/companies/{word}"),
    ("PATCH", "/emails/{word}"),
    ("DELETE", "/contacts/{word}"),
    ("DELETE", "/emails/{word}"),
)
MALFORMED = (
    "Bearer",
    "Bearer ",
    "Bearer a b",
    "Bearer \xff\xfe",
    "Bearer " + "x" * 3000,
    "Basic",
    "Basic !!!",
    "Basic bm9jb2xvbg==",
    "Basic /////w==",
    "Digest username=x",
    "nonsense",
)


@rule("users-me", AURINKO, "*getMe*: `id`, `orgId`, `name`, `email`, `timezone` of the token's user")
def users_me(crm: Session) -> None:
    """The token's user says who they are."""
    me = crm.get("/users/me").expect(200).record
    true("the keys id, orgId, name, email, timezone", {"id", "orgId", "name", "email", "timezone"} <= set(me), me)
    true("an id and an email", bool(me["id"]) and "@" in str(me["email"]), me)


@rule("users-lookup", AURINKO, "*getUsersByEmail*: list of users")
def users_lookup(crm: Session) -> None:
    """A user is found by their address, and nobody by a stranger's."""
    me = crm.get("/users/me").expect(200).record
    found = crm.get("/users/lookup", emails=me["email"]).offered().expect(200)
    true("the token's user", str(me["id"]) in found.ids, found.summary())
    stranger = crm.get("/users/lookup", emails=crm.address())
    true(
        "no user for a stranger's address", stranger.status in (204, 404) or stranger.ok().ids == [], stranger.summary()
    )


@rule("users-lookup-several", OURS, "*getUsersByEmail*: list of users")
def users_lookup_several(crm: Session) -> None:
    """Of several addresses, those of users are found, however the list is written; nobody is `[]`."""
    me = crm.get("/users/me").expect(200).record
    email, stranger = me["email"], crm.address()
    for query in (
        f"{email},{stranger}",
        f"{stranger},{email}",
        f"{email}&emails={stranger}",
        f"{stranger}&emails={email}",
    ):
        same("the users found", [str(me["id"])], crm.get(f"/users/lookup?emails={query}").expect(200).ids)
    same("the users found", [], crm.get("/users/lookup", emails=stranger).expect(200).records)


@rule("users-lookup-normalized", OURS, "*Normalizing an address*, on write and on lookup alike, by one function")
def users_lookup_normalized(crm: Session) -> None:
    """A user is found whatever the letter case of the address."""
    me = crm.get("/users/me").expect(200).record
    same("the users found", [str(me["id"])], crm.get("/users/lookup", emails=me["email"].upper()).expect(200).ids)


def every_call(crm: Session, credentials: Credentials) -> Iterator[Answer]:
    """The answers to all calls of the contract, of records that are not here."""
    for method, path in CALLS:
        target = path.format(address=crm.address(), domain=crm.new_domain(), word=crm.fresh())
        body = b'{"subject": "open"}' if method in ("POST", "PUT", "PATCH") else None
        yield crm.request(method, target, body=body, credentials=credentials)


def unauthorized(answer: Answer) -> None:
    """Demand 401 with WWW-Authenticate; or, after several failures, 429 with Retry-After."""
    answer.refused(401, 429)
    header = "WWW-Authenticate" if answer.status == 401 else "Retry-After"
    true(f"a {header} header", bool(answer.headers[header]), str(answer.headers))


@rule("token-missing", OURS, NO_TOKEN)
def token_missing(crm: Session) -> None:
    """No call answers without a token."""
    for answer in every_call(crm, NO_CREDENTIALS):
        unauthorized(answer)


@rule("token-wrong", OURS, NO_TOKEN)
def token_wrong(crm: Session) -> None:
    """No call answers to a token that is not known."""
    for answer in every_call(crm, Credentials.raw(f"Bearer {crm.run}")):
        unauthorized(answer)


@rule("token-changed", OURS, NO_TOKEN)
def token_changed(crm: Session) -> None:
    """A token that was cut, extended or written in another letter case is not the token."""
    for other, curl in (
        (crm.token[:-1], "${TOKEN%?}"),
        (crm.token + "x", "${TOKEN}x"),
        (crm.token.swapcase(), "$(echo $TOKEN | tr a-zA-Z A-Za-z)"),
    ):
        if other != crm.token:
            credentials = Credentials(f"Bearer {other}", f'-H "Authorization: Bearer {curl}"')
            unauthorized(crm.request("GET", "/users/me", credentials=credentials))


@rule("token-malformed", OURS, NO_TOKEN)
def token_malformed(crm: Session) -> None:
    """An Authorization header that makes no sense is 401, never a server error."""
    for header in MALFORMED:
        unauthorized(crm.request("GET", "/users/me", credentials=Credentials.raw(header)))


@rule("token-basic-password", OURS, BASIC)
def token_basic_password(crm: Session) -> None:
    """Basic with the token as the password is the same user."""
    me = crm.get("/users/me").expect(200).record
    for user in ("brightsync", "jane@example.com", ""):
        credentials = Credentials.basic(user, crm.token, f"{user}:$TOKEN")
        same("the user", me, crm.request("GET", "/users/me", credentials=credentials).expect(200).record)


@rule("token-basic-user", OURS, BASIC)
def token_basic_user(crm: Session) -> None:
    """Basic with the token as the user name and no password is the same user."""
    me = crm.get("/users/me").expect(200).record
    credentials = Credentials.basic(crm.token, "", "$TOKEN:")
    same("the user", me, crm.request("GET", "/users/me", credentials=credentials).expect(200).record)


@rule("token-basic-wrong", OURS, NO_TOKEN)
def token_basic_wrong(crm: Session) -> None:
    """Basic without the token is 401."""
    for user, password in (("brightsync", crm.run), (crm.run, ""), ("", "")):
        credentials = Credentials.basic(user, password, f"{user}:{password}")
        unauthorized(crm.request("GET", "/users/me", credentials=credentials))


SCOPES = "carries a scope: `sync` (every call of the first table) or `admin` (all)"


@rule("scope-sync", OURS, SCOPES)
def scope_sync(crm: Session) -> None:
    """A token of scope `sync` may not delete a mail (asked only where an admin token is given), nor read the feed."""
    if crm.admin is None:
        raise NotOffered("there is only one token: give another one with --admin-token")
    _, email = crm.log()
    crm.request("DELETE", at("emails", email), credentials=crm.credentials).refused(403)
    crm.request("GET", "/changes", credentials=crm.credentials).refused(403)
    crm.email(email)


@rule("scope-sync-upkeep", OURS, SCOPES)
def scope_sync_upkeep(crm: Session) -> None:
    """A token of scope `sync` may keep contacts and companies, and list what was changed."""
    for noun in ("contacts", "companies"):
        own = at(noun, crm.fresh("own"))
        calls = [("PUT", own, 201), ("PATCH", own, 200), ("GET", f"/{noun}?limit=1", 200), ("DELETE", own, 204)]
        for method, path, status in calls:
            body = b"{}" if method.startswith("P") else None
            answer = crm.request(method, path, body=body, credentials=crm.credentials)
            if answer.status == 501:  # other refusals are what this is about
                raise NotOffered(f"{method} {path} answered 501")
            true(f"{method} {path} with a token of scope sync", answer.status == status, answer.summary())


@rule("health-live", OURS, f"{NO_TOKEN_NEEDED} `GET /health/live`")
def health_live(crm: Session) -> None:
    """The server says that it is alive."""
    crm.request("GET", "/health/live", outside=True, credentials=NO_CREDENTIALS).offered().expect(200)


@rule("health-ready", OURS, "`GET /health/ready` (503 with the reason when the database can't be written)")
def health_ready(crm: Session) -> None:
    """The server says that it can write."""
    crm.request("GET", "/health/ready", outside=True, credentials=NO_CREDENTIALS).offered().expect(200)


@rule("openapi", OURS, "`GET /openapi.json`")
def openapi(crm: Session) -> None:
    """The API describes itself, with every call that Aurinko asks for."""
    answer = crm.request("GET", "/openapi.json", outside=True, credentials=NO_CREDENTIALS).offered().expect(200)
    true("an OpenAPI 3 document", str(answer.record.get("openapi", "")).startswith("3."), answer.summary())
    paths = " ".join(answer.record.get("paths", {}))
    for call in ("/emails", "/contacts/lookup", "/companies/lookup", "/users/me", "/users/lookup"):
        true(f"{call} among the paths", call in paths, paths)


@rule("docs", OURS, "`GET /docs`, a browsable page of it that works with no internet")
def docs(crm: Session) -> None:
    """The page of the API loads nothing from elsewhere."""
    answer = crm.request("GET", "/docs", outside=True, credentials=NO_CREDENTIALS).offered()
    if answer.status in (301, 302, 307, 308):
        answer = crm.request("GET", "/docs/", outside=True, credentials=NO_CREDENTIALS)
    page = answer.expect(200).body.decode("utf-8", "replace")
    true("an HTML page", "<html" in page.lower(), page)
    elsewhere = re.findall(
        r"<(?:script|link|img)\b[^>]+(?:src|href)\s*=\s*[\"']?(?:https?:)?//[^>]*", page, re.IGNORECASE
    )
    true("nothing loaded from elsewhere", not elsewhere, elsewhere)
