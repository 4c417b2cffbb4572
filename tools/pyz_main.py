"""The start of connector.pyz: unpack it where that has not been done yet, then run ``cli.main``.

It has to be unpacked because compiled libraries and the migrations must be files. They go to the first of these
folders that can be written and is nobody else's: ``CONNECTOR_CACHE``, the user's cache folder, ``instance`` in the
current folder (where the database is, too), the system's temporary folder. Each build has a folder of its own there;
older ones may be deleted.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from zipfile import ZipFile


def main() -> None:
    with ZipFile(Path(__file__).parent) as archive:
        build, *built_for = archive.read("BUILD").decode().split()
        if built_for and not set(built_for).intersection(EXTENSION_SUFFIXES):
            sys.exit(f"This file is for {' and '.join(built_for)}; this Python is {EXTENSION_SUFFIXES[0]}.")
        sys.path.insert(0, str(unpacked(archive, build)))

    import cli

    cli.main()


def unpacked(archive: ZipFile, build: str) -> Path:
    """The folder with the files of this build, unpacked by now."""
    for root in roots():
        with contextlib.suppress(OSError):
            for folder in (root.parent, root):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if root.stat().st_uid == os.geteuid() and not root.stat().st_mode & 0o022:
                unpack(archive, root / build)
                return root / build
    sys.exit("No folder to unpack to can be written. Set CONNECTOR_CACHE to one that can.")


def roots() -> Iterator[Path]:
    if chosen := os.environ.get("CONNECTOR_CACHE"):
        yield Path(chosen).absolute()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    if cache.parent.is_dir():  # users made for a service have no home
        yield cache / "connector"
    yield Path("instance/.unpacked").absolute()
    yield Path(tempfile.gettempdir()) / f"connector-{os.geteuid()}"


def unpack(archive: ZipFile, folder: Path) -> None:
    """Under another name first, so that a start that is cut short, or two at once, leave no half of it."""
    if folder.exists():
        return
    part = Path(tempfile.mkdtemp(prefix="part-", dir=folder.parent))
    try:
        archive.extractall(part)
        part.rename(folder)
    except OSError:
        shutil.rmtree(part, ignore_errors=True)
        if not folder.exists():  # else another start was quicker
            raise


if __name__ == "__main__":
    main()
