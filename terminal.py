"""What a terminal can be shown of a text that somebody else wrote."""

LINES = "\n"  # for texts of several lines


def printable(text: str, keep: str = "") -> str:
    """A text with U+FFFD for what would move the cursor, change colours or turn the writing direction.

    `keep`: characters that stay nevertheless. What is no UTF-8 (a lone surrogate) is replaced as well.
    """
    return "".join(c if c.isprintable() or c in keep else "\ufffd" for c in text)
