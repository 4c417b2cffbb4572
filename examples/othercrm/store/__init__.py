"""The store on EspoCRM's tables. It takes the place of the connector's `store`, and of nothing else.

Python finds it first, as it lies in the folder in which the server is started. What of the connector's own store is of
use is found behind it: `from store.x` is theirs, `from .x` is ours.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)

from database import declare
from models import tables as own_tables
from store import changes, never_log, retention, timelines, withheld

from . import staff as users
from .crm import check, transaction
from .mail import shown as emails
from .mirror import companies, contacts
from .rows import purge
from .tables import Seen

__all__ = ["changes", "check", "companies", "contacts", "emails", "never_log", "purge", "retention"]
__all__ += ["timelines", "transaction", "users", "withheld"]

declare(lambda: [*own_tables(), Seen])
