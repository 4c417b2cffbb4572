"""The kit's command line: `python -m conformance --base-url URL --token TOKEN`."""

import argparse
import os
import sys
from pathlib import Path

from conformance import RULES
from conformance.report import Terminal, as_json, as_junit
from conformance.run import Unusable, chosen, run
from conformance.session import Known, Named

USAGE = 2


def main(arguments: list[str] | None = None) -> int:
    """Run the rules and report; the exit status.

    0 when all demands of Aurinko's page and of safety hold; 1 when one failed (with --strict also one of ours), or
    when no contact could be looked up, as the server makes none and none was named; 2 when nothing could be asked.
    """
    options = _parser().parse_args(arguments)
    if unknown := [pattern for pattern in options.only if not chosen([pattern])]:
        print(f"no rule is called {', '.join(unknown)}: see --list", file=sys.stderr)
        return USAGE
    if options.list:
        for one in chosen(options.only):
            print(f"{one.id:30} {one.demand:8} {one.title}")
        return 0
    if not str(options.base_url).startswith(("http://", "https://")) or not options.token:
        print(
            "give the server's --base-url, such as http://127.0.0.1:8000, and a --token (or set TOKEN)", file=sys.stderr
        )
        return USAGE
    named = Known(options.contact, options.company, options.deleted, options.user, options.left_token)
    terminal = Terminal(sys.stdout, options.base_url, options.strict)
    try:
        report = run(
            options.base_url, options.token, options.admin_token, options.only, terminal.tell, named, terminal.warn
        )
    except (Unusable, ValueError) as reason:
        print(reason, file=sys.stderr)
        return USAGE
    terminal.summary(report)
    if options.json:
        options.json.write_text(as_json(report), encoding="utf-8")
    if options.junit:
        options.junit.write_text(as_junit(report), encoding="utf-8")
    failed = [one for one in report.of("failed") if options.strict or one.rule.demand != "ours"]
    return 1 if failed or not (report.knows_contacts or options.only) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m conformance", description=f"Check {len(RULES)} rules of the wire contract."
    )
    parser.add_argument("--base-url", metavar="URL", help="where the server is, such as http://127.0.0.1:8000")
    parser.add_argument(
        "--token", metavar="T", default=os.environ.get("TOKEN"), help="BrightSync's token (default: $TOKEN)"
    )
    parser.add_argument(
        "--admin-token",
        metavar="T",
        default=os.environ.get("ADMIN_TOKEN"),
        help="a token for what --token may not do, such as deleting (default: $ADMIN_TOKEN)",
    )
    parser.add_argument("--strict", action="store_true", help="fail for a rule of ours too, and report it in full")
    there = "a record that the server has, to be looked up and not changed; repeatable"
    parser.add_argument("--contact", metavar="ID=ADDRESS", type=Named.of, action="append", default=[], help=there)
    parser.add_argument("--company", metavar="ID=DOMAIN", type=Named.of, action="append", default=[], help=there)
    parser.add_argument(
        "--user",
        metavar="ADDRESS",
        action="append",
        default=[],
        help="a user that the server has, to be looked up; the token's own among them; repeatable",
    )
    parser.add_argument(
        "--deleted",
        metavar="ID=ADDRESS",
        type=Named.of,
        action="append",
        default=[],
        help="a contact that was deleted and must not be shown (the address may be missing), a company likewise "
        "(ID=DOMAIN), or the address of a user who has left; repeatable",
    )
    parser.add_argument("--left-token", metavar="T", help="a token of a user who has left: no call may succeed with it")
    parser.add_argument(
        "--only", metavar="RULE", action="append", default=[], help="check this rule, or 'lookup-*'; repeatable"
    )
    parser.add_argument("--list", action="store_true", help="list the rules and stop")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results as JSON")
    parser.add_argument("--junit", metavar="FILE", type=Path, help="write the results as JUnit XML")
    return parser


if __name__ == "__main__":
    sys.exit(main())
