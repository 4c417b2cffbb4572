"""Whether the service runs, for a load balancer or a person; without a token."""

from typing import Any

from flask_smorest import Blueprint

import crm
from schemas import Health, Live
from settings import VERSION

health = Blueprint("health", __name__, url_prefix="/health", description=__doc__)


@health.get("/live")
@health.response(200, Live())
@health.doc(operationId="live", security=[])
def live() -> Any:
    """Tell whether the process answers"""
    return {"status": "live", "version": VERSION}


@health.get("/ready")
@health.response(200, Health())
@health.alt_response(503, "SERVICE_UNAVAILABLE")
@health.doc(operationId="ready", security=[])
def ready() -> Any:
    """Tell whether mail can be logged

    503 with the reason when the database can't be written, or the disk is full.
    """
    crm.check()
    return {"status": "ready"}
