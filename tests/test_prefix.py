"""A proxy may put a path before all of the service's: addresses are relative to it, or keep it, and name no host."""

from typing import Any

import pytest

ELSEWHERE = {"SCRIPT_NAME": "/crm", "HTTP_HOST": "elsewhere.example", "HTTP_X_FORWARDED_HOST": "elsewhere.example"}


def test_the_description_keeps_it(client: Any) -> None:
    answer = client.get("/openapi.json", environ_overrides=ELSEWHERE)
    assert answer.status_code == 200
    assert [server["url"] for server in answer.json["servers"]] == ["."]


def test_links_keep_it(client: Any) -> None:
    for number in range(2):
        created = client.post("/api/v1/contacts", json={"id": str(number)}, environ_overrides=ELSEWHERE)
        assert created.headers["Location"] == f"/crm/api/v1/contacts/{number}"
    listed = client.get("/api/v1/contacts?limit=1", environ_overrides=ELSEWHERE)
    assert listed.headers["Link"].startswith("</crm/api/v1/contacts?")


@pytest.mark.parametrize(
    "path", ["/docs", "/docs/", "/docs/start.js", "/openapi.json", "/api/v1/emails", "//api/v1/emails", "/nowhere"]
)
def test_no_answer_names_the_host(client: Any, path: str) -> None:
    answer = client.get(path, environ_overrides=ELSEWHERE)
    assert b"elsewhere.example" not in answer.data
    assert "elsewhere.example" not in str(answer.headers)
    assert answer.status_code not in range(300, 400)
