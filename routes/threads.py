"""Threads: conversations, of one email or many."""

from typing import Any

import crm
from schemas import EmailHead, PageQuery, Thread, ThreadQuery
from web.wire import NEXT, Blueprint, page_response

threads = Blueprint("threads", __name__, url_prefix="/api/v1/threads", description=__doc__)


@threads.get("", scope="admin")
@threads.arguments(ThreadQuery(), location="query")
@threads.response(200, Thread(many=True), headers=NEXT)
def list_threads(query: dict[str, Any]) -> Any:
    """List threads

    That with the newest email first; of a contact or company, by its own newest email in each. Emails of one
    `syncThreadId` are a thread, and one without belongs to that of the email that it answers. A page may have fewer
    than `limit`, or none, and a next one, where some threads have thousands of emails.
    """
    return page_response(crm.list_threads(**query))


@threads.get("/{id}", scope="admin", versions=False)
@threads.arguments(PageQuery(), location="query")
@threads.response(200, EmailHead(many=True), headers=NEXT)
def get_thread(query: dict[str, Any], record_id: str) -> Any:
    """List a thread's emails

    The oldest first, without bodies. The id is that of any of its emails.
    """
    return page_response(crm.get_thread(record_id, **query))
