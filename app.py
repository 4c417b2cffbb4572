"""The application: configuration, database, blueprints, who may call, and one shape for errors."""

import atexit
import os
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from json import JSONEncoder
from typing import Any, NoReturn

import click
import flask_smorest
from flask import Flask, Response, current_app, g, request
from flask.cli import FlaskGroup
from flask.json.provider import DefaultJSONProvider
from werkzeug.datastructures import Headers, WWWAuthenticate
from werkzeug.exceptions import Forbidden, HTTPException, TooManyRequests, Unauthorized
from werkzeug.http import HTTP_STATUS_CODES
from werkzeug.middleware.proxy_fix import ProxyFix

import crm
import database
import settings
from commands.cli import COMMANDS
from commands.common import start_database
from pages import admin, directory, mail  # noqa: F401
from pages.site import pages
from routes.changes import changes
from routes.companies import companies
from routes.contacts import contacts
from routes.docs import docs
from routes.emails import emails
from routes.health import health
from routes.never_log import never_log
from routes.sync import sync
from routes.threads import threads
from routes.unmatched import unmatched
from routes.users import users
from schemas import Error
from web import logs, tokens
from web.activity import Activity
from web.wire import REFUSALS, AddressConverter, RecordIdConverter, drain_unread_body

PROTECTED = "/api/v1"

OPENAPI = {
    "API_TITLE": "BrightSync CRM connector",
    "API_VERSION": settings.VERSION,
    "OPENAPI_VERSION": "3.1.0",
    "OPENAPI_URL_PREFIX": "/",
    "API_SPEC_OPTIONS": {
        # Where the description lies: a proxy may put a path before all of it.
        "servers": [{"url": ".", "description": "this server"}],
        "info": {"description": "Where Aurinko's BrightSync asks whom the CRM knows, and logs their mail."},
        "components": {
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of `flask token create`."},
                "basic": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The token as the password, or as the user name.",
                },
            }
        },
        "security": [{"bearer": []}, {"basic": []}],
    },
}


class Api(flask_smorest.Api):
    """flask-smorest's registry, with all four parts in every error."""

    ERROR_SCHEMA = Error
    DEFAULT_ERROR_RESPONSE_NAME = None  # each operation names its own

    def handle_http_exception(self, error: HTTPException) -> Any:
        payload, status, headers = super().handle_http_exception(error)
        whole = {"code": status, "status": error.name, "message": error.description or "", "errors": {}, **payload}
        own = [header for header in error.get_headers() if header[0] not in ("Content-Type", "Content-Length")]
        return whole, status, Headers([*own, *(headers or {}).items()])

    def answer(self, status: int, message: str, **data: Any) -> Any:
        """The answer for an exception that is not one of HTTP."""
        error = HTTPException(message)
        error.code = status
        error.data = data  # type: ignore[attr-defined]  # where flask-smorest looks for errors and headers
        return self.handle_http_exception(error)


def _no_record(value: Any) -> NoReturn:
    raise crm.BadRecord(f"with a {type(value).__name__}, where a text, number, list or None belongs")


class Json(DefaultJSONProvider):
    """Fields in the schema's order, letters as they are, and no second copy of a large email's text for the newline."""

    sort_keys = False
    _encoder = JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_no_record)

    def response(self, *args: Any, **kwargs: Any) -> Response:
        body = self._encoder.encode(self._prepare_response_obj(args, kwargs)).encode()
        return Response(body + b"\n", mimetype=self.mimetype)


class Connector(Flask):
    json_provider_class = Json

    def dispatch_request(self) -> Any:
        """Once more, where the connection to the database was lost and it has certainly kept nothing."""
        try:
            return super().dispatch_request()
        except database.Unavailable as error:
            if not database.is_retryable(error):
                raise
        return super().dispatch_request()

    def ensure_sync(self, func: Any) -> Any:
        """No view is asynchronous; Flask would look at each function anew, which is 5 % of a request."""
        return func

    def log_exception(self, exc_info: Any) -> None:
        """Flask's own names the path, which may hold an address."""
        self.logger.error("A call failed, which is a fault in the code.", exc_info=exc_info)


