"""Killed, restarted, copied, kept busy while mail is logged: nothing is lost that was acknowledged.

A few tries of each fault that `make faults` makes.
"""

from pathlib import Path
from types import ModuleType

import pytest

import crm
import database
from bench.faults import backup, deploy, kill, postgresql, rig, soak


@pytest.mark.parametrize(
    "fault", [kill, deploy, backup, soak, postgresql], ids=lambda fault: fault.__name__.rpartition(".")[2]
)
def test_nothing_is_lost(fault: ModuleType) -> None:
    """No mail that was acknowledged is missing or half there, every table agrees with it, and nobody is cut off."""
    outcomes = list(fault.run(quick=True))
    assert [outcome.verdict for outcome in outcomes if not outcome.passed] == []
    assert all(outcome.acknowledged > 20 for outcome in outcomes)


def test_what_is_lost_is_found(tmp_path: Path) -> None:
    """The look at what is left sees mail that is gone, that has another id, and that is half there."""
    service = rig.Service(tmp_path)
    database.start(service.url)
    acknowledged = {name: crm.log_email(rig.mail(name))[0]["id"] for name in ("gone", "cut", "whole", "unknown")}
    database.stop()
    assert rig.missing(service.url, acknowledged) == (0, [])
    database.start(service.url)
    crm.delete_email(acknowledged["gone"])
    database.execute("UPDATE email SET html_body = '<p>' WHERE id = ?", [acknowledged["cut"]])
    del acknowledged["unknown"]  # it is there: not acknowledged is not the same as not logged
    database.stop()
    assert rig.missing(service.url, acknowledged) == (1, [f"mail {acknowledged['cut']} is not as it was sent"])
    assert rig.missing(service.url, acknowledged | {"whole": "4711"})[0] == 2
