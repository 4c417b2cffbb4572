"""GET /docs: the OpenAPI description as a page to read and to try calls from. It needs no internet.

The page is Swagger UI. flask-smorest's own page is started by an inline script, which the policy below forbids, and
needs the files from somewhere: they come from the package flask-swagger-ui, of which nothing else is used.
"""

from importlib.resources import files

from flask import Blueprint, Response, abort, send_from_directory

docs = Blueprint("docs", __name__, url_prefix="/docs")

_ASSETS = str(files("flask_swagger_ui") / "dist")
_NAMES = {"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"}

# Swagger UI styles by attributes and draws with data: images, hence the two exceptions; scripts have none.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

# Addresses are relative, so that a proxy may put a path before them all.
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>BrightSync CRM connector: the API</title>
<link rel="icon" href="docs/favicon-32x32.png">
<link rel="stylesheet" href="docs/swagger-ui.css">
<script src="docs/swagger-ui-bundle.js" defer></script>
<script src="docs/start.js" defer></script>
</head>
<body>
<div id="api"></div>
<noscript>This page needs JavaScript; <a href="openapi.json">the description itself</a> does not.</noscript>
</body>
</html>
"""

# No validator badge: it would ask a server on the internet.
_START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#api",
  deepLinking: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
"""


@docs.get("")
def page() -> Response:
    """The page."""
    return _with_policy(Response(_PAGE, mimetype="text/html"))


@docs.get("/start.js")
def start() -> Response:
    """What the page runs."""
    return _with_policy(Response(_START, mimetype="text/javascript"))


@docs.get("/<name>")
def asset(name: str) -> Response:
    """A file of Swagger UI."""
    if name not in _NAMES:
        abort(404)
    return _with_policy(send_from_directory(_ASSETS, name, max_age=24 * 3600))


def _with_policy(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response
