"""Where a call's time goes: `python -m bench.layers [--db FILE]`. Needs wrk, and py-spy: pip install py-spy.

Loads the connector with one call after the other, looks 500 times a second what its workers are doing, and counts for
each library how often its code, or C code called by it, was at work. Prints a Markdown table.
"""

import argparse
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import database
from bench.generate import Data, generate, size_of
from bench.load import Server, calls, copied, load, write_requests
from web import tokens

SECONDS = 5
# The innermost frame, as `function (file:line)`, that one of these describes says whose the moment was: what none
# describes is Python's own library, and counts for its caller.
LAYERS = {
    "access log": r"\((logging/|gunicorn/glogging|gunicorn\.conf\.py|web/logs\.py)",
    "gunicorn": r"\((gunicorn/|web/worker\.py|selectors\.py)",
    "Flask, Werkzeug": r"\((flask|werkzeug)/",
    "flask-smorest, webargs, marshmallow": r"\((flask_smorest|webargs|marshmallow)/|\((schemas|web/fields)\.py",
    "commit": r"commit \(peewee\.py",
    "Peewee, SQLite": r"\(peewee\.py|\((playhouse|database)/",
    "text of HTML": r"\(crm/preview\.py",
    "ours": r"\((app|models|clock)\.py|\((crm|routes|store|web)/",
}
# Not at work: waiting for a request, or for the write lock.
WAITING = "|".join(
    (
        r"(wait|acquire) \(threading\.py",
        r"_(serve|watch) \(web/worker\.py",
        r"select \(selectors\.py",
        r"write_lock \(database/sqlite\.py",
    )
)


def layer(stack: str) -> str | None:
    """Whose moment it was; None for nobody's. A stack names its frames with a ; between them, the outermost first."""
    frames = stack.split(";")[::-1]
    if re.search(WAITING, frames[0]):
        return None
    return next((name for frame in frames for name, own in LAYERS.items() if re.search(own, frame)), None)


def profile(server: Server, requests: Path, token: str) -> Counter[str]:
    """How many of the looks found each layer at work."""
    command = ["py-spy", "record", "--rate", "500", "--format", "raw", "--duration", str(SECONDS)]
    output = requests.with_suffix(".stacks")
    spies = [
        subprocess.Popen(
            [*command, "--output", f"{output}{worker}", "--pid", str(worker)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for worker in server.processes()[1:]
    ]
    load(server, requests, token, SECONDS + 2)
    found: Counter[str] = Counter()
    for spy, worker in zip(spies, server.processes()[1:], strict=True):
        if spy.wait():
            raise SystemExit("py-spy may not look at other processes: try as root.")
        for line in Path(f"{output}{worker}").read_text().splitlines():
            stack, _, number = line.rpartition(" ")
            if name := layer(stack):
                found[name] += int(number)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", type=Path, help="made by bench.generate, and not written to; 5,000 mails if not given")
    options = parser.parse_args()
    for program in ("wrk", "py-spy"):
        if not shutil.which(program):
            raise SystemExit(f"This needs {program}.")
    with TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        source = options.db or folder / "generated.db"
        if not options.db:
            generate(5_000, source)
        with copied(source, folder / "served.db") as served:
            url = f"sqlite:///{served}"
            database.start(url)
            token = tokens.create("u0", "admin", "bench")
            database.stop()
            files = write_requests(calls(Data(size_of(source))), folder)
            server = Server("/health/live", DATABASE_URL=url)
            print(f"| call | {' | '.join(LAYERS)} |\n|---|{'---|' * len(LAYERS)}")
            try:
                for call, file in files.items():
                    found = profile(server, file, token)
                    shares = (f"{found[name] / found.total():.0%}" for name in LAYERS)
                    print(f"| {call} | {' | '.join(shares)} |", flush=True)
            finally:
                server.stop()


if __name__ == "__main__":
    main()