def create_app(environment: Mapping[str, Any] | None = None) -> Flask:
    """The WSGI application; `environment` takes the place of the process's own. Raises settings.Misconfigured."""
    logs.start()
    app = Connector("connector", static_folder=None)  # it would be the one of whatever folder this is started in
    app.config.update(settings.load(os.environ if environment is None else environment), **OPENAPI)
    app.url_map.merge_slashes = False  # else `//` is answered with a redirect, to the host that the client named
    app.url_map.converters.update(record_id=RecordIdConverter, address=AddressConverter)
    if app.config["TRUSTED_PROXIES"]:
        forwarded = {"x_for": app.config["TRUSTED_PROXIES"], "x_proto": 0, "x_host": 0}
        app.wsgi_app = ProxyFix(app.wsgi_app, **forwarded)  # type: ignore[method-assign]
    command = click.get_current_context(silent=True)
    if not (command and isinstance(command.command, FlaskGroup)):  # which only looks for commands: these open their own
        start_database(app.config, make=not command or command.info_name == "run")

    api = Api(app)
    for converter in (RecordIdConverter, AddressConverter):
        api.register_converter(converter, converter.description)
    for code, (message, headers) in REFUSALS.items():
        described = api.spec.components.responses_lazy[HTTPStatus(code).name]
        described.update({"headers": headers} if headers else {})
        example = {"code": code, "status": HTTP_STATUS_CODES[code], "message": message, "errors": {}}
        described["content"]["application/json"]["example"] = example
    del api.spec.components.schemas["PaginationMetadata"]  # flask-smorest's own, which nothing here uses
    for blueprint in (emails, contacts, companies, threads, users, changes, never_log, sync, unmatched, health):
        api.register_blueprint(blueprint)
    app.register_blueprint(docs)
    if app.config["PAGES"] == "on":
        app.register_blueprint(pages)
    if app.config["METRICS"] == "on":
        from web.metrics import metrics  # not above: elsewhere its library need not even be loaded

        app.register_blueprint(metrics)
    app.extensions["brake"] = tokens.Brake()
    app.extensions["activity"] = Activity(keeps_unmatched=app.config["UNMATCHED"] == "on")
    atexit.register(app.extensions["activity"].flush, 1)  # as a worker of gunicorn ends, too: they end together
    _register_errors(app, api)
    app.before_request(_name)
    app.before_request(_identify)
    app.teardown_request(_forget_caller)
    app.after_request(_harden)
    app.after_request(_note)
    app.after_request(_drain_unread_body)
    for one in COMMANDS:
        app.cli.add_command(one)
    return app


def _register_errors(app: Flask, api: Api) -> None:
    """What the exceptions of other modules mean in HTTP. None of the answers says what the client sent."""

    @app.errorhandler(Forbidden)
    def forbidden(error: Forbidden) -> Any:
        _refuse(403)
        return api.handle_http_exception(error)

    def answer(kind: type[Exception], status: int, message: str) -> None:
        app.register_error_handler(kind, lambda error: api.answer(status, message))

    answer(crm.NotFound, 404, "There is no such record.")
    answer(crm.NotOffered, 501, "This CRM does not implement this call.")
    answer(crm.Changed, 412, "The record has changed: get it again.")
    # No 503: the same search would take as long again.
    answer(
        database.TookTooLong,
        422,
        "The search takes too long. Ask for fewer, longer or rarer words, or one condition less.",
    )

    @app.errorhandler(crm.Conflict)
    def conflict(error: crm.Conflict) -> Any:
        return api.answer(409, str(error))

    @app.errorhandler(crm.Invalid)
    def invalid(error: crm.Invalid) -> Any:
        place = "query" if request.method == "GET" else "json"
        return api.answer(422, "A value can't be used.", errors={place: {k: [v] for k, v in error.errors.items()}})

    for unavailable in database.Unavailable:

        @app.errorhandler(unavailable)
        def not_served(error: Exception) -> Any:
            problem = database.problem_of(error)
            if problem is None:
                raise error
            app.logger.error("The database can't serve: %s", problem.reason)
            if request.blueprint == "health":
                return api.answer(503, f"The database can't serve now. {problem.reason}.", headers={"Retry-After": "5"})
            if problem.disk_full:  # no 507: clients back off and try again on 503 alone
                return api.answer(503, "The disk is full; try again later.", headers={"Retry-After": "60"})
            return api.answer(503, "The database can't serve now.", headers={"Retry-After": "5"})


