"""Makes connector.pyz, which `make dist` calls: the libraries, the program and the licences in one file.

    python -m deploy.single_file dist/connector.pyz NAME …

Without psycopg it runs on each Python from 3.11 on: nh3 is compiled for all of them, and MarkupSafe does without its
compiled part. Psycopg is compiled for one version of Python, and brings 10 MB: it is only in a file whose name says so,
and that file runs on the version that made it alone. Either says in a sentence which Python it needs.
"""

import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, distributions
from pathlib import Path

from shiv import builder, cli

FOLDER = Path("build/pyz")
LICENCES = "THIRD-PARTY.txt"

# Run before all else, by whatever Python there is, even 2.7; shiv has no place for it but its template.
MAIN = """\
import sys
if not {needed}:
    sys.exit("{name} needs Python {words}, and this is Python %d.%d." % sys.version_info[:2])
try:
    import {{module}}
    {{module}}.{{fn}}()
except ImportError as error:
    import sysconfig
    this = sysconfig.get_config_var("SOABI")
    reason = str(error).splitlines()[-1]
    sys.exit("{name} was made by {made_by}, and this is %s: %s. Make one here: make dist" % (this, reason))
"""

PREFACE = """\
The single file holds these libraries, unchanged, each by its own licence. The texts follow; ours is LICENSE.
"""
PSYCOPG = """
psycopg and psycopg-binary are under the GNU Lesser General Public License (LGPL), version 3. They are used as they are
published at https://pypi.org/project/psycopg/, where their source is too. You may replace them: the file unpacks itself
into ~/.cache/connector, and `make dist POSTGRESQL=1` makes it anew with the version that requirements.lock names.
psycopg-binary holds compiled copies of other libraries: libpq (PostgreSQL Licence), OpenSSL (Apache 2.0), OpenLDAP
(OpenLDAP Public License), MIT Kerberos and Cyrus SASL (licences like BSD's), libxcrypt and keyutils (LGPL 2.1).
"""


def main(target: Path, names: Sequence[str]) -> None:
    """Make the file of what these names are, and of the libraries."""
    postgresql = "postgresql" in target.name
    shutil.rmtree(FOLDER, ignore_errors=True)
    _install(postgresql)
    for name in names:
        if Path(name).is_dir():
            shutil.copytree(name, FOLDER / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(name, FOLDER)
    licences = _licences(postgresql)
    (FOLDER / LICENCES).write_text(licences)
    target.parent.mkdir(exist_ok=True)
    (target.parent / LICENCES).write_text(licences)
    subprocess.run(["chmod", "-R", "u=rwX,go=rX", FOLDER], check=True)
    this = sys.version_info[:2] if postgresql else (3, 11)
    words = f"{this[0]}.{this[1]}{'' if postgresql else ' or newer'}"
    builder.MAIN_TEMPLATE = MAIN.format(
        name=target.name,
        needed=f"sys.version_info[:2] {'==' if postgresql else '>='} {this}",
        words=words,
        made_by=sysconfig.get_config_var("SOABI"),
    )
    # It unpacks itself in the user's home, where nobody else can write: what lies there is run.
    options = ["--python", "/usr/bin/env python3", "--root", "~/.cache/connector", "--reproducible"]
    paths = ["--site-packages", str(FOLDER), "--output-file", str(target)]
    cli.main([*options, *paths, "--entry-point", "commands.cli:main"], standalone_mode=False)
    print(f"{target}: {target.stat().st_size / 1e6:.1f} MB, for Python {words}")  # noqa: T201


def _install(postgresql: bool) -> None:
    entries = re.split(r"\n(?=\S)", Path("requirements.lock").read_text())
    wanted = FOLDER.with_name("requirements.txt")
    wanted.parent.mkdir(exist_ok=True)
    wanted.write_text("\n".join(one for one in entries if postgresql or not one.startswith("psycopg")))
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--quiet",
        "--disable-pip-version-check",
        "install",
        "--no-compile",
        "--no-deps",
    ]
    subprocess.run([*pip, "--require-hashes", "--target", FOLDER, "-r", wanted], check=True)
    shutil.rmtree(FOLDER / "bin", ignore_errors=True)


def _licences(postgresql: bool) -> str:
    found = sorted(distributions(path=[str(FOLDER)]), key=lambda one: one.name.lower())
    table = "\n".join(f"{one.name:20} {one.version:16} {_licence(one)}" for one in found)
    texts = "".join(text for one in found for text in _texts(one))
    return f"{PREFACE}\n{table}\n{PSYCOPG if postgresql else ''}{texts}"


def _licence(library: Distribution) -> str:
    told = library.metadata
    names = [one.rpartition(" :: ")[2] for one in told.get_all("Classifier") or [] if one.startswith("License ::")]
    return str(told["License-Expression"] or ", ".join(names) or told["License"] or "see its text")


def _texts(library: Distribution) -> Iterator[str]:
    for file in library.files or []:
        if re.match(r"(LICEN[CS]E|COPYING|NOTICE|AUTHORS|ICON_LICENSE)", file.name):
            yield f"\n\n{'=' * 100}\n{library.name} {library.version}: {file}\n{'=' * 100}\n\n{file.read_text()}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
