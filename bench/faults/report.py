"""What a fault has done: one line of the table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """A fault and what it cost.

    `tries` is how often it was made to happen, `acknowledged` how many mails were answered with 200 or 201, `lost` how
    many of these are not there, or not as they were sent. `verdict` begins with "ok", and may go on with figures; any
    other says what went wrong.
    """

    fault: str
    tries: int
    acknowledged: int
    lost: int
    verdict: str

    @property
    def passed(self) -> bool:
        return not self.lost and self.verdict.startswith("ok")


def verdict(wrong: list[str], figures: str = "") -> str:
    """What went wrong, the first few of it; else that all is well, with the figures."""
    if wrong:
        more = f" (and {len(wrong) - 3} more)" if len(wrong) > 3 else ""
        return f"{'; '.join(wrong[:3])}{more}"
    return f"ok: {figures}" if figures else "ok"
