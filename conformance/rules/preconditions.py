"""ETag and If-Match: who changes a record can say which version of it they know."""

import json
from functools import partial
from typing import Any

from conformance.client import Answer
from conformance.rule import OURS, rule, same, true
from conformance.session import Session, at

ETAG = "A record's answer has an `ETag`."
IF_MATCH = "`If-Match` on PATCH, PUT and DELETE that does not match is 412 and changes nothing"


def _records(crm: Session) -> dict[str, dict[str, Any]]:
    """The paths of new records, and how each may be changed."""
    _, email = crm.log()
    return {
        at("emails", email): {"subject": "Other"},
        at("contacts", crm.contact(crm.address())): {"lastName": "Other"},
        at("companies", crm.company(crm.new_domain())): {"name": "Other"},
    }


def _ask(crm: Session, method: str, path: str, name: str, tag: str, changes: Any = None) -> Answer:
    body = json.dumps(changes).encode() if method in ("PATCH", "PUT") else None
    return crm.request(method, path, body=body, headers=((name, tag),))


def _tag(answer: Answer) -> str:
    tag = str(answer.headers["ETag"] or "")
    true("a strong ETag", tag.startswith('"') and tag.endswith('"') and len(tag) > 2, tag)
    return tag


@rule("etag", OURS, ETAG)
def etag(crm: Session) -> None:
    """The answers with one record have an ETag, which is another after each change."""
    for path, changes in _records(crm).items():
        tag = _tag(crm.get(path).expect(200))
        same("ETag", tag, _tag(crm.get(path)))
        changed = _tag(crm.patch(path, changes).offered().expect(200))
        true("another ETag", changed != tag, tag)
        same("ETag", changed, _tag(crm.get(path)))
    for path, record in (("/emails", crm.mail()), ("/contacts", {}), ("/companies", {})):
        _tag(crm.post(path, record).offered().expect(201))


@rule("if-match", OURS, IF_MATCH)
def if_match(crm: Session) -> None:
    """A version that is not the record's is 412 and changes nothing; the record's own lets the call pass."""
    for path, changes in _records(crm).items():
        old = _tag(crm.get(path))
        now = crm.patch(path, changes).offered().expect(200)
        for method in ("PATCH", "PUT", "DELETE"):
            for tag in (old, '"x"', "W/" + _tag(now)):
                _ask(crm, method, path, "If-Match", tag, {}).refused(412)
        same("the record", now.record, crm.get(path).expect(200).record)
        _ask(crm, "PATCH", path, "If-Match", f'"x", {_tag(now)}', changes).expect(200)
        put = _ask(crm, "PUT", path, "If-Match", "*", changes).expect(200)
        _ask(crm, "DELETE", path, "If-Match", _tag(put)).offered().expect(204)


@rule("if-match-at-once", OURS, IF_MATCH)
def if_match_at_once(crm: Session) -> None:
    """Of ten that change one version of a mail at once, one does, and the others are told."""
    for _ in range(3):
        _, email = crm.log()
        tag = _tag(crm.get(at("emails", email)))

        def link(number: int, email: str = email, tag: str = tag) -> Answer:
            changes = {"relatedTo": [{"type": "Contact", "id": str(number)}]}
            return _ask(crm, "PATCH", at("emails", email), "If-Match", tag, changes)

        answers = crm.at_once([partial(link, number) for number in range(10)])
        same("the statuses", [200] + [412] * 9, sorted(answer.status for answer in answers))


@rule("if-none-match", OURS, "`If-None-Match` on GET may answer 304.")
def if_none_match(crm: Session) -> None:
    """A record that has changed is never answered by 304."""
    for path, changes in _records(crm).items():
        tag = _tag(crm.get(path))
        _ask(crm, "GET", path, "If-None-Match", tag).expect(200, 304)
        changed = crm.patch(path, changes).offered().expect(200)
        same("the record", changed.record, _ask(crm, "GET", path, "If-None-Match", tag).expect(200).record)
