"""The API's own description, the page that shows it, and the pages of docs/."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from docs import generate
from tests.samples import PROJECT

METHODS = {"get", "post", "put", "patch", "delete"}


@pytest.fixture
def description(anonymous: Any) -> Any:
    """GET /openapi.json, without a token."""
    response = anonymous.get("/openapi.json")
    assert (response.status_code, response.content_type) == (200, "application/json")
    return response.json


@pytest.fixture
def operations(description: Any) -> dict[str, Any]:
    """The operations of the description, by method and path."""
    return {
        f"{method.upper()} {path}": operation
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


def fields(schema: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The properties of a schema, at every depth, with their places."""
    for name, field in schema.get("properties", {}).items():
        yield f"{place}.{name}", field
        yield from fields(field, f"{place}.{name}")
    if "items" in schema:
        yield from fields(schema["items"], f"{place}[]")


# the description


def test_every_route_is_described_and_nothing_else(app: Any, operations: dict[str, Any]) -> None:
    """But for the description itself and its page."""
    routes = {
        f"{method} " + re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(("/api/", "/health/"))
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert operations.keys() == routes


def test_every_operation_has_a_summary_in_few_words(operations: dict[str, Any]) -> None:
    """A line of a table of contents, the same for no two."""
    summaries = [operation["summary"] for operation in operations.values()]
    assert all(re.fullmatch(r"[A-Z][^\n.]{4,50}", summary) for summary in summaries)
    assert len(set(summaries)) == len(summaries)


def test_every_operation_says_whether_it_needs_a_token(description: Any, operations: dict[str, Any]) -> None:
    """All do, by Bearer or Basic, but the health calls."""
    schemes = description["components"]["securitySchemes"]
    assert {(scheme["type"], scheme["scheme"]) for scheme in schemes.values()} == {
        ("http", "bearer"),
        ("http", "basic"),
    }
    for name, operation in operations.items():
        ways = operation.get("security", description["security"])
        assert [list(way) for way in ways] == ([] if "/health/" in name else [["bearer"], ["basic"]]), name


def test_every_operation_names_its_errors(description: Any, operations: dict[str, Any]) -> None:
    """By status where they are its own, and all in the one shape."""
    responses = description["components"]["responses"]
    for name, operation in operations.items():
        expected = set() if "/health/" in name else {"401", "403", "429"}
        if "{" in name:
            expected |= {"404"}
        if "requestBody" in operation:
            expected |= {"400", "413", "415", "422"}
        if any(parameter.get("in") == "query" for parameter in operation.get("parameters", [])):
            expected |= {"422"}
        assert expected <= operation["responses"].keys(), name
        for status, response in operation["responses"].items():
            if status[0] not in "123":
                named = responses[response["$ref"].rpartition("/")[2]] if "$ref" in response else response
                schema = named["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Error"}, (name, status)


def test_what_an_error_has_is_described(description: Any) -> None:
    """All four parts."""
    assert description["components"]["schemas"]["Error"]["properties"].keys() == {"code", "status", "message", "errors"}


def test_every_field_has_a_description_or_an_example(description: Any) -> None:
    """In every schema, at every depth."""
    schemas = description["components"]["schemas"]
    assert {"Email", "EmailIn", "Contact", "Company", "User"} <= schemas.keys()
    named = [place for name in schemas for place in fields(schemas[name], name) if place[0].count(".") == 1]
    bare = [place for place, field in named if not {"description", "examples", "$ref"} & field.keys()]
    assert bare == []


def test_every_parameter_has_a_description(operations: dict[str, Any]) -> None:
    """But for the id in a path, which says what it is."""
    bare = [
        f"{name} {parameter['name']}"
        for name, operation in operations.items()
        for parameter in operation.get("parameters", [])
        if "in" in parameter and parameter["in"] != "path" and "description" not in parameter
    ]
    assert bare == []


def test_every_reference_leads_somewhere(description: Any) -> None:
    """Readers of the description follow them all."""
    for reference in set(re.findall(r"'\$ref': '#/([^']*)'", str(description))):
        target = description
        for name in reference.split("/"):
            target = target[name]
        assert target


def test_schemas_have_one_name_each(description: Any) -> None:
    """No Email1 beside Email."""
    assert [name for name in description["components"]["schemas"] if re.search(r"\d$", name)] == []


# the page


def test_the_page_needs_no_token_and_no_internet(anonymous: Any) -> None:
    """All that it loads comes from here."""
    response = anonymous.get("/docs")
    assert (response.status_code, response.mimetype) == (200, "text/html")
    assert re.findall(r"(?:https?:)?//[^\s\"']+", response.text) == []
    loaded = re.findall(r'(?:src|href)="([^"]+)"', response.text)
    assert len(loaded) >= 4
    for path in loaded:
        with anonymous.get(f"/{path}") as asset:
            assert asset.status_code == 200, path
            assert len(asset.data) > 50


def test_the_page_has_no_inline_script_or_handler(anonymous: Any) -> None:
    """So a policy can forbid all of them."""
    text = anonymous.get("/docs").text
    assert re.findall(r"<script(?![^>]*\ssrc=)[^>]*>", text) == []
    assert all(not body.strip() for body in re.findall(r"<script[^>]*>(.*?)</script>", text, re.DOTALL))
    assert re.findall(r"\son\w+\s*=|javascript:|<style|\sstyle=", text) == []


@pytest.mark.parametrize("path", ["/docs", "/docs/start.js", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"])
def test_a_policy_forbids_scripts_from_elsewhere(anonymous: Any, path: str) -> None:
    """What is in the API's records can't run in the page that shows them."""
    with anonymous.get(path) as response:
        policy = dict(part.strip().split(" ", 1) for part in response.headers["Content-Security-Policy"].split(";"))
        assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"
    assert not any("http" in source or "*" in source or "unsafe-eval" in source for source in policy.values())


@pytest.mark.parametrize(
    "path", ["/docs/", "/docs/index.html", "/docs/oauth2-redirect.html", "/docs/../app.py", "/docs/x"]
)
def test_nothing_else_is_served_there(anonymous: Any, path: str) -> None:
    """Neither the package's own page, which has inline scripts, nor any other file."""
    assert anonymous.get(path).status_code == 404


# the pages of docs/


@pytest.mark.parametrize("name", ["commands.md", "calls.md"])
def test_what_is_made_from_the_code_is_up_to_date(description: Any, name: str) -> None:
    """Where this fails: `make docs`, and look at what has changed."""
    made = generate.commands_page() if name == "commands.md" else generate.calls_page(description)
    assert (PROJECT / "docs" / name).read_text() == made


def test_every_link_leads_somewhere() -> None:
    """From one page of the project to another, or to a heading in it; and docs/README.md knows all pages of docs/."""
    folders = [path for path in PROJECT.glob("[a-z]*/") if path.name not in ("build", "dist")]
    pages = [*PROJECT.glob("*.md"), *(page for folder in folders for page in folder.glob("**/*.md"))]
    text = {page.resolve(): page.read_text() for page in pages}
    broken = []
    for page, content in text.items():
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)\s]*)\)", content):
            there = (page.parent / target).resolve() if target else page
            headings = re.findall(r"^#+ (.*)$", text.get(there, ""), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            if not there.exists() or (anchor and anchor not in slugs):
                broken.append(f"{page.relative_to(PROJECT)}: {target}#{anchor}")
    assert broken == []
    listed = re.findall(r"\]\((\w[\w-]*\.md)\)", (PROJECT / "docs/README.md").read_text())
    assert {path.name for path in PROJECT.glob("docs/*.md")} == {*listed, "README.md"}
