"""What all pages have in common: who is signed in, what a browser may do with a page, errors as pages."""

import re
from base64 import urlsafe_b64decode
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import wraps
from json import loads
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

from flask import Blueprint, Response, abort, current_app, g, redirect, render_template, request, url_for
from gunicorn.http.errors import NoMoreData, ParseException
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

import crm
import database
from crm.seam import offers, store
from terminal import program
from web import sessions, tokens
from web.fields import Position

pages = Blueprint("pages", __name__, template_folder="templates", static_folder="static", static_url_path="/static")

# Nothing comes from elsewhere, no script runs, no other site may show these pages or be sent their forms.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_LONGEST_FORM = 512 * 1024  # bytes: 32,000 characters of addresses, however they are encoded
_OPEN = {"pages.sign_in", "pages.sign_in_with_token", "pages.open_link", "pages.sign_in_by_link", "pages.static"}


# ---- who is signed in -----------------------------------------------------------------------------------------------


@pages.before_request
def _check() -> Any:
    """A form must have been sent from our own pages; all pages but a few need somebody who is signed in."""
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        if not _is_from_here():
            abort(403, "This form was not sent from these pages.")
        _read_form()
    if "\0" in "".join((*request.args.values(), *request.form.values())):
        abort(422, "Something that was entered holds a character that can't be stored.")
    if request.endpoint in _OPEN:
        return None
    caller = sessions.caller(request.cookies.get(_cookie_name(), ""))
    if caller is None:
        if request.method == "GET":
            return redirect(url_for("pages.sign_in"), 303)
        abort(403, "You are not signed in any more. Sign in in another window, and send this again.")
    g.caller = caller
    crm.calling_token.set(caller.token_id)
    crm.calling_user.set(caller.user_id)
    return None


def _read_form() -> None:
    """A form that ended too soon would be taken for a shorter one; one that is too long is not read."""
    request.max_content_length = _LONGEST_FORM
    try:
        size = len(request.get_data())
    except (ParseException, NoMoreData, ConnectionError):  # what gunicorn raises while it reads; or nobody is there
        size = -1
    if size >= _LONGEST_FORM:
        abort(413, "This is more than any form here holds. Nothing was saved.")
    if size < (request.content_length or 0):
        abort(400, "The form did not arrive as a whole. Send it again.")


def _is_from_here() -> bool:
    """Whether a browser sent this from a page of this service (https://developer.mozilla.org: Sec-Fetch-Site)."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    # By TLS alone is as good as what is here; without it somebody on the way may have written the form.
    return request.headers.get("Origin") in (_base_url()[:-1], f"https://{request.host}")


def _is_secure() -> bool:
    """Whether the browser speaks TLS, with us or with the proxy in front."""
    forwarded = request.headers.get("X-Forwarded-Proto") if current_app.config["TRUSTED_PROXIES"] else None
    return request.is_secure or forwarded == "https"


def _base_url() -> str:
    """Where the service is, as the browser knows it."""
    return f"{'https' if _is_secure() else 'http'}://{request.host}/"


def _cookie_name() -> str:
    # A browser takes the first only by TLS, for this host alone; so no other site of the domain can set it.
    return "__Host-connector" if _is_secure() else "connector"


def _signed_in(secret: str) -> Any:
    answer = redirect(url_for("pages.overview"), 303)
    answer.set_cookie(_cookie_name(), secret, httponly=True, samesite="Strict", secure=_is_secure(), path="/")
    return answer


@pages.get("/sign-in")
def sign_in() -> str:
    """The form for a token."""
    return render_template("sign-in.html")


@pages.post("/sign-in")
def sign_in_with_token() -> Any:
    """Sign in with an admin's token."""
    caller = tokens.authenticate(request.form.get("token", "").strip())
    if caller is None or "admin" not in caller.scopes:
        status = 403 if caller else 401
        brake: tokens.Brake = current_app.extensions["brake"]
        sent = request.form.get("token", "").strip()
        if brake.refuse(status, sent, request.remote_addr or "", request.method, "/sign-in"):
            abort(429, "Too many tries; wait a minute.")
        return render_template("sign-in.html", refused=status), status
    return _signed_in(sessions.begin(caller.token_id))


@pages.get("/sign-in/<link>")
def open_link(link: str) -> Any:
    """A button: what looks at links before people do, as some mail and chat programs, does not use this one up."""
    return render_template("sign-in.html", link=link) if sessions.is_link(link) else _no_link()


