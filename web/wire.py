"""How a request is read and an answer written: strict JSON in, pages and places out, a scope for every route."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import wraps
from http import HTTPStatus
from itertools import islice
from json import JSONDecodeError, JSONDecoder
from typing import Any, NoReturn, TypeVar
from urllib.parse import parse_qsl, quote, urlencode

import flask_smorest
from flask import Request, Response, current_app, g, request
from flask_smorest import abort
from gunicorn.http.errors import NoMoreData, ParseException
from marshmallow import Schema, fields
from webargs.flaskparser import FlaskParser
from werkzeug.datastructures import MultiDict
from werkzeug.http import dump_options_header
from werkzeug.routing import BaseConverter, PathConverter

from crm import Page, Record, Versions
from web.fields import ID_IN_PATH, RECORD_ID, Position

View = TypeVar("View", bound=Callable[..., Any])

DEEPEST = 32  # levels of nesting in a JSON body; no email has more than five
MOST_COMMAS = 20_000  # between the values of a JSON body: 5,000 recipients with names, and 500 files

# Occur in real mail, and no database stores them all.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MEDIA_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_PIECE = 2**20  # characters
_MAY_BE_UNSTORABLE = re.compile(rb"\\u(0000|[dD][89a-fA-F])")
_TEXT_OR_COMMA = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|(,)', re.DOTALL)


class BadRequestBody(ValueError):
    """A body that is no JSON as RFC 8259 wants it; the message says why."""


_BODY = "connector.body"


class Parser(FlaskParser):
    """Reads query strings and JSON bodies; flask-smorest gives what it reads to the schemas."""

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        """`name[]=` is the same as `name=`, and repeated values keep the order in which they came."""
        values: dict[str, list[str]] = {}
        for name, value in parse_qsl(req.query_string.decode(errors="replace"), True, errors="replace"):
            values.setdefault(name.removesuffix("[]"), []).append(_UNSTORABLE.sub("\ufffd", value))
        return {
            name: found if isinstance(schema.fields.get(name), fields.List) else found[0]
            for name, found in values.items()
        }

    def load_json(self, req: Request, schema: Schema) -> Any:
        if not req.is_json:
            abort(415, message="The body must be JSON, with Content-Type: application/json.")
        if req.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            abort(415, message="The body must not be compressed.", headers={"Accept-Encoding": "identity"})
        try:
            if _BODY not in req.environ:  # read once, also where the connection was lost and the call is made again
                req.environ[_BODY] = parse_json(_read_body(req))
            return req.environ[_BODY]
        except BadRequestBody as error:
            abort(400, message=str(error))
        except (ParseException, NoMoreData, ConnectionError):  # what gunicorn raises while it reads; or nobody is there
            abort(400, message="The body is not chunked as HTTP wants it, or ended too soon.")


class RecordIdConverter(BaseConverter):
    """An id in a path."""

    regex = RECORD_ID

    def to_python(self, value: str) -> str:
        return _UNSTORABLE.sub("\ufffd", value)

    @staticmethod
    def description(converter: BaseConverter) -> dict[str, Any]:
        return {**ID_IN_PATH, "examples": ["1"]}


class AddressConverter(RecordIdConverter):
    """A normalized address in a path; it may hold a slash."""

    regex = PathConverter.regex
    part_isolating = False

    @staticmethod
    def description(converter: BaseConverter) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, "examples": ["new@acme.example"]}


_IDS = {
    "id": "The id of the record.",
    "attachmentId": "The id of the attachment.",
    "userId": "The id of the user.",
    "ruleId": "The id of the rule.",
    "address": "The address, as the list has it.",
}
_EXAMPLES = {"address": "new@acme.example"}
# What views call them: `id` is Python's own.
_ARGUMENTS = {"id": "record_id", "attachmentId": "attachment_id", "userId": "user_id", "ruleId": "rule_id"}


def _condition(name: str, description: str) -> dict[str, Any]:
    return {"in": "header", "name": name, "description": description, "schema": {"type": "string"}}


_KNOWN = "The `ETag` of the record as it is known: where it"
_IF_MATCH = _condition("If-Match", f"{_KNOWN} has changed since, the answer is 412.")
_IF_NONE_MATCH = _condition("If-None-Match", f"{_KNOWN} is still the same, the answer is 304.")


class Blueprint(flask_smorest.Blueprint):
    """A blueprint on which no route can be written without the scope of tokens that may call it."""

    ARGUMENTS_PARSER = Parser()

    def alt_response(self, *args: Any, **kwargs: Any) -> Callable[[View], View]:
        """Describe an answer. flask-smorest's own also puts a function around the view, for each call to go through."""
        describe = super().alt_response(*args, **kwargs)

        def decorator(view: View) -> View:
            view._apidoc = describe(view)._apidoc  # type: ignore[attr-defined]
            return view

        return decorator

    def route(self, rule: str, *, scope: str, versions: bool = True, **options: Any) -> Callable[[View], View]:
        """A call of the API, as the contract writes it: `/{id}/emails`. The view gets the id as `record_id`.

        `scope`: "sync" for what BrightSync needs, "admin" for the CRM's own use; an admin token may call both.
        `versions`: whether what `/{id}` gives is a record, with its version.
        """

        def decorator(view: View) -> View:
            @wraps(view)
            def guarded(*args: Any, **kwargs: Any) -> Any:
                if scope not in g.caller.scopes:
                    abort(403, message=f"This call needs a token with the scope {scope}.")
                return view(*args, **{_ARGUMENTS.get(name, name): value for name, value in kwargs.items()})

            ids = re.findall(r"{(\w+)}", rule)
            method = options["methods"][0]
            parameters: list[dict[str, Any]] = [
                {"in": "path", "name": name, "description": _IDS[name], "example": _EXAMPLES.get(name, "1")}
                for name in ids
            ]
            if rule == "/{id}" and versions:
                parameters.append(_IF_NONE_MATCH if method == "GET" else _IF_MATCH)
                unmet = self.alt_response(304) if method == "GET" else self.alt_response(412, "PRECONDITION_FAILED")
                guarded = unmet(guarded)
            has_body = method in ("POST", "PUT", "PATCH") and "{address}" not in rule
            statuses = [401, 403, 429, 503] + [404] * bool(ids) + [400, 413, 415] * has_body
            refusals = {str(status): HTTPStatus(status).name for status in statuses}
            security = [{"bearer": [scope]}, {"basic": [scope]}]
            guarded = self.doc(operationId=view.__name__, security=security, responses=refusals)(guarded)
            guarded.scope = scope  # type: ignore[attr-defined]
            path = re.sub(r"{(\w+)}", r"<record_id:\1>", rule).replace("<record_id:address>", "<address:address>")
            return super(Blueprint, self).route(path, parameters=parameters, **options)(guarded)

        return decorator


