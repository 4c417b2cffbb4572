"""Sender and recipients, in each shape in which clients send them."""

from typing import Any

from conformance.rule import OURS, rule, same
from conformance.session import Session

SHAPES = (
    'an object `{"name", "address"}` (also `email` for `address`, or Graph\'s `{"emailAddress": {…}}`) is taken too '
    "and returned as `name <address>`"
)


def taken(crm: Session, address: str, sent: Any, returned: str) -> None:
    """Demand that a participant comes back so, in each list, and finds its mail."""
    people = {"fromAddress": sent, "toAddresses": [sent, sent], "ccAddresses": [sent], "bccAddresses": [sent]}
    record = crm.post("/emails", crm.mail(**people)).expect(201).record
    for name, value in people.items():
        wanted = [returned] * len(value) if isinstance(value, list) and name != "fromAddress" else returned
        same(name, wanted, record.get(name))
    same("the mails found", [str(record["id"])], crm.get("/emails", address=address).expect(200).ids)


@rule("participant-email", OURS, SHAPES)
def email(crm: Session) -> None:
    """The address may be called `email`."""
    a, b = crm.address(), crm.address()
    taken(crm, a, {"email": a}, a)
    taken(crm, b, {"name": "Jane Doe", "email": b}, f"Jane Doe <{b}>")


@rule("participant-graph", OURS, SHAPES)
def graph(crm: Session) -> None:
    """All may stand in an `emailAddress`, as Microsoft's Graph has it."""
    a, b = crm.address(), crm.address()
    taken(crm, a, {"emailAddress": {"address": a}}, a)
    taken(crm, b, {"emailAddress": {"name": "Jane Doe", "address": b}, "type": "required"}, f"Jane Doe <{b}>")


@rule("participant-without-address", OURS, "an object without an address is 422")
def without_address(crm: Session) -> None:
    """An object without an address is refused, and no mail is logged with an empty recipient."""
    for odd in ({}, {"name": "Jane"}, {"name": "Jane", "address": None}, {"emailAddress": {"name": "Jane"}}):
        for people in ({"fromAddress": odd}, {"toAddresses": [crm.address(), odd]}):
            mail = crm.mail(**people)
            crm.post("/emails", mail).refused(422)
            same("the mails found", [], crm.get("/emails", rfc822MsgId=mail["rfc822MsgId"]).expect(200).ids)


@rule("participant-null", OURS, "a null in a list is left out")
def null(crm: Session) -> None:
    """A null in a list of recipients stops no mail."""
    address = crm.address()
    record = crm.post("/emails", crm.mail(toAddresses=[None, address, None], ccAddresses=[None])).expect(201).record
    same("toAddresses", [address], record.get("toAddresses"))
    same("ccAddresses", [], record.get("ccAddresses"))
