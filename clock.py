"""Times as the connector stores and returns them."""

from datetime import UTC, datetime, timedelta


def now() -> str:
    """This moment: RFC 3339, UTC, microseconds, always 27 characters, so that such texts sort as they read."""
    return stamp(datetime.now(UTC))


def later(earlier: str) -> str:
    """This moment, but later than another also where the clock stands still or was set back."""
    moment = now()
    return moment if moment > earlier else stamp(datetime.fromisoformat(earlier) + timedelta(microseconds=1))


def stamp(moment: datetime) -> str:
    """A moment with an offset as such a text. Raises OverflowError where UTC has no year for it."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
