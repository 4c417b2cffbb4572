"""What OpenAPI has no words for: refusals that a schema can't announce, each by its own text and no other.

schemathesis loads this module (schemathesis.toml) and asks it about every fault that it has found.
"""

from collections.abc import Iterator
from typing import Any

import schemathesis
from schemathesis.core.failures import AcceptedNegativeData
from schemathesis.openapi.checks import IgnoredAuth, RejectedPositiveData

REFUSALS = {
    "There is no such company.",  # an id that has the right form, of nothing
    "A domain or a name is needed.",
    "There is no filter of this name.",
    "No address to look up.",
    "This is no time zone, such as Europe/Berlin.",
    "Give a number and d, m or y, such as 90d, 18m or 3y; 100y at most.",
    "Not new.",
    "Not together with contactId.",
    "Not a text, nor an object with an address.",  # which may be called address, email or emailAddress
    "This can't be read as an e-mail address.",
    "This can't be read as a domain.",
    "Below this domain everybody has their own.",
    "This is no domain of your own.",
    "Only the rule for internal emails has domains of ours.",
    "Not a cursor: take the whole next link as it was given.",
    "There is no word to search for.",
    "A quotation mark is not closed.",
    "More than 32 words.",
}
# Inside objects that may hold anything.
UNREADABLE = "The body holds a number that does not fit into a double."


@schemathesis.hook
def filter_failure(context: Any, failure: Any, case: Any, response: Any) -> bool:
    """Whether a fault is one."""
    if isinstance(failure, IgnoredAuth):
        return "got `429 Too Many Requests`" not in failure.message  # refused as well, as the eleventh of a minute
    if isinstance(failure, AcceptedNegativeData):  # a null in a list is left out before the entries are counted
        return not ("maxItems" in failure.message and "null" in (case.as_curl_command() or ""))
    if not isinstance(failure, RejectedPositiveData):
        return True
    if response.status_code == 412:  # an If-Match for which the record has another version, or is not there
        return False
    answer = response.json()
    said = set(_sentences(answer["errors"]))
    return not (said and said <= REFUSALS) and answer["message"] != UNREADABLE


def _sentences(errors: Any) -> Iterator[str]:
    """Why something was refused, wherever it stands."""
    if isinstance(errors, str):
        yield errors
    else:
        for one in errors.values() if isinstance(errors, dict) else errors:
            yield from _sentences(one)
