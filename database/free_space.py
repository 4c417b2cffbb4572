"""The free space that SQLite leaves between the cells of its pages (https://sqlite.org/fileformat2.html, 1.6).

With `secure_delete` what is deleted is overwritten. But a cell that was moved within its page, when others came, may
have left a copy in the room between the pointers to cells and the cells, which no deletion reaches.
"""

import os
from collections.abc import Iterator

_TREE_PAGES = {2: 12, 5: 12, 10: 8, 13: 8}  # the kinds of pages that have cells, and the lengths of their headers
_MOST_PAGES = 2**25  # others begin with a page's number, which in a larger file (128 GiB) may look like such a kind
_ZEROS = bytes(65536)


def page_size(file: int) -> int | None:
    """The size of the pages of a database file, in bytes; None where their kinds can't be told from one another."""
    header = os.pread(file, 100, 0)
    size = int.from_bytes(header[16:18], "big") % 65535 or 65536
    if any(header[52:56]) or os.fstat(file).st_size > size * _MOST_PAGES:  # with auto_vacuum there are other kinds
        return None
    return size


def overwrite_free_space(file: int, first: int, pages: int, size: int) -> None:
    """Overwrite what no cell is in, in some pages of a database file; not in the file's first page, which is 0.

    Nobody may write meanwhile, and nothing may be in the write-ahead log. To SQLite these bytes mean nothing: for
    every reader, and whenever the process or the machine ends, the database is the same.
    """
    data = os.pread(file, pages * size, first * size)
    for start, end in _unused(data, size):
        if not _ZEROS.startswith(data[start:end]):
            os.pwrite(file, _ZEROS[: end - start], first * size + start)


def _unused(data: bytes, size: int) -> Iterator[tuple[int, int]]:
    for page in range(0, len(data) - size + 1, size):
        if data[page] in _TREE_PAGES:
            cells = int.from_bytes(data[page + 3 : page + 5], "big")
            content = int.from_bytes(data[page + 5 : page + 7], "big") or 65536
            start, end = page + _TREE_PAGES[data[page]] + 2 * cells, page + content
            if start < end <= page + size:
                yield start, end
