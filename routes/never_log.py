"""Never log: rules of which emails are kept by their ids and time alone."""

from typing import Any

import crm
from schemas import NeverLogRule, NeverLogRuleIn
from web.wire import Blueprint

never_log = Blueprint("never-log", __name__, url_prefix="/api/v1/never-log", description=__doc__)


@never_log.get("", scope="admin")
@never_log.response(200, NeverLogRule(many=True))
def list_rules() -> Any:
    """List the rules of never log

    All of them, the oldest first.
    """
    return crm.list_rules()


@never_log.post("", scope="admin")
@never_log.arguments(NeverLogRuleIn())
@never_log.response(200, NeverLogRule())
@never_log.alt_response(409, "CONFLICT")
def add_rule(rule: dict[str, Any]) -> Any:
    """Add a rule of never log

    From now on an email that meets it makes a record with its ids and time, and nothing else, whether it comes by POST,
    PATCH, PUT or import. What is here already stays as it is. Where there is a rule for the same value, that one gets
    these settings.
    """
    return crm.add_rule(rule)


@never_log.delete("/{ruleId}", scope="admin")
@never_log.response(204)
def remove_rule(rule_id: str) -> None:
    """Remove a rule of never log

    Of an email that it kept away, the next copy fills the record.
    """
    crm.remove_rule(rule_id)