@pages.post("/sign-in/<link>")
def sign_in_by_link(link: str) -> Any:
    """Sign in by a link, which works once."""
    secret = sessions.redeem(link)
    return _signed_in(secret) if secret else _no_link()


def _no_link() -> tuple[str, int]:
    return render_template("sign-in.html", refused="link"), 401


def session_id() -> str:
    """The id of the session of this browser."""
    return sessions.id_of(request.cookies.get(_cookie_name(), ""))


@pages.post("/sign-out")
def sign_out() -> Any:
    """End the session."""
    sessions.end(session_id())
    answer = redirect(url_for("pages.sign_in"), 303)
    answer.delete_cookie(_cookie_name(), httponly=True, samesite="Strict", secure=_is_secure(), path="/")
    return answer


# ---- what a browser may do with a page ------------------------------------------------------------------------------


@pages.after_request
def _harden(response: Response) -> Response:
    response.headers.setdefault("Content-Security-Policy", POLICY)
    # "no-referrer" would keep a browser from saying, without TLS, that a form comes from here (Origin: null).
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    # Without TLS a browser looks up the names of all links: one made for this email would tell that it is read.
    response.headers["X-DNS-Prefetch-Control"] = "off"
    if request.endpoint == "pages.static":
        response.headers["Cache-Control"] = "private, max-age=3600"
    return response


# ---- errors ---------------------------------------------------------------------------------------------------------


# What the fields of forms are called where something is said of one.
_LABELS = {
    "address": "Person",
    "after": "Emails go after",
    "company": "Company",
    "contact": "Contact",
    "domains": "Domains",
    "email": "Address",
    "emailAddresses": "Addresses",
    "firstName": "First name",
    "label": "Label",
    "lastName": "Last name",
    "name": "Name",
    "q": "Words",
    "reason": "Reason",
    "since": "From",
    "timezone": "Time zone",
    "until": "Until",
    "value": "Address or domain",
}
_GONE, _CHANGED = 404, 412
_SENT_AGAIN = (403, 409, 422, 503)


def _error(status: int, sentence: str) -> tuple[str, int]:
    """The page of an error, with what was entered: nobody types it twice."""
    fields = _entered() if status in (*_SENT_AGAIN, _GONE, _CHANGED) else []
    can_send = status in _SENT_AGAIN
    return render_template("error.html", status=status, sentence=sentence, fields=fields, can_send=can_send), status


def _entered() -> list[tuple[str, str | None, str]]:
    """The fields of the form that was sent: name, label (None for one that nobody sees) and value."""
    if request.method == "POST" and not _is_from_here():
        return []
    values = request.form if request.method == "POST" else request.args
    fields = [(name, _LABELS.get(name), value.replace("\0", "")) for name, value in values.items() if name != "cursor"]
    return fields if any(label and value for _, label, value in fields) else []


def _of_fields(errors: Mapping[str, Any]) -> str:
    """What is wrong with the fields of a form, in a sentence for each."""
    said = []
    for name, why in errors.items():
        while not isinstance(why, str):  # marshmallow's have a list for each field, or one for each entry of a list
            why = next(iter(why.values() if isinstance(why, dict) else why))
        said.append(f"{_LABELS[name]}: {why}" if name in _LABELS else why)
    return " ".join(said)


for _which in (HTTPException, 403):  # to an error of its own class the application's handler would come first
    pages.register_error_handler(_which, lambda e: _error(e.code or 500, e.description or ""))
pages.register_error_handler(crm.NotFound, lambda _: _error(404, "There is no such record; it may have been deleted."))
pages.register_error_handler(crm.NotOffered, lambda _: _error(501, "This CRM does not offer that."))
pages.register_error_handler(
    crm.Changed, lambda _: _error(_CHANGED, "Somebody has changed the record since you opened it. Nothing was saved.")
)
pages.register_error_handler(crm.Conflict, lambda e: _error(409, str(e)))
pages.register_error_handler(crm.Invalid, lambda e: _error(422, _of_fields(e.errors)))
pages.register_error_handler(ValidationError, lambda e: _error(422, _of_fields(e.normalized_messages())))
pages.register_error_handler(
    database.TookTooLong, lambda _: _error(422, "The search takes too long. Ask for fewer, longer or rarer words.")
)


def _unavailable(error: Exception) -> Any:
    problem = database.problem_of(error)
    if problem is None:
        raise error
    return _error(503, f"The database can't serve now. {problem.reason}.")


for _kind in database.Unavailable:
    pages.register_error_handler(_kind, _unavailable)


# ---- what templates use ---------------------------------------------------------------------------------------------


