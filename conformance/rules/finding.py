"""Is the mail there? Looking it up by Internet Message-ID."""

from urllib.parse import quote

from conformance.rule import AURINKO, OURS, rule, same, true
from conformance.session import Session

LOOKUP = "`GET /api/v1/emails?rfc822MsgId=…` | look an existing email up by Internet Message-ID"
TRIMMED = "Compared after trimming white space and one pair of angle brackets; returned as sent."
CASE = "*Letter case counts* in `rfc822MsgId`, `msgId` and `syncThreadId`"
PLUS = (
    "A look-up (message ids, addresses) that misses and whose value holds spaces is tried once more with `+` for each"
)
EXACT = "an exact match always wins"
EMPTY = "A filter with an empty value matches nothing, never everything."


def finds(crm: Session, query: str, *emails: str) -> None:
    """Demand exactly these mails for a query string as written."""
    same("the mails found", list(emails), crm.get(f"/emails?{query}").expect(200).ids)


@rule("email-lookup", AURINKO, LOOKUP)
def lookup(crm: Session) -> None:
    """A mail that was logged is found by its Message-ID, and it alone."""
    crm.log()
    mail, email = crm.log()
    crm.log()
    answer = crm.get("/emails", rfc822MsgId=mail["rfc822MsgId"]).expect(200)
    same("the mails found", [email], answer.ids)
    same("subject", mail["subject"], answer.records[0].get("subject"))


@rule("email-lookup-stranger", AURINKO, LOOKUP)
def stranger(crm: Session) -> None:
    """A Message-ID that was never logged finds nothing; `%` and `_` stand for themselves, and no part will do."""
    word = crm.fresh("mXid")
    crm.log(rfc822MsgId=f"<{word}@{crm.domain}>")
    others = [f"<{word}@{crm.domain}", f"<{word}", word[:-1], f"{word}@{crm.domain}.uk", f"<%{crm.domain}>", "%", "*"]
    for other in [crm.message_id(), f"<{word.replace('mX', 'm_')}@{crm.domain}>", *others[1:]]:
        answer = crm.get("/emails", rfc822MsgId=other).unfailing()
        true(f"no mail for {other}", answer.status >= 400 or not answer.body or answer.ids == [], answer.summary())


@rule("email-lookup-none", OURS, "empty array for no match")
def none(crm: Session) -> None:
    """No match is an empty array, though there are mails."""
    crm.log()
    finds(crm, "rfc822MsgId=" + quote(crm.message_id()))


@rule("email-lookup-brackets", OURS, TRIMMED)
def brackets(crm: Session) -> None:
    """A Message-ID is the same with angle brackets and without."""
    for stored in ("<{}>", "{}"):
        plain = crm.message_id().strip("<>")
        mail, email = crm.log(rfc822MsgId=stored.format(plain))
        finds(crm, f"rfc822MsgId={plain}", email)
        finds(crm, f"rfc822MsgId=<{plain}>".replace("<", "%3C").replace(">", "%3E"), email)
        same("rfc822MsgId", mail["rfc822MsgId"], crm.email(email).get("rfc822MsgId"))


@rule("email-lookup-one-pair", OURS, TRIMMED)
def one_pair(crm: Session) -> None:
    """Only one pair of angle brackets is taken off."""
    plain = crm.message_id().strip("<>")
    _, double = crm.log(rfc822MsgId=f"<<{plain}>>")
    _, single = crm.log(rfc822MsgId=f"<{plain}>")
    true("two records", double != single, single)
    finds(crm, "rfc822MsgId=" + quote(f"<<{plain}>>"), double)
    finds(crm, "rfc822MsgId=" + quote(plain), single)


@rule("email-lookup-white-space", OURS, TRIMMED)
def white_space(crm: Session) -> None:
    """White space around a Message-ID does not count."""
    for stored in (" {}", "{}\r\n\t", "{}"):
        message_id = crm.message_id()
        mail, email = crm.log(rfc822MsgId=stored.format(message_id))
        for written in (message_id, f" {message_id} ", f"\t{message_id}\r\n"):
            finds(crm, "rfc822MsgId=" + quote(written), email)
        same("rfc822MsgId", mail["rfc822MsgId"], crm.email(email).get("rfc822MsgId"))


@rule("email-lookup-case", OURS, CASE)
def case(crm: Session) -> None:
    """Message-IDs that differ in letter case are two mails."""
    upper = f"<{crm.fresh('CAB')}@{crm.domain}>"
    lower = upper.replace("CAB", "cab")
    _, one = crm.log(rfc822MsgId=upper)
    finds(crm, "rfc822MsgId=" + quote(lower))
    _, other = crm.log(rfc822MsgId=lower)
    true("two records", one != other, one)
    finds(crm, "rfc822MsgId=" + quote(upper), one)
    finds(crm, "rfc822MsgId=" + quote(lower), other)


@rule("email-lookup-plus", OURS, PLUS)
def plus(crm: Session) -> None:
    """A `+` that the client left unencoded is still found."""
    plain = f"CA+b+{crm.fresh()}=x@{crm.domain}"
    _, email = crm.log(rfc822MsgId=f"<{plain}>")
    finds(crm, f"rfc822MsgId={plain}", email)
    finds(crm, f"rfc822MsgId=%3C{plain}%3E", email)
    finds(crm, "rfc822MsgId=" + quote(plain), email)
    mail, email = crm.log(msgId=crm.fresh("a+b+"))
    finds(crm, f"msgId={mail['msgId']}", email)


@rule("email-lookup-exact-wins", OURS, EXACT)
def exact_wins(crm: Session) -> None:
    """A Message-ID that holds a space is found before one that holds a `+` there."""
    plain = f"a b{crm.fresh()}@{crm.domain}"
    _, plus_email = crm.log(rfc822MsgId=f"<{plain.replace(' ', '+')}>")
    finds(crm, "rfc822MsgId=" + quote(plain), plus_email)
    _, space_email = crm.log(rfc822MsgId=f"<{plain}>")
    true("two records", plus_email != space_email, space_email)
    finds(crm, "rfc822MsgId=" + quote(plain), space_email)
    finds(crm, "rfc822MsgId=" + plain.replace(" ", "%2B"), plus_email)


@rule("email-lookup-empty", OURS, EMPTY)
def empty(crm: Session) -> None:
    """An empty Message-ID finds nothing, not even mail that has none."""
    crm.log(rfc822MsgId=None, msgId=None)
    crm.log(rfc822MsgId="")
    for query in ("rfc822MsgId=", "rfc822MsgId=%20", "rfc822MsgId=%3C%3E", "msgId="):
        finds(crm, query)


@rule("email-lookup-long", OURS, "Ids are opaque strings of at most 255 characters")
def long(crm: Session) -> None:
    """Message-IDs of 255 characters that differ in the last one are two mails."""
    start = ("<" + crm.fresh("m") + "x" * 255)[:253]
    _, one = crm.log(rfc822MsgId=start + "1>")
    _, other = crm.log(rfc822MsgId=start + "2>")
    true("two records", one != other, one)
    finds(crm, "rfc822MsgId=" + quote(start + "1>"), one)
    finds(crm, "rfc822MsgId=" + quote(start + "2>"), other)