def _name() -> None:
    """Tell the logs what to call the request: its id, and the route in place of the path."""
    rule, environ = request.url_rule, request.environ
    environ[logs.ROUTE] = _as_described(rule.rule) if rule else "-"
    environ[logs.REQUEST_ID] = logs.request_id(environ.get("HTTP_X_REQUEST_ID", ""))


@cache
def _as_described(rule: str) -> str:
    return rule.replace("<record_id:", "{").replace("<address:", "{").replace("<", "{").replace(">", "}")


def _identify() -> None:
    """Every call of the API needs a token, also one that no route has; the others need none.

    A call without Authorization is no login that failed: many clients show nothing before they were asked for it.
    """
    if not f"{request.path}/".startswith(f"{PROTECTED}/"):
        return
    caller = tokens.authenticate(_token())
    if caller is None:
        seconds = _refuse(401) if "Authorization" in request.headers else 0
        if seconds:
            raise TooManyRequests("Too many calls with a token that is not valid.", retry_after=seconds)
        challenges = [WWWAuthenticate(kind, {"realm": "connector"}) for kind in ("bearer", "basic")]
        raise Unauthorized("This call needs a valid token.", www_authenticate=challenges)
    g.caller = caller
    request.environ[logs.LABEL] = caller.label
    crm.calling_token.set(caller.token_id)
    crm.calling_user.set(caller.user_id)


def _forget_caller(_: BaseException | None) -> None:
    crm.calling_token.set(None)  # the thread serves others next
    crm.calling_user.set(None)
    crm.unmatched.set(())
    database.release()


def _refuse(status: int) -> int:
    """Keep that this call was refused; gives the seconds for which to answer 429."""
    address, route = request.remote_addr or "", request.environ[logs.ROUTE]
    brake: tokens.Brake = current_app.extensions["brake"]
    return brake.refuse(status, _token(), address, request.method, route)


def _token() -> str:
    """The token of the request: of Bearer, or of Basic as the password, or as the user name with an empty password."""
    sent = request.authorization
    if sent is not None and sent.type == "bearer":
        return sent.token or ""
    if sent is not None and sent.type == "basic":
        return sent.get("password") or sent.get("username") or ""
    return ""


def _harden(response: Response) -> Response:
    """People's emails: kept in no cache, never taken for something else than they are."""
    response.headers.setdefault("Cache-Control", "no-store")
    response.headers.add("X-Content-Type-Options", "nosniff")
    response.headers.add("X-Request-ID", request.environ[logs.REQUEST_ID])
    return response


def _note(response: Response) -> Response:
    """A call with a token is counted, and the token's use remembered; both are written down some seconds later."""
    caller: tokens.Caller | None = g.get("caller")
    if caller is None:
        return response
    activity: Activity = current_app.extensions["activity"]
    activity.note_use(caller.token_id)
    if caller.scopes is tokens.SCOPES["sync"]:
        environ = request.environ
        call = f"{logs.known(environ['REQUEST_METHOD'])} {environ[logs.ROUTE]}"
        activity.count(caller.user_id, response.status_code, call, crm.unmatched.get())
    return response


def _drain_unread_body(response: Response) -> Response:
    """A client that is cut off while it still sends a large email does not read why it was refused."""
    if response.status_code >= 400 and response.status_code != 413:  # that body has been drained as far as is sensible
        drain_unread_body(request)
    return response
