"""Break things while mail is logged, and look whether any was lost: `python -m bench.faults [NAME…] [--quick]`.

Prints a Markdown table. Ends with 1 where an acknowledged mail was lost or something else went wrong.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from importlib import import_module

from bench.faults.report import Outcome

FAULTS = ["kill", "deploy", "backup", "soak", "power", "disk", "postgresql", "failover"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m bench.faults")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FAULTS)}; all, if none is given")
    parser.add_argument("--quick", action="store_true", help="few tries, as in the tests")
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(FAULTS):
        parser.error(f"There is no {', '.join(unknown)}.")

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # leave no service behind
    passed = True
    print("| fault | tries | acknowledged | lost | seconds | verdict |\n|---|---|---|---|---|---|", flush=True)
    for name in chosen.names or FAULTS:
        began = time.monotonic()
        for one in _outcomes(name, chosen.quick):
            seconds, began = time.monotonic() - began, time.monotonic()
            figures = f"{one.tries:,} | {one.acknowledged:,} | {one.lost:,} | {seconds:.0f}"
            print(f"| {one.fault} | {figures} | {' '.join(one.verdict.split())} |", flush=True)
            passed = passed and one.passed
    sys.exit(not passed)


def _outcomes(name: str, quick: bool) -> Iterator[Outcome]:
    """Of one module; where it could not go on, the others are tried all the same."""
    try:
        yield from import_module(f"bench.faults.{name}").run(quick=quick)
    except (Exception, SystemExit) as error:
        yield Outcome(name, 0, 0, 0, f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main()
