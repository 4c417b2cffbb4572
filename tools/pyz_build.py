"""Pack a folder of modules and libraries into one file: ``python pyz_build.py FOLDER connector.pyz``.

The same folder gives the same file, byte for byte.
"""

import hashlib
import sys
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo


def build(folder: Path, target: Path) -> None:
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and path.name != "RECORD"  # pip's; names this machine's paths
    }
    files["__main__.py"] = Path(__file__).with_name("pyz_main.py").read_bytes()
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(f"{name}\0{hashlib.sha256(content).hexdigest()}\n".encode())
    # Which Pythons can load what was compiled: the end of each name like lexbor.cpython-311-x86_64-linux-gnu.so
    compiled = sorted({name[name.index(".cpython-") :] for name in files if ".cpython-" in name})
    files["BUILD"] = "\n".join([digest.hexdigest()[:16], *compiled]).encode()

    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        file.write(b"#!/usr/bin/env python3\n")
        with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=9) as archive:
            for name, content in sorted(files.items()):
                info = ZipInfo(name)  # dated 1980, whenever it is built
                info.external_attr = 0o644 << 16
                archive.writestr(info, content, ZIP_DEFLATED, compresslevel=9)
    part.chmod(0o755)
    part.replace(target)


if __name__ == "__main__":
    build(Path(sys.argv[1]), Path(sys.argv[2]))
