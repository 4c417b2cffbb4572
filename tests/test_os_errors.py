"""Of the errors of the system, only those of the database's own files mean that the database can't serve."""

import errno
import logging
import os
from typing import Any

import pytest

import crm
from tests.samples import assert_error


@pytest.mark.parametrize("kind", [OSError, PermissionError, BrokenPipeError, TimeoutError])
def test_another_one_is_a_fault_of_the_program(
    app: Any, client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: type[OSError]
) -> None:
    def fails(_: str) -> Any:
        raise kind(errno.EIO, os.strerror(errno.EIO), "/etc/secret")

    app.config["PROPAGATE_EXCEPTIONS"] = False
    monkeypatch.setattr(crm, "get_contact", fails)
    with caplog.at_level(logging.ERROR):
        assert_error(client.get("/api/v1/contacts/1"), 500)
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "database" not in caplog.records[0].getMessage()


@pytest.mark.sqlite
def test_the_databases_own_is_503(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/etc/secret")

    monkeypatch.setattr("database.sqlite.open_private", fails)
    answer = client.put("/api/v1/contacts/1", json={})
    assert_error(answer, 503)
    assert "Retry-After" in answer.headers
