"""What a rule is: its name, who demands it, the contract's line, and the check; and the demands that checks make."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from conformance.client import Failed, shorten
from conformance.session import Session

Demand = Literal["aurinko", "safety", "ours"]
Status = Literal["passed", "failed", "not offered"]
Check = Callable[[Session], None]

AURINKO: Demand = "aurinko"
SAFETY: Demand = "safety"
OURS: Demand = "ours"


@dataclass(frozen=True)
class Rule:
    """One line of the contract that can be checked.

    `demand` says who asks for it: "aurinko" what Aurinko's page names and nothing else; "safety" what no server may do,
    whatever its other choices are: an open door, a server error, an acknowledged email that is lost or mixed with
    another; "ours" what our contract settled beyond that. The first two decide the exit status.
    """

    id: str
    demand: Demand
    contract: str
    title: str
    group: str
    check: Check


@dataclass(frozen=True)
class Result:
    """How one rule fared; `curl`, `expected` and `got` are empty where it passed.

    `sent`: what is odd about a body that `curl` can only show packed.
    """

    rule: Rule
    status: Status
    curl: str = ""
    expected: str = ""
    got: str = ""
    sent: str = ""


RULES: dict[str, Rule] = {}


def rule(rule_id: str, demand: Demand, contract: str, title: str = "") -> Callable[[Check], Check]:
    """Enter a check into RULES; its title is the first line of the docstring unless one is given."""

    def enter(check: Check) -> Check:
        if rule_id in RULES:
            raise ValueError(f"two rules are called {rule_id}")
        words = title or (check.__doc__ or "").strip().partition("\n")[0]
        group = check.__module__.rpartition(".")[2].replace("_", " ")
        RULES[rule_id] = Rule(rule_id, demand, contract, words, group, check)
        return check

    return enter


def same(what: str, wanted: Any, got: Any) -> None:
    """Demand that two JSON values are equal to the letter; true is not 1, and 1 is not 1.0."""
    one, other = (json.dumps(value, sort_keys=True, ensure_ascii=True) for value in (wanted, got))
    if one != other:
        raise Failed(f"{what} {_from_difference(one, other)}", _from_difference(other, one))


def true(what: str, holds: bool, got: Any) -> None:
    """Demand what `what` says in words."""
    if not holds:
        raise Failed(what, shorten(got if isinstance(got, str) else json.dumps(got, default=str)))


def same_fields(wanted: dict[str, Any], record: dict[str, Any], *but: str) -> None:
    """Demand that the record has each field of `wanted`, except those named in `but`, to the letter."""
    for field in wanted.keys() - set(but):
        same(field, wanted[field], record.get(field))


def instant(text: Any) -> datetime:
    """The moment that an RFC 3339 time names, in UTC; no offset means UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except (TypeError, ValueError) as error:
        raise Failed("an RFC 3339 time", json.dumps(text)) from error
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _from_difference(text: str, other: str) -> str:
    """The text from a little before it differs from the other one, so that a long value shows its fault."""
    differs = next(
        (at for at, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), min(len(text), len(other))
    )
    start = max(0, differs - 40) if differs > 80 else 0
    return ("…" if start else "") + shorten(text[start:]) + (f" ({len(text)} characters in all)" if start else "")
