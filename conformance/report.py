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
WHOSE: dict[Demand, str] = {"aurinko": "What Aurinko demands", "ours": "What we settled"}
NOT_IN_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
MOST_CURL = 1200


class Terminal:
    """A sign for each rule while they run, grouped; then what failed, and why."""

    def __init__(self, out: TextIO, base_url: str) -> None:
        self.out = out
        self.group = ""
        self._say(f"BrightSync conformance · {base_url}")

    def tell(self, result: Result) -> None:
        if result.rule.group != self.group:
            self.group = result.rule.group
            self._say(f"\n  {self.group:10} ", end="")
        self._say(SIGNS[result.status], end="")

    def summary(self, report: Report) -> None:
        self._say("\n")
        failed = report.of("failed", "aurinko") + report.of("failed", "ours")
        for result in failed:
            self._say(_story(result))
        if failed:
            self._say("The curl lines show the same failures; they take the token from $TOKEN.\n")
        for reason, results in groupby(sorted(report.of("not offered"), key=lambda one: one.got), lambda one: one.got):
            self._say(f"– not offered: {', '.join(one.rule.id for one in results)}\n    {reason}")
        if any("answered 403" in result.got for result in report.of("not offered")):
            self._say("A call that answered 403 may be open to another token: give it with --admin-token.\n")
        for demand, words in WHOSE.items():
            counts = [f"{len(report.of(status, demand))} {status}" for status in SIGNS]
            self._say(f"{words + ':':22} {', '.join(counts)}")
        for sentence in report.left_behind:
            self._say(sentence)

    def _say(self, text: str, end: str = "\n") -> None:
        """Print what the terminal's character set can show."""
        encoding = self.out.encoding or "utf-8"
        print(text.encode(encoding, "replace").decode(encoding), end=end, file=self.out, flush=True)


def _story(result: Result) -> str:
    rule = result.rule
    lines = [f"✗ {rule.id} ({rule.demand}): {rule.title}", f"    contract: {rule.contract}"]
    lines += [f"    expected: {result.expected}", f"    got:      {result.got}"]
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
