"""The configuration: environment variables, checked at start.

>>> load({"PORT": "9000"})["PORT"]
9000
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from terminal import printable

VERSION = "1.0.0"  # the connector's, by https://semver.org; CHANGELOG.md says what each has

MIB = 1024 * 1024


class Misconfigured(SystemExit):
    """A setting that can't be used: ends the program with a sentence that says which and why."""

    def __init__(self, sentence: str) -> None:
        super().__init__(printable(sentence))  # it may quote a path or the name of a machine


def usable_database(url: str) -> None:
    """Raises ValidationError for what can name no database."""
    if url.startswith("postgresql://"):
        return  # the driver looks at the rest
    path = url.removeprefix("sqlite:///")
    if path in (url, "", ":memory:"):
        raise ValidationError("It must be sqlite:/// and the path of a file, or a postgresql:// address.")
    if Path(path).exists() and not Path(path).is_file():  # its lock file would be made beside a folder, or in /dev
        raise ValidationError("It names a folder or a device; it must be sqlite:/// and the path of a file.")


def _number(default: int, least: int, most: int, description: str) -> fields.Integer:
    return fields.Integer(
        load_default=default, validate=validate.Range(least, most), metadata={"description": description}
    )


def _switch(default: str, description: str) -> fields.String:
    known = validate.OneOf(["on", "off"], error="It must be on or off.")
    return fields.String(load_default=default, validate=known, metadata={"description": description})


class Settings(Schema):
    """Each field is an environment variable; its description is the README's table."""

    class Meta:
        unknown = EXCLUDE

    DATABASE_URL = fields.String(
        load_default="sqlite:///instance/connector.db",
        validate=usable_database,
        metadata={
            "description": "The database: `sqlite:///` and a path, relative to the folder it is started in; or "
            "`postgresql://user@host/name`, in which host may be several, separated by commas."
        },
    )
    HOST = fields.String(
        load_default="127.0.0.1",
        validate=validate.Regexp(r"[\w.:%-]{1,63}\Z", error="It must be an address of this machine."),
        metadata={"description": "The address to listen on; `0.0.0.0` for all (put TLS in front of it)."},
    )
    PORT = _number(8080, 1, 65535, "The port to listen on.")
    WORKERS = _number(2, 1, 64, "Worker processes; one a processor.")
    THREADS = _number(4, 1, 64, "Threads of each worker: how many slow calls it answers side by side.")
    BODY_LIMIT = _number(
        36 * MIB, 1024, 1024 * MIB, "The largest request body in bytes; 36 MiB is a 25 MiB attachment in base64."
    )
    METRICS = _switch("off", "`on` for `GET /metrics`, in Prometheus' format; it needs no token.")
    PAGES = _switch("on", "`off` serves no pages for people, only the API.")
    TRUSTED_PROXIES = _number(
        0, 0, 10, "Proxies in front that add to `X-Forwarded-For`; with 0 that header is ignored."
    )
    FREE_MAIL_COMPANIES = _switch(
        "off", "`on` lets a domain of free mail, such as `gmail.com`, find the companies that have it."
    )
    UNMATCHED = _switch("on", "`off`: addresses that BrightSync looked up in vain are not kept; those that were, go.")
    ORG_ID = fields.String(
        load_default="default",
        validate=validate.Length(1, 255),
        metadata={"description": "`orgId` of the users that are added without one of their own."},
    )


def load(environment: Mapping[str, Any]) -> dict[str, Any]:
    """The settings named in the environment, and the defaults of the others. Raises Misconfigured."""
    given, wrong = dict(environment), {}
    for name in Settings().fields:
        if f"{name}_FILE" in given:
            try:
                given[name] = _content(given[f"{name}_FILE"], name in given)
            except ValidationError as error:
                wrong[f"{name}_FILE"] = error.messages
    try:
        loaded: dict[str, Any] = Settings().load(given)
    except ValidationError as error:
        wrong |= error.normalized_messages()
    if wrong:
        reasons = [f"{name}: {' '.join(why)}" for name, why in wrong.items()]
        raise Misconfigured(f"The configuration can't be used. {' '.join(reasons)}")
    return loaded


def _content(path: str, given_twice: bool) -> str:
    """The value of a setting that is in a file, as containers are given secrets; a newline ends it.

    Raises ValidationError.
    """
    if given_twice:
        raise ValidationError("Set it or the variable without _FILE, not both.")
    try:
        return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
    except OSError as error:
        raise ValidationError(f"{path} can't be read: {error.strerror}.") from None
    except ValueError:  # also a path with a NUL
        raise ValidationError("The file is not UTF-8.") from None
