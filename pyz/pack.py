"""Puts start.py in the place of shiv's own __main__.py: python -m pyz.pack SHIVS_FILE NEW_FILE"""

import sys
from pathlib import Path
from zipfile import ZipFile

_START = Path(__file__).with_name("start.py")


def pack(old: Path, new: Path) -> None:
    """Write the archive anew, with the same line for the system (#!…), the same times and modes."""
    with ZipFile(old) as source, new.open("wb") as file:
        file.write(old.read_bytes().partition(b"\n")[0] + b"\n")
        with ZipFile(file, "w") as target:
            for entry in source.infolist():
                data = _START.read_bytes() if entry.filename == "__main__.py" else source.read(entry)
                target.writestr(entry, data)
    new.chmod(0o755)


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
