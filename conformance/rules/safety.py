"""What no server may do, whatever its other choices are."""

import json

from conformance.client import NO_CREDENTIALS, Answer, Credentials, Failed, NotOffered
from conformance.rule import SAFETY, rule, same, true
from conformance.rules.access import every_call
from conformance.session import Session, at

DOOR = "Every call under `/api/v1` needs a token"


def _shut(crm: Session, credentials: Credentials) -> None:
    """Demand that no call succeeds; 404, 405 and 501 say that there is no such call."""
    for answer in every_call(crm, credentials):
        if answer.status not in (401, 403, 404, 405, 429, 501):
            raise Failed(f"401 for {answer.request.call}", answer.summary(), answer)


@rule("door-without-token", SAFETY, DOOR)
def without_token(crm: Session) -> None:
    """No call succeeds without a token, nor with a header that holds none."""
    for credentials in (NO_CREDENTIALS, Credentials.raw("Bearer "), Credentials.basic("", "", ":")):
        _shut(crm, credentials)


@rule("door-wrong-token", SAFETY, DOOR)
def wrong_token(crm: Session) -> None:
    """No call succeeds with a token that is not known."""
    _shut(crm, Credentials.raw(f"Bearer {crm.run}"))


@rule("door-left-user", SAFETY, DOOR)
def left_user(crm: Session) -> None:
    """No call succeeds with the token of a user who has left."""
    if crm.left is None:
        raise NotOffered("no token of a user who has left was given with --left-token")
    _shut(crm, crm.left)


@rule("door-nothing-kept", SAFETY, DOOR)
def nothing_kept(crm: Session) -> None:
    """Of an email that was sent without a token nothing is stored; nor is one changed or deleted."""
    mail = crm.mail()
    _without_token(crm, "POST", "/emails", mail)
    same("emails found", [], _found(crm, mail["rfc822MsgId"]))
    sent, email_id = crm.log()
    for method, changes in (("PATCH", {"subject": "changed"}), ("PUT", {"subject": "changed"}), ("DELETE", None)):
        _without_token(crm, method, at("emails", email_id), changes)
        record = crm.get(at("emails", email_id)).expect(200).record
        same("the subject of an email that was changed without a token", sent["subject"], record.get("subject"))


def _without_token(crm: Session, method: str, path: str, changes: object) -> Answer:
    body = None if changes is None else json.dumps(changes).encode()
    return crm.request(method, path, body=body, credentials=NO_CREDENTIALS)


def _found(crm: Session, message_id: str) -> list[str]:
    answer = crm.get("/emails", rfc822MsgId=message_id)
    return [] if answer.status in (204, 404) else answer.expect(200).ids


@rule("kept-once-acknowledged", SAFETY, "*No mail is ever answered with 2xx and dropped, nor mixed with another.*")
def kept(crm: Session) -> None:
    """Each email that was answered with success is there by its id and by its Message-ID, also one sent twice."""
    for _ in range(3):
        mail = crm.mail()
        first = crm.post("/emails", mail).ok().id
        again = crm.post("/emails", mail | {"msgId": crm.fresh("msg")})
        for email_id in {first, again.id} if again.status < 300 else {first}:
            same("subject", mail["subject"], crm.email(email_id).get("subject"))
        true("the email by its Message-ID", first in _found(crm, mail["rfc822MsgId"]), "others")


@rule("never-mixed", SAFETY, "*No mail is ever answered with 2xx and dropped, nor mixed with another.*")
def never_mixed(crm: Session) -> None:
    """Two emails to which two mailboxes gave one msgId stay two, each with its own words and recipients."""
    msg_id = crm.fresh("msg")
    salary = crm.mail(msgId=msg_id, subject=f"Salary {crm.run}", toAddresses=[crm.address("boss")])
    lunch = crm.mail(msgId=msg_id, subject=f"Lunch {crm.run}", toAddresses=[crm.address("stranger")])
    for mail in (salary, lunch):
        crm.post("/emails", mail)
    for mail in (salary, lunch):
        for email_id in _found(crm, mail["rfc822MsgId"]):
            record = crm.email(email_id)
            same("subject", mail["subject"], record.get("subject"))
            same("toAddresses", mail["toAddresses"], record.get("toAddresses"))
        true("the email by its Message-ID", bool(_found(crm, mail["rfc822MsgId"])), "nothing")


@rule("server-errors", SAFETY, "What a client may send is never a 500")
def server_errors(crm: Session) -> None:
    """Nothing that this run has asked was answered with a server error."""
    errors = crm.server_errors
    if errors:
        calls = ", ".join(dict.fromkeys(answer.request.call for answer in errors))
        raise Failed("no server error", f"{len(errors)} of {calls}; the first: {errors[0].summary()}", errors[0])
