"""GET /metrics: right for all workers together, without a word of anybody's, and not there unless switched on."""

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.samples import EMAILS, JANE, MAIL, PROJECT, Server, ask, environment, serving, until

LOOKUP = "/api/v1/contacts/lookup"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Our own gunicorn with three workers that count."""
    (tmp_path / "scratch").mkdir()
    with serving(tmp_path, METRICS="on", WORKERS=3, THREADS=1, TMPDIR=tmp_path / "scratch") as running:
        yield running


def scrape(server: Server) -> dict[tuple[str, ...], float]:
    """What is counted now, by the name of a sample and the values of its labels, in the order of their names."""
    status, headers, text = ask(server, "GET", "/metrics", Authorization="")
    assert (status, headers.get_content_type()) == (200, "text/plain")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def requests(server: Server, method: str, route: str, status: int) -> float:
    """How many answers of a kind are counted."""
    return scrape(server).get(("connector_requests_total", method, route, str(status)), 0)


def folder(server: Server) -> Path:
    """Where the workers count."""
    [found] = (server.output.parent / "scratch").iterdir()
    return found


def counting(server: Server) -> set[int]:
    """The processes that have counted something."""
    return {int(file.stem.removeprefix("counter_")) for file in folder(server).glob("counter_*.db")}


def test_answers_are_counted_by_route_method_and_status(server: Server) -> None:
    """And new mails, copies, and look-ups that found somebody or nobody; how long it took, for each route."""
    mail = json.dumps(MAIL).encode()
    assert [ask(server, "POST", EMAILS, mail)[0] for _ in range(3)] == [201, 200, 200]
    assert ask(server, "POST", "/api/v1/contacts", json.dumps(JANE).encode())[0] == 201
    for address in ("jane@acme.example", "nobody@acme.example", "x@acme.example"):
        assert ask(server, "GET", f"{LOOKUP}?emails={address}")[0] == 200
    assert ask(server, "GET", f"{LOOKUP}?emails=jane@acme.example", Authorization="")[0] == 401
    assert ask(server, "GET", "/api/v1/contacts/jane@acme.example")[0] == 404
    until(lambda: requests(server, "GET", "/api/v1/contacts/{id}", 404) == 1)
    counted = scrape(server)
    assert counted["connector_requests_total", "POST", EMAILS, "201"] == 1
    assert counted["connector_requests_total", "POST", EMAILS, "200"] == 2
    assert counted["connector_requests_total", "GET", LOOKUP, "200"] == 3
    assert counted["connector_requests_total", "GET", LOOKUP, "401"] == 1
    assert counted["connector_lookups_total", "hit", LOOKUP] == 1
    assert counted["connector_lookups_total", "miss", LOOKUP] == 2
    assert counted["connector_request_duration_seconds_count", "POST", EMAILS] == 3
    assert counted["connector_request_duration_seconds_bucket", "+Inf", "POST", EMAILS] == 3
    assert 0 < counted["connector_request_duration_seconds_sum", "POST", EMAILS] < 90


def test_a_database_that_does_not_serve_is_counted(server: Server) -> None:
    """As the 503 that it is answered with."""
    lock = server.output.parent / "connector.db-lock"
    lock.unlink()
    lock.mkdir()
    assert ask(server, "POST", EMAILS, b"{}")[0] == 503
    until(lambda: requests(server, "POST", EMAILS, 503) == 1)


def test_the_workers_are_added_up_also_when_one_was_killed(server: Server) -> None:
    """Nothing is forgotten or counted twice, whichever of them is asked."""
    sent = 0

    def call_until(enough: Any) -> None:
        nonlocal sent
        while not enough():
            assert ask(server, "GET", "/health/live", Authorization="")[0] == 200
            sent += 1
            assert sent < 10_000
        until(lambda: requests(server, "GET", "/health/live", 200) == sent)

    call_until(lambda: len(counting(server)) >= 2)
    killed = min(counting(server))
    os.kill(killed, signal.SIGKILL)
    until(lambda: server.output.read_text().count("Booting worker") == 4)
    known = counting(server)
    call_until(lambda: len(counting(server)) > len(known))
    assert killed in counting(server)
    assert [requests(server, "GET", "/health/live", 200) for _ in range(10)] == [sent] * 10


def test_a_worker_that_was_killed_as_it_began_to_count_is_no_trouble(server: Server) -> None:
    """Its file is empty, and stays."""
    (folder(server) / "counter_1.db").touch()
    assert ask(server, "GET", "/health/live")[0] == 200
    until(lambda: requests(server, "GET", "/health/live", 200) == 1)


def test_no_label_is_what_somebody_sent(server: Server) -> None:
    """Whatever is not there, and whatever method is none, has one label; a robot can't make the list long."""
    for word in ("jane", "john", "erin"):
        assert ask(server, "GET", f"/{word}")[0] == 404
        assert ask(server, "GET", f"/api/v1/{word}")[0] == 404
        assert ask(server, word.upper(), "/health/live")[0] == 405
        assert ask(server, "GET", f"/{word * 2500}")[0] == 414
    until(lambda: requests(server, "-", "-", 414) == 3)
    counted = {key: value for key, value in scrape(server).items() if key[0] == "connector_requests_total"}
    assert {key: value for key, value in counted.items() if key[2] != "/metrics"} == {
        ("connector_requests_total", "GET", "-", "404"): 6,
        ("connector_requests_total", "-", "-", "405"): 3,
        ("connector_requests_total", "-", "-", "414"): 3,
    }


def test_the_files_are_private_and_go_when_the_server_ends(server: Server) -> None:
    """Also those of workers that ended before."""
    place = folder(server)
    assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert ask(server, "GET", "/health/live")[0] == 200
    until(lambda: counting(server))
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(30)
    assert not place.exists()


def test_the_numbers_outlive_a_reload(server: Server) -> None:
    """SIGHUP replaces the workers, and starts no second count."""
    assert ask(server, "GET", "/health/live")[0] == 200
    until(lambda: requests(server, "GET", "/health/live", 200) == 1)
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.output.read_text().count("Worker exiting") == 3)
    assert ask(server, "GET", "/health/live")[0] == 200
    until(lambda: requests(server, "GET", "/health/live", 200) == 2)


def test_it_is_off_unless_switched_on(anonymous: Any) -> None:
    """Not even to somebody with a token."""
    assert anonymous.get("/metrics").status_code == 404


def test_what_is_off_is_not_loaded(tmp_path: Path) -> None:
    """It would cost each worker its memory, and each start its time."""
    code = "import sys, app; app.create_app(); sys.exit(any('prometheus' in name for name in sys.modules))"
    for value, loaded in (("off", 0), ("on", 1)):
        done = subprocess.run([sys.executable, "-c", code], env=environment(tmp_path, METRICS=value), cwd=PROJECT)
        assert done.returncode == loaded
