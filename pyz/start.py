"""The first code of connector.pyz, its __main__.py: finds a folder to unpack into to which nobody else can write.

What lies there is run, so the folder is looked at before anything in it is. Nor may others write to a folder above it,
where they could put another one in its place; the sticky bit, which /tmp has, keeps them from that.
"""

import os
import sys
from pathlib import Path
from stat import S_ISVTX

_BY_OTHERS = 0o022  # the group or all may write


def find() -> Path:
    """The folder: SHIV_ROOT; without it instance/.unpacked, beside the database, or else ~/.cache/connector.

    It is made, if it is not there. Exits with a sentence where none can be used.
    """
    told = os.environ.get("SHIV_ROOT")
    reasons = []
    for place in [told] if told else ["instance/.unpacked", "~/.cache/connector"]:
        try:
            folder = Path(place).expanduser().resolve()
            reason = _make(folder)
            if not (reason or told or os.access(folder, os.W_OK)):
                reason = f"{folder} can't be written"
        except (OSError, RuntimeError) as error:  # RuntimeError: no home, or a circle of links
            reason = f"{place} can't be used: {getattr(error, 'strerror', None) or error}"
        if not reason:
            return folder
        reasons.append(reason)
    why = "; ".join(reasons)
    shown = "".join(c if c.isprintable() else "\ufffd" for c in why)
    sys.exit(f"The program can't be unpacked: {shown}. Let SHIV_ROOT name a folder of your own.")


def _make(folder: Path) -> str:
    """Make the folder, if it is not there and nobody else can put something into it; else says who can."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    reason = _danger(there)
    if reason:
        return reason
    before = os.umask(0o077)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    finally:
        os.umask(before)
    # What is in it, too: it may have been open to others before.
    return next(filter(None, (_danger_of(path, sticky=False) for path in (folder, *folder.iterdir()))), "")


def _danger(folder: Path) -> str:
    return next(filter(None, (_danger_of(path, sticky=True) for path in (folder, *folder.parents))), "")


def _danger_of(path: Path, sticky: bool) -> str:
    """Who else can change what the path names; "" for nobody. The owner of / can do anything anyway."""
    status = path.lstat()
    if status.st_uid not in (0, os.geteuid(), os.stat("/").st_uid):
        return f"{path} is another user's"
    if status.st_mode & _BY_OTHERS and not path.is_symlink() and not (sticky and status.st_mode & S_ISVTX):
        return f"others may write to {path}"
    return ""


if __name__ == "__main__":
    os.environ["SHIV_ROOT"] = str(find())
    from _bootstrap import bootstrap  # type: ignore[import-not-found]  # shiv's, in the file beside this one

    bootstrap()
