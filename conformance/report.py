"""The results for people, for CI (JUnit) and for programs (JSON)."""

import json
import re
from itertools import groupby
from textwrap import indent
from typing import TextIO
from xml.etree import ElementTree

from conformance.client import Json
from conformance.rule import Demand, Result, Status
from conformance.run import Report

SIGNS: dict[Status, str] = {"passed": "✓", "failed": "✗", "not offered": "–"}
WHOSE: dict[Demand, str] = {
    "aurinko": "What Aurinko's page names",
    "safety": "What no server may do",
    "ours": "What we settled",
}
NOTHING_ABOUT_CONTACTS = (
    "This run has verified nothing about contacts, and is no pass: the server makes none (POST /contacts), and none\n"
    "was named. Name some that it has: --contact ID=ADDRESS, --company ID=DOMAIN, --user ADDRESS, --deleted ID.\n"
)
NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MOST_CURL = 1200
UNIQUE = re.compile(r"[\w.<@+-]*\d[\w.@>-]*")  # ids, addresses and times: what differs between answers to one bug


class Terminal:
    """A sign for each rule while they run, grouped; then what failed, and why."""

    def __init__(self, out: TextIO, base_url: str, strict: bool = False) -> None:
        """`strict`: failures of our own rules are told in full as well."""
        self.out = out
        self.strict = strict
        self.group = ""
        self._say(f"BrightSync conformance · {base_url}")

    def warn(self, sentence: str) -> None:
        self._say(sentence)

    def tell(self, result: Result) -> None:
        if result.rule.group != self.group:
            self.group = result.rule.group
            self._say(f"\n  {self.group:10} ", end="")
        self._say(SIGNS[result.status], end="")

    def summary(self, report: Report) -> None:
        self._say("\n")
        if not report.knows_contacts:
            self._say(NOTHING_ABOUT_CONTACTS)
        if report.left_behind:
            self._say("\n".join(report.left_behind) + "\n")
        failed = [one for demand in WHOSE if demand != "ours" or self.strict for one in report.of("failed", demand)]
        for first, *others in _alike(failed):
            self._say(_story(first))
            if others:
                ids = ", ".join(one.rule.id for one in others)
                self._say(f"    {len(others)} more failed with the same answer: {ids}\n")
        if failed:
            self._say("The curl lines show the same failures; they take the token from $TOKEN.\n")
        if not self.strict and (ours := report.of("failed", "ours")):
            self._say(
                f"Of what we settled, these failed (--strict tells why): {', '.join(one.rule.id for one in ours)}\n"
            )
        for reason, results in groupby(sorted(report.of("not offered"), key=lambda one: one.got), lambda one: one.got):
            self._say(f"– not offered: {', '.join(one.rule.id for one in results)}\n    {reason}")
        if any("answered 403" in result.got for result in report.of("not offered")):
            self._say("A call that answered 403 may be open to another token: give it with --admin-token.\n")
        for demand, words in WHOSE.items():
            counts = [f"{len(report.of(status, demand))} {status}" for status in SIGNS]
            self._say(f"{words + ':':27} {', '.join(counts)}")

    def _say(self, text: str, end: str = "\n") -> None:
        """Print what the terminal's character set can show."""
        encoding = self.out.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), end=end, file=self.out, flush=True)


def _alike(failed: list[Result]) -> list[list[Result]]:
    """Failures by the answer that they share: one bug may fail a hundred rules."""
    groups: dict[str, list[Result]] = {}
    for result in failed:
        groups.setdefault(UNIQUE.sub("…", result.got), []).append(result)
    return list(groups.values())


def _story(result: Result) -> str:
    rule = result.rule
    lines = [f"✗ {rule.id} ({rule.demand}): {rule.title}", f"    contract: {rule.contract}"]
    lines += [f"    expected: {result.expected}", f"    got:      {result.got}"]
    lines += [f"    sent:     {result.sent}"] if result.sent else []
    curl = result.curl if len(result.curl) <= MOST_CURL else result.curl[:MOST_CURL] + "… (whole in --json)"
    return "\n".join([*lines, indent(curl, "    "), ""])


def as_json(report: Report) -> str:
    """`{"rules": [{"id", "demand", "status", …}]}`, and what could not be taken away."""
    rules: list[Json] = [
        {
            "id": result.rule.id,
            "demand": result.rule.demand,
            "status": result.status,
            "title": result.rule.title,
            "contract": result.rule.contract,
            "curl": result.curl,
            "expected": result.expected,
            "got": result.got,
            "sent": result.sent,
        }
        for result in report.results
    ]
    return json.dumps({"baseUrl": report.base_url, "rules": rules, "leftBehind": report.left_behind}, indent=1) + "\n"


def as_junit(report: Report) -> str:
    """One test case a rule; its class is whose demand it is."""
    counts = {
        "tests": len(report.results),
        "failures": len(report.of("failed")),
        "skipped": len(report.of("not offered")),
    }
    suite = ElementTree.Element(
        "testsuite", {"name": "conformance"} | {name: str(count) for name, count in counts.items()}
    )
    for result in report.results:
        names = {"classname": f"conformance.{result.rule.demand}", "name": result.rule.id}
        case = ElementTree.SubElement(suite, "testcase", names)
        if result.status == "failed":
            failure = ElementTree.SubElement(
                case, "failure", {"message": _xml(f"expected {result.expected}, got {result.got}")}
            )
            failure.text = _xml(_story(result))
        elif result.status == "not offered":
            ElementTree.SubElement(case, "skipped", {"message": _xml(result.got)})
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _xml(text: str) -> str:
    return NOT_IN_XML.sub("\ufffd", text)
