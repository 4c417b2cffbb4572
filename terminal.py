"""What a terminal is shown: texts that somebody else wrote, and commands as they are typed here."""

import os
import sys
from shlex import quote

LINES = "\n"  # for texts of several lines


def printable(text: str, keep: str = "") -> str:
    """A text with U+FFFD for what would move the cursor, change colours or turn the writing direction.

    `keep`: characters that stay nevertheless. What is no UTF-8 (a lone surrogate) is replaced as well.
    """
    return "".join(c if c.isprintable() or c in keep else "\ufffd" for c in text)


def program() -> str:
    """How the commands are called here, for advice: `flask`, `python3 connector.pyz`, or what CALLED_AS says.

    deploy/connector, its units and the Containerfile set CALLED_AS, as nobody types what is run in the end.
    """
    default = f"python3 {quote(sys.argv[0])}" if sys.argv[0].endswith(".pyz") else "flask"
    return printable(os.environ.get("CALLED_AS") or default)