def parse_json(body: bytes) -> Any:
    """The value of a JSON text. NUL and lone surrogates become U+FFFD. Raises BadRequestBody.

    Stricter than Python's own reader where RFC 8259 leaves a choice that loses something: duplicate keys, NaN and
    Infinity, numbers that no double holds, nesting deeper than DEEPEST and more than MOST_COMMAS are refused.
    """
    if body.count(b",") > MOST_COMMAS:  # the letters of texts among them
        commas = (found for found in _TEXT_OR_COMMA.finditer(body) if found[1])
        if next(islice(commas, MOST_COMMAS, None), None):
            raise BadRequestBody(f"The body has more than {MOST_COMMAS} commas between its values.")
    try:
        value = _DECODER.decode(body.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise BadRequestBody("The body is not UTF-8.") from None
    except JSONDecodeError as error:
        raise BadRequestBody(f"The body is not JSON: {error.msg} at character {error.pos}.") from None
    except RecursionError:
        raise BadRequestBody(_TOO_DEEP) from None
    level = [value]
    for _ in range(DEEPEST):
        level = [one for parent in level for one in _children(parent) if isinstance(one, dict | list)]
        if not level:
            break
    else:
        raise BadRequestBody(_TOO_DEEP)
    return _storable(value) if _MAY_BE_UNSTORABLE.search(body) else value


_TOO_DEEP = f"The body is nested deeper than {DEEPEST} levels."


def _children(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _storable(value: Any) -> Any:
    if isinstance(value, str):  # in pieces: Python lets no other thread run while a pattern is at work
        pieces = (value[n : n + _PIECE] for n in range(0, len(value), _PIECE))
        return "".join(_UNSTORABLE.sub("\ufffd", piece) for piece in pieces)
    if isinstance(value, dict):
        return {_storable(key): _storable(one) for key, one in value.items()}
    return [_storable(one) for one in value] if isinstance(value, list) else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise BadRequestBody("An object in the body has two values for one name.")
    return result


def _integer(digits: str) -> int:
    _double(digits)  # larger ones have no value in most languages; those of 64 bits without a sign are common as ids
    return int(digits)


def _double(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise BadRequestBody("The body holds a number that does not fit into a double.")
    return number


def _no_constant(name: str) -> NoReturn:
    raise BadRequestBody(f"The body holds {name}, which JSON does not have.")


_DECODER = JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_double, parse_constant=_no_constant, strict=True
)


def _read_body(req: Request) -> bytes:
    """The whole body. Werkzeug's own limit would cut a chunked body short, without a word; so it is counted here."""
    limit: int = current_app.config["BODY_LIMIT"]
    stream = _stream(req)
    body: bytes = stream.read(limit + 1) if (req.content_length or 0) <= limit else b""
    if (req.content_length or len(body)) > limit:
        _drain(stream, 2 * limit - len(body))
        abort(413, message=f"The body is larger than {limit} bytes.")
    if len(body) < (req.content_length or 0):
        abort(400, message="The body ended before its Content-Length.")
    return body


def drain_unread_body(req: Request) -> None:
    """For an answer that does not depend on the body: gunicorn leaves what is more than 64 KiB of it unread."""
    with suppress(OSError, NoMoreData, ParseException):  # the client is gone, or sends what is no HTTP
        _drain(_stream(req), current_app.config["BODY_LIMIT"])


def _stream(req: Request) -> Any:
    return req.environ["wsgi.input"] if req.environ.get("wsgi.input_terminated") else req.stream


def _drain(stream: Any, most: int) -> None:
    """Read on for a while: a client that is still sending when the connection is closed never sees the answer."""
    while most > 0 and (part := stream.read(min(most, 1 << 16))):
        most -= len(part)


def _header(name: str, description: str, kind: str = "string", required: bool = True) -> dict[str, Any]:
    """What the description says of a header of an answer."""
    told = {"description": description, "schema": {"type": kind}}
    return {name: {**told, "required": True} if required else told}


ETAG = _header("ETag", "The version of the record.")
LOCATION = {**_header("Location", "The path of the record."), **ETAG}
NEXT = _header("Link", 'The next page: `<…>; rel="next"`; none at the end.', required=False)
FILE_NAME = _header("Content-Disposition", "The name.")
_RETRY = _header("Retry-After", "Seconds to wait.", "integer")
# What the description shows of each refusal: its message, as an example, and its headers. Of 422: schemas.Error.
REFUSALS: dict[int, tuple[str, dict[str, Any]]] = {
    400: ("The body is not JSON.", {}),
    401: ("This call needs a valid token.", _header("WWW-Authenticate", "How to show a token.")),
    403: ("This call needs a token with the scope admin.", {}),
    404: ("There is no such record.", {}),
    409: ("Another email has this rfc822MsgId.", {}),
    412: ("The record has changed: get it again.", {}),
    413: ("The body is larger than 37748736 bytes.", {}),
    415: ("The body must be JSON, with Content-Type: application/json.", {}),
    429: ("Too many calls with a token that is not valid.", _RETRY),
    503: ("The database can't serve now.", _RETRY),
}


def created_or_ok(outcome: tuple[Any, bool], noun: str = "") -> tuple[Any, int, dict[str, str]]:
    """The answer of a verb that gives a record and whether it is new: 201 and its Location, or 200.

    `noun`: where the record is found, if not under the path of the call.
    """
    record, created = outcome
    if not created:
        return record, 200, _tagged(record)
    path = f"/api/v1/{noun}" if noun else request.path  # of a PUT the record's path, else that of all of its kind
    here = quote(f"{request.script_root}{path}")
    location = here if request.view_args and not noun else f"{here}/{quote(record['id'], safe='')}"
    return record, 201, {"Location": location, **_tagged(record)}


def record_response(record: Record) -> Any:
    """The answer that shows a record, with its version; 304 where the client has said that it has this one."""
    asked = request.method in ("GET", "HEAD") and "HTTP_IF_NONE_MATCH" in request.environ
    if asked and request.if_none_match.contains_weak(record["updatedAt"]):
        return Response(status=304, headers=_tagged(record))
    return record, 200, _tagged(record)


def if_match() -> Versions:
    """The versions of the record with which alone the call is to be made (RFC 9110, 13.1.1); None for any.

    `*` holds every version, and a weak tag is none.
    """
    return request.if_match if "HTTP_IF_MATCH" in request.environ else None


def _tagged(record: Record) -> dict[str, str]:
    return {"ETag": f'"{record["updatedAt"]}"'}  # no two changes have one time


def page_response(page: Page) -> tuple[Any, int, dict[str, str]]:
    """The answer that shows a page: its records, and the link of the next one (RFC 8288)."""
    if page.next is None:
        return page.records, 200, {}
    arguments = MultiDict(request.args)
    arguments["cursor"] = Position.of(*page.next)
    following = f"{quote(request.script_root + request.path)}?{urlencode(list(arguments.items(multi=True)))}"
    return page.records, 200, {"Link": f'<{following}>; rel="next"'}


_LONGEST_NAME = 255  # bytes of a file's name, as file systems have it; in the header each may become three
_LONGEST_ENDING = 32  # of these
# Control characters; what separates folders; what turns the direction of writing, so that `exe.pdf` may be a program.
_NOT_IN_NAMES = re.compile("[\x00-\x1f\x7f-\x9f/\\\\\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_NOT_PLAIN = re.compile("[^ -~]|%")  # browsers differ in whether they decode `%41` in the plain name


def download(file: Mapping[str, Any]) -> Response:
    """The answer that is a file out of an email: a browser saves it and never runs it, whatever it says it is."""
    kind = str(file["mimeType"] or "")
    answer = Response(file["content"], mimetype=kind if _MEDIA_TYPE.fullmatch(kind) else "application/octet-stream")
    answer.headers["Content-Disposition"] = _disposition(str(file["name"] or ""))
    answer.headers["Content-Security-Policy"] = "sandbox; default-src 'none'"
    answer.headers["Cache-Control"] = "no-store"
    answer.make_conditional(request, accept_ranges=True, complete_length=len(file["content"]))
    return answer


def _disposition(name: str) -> str:
    """The header for a file of any name (RFC 6266): in ASCII, and where that is not all of it, as it is (RFC 8187)."""
    name = _shortened(_NOT_IN_NAMES.sub("_", name))
    name = name if name.strip(" .") else "attachment"
    plain = _NOT_PLAIN.sub("_", name)
    names = {"filename": plain} | ({"filename*": f"UTF-8''{quote(name, safe='')}"} if plain != name else {})
    return dump_options_header("attachment", names)


def _shortened(name: str) -> str:
    """A name of at most _LONGEST_NAME bytes, with its ending."""
    stem, dot, ending = name.rpartition(".")
    if not dot or len(ending) > _LONGEST_ENDING:
        stem, dot, ending = name, "", ""
    room = _LONGEST_NAME - len(f"{dot}{ending}".encode())
    return stem.encode()[:room].decode(errors="ignore") + dot + ending
