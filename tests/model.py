"""The contract's rules for emails, contacts, companies and the change feed as a small program, to compare answers with.

It is written from the words of the contract, and knows nothing of the application. A `Model` is told of each call with
its answer and raises `Contradiction` where the contract does not allow the answer. Where the contract leaves something
open, every answer is allowed that it does not rule out, and the model goes on from the one that was given. So a history
of calls that were made at once is explained by a serial order if a copy of the model takes the answers in that order.

An email is a dict of the fields on the wire. What else the model knows of it stands beside it, in `Known`.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from json import dumps
from typing import Any

Json = dict[str, Any]
TEXTS = ("subject", "textBody", "htmlBody")
SCALARS = (*TEXTS, "fromAddress", "fromName", "receivedAt", "syncThreadId", "inReplyTo")
LISTS = ("toAddresses", "ccAddresses", "bccAddresses")
FIELDS = (*SCALARS, *LISTS, "msgId", "rfc822MsgId", "attachments", "relatedTo")


class Contradiction(Exception):
    """An answer that the contract does not allow, and the sentence of it that says so."""


@dataclass(frozen=True)
class Call:
    """A call of a simulated client; `known` is the ETag that it sends as If-Match."""

    method: str
    path: str
    body: Json | None = None
    query: tuple[tuple[str, str], ...] = ()
    if_match: str | None = None


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: Any
    etag: str | None = None


def require(condition: Any, sentence: str) -> None:
    if not condition:
        raise Contradiction(sentence)


def key_of(message_id: str | None) -> str | None:
    """A Message-ID or msgId as it is compared: without white space and one pair of angle brackets."""
    text = (message_id or "").strip()
    if text.startswith("<") and text.endswith(">"):
        text = text[1:-1]
    return text.strip() or None


def address_of(text: str | None) -> str | None:
    """The address in a text, for those that the tests make: `Name <a@b>` or `a@b`, in any case."""
    return (text or "").rpartition("<")[2].partition(">")[0].strip().casefold() or None


def empty(value: Any) -> bool:
    return value in (None, [], "") or (isinstance(value, str) and not value.strip())


def link_key(link: Json) -> tuple[str, str]:
    return str(link["type"]).lower(), str(link["id"])


def entries(related: Any) -> list[Json]:
    return related if isinstance(related, list) else [related]


def whole(body: Json) -> Json:
    """A body with all fields: null and a missing one mean none."""
    lists = (*LISTS, "attachments", "relatedTo")
    return {name: body.get(name) or ([] if name in lists else body.get(name)) for name in FIELDS}


@dataclass
class Known:
    """What is known of an email besides its fields."""

    record: Json
    etag: str | None
    withheld: bool = False
    maybe_forgotten: bool = False  # of one that was deleted: by `remember=false` of another
    # The msgIds of copies, under which it must be found, and others under which it may be.
    copies: set[str] = field(default_factory=set)
    maybe: set[str] = field(default_factory=set)
    had: dict[str, set[Any]] = field(default_factory=dict)  # each value that a field ever had
    removed: dict[str, set[Any]] = field(default_factory=dict)  # what a PATCH or PUT took away
    edited: set[str] = field(default_factory=set)  # fields that a PATCH or PUT changed
    said: set[tuple[str, str]] = field(default_factory=set)  # what copies said: field and value

    def copy(self) -> "Known":
        had, removed = ({name: set(one) for name, one in both.items()} for both in (self.had, self.removed))
        sets = set(self.copies), set(self.maybe), had, removed, set(self.edited), set(self.said)
        return Known(dict(self.record), self.etag, self.withheld, self.maybe_forgotten, *sets)

    @property
    def key(self) -> str | None:
        return key_of(self.record["rfc822MsgId"])

    def set(self, name: str, value: Any) -> None:
        self.record[name] = value
        if not empty(value) and name in SCALARS:
            self.had.setdefault(name, set()).add(comparable(name, value))

    def agrees(self, email: Json, name: str) -> bool | None:
        """Whether a field does not contradict; None where the words leave it open, as people have changed it."""
        value, here, had = email[name], self.record[name], self.had.get(name, set())
        if name in self.edited and not empty(value):
            return None
        if empty(value) or not had or (comparable(name, value) == comparable(name, here)):
            return True
        return None if empty(here) or comparable(name, value) in had else False

    def is_copy(self, email: Json) -> bool | None:
        """Whether an email with the same msgId is this one: "a msgId identifies a mail only where …"."""
        key = key_of(email["msgId"])
        if key not in self.copies | self.maybe or (self.key and key_of(email["rfc822MsgId"])):
            return False
        contradicts = self.contradicts(email)
        if contradicts:
            return False
        return None if contradicts is None or key not in self.copies else True

    def is_copy_of_deleted(self, email: Json) -> bool | None:
        """The same of one that was deleted and stays away, unless it was forgotten since."""
        is_copy = bool(self.key and self.key == key_of(email["rfc822MsgId"])) or self.is_copy(email)
        return None if is_copy and self.maybe_forgotten else is_copy

    def contradicts(self, email: Json) -> bool | None:
        """Whether an email with the same msgId says otherwise; None where the words leave it open."""
        if self.key and key_of(email["rfc822MsgId"]):
            return self.key != key_of(email["rfc822MsgId"])
        found = [self.agrees(email, name) for name in ("fromAddress", "receivedAt", *TEXTS)]
        return True if False in found else None if None in found else False


def comparable(name: str, value: Any) -> Any:
    return address_of(value) if name == "fromAddress" else value


class Model:
    """The records as the contract has them after the calls so far."""

    def __init__(self) -> None:
        self.emails: dict[str, Known] = {}
        self.deleted: list[Known] = []
        self.contacts: dict[str, Json] = {}
        self.companies: dict[str, Json] = {}
        self.etags: dict[str, str | None] = {}  # of contacts, where it is known
        self.used: set[str] = set()
        self.feed: dict[str, list[str]] = {}  # what must be in the feed of each record, in this order

    def copy(self) -> "Model":
        other = Model()
        other.emails = {one: known.copy() for one, known in self.emails.items()}
        other.deleted = [known.copy() for known in self.deleted]
        other.contacts = {one: dict(contact) for one, contact in self.contacts.items()}
        other.companies = {one: dict(company) for one, company in self.companies.items()}
        other.etags = dict(self.etags)
        other.used, other.feed = set(self.used), {one: list(actions) for one, actions in self.feed.items()}
        return other

    def state(self) -> str:
        """A text that two models share where they know the same."""

        def plain(value: Any) -> Any:
            return sorted(map(repr, value)) if isinstance(value, set) else vars(value)

        return dumps(vars(self), default=plain, sort_keys=True)

    def take(self, call: Call, answer: Answer) -> None:
        """Go on from an answer. Raises Contradiction."""
        require(answer.status < 500, "What a client may send is never a 500.")
        noun, _, record_id = call.path.strip("/").partition("/")
        name = f"_{call.method.lower()}_{noun}" + ("_lookup" if record_id == "lookup" else "_one" if record_id else "")
        taken: Callable[[Call, Answer, str], None] = getattr(self, name)
        taken(call, answer, record_id)

    def _note(self, kind: str, record_id: str, action: str) -> None:
        self.feed.setdefault(f"{kind} {record_id}", []).append(action)

    # ---- emails -----------------------------------------------------------------------------------------------------

    def _post_emails(self, call: Call, answer: Answer, _: str) -> None:
        assert call.body is not None
        email = whole(call.body)
        require(answer.status in (200, 201), "POST: new: 201; already here: 200.")
        key, msg_key = key_of(email["rfc822MsgId"]), key_of(email["msgId"])
        must: set[str] = {one for one, known in self.emails.items() if key and known.key == key}
        may: set[str] = set()
        withheld: bool | None = False
        if not must:
            found = {one: known.is_copy(email) for one, known in self.emails.items()}
            must = {one for one, how in found.items() if how}
            may = {one for one, how in found.items() if how is None}
            how = [one.is_copy_of_deleted(email) for one in self.deleted]
            withheld = True if True in how else None if None in how else False
        if answer.status == 200:
            record_id = answer.body["id"]
            require(
                record_id in must | may,
                "A mail is its rfc822MsgId; a msgId identifies only where … nothing contradicts.",
            )
            known = self.emails[record_id]
            self._merge(known, email, answer)
            if msg_key:
                (known.maybe if known.agrees(email, "fromAddress") is not True else known.copies).add(msg_key)
            known.etag = answer.etag
            known.said |= {(name, email[name]) for name in (*TEXTS, "fromAddress") if not empty(email[name])}
            return
        require(not must or withheld is not False, "Already here: 200 with the record that is here.")
        record_id = self._new_id(answer)
        known = Known(answer.body, answer.etag, copies={msg_key} - {None})  # type: ignore[arg-type]
        is_withheld = withheld is not False and self._looks_withheld(email, answer.body)
        require(not withheld or is_withheld, "What was deleted stays away: another copy of it makes a withheld record.")
        if is_withheld:
            known.withheld = True
            for one in self.deleted:
                if one.is_copy(email) is not False or (key and one.key == key):
                    for name, values in one.had.items():
                        known.had.setdefault(name, set()).update(values)
        else:
            self._require_fields(answer.body, email, "New: 201. Bodies, addresses … are kept to the letter.")
            known.said = {(name, email[name]) for name in (*TEXTS, "fromAddress") if not empty(email[name])}
            for name in SCALARS:
                known.set(name, email[name])
        known.record = dict(answer.body)
        self.emails[record_id] = known
        self._note("email", record_id, "created")

    def _looks_withheld(self, email: Json, record: Json) -> bool:
        nothing = [record[name] for name in ("fromAddress", "fromName", *TEXTS, *LISTS, "attachments", "relatedTo")]
        ids = all(record[name] == email[name] for name in ("rfc822MsgId", "msgId", "receivedAt"))
        return ids and not any(not empty(one) for one in nothing)

    def _new_id(self, answer: Answer) -> str:
        record_id: str = answer.body["id"]
        require(record_id not in self.used, "No id is given out a second time.")
        self.used.add(record_id)
        return record_id

    def _merge(self, known: Known, copy: Json, answer: Answer) -> None:
        """Check what a copy made of a record, and keep it."""
        got, here = answer.body, known.record
        allowed = {name: [value] for name, value in here.items() if name in FIELDS}
        if not known.withheld and known.agrees(copy, "fromAddress") is not False:
            allowed |= dict(self._merged(known, copy))
        if known.withheld or known.agrees(copy, "fromAddress") is None:  # open
            for name in ("rfc822MsgId", "msgId", "syncThreadId", "inReplyTo", "receivedAt"):
                allowed[name] = [here[name], copy[name]] if empty(here[name]) else [here[name]]
        if known.agrees(copy, "fromAddress") is None:
            for name in allowed:
                allowed[name] = [*allowed[name], here[name]]
        for name, values in allowed.items():
            require(
                got[name] in values,
                f"Already here: 200 with … what the copy adds. ({name}: {values}, got {got[name]!r})",
            )
        changed = any(got[name] != here[name] for name in FIELDS)
        if changed:
            require(got["updatedAt"] > here["updatedAt"], "updatedAt is later than every one given before.")
            self._note("email", got["id"], "changed")
        for name in FIELDS:
            known.set(name, got[name])
        known.record = dict(got)

    def _merged(self, known: Known, copy: Json) -> Iterator[tuple[str, list[Any]]]:
        """For each field, the values that it may have after a copy was merged."""
        here = known.record
        for name in (*SCALARS, "rfc822MsgId", "msgId"):
            if empty(here[name]) and not empty(copy[name]):
                removed = known.removed.get(name, set())
                if name in TEXTS and copy[name] in removed:
                    yield name, [here[name]]  # what people took away stays away
                else:
                    yield name, [copy[name], here[name]] if removed else [copy[name]]
            elif empty(here[name]):
                yield name, [here[name], copy[name]]
        for name in LISTS:
            gone = known.removed.get(name, set())
            have = {address_of(text) for text in here[name]}
            added = [text for text in copy[name] if address_of(text) not in have | gone]
            yield name, [here[name] + added]
        links = entries(here["relatedTo"])
        gone = known.removed.get("relatedTo", set()) | set(map(link_key, links))
        new = [link for link in entries(copy["relatedTo"]) if link_key(link) not in gone]
        # "Returned in the shape it was sent, unless entries of a copy were added": a field that was empty is both.
        yield "relatedTo", [links + new, *[new[0]] * (not links and len(new) == 1)] if new else [here["relatedTo"]]
        # The words name recipients, links and texts that are not brought back, and leave open files and their contents.
        taken = known.removed.get("attachments", set())
        gone = taken - {one["id"] for one in here["attachments"]}
        filled, left = self._with_files(here, copy, set()), self._with_files(here, copy, taken)
        yield (
            "attachments",
            [[one for one in files if one["id"] not in but] for files in (filled, left) for but in (gone, set())],
        )

    def _with_files(self, here: Json, copy: Json, taken: set[Any]) -> list[Json]:
        files = [dict(one) for one in here["attachments"]]
        for file in copy["attachments"]:
            same = next((one for one in files if one["id"] == file["id"]), None)
            if same is None:
                files.append(file)
            elif not same.get("content") and file.get("content") and file["id"] not in taken:
                same["content"] = file["content"]
        return files

    def _require_fields(self, got: Json, wanted: Json, sentence: str) -> None:
        for name in FIELDS:
            require(got[name] == wanted[name], f"{sentence} ({name}: {wanted[name]!r}, got {got[name]!r})")

    def _patch_emails_one(self, call: Call, answer: Answer, record_id: str) -> None:
        self._change_email(call, answer, record_id, call.body or {})

    def _put_emails_one(self, call: Call, answer: Answer, record_id: str) -> None:
        body = call.body or {}
        kept = {name for name in ("rfc822MsgId", "msgId") if name not in body}
        self._change_email(call, answer, record_id, {n: v for n, v in whole(body).items() if n not in kept})

    def _change_email(self, call: Call, answer: Answer, record_id: str, changes: Json) -> None:
        known = self.emails.get(record_id)
        if known is None:
            require(answer.status == 404, "An unknown id is 404.")
            return
        if self._fails_precondition(call, answer, known.etag):
            return
        key = key_of(changes.get("rfc822MsgId"))
        if key and any(one.key == key for one in self.emails.values() if one is not known):
            require(answer.status == 409, "An rfc822MsgId that another record has is 409.")
            return
        require(
            answer.status == 200, f"PATCH changes the fields that it names; PUT replaces them all. ({answer.status})"
        )
        before = dict(known.record)
        for name, value in changes.items():
            if name in FIELDS:
                self._change_field(known, name, whole({name: value})[name])
        self._require_fields(
            answer.body, known.record, "PATCH changes the fields that it names; PUT replaces them all."
        )
        if any(known.record[name] != before[name] for name in FIELDS):
            require(answer.body["updatedAt"] > before["updatedAt"], "updatedAt is later than every one given before.")
            self._note("email", record_id, "changed")
        known.record, known.etag = dict(answer.body), answer.etag

    def _change_field(self, known: Known, name: str, value: Any) -> None:
        old = known.record[name]
        if value != old:
            known.edited.add(name)
        removed = known.removed.setdefault(name, set())
        if name in LISTS:
            removed |= set(map(address_of, old))
            removed -= set(map(address_of, value))
        elif name == "relatedTo":
            removed |= set(map(link_key, entries(old)))
            removed -= set(map(link_key, entries(value)))
        elif name == "attachments":
            removed |= {one["id"] for one in old}
        elif not empty(old):
            removed.add(old)
            removed.discard(value)
        if not removed:
            del known.removed[name]
        if name == "msgId":
            known.maybe |= {key for key in (key_of(old), key_of(value)) if key}
        known.set(name, value)

    def _fails_precondition(self, call: Call, answer: Answer, etag: str | None) -> bool:
        """Whether it is 412; raises where that is wrong."""
        if call.if_match is None:
            require(answer.status != 412, "Without If-Match the call is made as ever.")
            return False
        if etag is not None:
            fails = call.if_match != etag
            if fails and answer.status == 422:  # of two reasons, either may be told
                return True
            require((answer.status == 412) == fails, f"If-Match that does not match is 412. ({answer.status})")
        return answer.status == 412

    def _delete_emails_one(self, call: Call, answer: Answer, record_id: str) -> None:
        known = self.emails.get(record_id)
        if known is None:
            require(answer.status == 404, "An unknown id is 404.")
            return
        if self._fails_precondition(call, answer, known.etag):
            return
        require(answer.status == 204, "DELETE is 204.")
        del self.emails[record_id]
        self._note("email", record_id, "deleted")
        if ("remember", "false") in call.query:
            ids = known.copies | known.maybe
            self.deleted = [one for one in self.deleted if not (one.key and one.key == known.key)]
            for one in self.deleted:  # another email with its msgId stays away
                if one.copies & ids and (known.edited or one.contradicts(known.record) is not True):
                    one.maybe_forgotten = True
        else:
            self.deleted.append(known)

    def _get_emails_one(self, call: Call, answer: Answer, record_id: str) -> None:
        record_id, _, sub = record_id.partition("/")
        known = self.emails.get(record_id)
        if known is None:
            require(answer.status == 404, "An unknown id is 404.")
            return
        require(answer.status == 200, "GET /emails/{id}: the email by the CRM's own record id.")
        if sub == "copies":
            self._check_copies(known, str(answer.body))
            return
        require(answer.body == known.record, f"A GET answers what the last change answered. ({known.record})")
        require(answer.etag, "A record's answer has an ETag.")
        require(known.etag in (None, answer.etag), "An ETag changes with the record alone.")
        known.etag = answer.etag

    def _check_copies(self, known: Known, copies: str) -> None:
        if known.withheld:
            require(not any(value in copies for _, value in known.said), "Withheld: nobody's words are kept.")
            return
        for name, value in known.said:
            somewhere = value in known.removed.get(name, ()) or comparable(name, value) in known.had.get(name, ())
            require(
                somewhere or value in copies, f"What the copy says otherwise is kept with the copy. ({name}: {value})"
            )

    def _get_emails(self, call: Call, answer: Answer, _: str) -> None:
        require(answer.status == 200, "GET /emails answers an array.")
        ((name, value),) = call.query
        key = key_of(value)
        ids = [record["id"] for record in answer.body]
        require(len(set(ids)) == len(ids), "No record twice.")
        if name == "rfc822MsgId":
            must = {one for one, known in self.emails.items() if known.key == key}
            may: set[str] = set()
        elif name == "msgId":
            must = {one for one, known in self.emails.items() if key in known.copies | {key_of(known.record["msgId"])}}
            may = {one for one, known in self.emails.items() if key in known.maybe}
        else:
            may = set()
            must = {one for one, known in self.emails.items() if address_of(value) in self._addresses(known.record)}
        require(must <= set(ids) <= must | may, f"GET /emails finds by {name}. ({must}, {may}, got {ids})")
        for record in answer.body:
            require(record == self.emails[record["id"]].record, "A list shows the records as they are.")

    @staticmethod
    def _addresses(record: Json) -> set[str | None]:
        texts = [record["fromAddress"], *(text for name in LISTS for text in record[name])]
        return set(map(address_of, texts)) - {None}

    # ---- contacts and companies -------------------------------------------------------------------------------------

    def _post_contacts(self, call: Call, answer: Answer, _: str) -> None:
        self._post(call, answer, "contact", self.contacts, "emailAddresses")

    def _post_companies(self, call: Call, answer: Answer, _: str) -> None:
        self._post(call, answer, "company", self.companies, "domains")

    def _post(self, call: Call, answer: Answer, kind: str, records: dict[str, Json], keys: str) -> None:
        body = self._record(kind, call.body or {})
        asked = (call.body or {}).get("id")
        wanted = set(map(address_of, body[keys]))
        if asked is not None:
            here = records.get(asked)
        else:
            found = [one for one in records.values() if wanted & set(map(address_of, one[keys]))]
            here = min(found, key=lambda one: (one["createdAt"], one["id"]), default=None)
        unused = here is not None and not empty(here.get("companyId")) and answer.status == 200
        if not unused and self._unknown_company(body, answer):
            return
        if here is None:
            require(answer.status == 201, "POST finds or creates: else 201.")
            record_id = asked or self._new_id(answer)
            require(answer.body["id"] == record_id, "With an id, a new one under it.")
            self._require_record(answer.body, body, "POST creates.")
            records[record_id], self.etags[record_id] = dict(answer.body), answer.etag
            self._note(kind, record_id, "created")
            return
        require(answer.status == 200, f"POST finds or creates: 200 with the oldest such {kind}. ({here})")
        require(
            answer.body["id"] == here["id"], f"With an id, that {kind}; without, the oldest with one of its {keys}."
        )
        filled = {name: here[name] if not empty(here[name]) else body[name] for name in body if name != keys}
        have = set(map(address_of, here[keys]))
        filled[keys] = here[keys] + [text for text in body[keys] if address_of(text) not in have]
        unchanged = all(answer.body[name] == here[name] for name in filled)
        if not (unchanged and (asked is not None or kind == "company")):
            self._require_record(answer.body, filled, "Unchanged but for gaps filled.")
        if not unchanged:
            self._note(kind, here["id"], "changed")
        records[here["id"]], self.etags[here["id"]] = dict(answer.body), answer.etag

    @staticmethod
    def _record(kind: str, body: Json) -> Json:
        if kind == "contact":
            record = {name: body.get(name) for name in ("firstName", "lastName", "companyId")}
            return record | {"emailAddresses": body.get("emailAddresses") or []}
        return {"name": body.get("name"), "domains": body.get("domains") or []}

    def _unknown_company(self, body: Mapping[str, Any], answer: Answer) -> bool:
        unknown = body.get("companyId") is not None and body["companyId"] not in self.companies
        require((answer.status == 422) == unknown, f"A companyId that does not exist is 422. ({answer.status})")
        return unknown

    def _require_record(self, got: Json, wanted: Json, sentence: str) -> None:
        for name, value in wanted.items():
            require(got[name] == value, f"{sentence} ({name}: {value!r}, got {got[name]!r})")

    def _put_contacts_one(self, call: Call, answer: Answer, record_id: str) -> None:
        self._put(call, answer, "contact", self.contacts, record_id)

    def _put_companies_one(self, call: Call, answer: Answer, record_id: str) -> None:
        self._put(call, answer, "company", self.companies, record_id)

    def _put(self, call: Call, answer: Answer, kind: str, records: dict[str, Json], record_id: str) -> None:
        body = self._record(kind, call.body or {})
        if self._unknown_company(body, answer):
            return
        old = records.get(record_id)
        require(answer.status == (200 if old else 201), "PUT with an id never seen creates (201), else replaces (200).")
        self._require_record(
            answer.body, {"id": record_id, **body}, "PUT never merges: it is the CRM saying what is so."
        )
        if old is None or any(old[name] != body[name] for name in body):
            self._note(kind, record_id, "changed" if old else "created")
        records[record_id], self.etags[record_id] = dict(answer.body), answer.etag

    def _patch_contacts_one(self, call: Call, answer: Answer, record_id: str) -> None:
        old = self.contacts.get(record_id)
        if old is None:
            require(answer.status in (404, 422), "An unknown id is 404.")
            return
        changes = {name: value for name, value in (call.body or {}).items() if name != "id"}
        if self._fails_precondition(call, answer, self.etags.get(record_id)):
            return
        if self._unknown_company(changes, answer):
            return
        require(answer.status == 200, "PATCH changes the fields that it names.")
        self._require_record(answer.body, {**self._record("contact", old), **changes}, "PATCH changes what it names.")
        if any(old[name] != value for name, value in changes.items()):
            self._note("contact", record_id, "changed")
        self.contacts[record_id], self.etags[record_id] = dict(answer.body), answer.etag

    def _delete_contacts_one(self, call: Call, answer: Answer, record_id: str) -> None:
        if record_id in self.contacts and self._fails_precondition(call, answer, self.etags.get(record_id)):
            return
        self._delete(answer, "contact", self.contacts, record_id)

    def _delete_companies_one(self, call: Call, answer: Answer, record_id: str) -> None:
        self._delete(answer, "company", self.companies, record_id)
        for contact in self.contacts.values():
            if contact["companyId"] == record_id:
                contact["companyId"] = None
                self.etags.pop(contact["id"], None)

    def _delete(self, answer: Answer, kind: str, records: dict[str, Json], record_id: str) -> None:
        if records.pop(record_id, None) is None:
            require(answer.status == 404, "An unknown id is 404.")
            return
        require(answer.status == 204, "DELETE is 204.")
        self._note(kind, record_id, "deleted")

    def _get_contacts_one(self, call: Call, answer: Answer, record_id: str) -> None:
        record_id, _, sub = record_id.partition("/")
        if sub and record_id in self.contacts:
            self._check_timeline(self.contacts[record_id], answer)
        else:
            self._get(answer, self.contacts, record_id)

    def _check_timeline(self, contact: Json, answer: Answer) -> None:
        keys = set(map(address_of, contact["emailAddresses"]))
        wanted = {}
        for one, known in self.emails.items():
            people = {
                "from": [known.record["fromAddress"]],
                **{name[: -len("Addresses")]: known.record[name] for name in LISTS},
            }
            roles = {role for role, texts in people.items() if keys & (set(map(address_of, texts)) - {None})}
            links = map(link_key, entries(known.record["relatedTo"]))
            linked = {"relatedTo"} if ("contact", contact["id"]) in links else set()
            if roles | linked:
                wanted[one] = roles | linked
        got = {one["id"]: set(one["roles"]) for one in answer.body}
        require(got == wanted, f"The contact's timeline: all four roles match, and relatedTo. ({wanted}, got {got})")
        times = [one["receivedAt"] or one["createdAt"] for one in answer.body]
        require(times == sorted(times, reverse=True), f"Newest first. ({times})")

    def _get_companies_one(self, call: Call, answer: Answer, record_id: str) -> None:
        self._get(answer, self.companies, record_id)

    def _get(self, answer: Answer, records: dict[str, Json], record_id: str) -> None:
        if record_id not in records:
            require(answer.status == 404, "An unknown id is 404.")
            return
        require(answer.status == 200, "GET answers a record by its id.")
        self._same(answer.body, records)
        require(answer.etag, "A record's answer has an ETag.")
        require(self.etags.get(record_id) in (None, answer.etag), "An ETag changes with the record alone.")

    def _same(self, got: Json, records: dict[str, Json]) -> None:
        here = records[got["id"]]
        require(got["updatedAt"] >= here["updatedAt"], "Times move on.")
        wanted = {name: value for name, value in here.items() if name != "updatedAt"}
        self._require_record(got, wanted, "A GET answers what the last change answered.")
        records[got["id"]] = dict(got)

    def _get_contacts_lookup(self, call: Call, answer: Answer, _: str) -> None:
        require(answer.status == 200, "No match: [] with 200.")
        wanted: list[str] = []
        for _name, value in call.query:
            for text in value.split(","):
                found = [
                    one for one in self.contacts.values() if address_of(text) in map(address_of, one["emailAddresses"])
                ]
                found.sort(key=lambda one: (one["createdAt"], one["id"]))
                wanted += [one["id"] for one in found if one["id"] not in wanted]
        got = [one["id"] for one in answer.body]
        require(
            got == wanted, f"In the order of the addresses asked for, then by age, then by id. ({wanted}, got {got})"
        )
        for one in answer.body:
            self._same(one, self.contacts)

    def _get_companies_lookup(self, call: Call, answer: Answer, _: str) -> None:
        require(answer.status == 200, "[] for none.")
        ((_name, domain),) = call.query
        domain = domain.rpartition("@")[2].casefold().removeprefix("www.").rstrip(".")
        found: set[str] = set()
        while "." in domain and not found:
            found = {one["id"] for one in self.companies.values() if domain in map(str.casefold, one["domains"])}
            domain = domain.partition(".")[2]
        got = {one["id"] for one in answer.body}
        require(got == found, f"Exact domain first; else the nearest parent that a company has. ({found}, got {got})")

    # ---- the feed ---------------------------------------------------------------------------------------------------

    def check_feed(self, feed: list[Json]) -> None:
        """What the feed tells of the calls so far: all of it, in order, each with a later number and time."""
        for one, other in zip(feed, feed[1:], strict=False):
            require(one["seq"] < other["seq"], "In order.")
            require(one["at"] < other["at"], "The feed's `at` is later than every one given before.")
        for record, wanted in self.feed.items():
            got = [one["action"] for one in feed if f"{one['type']} {one['id']}" == record]
            bare = [action for action in wanted if action != "changed"]
            require(
                [action for action in got if action != "changed"] == bare, f"What was created and deleted. ({record})"
            )
            require(
                got.count("changed") >= wanted.count("changed"), f"What was changed. ({record}: {wanted}, got {got})"
            )
