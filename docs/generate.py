"""The pages of docs/ that the code itself says: commands.md and calls.md. `make docs` writes them anew."""

import re
from collections.abc import Iterator, Sequence
from inspect import cleandoc
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from app import create_app
from commands.cli import COMMANDS

_COMMANDS = """\
# Commands

<!-- Made from the code by `make docs`. -->

`flask …` in the project's folder, with its environment (`source .venv/bin/activate`); `python3 connector.pyz …` with
the single file; `sudo connector …` where it was installed as in [deploy.md](deploy.md). What they are for:
[use.md](use.md)."""

_CALLS = """\
# Calls

<!-- Made from the code by `make docs`. -->

The same to try is at `/docs` of a running service, and for programs at `/openapi.json`. What the calls are for:
[use.md](use.md). Limits, errors, and examples of what BrightSync calls: [aurinko.md](aurinko.md). All is JSON in UTF-8,
in camelCase, with times as RFC 3339. Lists come in pages: the next one is in the header `Link: <…>; rel="next"`."""

_ANY = "  [1<=x<=922"  # any number that the database can hold
_SHAPES = "In what is sent, a field that is missing is the same as one that is `null`, and as an empty list."


def commands_page() -> str:
    """All commands, with their options and help."""
    parts = [_COMMANDS]
    for command in COMMANDS:
        parts += _command(click.Context(command, info_name=command.name), "##")
    return "\n\n".join(parts) + "\n"


def _command(context: click.Context, level: str) -> Iterator[str]:
    command = context.command
    yield f"{level} {context.command_path}"
    if isinstance(command, click.Group):
        yield cleandoc(command.help or "")
        for name, one in command.commands.items():
            yield from _command(click.Context(one, info_name=name, parent=context), f"{level}#")
        return
    options = [one.get_help_record(context) for one in command.params if isinstance(one, click.Option)]
    usage = [word for word in command.collect_usage_pieces(context) if options or word != "[OPTIONS]"]
    yield f"`flask {' '.join([context.command_path, *usage])}`"
    yield cleandoc(command.help or "")
    if options:
        yield _table(["option", "what it does"], [(f"`{one[0]}`", one[1].partition(_ANY)[0]) for one in options if one])


def calls_page(description: dict[str, Any]) -> str:
    """All calls of an OpenAPI description, and the shapes of what goes in and out."""
    parts = [_CALLS]
    for tag in description["tags"]:
        parts += [f"## {tag['name'].replace('-', ' ').capitalize()}", tag["description"]]
        for path, item in description["paths"].items():
            for method, operation in item.items():
                if method != "parameters" and tag["name"] in operation["tags"]:
                    operation["parameters"] = [*item.get("parameters", []), *operation.get("parameters", [])]
                    parts += _operation(description, f"{method.upper()} {path}", operation)
    parts += ["## Shapes", _SHAPES]
    for name, schema in description["components"]["schemas"].items():
        fields = [(f"`{field}`", _kind(one), one.get("description", "")) for field, one in schema["properties"].items()]
        parts += [f"### {name}", _table(["field", "type", "what it is"], fields)]
    return "\n\n".join(parts) + "\n"


def _operation(description: dict[str, Any], name: str, operation: dict[str, Any]) -> Iterator[str]:
    yield f"### {operation['summary']}"
    scopes = [scope for way in operation["security"] for names in way.values() for scope in names]
    yield f"`{name}`, {f'scope `{scopes[0]}`' if scopes else 'without a token'}"
    if "description" in operation:
        yield operation["description"]
    if operation["parameters"]:
        rows = [(f"`{one['name']}`", _place(one), one["description"]) for one in operation["parameters"]]
        yield _table(["parameter", "in", "what it is"], rows)
    if "requestBody" in operation:
        yield f"Body: {_content(operation['requestBody'])}"
    answers = sorted(operation["responses"].items())
    good = [
        f"- {status} {answer['description']}{_content(answer, ': ')}" for status, answer in answers if status < "400"
    ]
    refused = ", ".join(status for status, _ in answers if status >= "400")
    yield "\n".join(["Answers:\n", *good, *([f"- refused: {refused}"] if refused else [])])


def _place(parameter: dict[str, Any]) -> str:
    default = parameter["schema"].get("default")
    is_required = parameter.get("required") and parameter["in"] != "path"
    return (
        parameter["in"]
        + (", required" if is_required else "")
        + ("" if default is None else f", `{str(default).lower()}` if not given")
    )


def _content(message: dict[str, Any], before: str = "") -> str:
    for kind, content in message.get("content", {}).items():
        return before + (_kind(content["schema"]) if kind == "application/json" else "the file")
    return ""


def _kind(schema: dict[str, Any]) -> str:
    """The type of a value, for people."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    named = schema.get("type", [])
    kinds = [named] if isinstance(named, str) else [*named, *map(_kind, schema.get("anyOf", []))]
    kinds = [kind for kind in dict.fromkeys(kinds) if kind not in ("", "null")]
    if kinds == ["array"]:
        return f"list of {_kind(schema['items'])}"
    return "time" if schema.get("format") == "date-time" else " or ".join(kinds)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(map(_cell, row))} |" for row in [head, ["---"] * len(head), *rows])


def _cell(text: str) -> str:
    return re.sub(r"\s+", " ", text).replace("|", r"\|")


def pages() -> dict[str, str]:
    """The text of each page, by the name of its file."""
    with TemporaryDirectory() as folder:
        client = create_app({"DATABASE_URL": f"sqlite:///{folder}/connector.db"}).test_client()
        description: Any = client.get("/openapi.json").json
    return {"commands.md": commands_page(), "calls.md": calls_page(description)}


if __name__ == "__main__":
    for name, text in pages().items():
        Path(__file__).with_name(name).write_text(text)
