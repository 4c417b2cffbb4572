"""How long emails are kept."""

from database.query import Prepared, param
from models import Retention

_READ = Prepared(lambda: Retention.select(Retention.after, Retention.keep_linked))
_CLEAR = Prepared(lambda: Retention.delete())
_WRITE = Prepared(lambda: Retention.insert(after=param("after"), keep_linked=param("keep_linked")))


def read() -> tuple[str, bool] | None:
    """After which time they go, such as 3y, and whether those with a relatedTo stay; None where all stay."""
    row = _READ.first()
    return (row[0], bool(row[1])) if row else None


def write(after: str | None, keep_linked: bool) -> None:
    """Set it; `after` None: all stay."""
    _CLEAR.run()
    if after is not None:
        _WRITE.run(after=after, keep_linked=keep_linked)
