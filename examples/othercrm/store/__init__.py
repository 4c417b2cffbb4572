"""The store on the tables of another CRM. It takes the place of the connector's `store`, and of nothing else.

Python finds it first, as it lies in the folder in which the server is started. What of the connector's own store is of
use is found behind it: `from store.x` is theirs, `from .x` is ours.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)

from database import check_writable as check
from database import declare
from database import writing as transaction
from models import OWN, Change
from store import withheld

from . import accounts as companies
from . import feed as changes
from . import mail as emails
from . import people as contacts
from . import staff as users
from .rows import purge
from .tables import ConnectorCopies, ConnectorDomains, ConnectorEmails

__all__ = ["changes", "check", "companies", "contacts", "emails", "purge", "transaction", "users", "withheld"]

declare(lambda: [ConnectorCopies, ConnectorDomains, ConnectorEmails, Change, *OWN], beside="accounts")
