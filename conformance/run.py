"""Run the rules one by one, and take away what they made."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import conformance.rules  # noqa: F401  (each module enters its rules into RULES)
from conformance.client import Answer, Failed, NotOffered
from conformance.rule import RULES, Demand, Result, Rule, Status
from conformance.session import NOTHING_NAMED, Known, Session

IN_USE = (
    "The server has emails already. This run makes some hundred records, large ones among them, and deletes what it\n"
    "may; traces stay, such as rows of a change feed. Rather run it on a copy, or on an empty database."
)
_FINDS_CONTACTS = ("lookup-one", "your-contact-lookup")


class Unusable(Exception):
    """There is no point in asking: the server can't be reached, or refuses the token."""


@dataclass
class Report:
    """The results in the order of the rules, and what could not be taken away again."""

    base_url: str
    results: list[Result] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)

    @property
    def knows_contacts(self) -> bool:
        """False where there was no contact to be found: then hardly a rule about contacts says anything."""
        finding = [one for one in self.results if one.rule.id in _FINDS_CONTACTS]
        return not finding or any(one.status != "not offered" for one in finding)

    def of(self, status: Status, demand: Demand | None = None) -> list[Result]:
        return [one for one in self.results if one.status == status and demand in (None, one.rule.demand)]


def run(
    base_url: str,
    token: str,
    admin_token: str | None = None,
    only: Collection[str] = (),
    tell: Callable[[Result], None] = lambda result: None,
    named: Known = NOTHING_NAMED,
    warn: Callable[[str], None] = lambda sentence: None,
) -> Report:
    """Check the rules whose ids match one of `only` (all of them if empty), calling `tell` after each.

    `named`: records that the server has already.

    Raises Unusable when the server can't be reached or refuses the token.
    """
    crm = Session(base_url, token, admin_token, named)
    _say_hello(crm)
    if _is_in_use(crm):
        warn(IN_USE)
    report = Report(crm.base_url)
    try:
        for one in chosen(only):
            result = check(one, crm)
            report.results.append(result)
            tell(result)
    finally:
        report.left_behind = crm.clean_up()
    return report


def chosen(only: Collection[str]) -> Iterable[Rule]:
    """The rules whose ids match one of the shell patterns; all of them if there are none."""
    return [one for one in RULES.values() if not only or any(fnmatchcase(one.id, pattern) for pattern in only)]


def _say_hello(crm: Session) -> None:
    try:
        hello = crm.get("/users/me")
    except Failed as failure:
        raise Unusable(f"{crm.base_url} can't be reached: {failure.__cause__}") from failure
    if hello.status == 401:
        raise Unusable(f"{crm.base_url} refuses the token, or does not know its user: {hello.summary()}")


def _is_in_use(crm: Session) -> bool:
    """Whether the server has emails already, as far as it tells."""
    try:
        answer = crm.get("/emails")
        return answer.status == 200 and bool(answer.records)
    except Failed:
        return False


def check(one: Rule, crm: Session) -> Result:
    """How the server fares with one rule."""
    crm.exchanges.clear()
    try:
        one.check(crm)
    except NotOffered as reason:
        return Result(one, "not offered", got=_hidden(str(reason), crm))
    except Failed as failure:
        shown = failure.answer or (crm.exchanges[-1] if crm.exchanges else None)
        sent = _hidden(shown.request.gist(), crm) if shown and shown.request.is_packed else ""
        return Result(one, "failed", _curl(crm, shown), _hidden(failure.expected, crm), _hidden(failure.got, crm), sent)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # The check stumbled over an answer of a shape that it did not foresee.
        return Result(one, "failed", _curl(crm, crm.exchanges[-1]), "an answer of the contract's shape", repr(error))
    return Result(one, "passed")


def _curl(crm: Session, shown: Answer | None) -> str:
    """The request that showed the fault; where that one only read, the last write comes before it."""
    if shown is None:
        return ""
    earlier = crm.exchanges[: crm.exchanges.index(shown)] if shown in crm.exchanges else []
    writes = [answer for answer in earlier if answer.request.method != "GET"]
    steps = writes[-1:] + [shown] if shown.request.method == "GET" else [shown]
    return _hidden("\n".join(answer.request.curl() for answer in steps), crm)


def _hidden(text: str, crm: Session) -> str:
    """The text without the tokens, should the server have repeated one."""
    for name, token in crm.tokens.items():
        text = text.replace(token, f"${name}")
    return text