LARGEST = 60_000  # bytes of a page, for a slow line; what strangers write of any length is shown in part
_SHARES = (1.0, 0.5, 0.2)  # of what a page shows, if more of it would make the page too large


def show(template: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A view that gives a template its values; what is no dict, such as a redirect, goes out as it is."""

    def decorate(view: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(view)
        def rendered(*args: Any, **kwargs: Any) -> Any:
            given = view(*args, **kwargs)
            if not isinstance(given, dict):
                return given
            page = ""
            for share in _SHARES:
                g.share = share
                page = render_template(template, **given)
                if len(page.encode()) < LARGEST:
                    break
            return page

        return rendered

    return decorate


def if_offered(verb: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What a verb gives; None where this CRM does not offer it, and a page leaves it out."""
    try:
        return verb(*args, **kwargs)
    except crm.NotOffered:
        return None


def offered(name: str) -> bool:
    """Whether this CRM's store has a function, such as `contacts.insert`: what needs it is not shown else."""
    part, _, function = name.partition(".")
    return offers(getattr(store, part), function)


def user_of(user_id: str) -> crm.Record | None:
    """The user with this id; None for one who is gone, or of whom this CRM does not tell."""
    try:
        user: crm.Record | None = if_offered(crm.get_user, user_id)
        return user
    except crm.NotFound:
        return None


def cursor() -> Any:
    """Where the page of a list by time begins."""
    text = request.args.get("cursor")
    try:
        return Position().deserialize(text) if text else None
    except ValidationError:
        abort(404, _NO_PLACE)


def name_cursor() -> crm.Cursor | None:
    """Where the page of a list by name begins: behind such a name and id."""
    text = request.args.get("cursor")
    if not text:
        return None
    try:
        name, record_id = loads(urlsafe_b64decode(text.encode("ascii")))
        if not (isinstance(name, str) and isinstance(record_id, str)) or "\0" in f"{name}{record_id}":
            abort(404, _NO_PLACE)
        f"{name}{record_id}".encode()  # a lone surrogate is no text for a database
        return name, record_id
    except (ValueError, TypeError, RecursionError):
        abort(404, _NO_PLACE)


_NO_PLACE = "This list has no such page. Begin at its first one."


def here(**changed: Any) -> str:
    """The address of this page with other arguments; None leaves one out."""
    values = {name: value for name, value in {**request.args.to_dict(), **changed}.items() if value}
    return quote(request.script_root + request.path) + (f"?{urlencode(values)}" if values else "")


pages.add_app_template_global(program)
pages.add_app_template_global(offered)


# What moves the rest of a line elsewhere, or turns its direction: "https://moc.elgoog" may be read as another address.
_TURNS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb]")


@pages.app_template_filter("line")
def line(text: Any, most: int = 100) -> str:
    """A text that somebody else wrote, as a piece of a line: of so many characters at most."""
    if text is None:
        return ""
    most = int(most * g.get("share", 1))
    text = " ".join(str(text)[: 4 * most].split())
    return _TURNS.sub("\ufffd", text if len(text) <= most else f"{text[: most - 1]}…")


@pages.app_template_filter("most")
def most(whole: Any, number: int) -> Any:
    """The first of a list, or of a text; so many at most."""
    return whole[: int(number * g.get("share", 1))]


@pages.app_template_filter("local")
def _local(time: str | None) -> str:
    """A time of a record as the user's clock shows it."""
    if not time:
        return ""
    moment = datetime.fromisoformat(time)
    try:
        moment = moment.astimezone(zone())
    except OverflowError:  # on the first or last day that there is, as some emails have it
        pass
    return moment.strftime("%Y-%m-%d %H:%M")


def zone() -> ZoneInfo:
    """The time zone of who is signed in."""
    if "zone" not in g:
        user = if_offered(crm.get_user, g.caller.user_id) if "caller" in g else None
        try:
            g.zone = ZoneInfo(user["timezone"]) if user else ZoneInfo("UTC")
        except (LookupError, ValueError, OSError):
            g.zone = ZoneInfo("UTC")
    found: ZoneInfo = g.zone
    return found


@pages.app_template_filter("bytes")
def _bytes(size: Any) -> str:
    if not isinstance(size, int | float) or isinstance(size, bool):
        return ""
    return f"{size / 1e6:,.1f} MB" if size >= 1e6 else f"{size / 1e3:,.0f} kB" if size >= 1000 else f"{size:.0f} bytes"


@pages.context_processor
def _values() -> dict[str, Any]:
    return {"here": here, "position": Position.of, "is_signed_in": "caller" in g, "base_url": _base_url()}
