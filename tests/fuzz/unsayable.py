"""What OpenAPI has no words for: refusals that a schema can't announce, each by its own text and no other.

schemathesis loads this module (schemathesis.toml) and asks it about every fault that it has found.
"""

from typing import Any

import schemathesis
from schemathesis.openapi.checks import IgnoredAuth, RejectedPositiveData

REFUSALS = [
    {"json": {"companyId": ["There is no such company."]}},  # an id that has the right form, of nothing
    {"query": {"cursor": ["Not a cursor: take the whole next link as it was given."]}},
    {"query": {"companyId": ["Not together with contactId."]}},
    {"query": {"q": ["There is no word to search for."]}},
    {"query": {"q": ["A quotation mark is not closed."]}},
    {"query": {"q": ["More than 32 words."]}},
]
# Inside objects that may hold anything.
UNREADABLE = "The body holds a number that does not fit into a double."


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a fault is one."""
    if isinstance(failure, IgnoredAuth):
        return "got `429 Too Many Requests`" not in failure.message  # refused as well, as the eleventh of a minute
    if not isinstance(failure, RejectedPositiveData):
        return True
    answer = response.json()
    return answer["errors"] not in REFUSALS and answer["message"] != UNREADABLE
