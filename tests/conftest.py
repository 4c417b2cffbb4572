"""A fresh database for every test, and clients that carry a token."""

import os
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Config, Flask
from flask.testing import FlaskClient
from werkzeug.datastructures import Headers

import crm
import database
from app import create_app
from clock import now
from database import sqlite
from models import User
from tests import memory, postgresql
from web import tokens
from web.activity import Activity

# The tests of the calls, which know nothing of our tables: they run once more on the verbs of tests/memory.py. Except
# those that patch something: it is something of ours.
OF_THE_CALLS = {
    "test_attachments",
    "test_bodies",
    "test_change_email",
    "test_changes",
    "test_companies",
    "test_company_timeline",
    "test_copies",
    "test_contacts",
    "test_find_emails",
    "test_get_email",
    "test_log_email",
    "test_lookup_companies",
    "test_lookup_contacts",
    "test_never_log",
    "test_quoting",
    "test_retention",
    "test_sync",
    "test_threads",
    "test_timeline",
    "test_unmatched",
    "test_users",
    "test_what_is_sent",
    "test_withheld",
}

# The tests of what is about SQLite's file and its ways alone.
OF_A_FILE = {
    "test_backup",
    "test_consistency",
    "test_crash",
    "test_doctor",
    "test_faults",
    "test_health",
    "test_restore",
}

# What needs nginx, strace or several servers, or takes minutes: `make test-system`.
OF_THE_SYSTEM = {
    "test_bombs",
    "test_browser",
    "test_commands",
    "test_conformance",
    "test_crash",
    "test_database_copy",
    "test_deploy",
    "test_doc_commands",
    "test_faults",
    "test_linear",
    "test_metrics",
    "test_races",
    "test_restore",
    "test_slow_clients",
    "test_standby",
    "test_two_servers",
    "test_worker",
}

USER = {
    "id": "u1",
    "orgId": "org",
    "name": "John Smith",
    "email": "john@brightsync.example",
    "timezone": "Europe/Berlin",
}


class Client(FlaskClient):
    """A test client that sends a token with every request that names no Authorization of its own."""

    token: str = ""

    def open(self, *args: Any, **kwargs: Any) -> Any:
        headers = Headers(kwargs.pop("headers", None))
        if self.token and "Authorization" not in headers:
            headers["Authorization"] = f"Bearer {self.token}"
        return super().open(*args, headers=headers, **kwargs)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests on both databases, and those of the calls on the verbs of tests/memory.py as well."""
    module = metafunc.module.__name__.rpartition(".")[2]
    chosen = any(mark.args[0] == "storage" for mark in metafunc.definition.iter_markers("parametrize"))
    if "storage" in metafunc.fixturenames and not chosen:
        storages = ["sqlite"] if module != "test_postgresql" else []
        if module not in OF_A_FILE and not metafunc.definition.get_closest_marker("sqlite"):
            storages.append("postgresql")
        if module in OF_THE_CALLS and "monkeypatch" not in metafunc.function.__code__.co_varnames:
            storages.append("memory")
        metafunc.parametrize("storage", storages, indirect=True)


# The rules of the kit, once more: CI asks them of our server on SQLite, of the store in memory and of the example on
# MariaDB, and the tests of the calls run on PostgreSQL there. `make test-system` asks all five.
LONG = ("test_our_server_keeps[on_postgresql", "test_the_example_keeps[sqlite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of the system, and those of them that CI leaves out."""
    for item in items:
        if item.path.stem in OF_THE_SYSTEM:
            item.add_marker("system")
        if item.name.startswith(LONG) and item.get_closest_marker("system"):
            item.add_marker("long")


@pytest.fixture
def storage(request: pytest.FixtureRequest) -> Iterator[str]:
    """What stands behind `crm`: our tables, or the verbs of tests/memory.py; tokens are ours with both."""
    chosen = getattr(request, "param", "sqlite")
    with pytest.MonkeyPatch.context() as patch:
        if chosen == "memory":
            memory.stand_in(patch)
        yield chosen


@pytest.fixture(scope="session")
def postgres() -> Iterator[postgresql.Databases]:
    """A PostgreSQL server: the one of TEST_DATABASE_URL, else one that is started for these tests."""
    with postgresql.databases(os.environ.get("TEST_DATABASE_URL")) as databases:
        yield databases


@pytest.fixture
def url(storage: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The DATABASE_URL of a database of its own, which for SQLite is not there yet."""
    if storage == "postgresql":
        with request.getfixturevalue("postgres").fresh() as fresh:
            yield fresh
    else:
        yield f"sqlite:///{tmp_path}/connector.db"


@pytest.fixture(scope="session", autouse=True)
def quiet() -> Iterator[None]:
    """No application of this process writes behind a test's back what it has counted: `flush` does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("app.Activity", partial(Activity, None))
        yield


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Flask:
    """The application, built once: to describe all its routes takes ten times as long as to make a database."""
    application = create_app({"DATABASE_URL": f"sqlite:///{tmp_path_factory.mktemp('built')}/connector.db"})
    application.test_client_class = Client
    own = {"org_id": USER["orgId"], "normalized": USER["email"], "created_at": now()}
    with database.writing():  # not by a verb: the store may be that of somebody's own tables (docs/own-tables.md)
        User.insert({name: USER[name] for name in ("id", "name", "email", "timezone")} | own).execute()
    database.stop()
    return application


@pytest.fixture
def app(built: Flask, url: str, storage: str) -> Iterator[Flask]:
    """The application on an empty database with one user; what a test sets of its configuration ends with it."""
    built_url = built.config["DATABASE_URL"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(built, "config", Config(built.root_path, {**built.config, "DATABASE_URL": url}))
        patch.setitem(built.extensions, "brake", tokens.Brake())
        patch.setitem(built.extensions, "activity", Activity(None))
        patch.setitem(sqlite._PRAGMAS, "synchronous", "off")  # what is written is thrown away
        if storage != "postgresql":  # to make the tables takes five times as long as to copy them
            shutil.copy(database.locate(built_url), database.locate(url))
        database.start(url, built.config["THREADS"])
        if storage != "sqlite":
            crm.add_user(USER)
        yield built
        database.stop()


@pytest.fixture
def client(app: Flask) -> Any:
    """A client that may do all."""
    return _client(app, "admin")


@pytest.fixture
def sync(app: Flask) -> Any:
    """A client that may do what BrightSync needs."""
    return _client(app, "sync")


@pytest.fixture
def anonymous(app: Flask) -> Any:
    """A client without a token."""
    return app.test_client()


def _client(app: Flask, scope: str) -> Any:
    client: Any = app.test_client()
    client.token = tokens.create(USER["id"], scope)
    return client
