"""No answer sends a client elsewhere, and links hold under the prefix at which the service is mounted."""

from typing import Any

import pytest
from flask import Flask


@pytest.mark.parametrize("path", ["/api//v1/emails", "/api/v1//contacts", "/api/v1/emails/"])
def test_two_slashes_are_no_redirect(client: Any, path: str) -> None:
    """It would lead to http, and to whatever host the client named."""
    response = client.open(environ_overrides={"PATH_INFO": path, "HTTP_HOST": "elsewhere.example"})
    assert response.status_code == 404
    assert "Location" not in response.headers


def test_two_slashes_at_the_beginning_are_one(client: Any, anonymous: Any) -> None:
    """And no way around the token."""
    elsewhere = {"PATH_INFO": "//api/v1/emails"}
    assert client.open(environ_overrides=elsewhere).status_code == 200
    assert anonymous.open(environ_overrides=elsewhere).status_code == 401


def test_no_rule_ends_with_a_slash(app: Flask) -> None:
    """One that does answers the path without it with a redirect."""
    assert [rule.rule for rule in app.url_map.iter_rules() if rule.rule.endswith("/") and rule.rule != "/"] == []


def test_the_next_page_is_under_the_prefix(client: Any) -> None:
    for name in ("a", "b"):
        client.put(f"/api/v1/companies/{name}", json={"name": name})
    response = client.get("/api/v1/companies?limit=1", environ_overrides={"SCRIPT_NAME": "/crm"})
    assert response.headers["Link"].startswith("</crm/api/v1/companies?")
