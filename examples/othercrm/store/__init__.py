"""The store on the tables of another CRM. It takes the place of the connector's `store`, and of nothing else.

Python finds it first, as it lies in the folder in which the server is started. What of the connector's own store is of
use is found behind it: `from store.x` is theirs, `from .x` is ours.
"""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)

from database import check_writable as check  # noqa: E402
from database import declare  # noqa: E402
from database import writing as transaction  # noqa: E402
from models import OWN, Change  # noqa: E402

from . import accounts as companies  # noqa: E402
from . import feed as changes  # noqa: E402
from . import mail as emails  # noqa: E402
from . import people as contacts  # noqa: E402
from . import staff as users  # noqa: E402
from .rows import purge  # noqa: E402
from .tables import ConnectorCopies, ConnectorDomains, ConnectorEmails  # noqa: E402

__all__ = ["changes", "check", "companies", "contacts", "emails", "purge", "transaction", "users"]

declare(lambda: [ConnectorCopies, ConnectorDomains, ConnectorEmails, Change, *OWN], beside="accounts")
