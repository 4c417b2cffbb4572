"""Random calls of several clients against the model of the contract, on both databases.

A round is a history of a few calls on a few ids and addresses of its own. In one form the calls are made one after the
other, and the model checks each answer. In the other, groups of them are made at once, by threads or by processes, and
some serial order of each group has to explain its answers. Input is new in each run; what fails shows the seed, and the
calls, made as few as still fail. `SEED=…` repeats a run, `MODEL_ROUNDS=…` sets the number of rounds of the long form.
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from itertools import count
from multiprocessing import get_context
from random import Random
from typing import Any, NamedTuple

import pytest
from flask import Flask

import crm
from app import create_app
from tests.conftest import USER, Client
from tests.model import Answer, Call, Contradiction, Model
from tests.samples import WITHIN, new_random
from web import tokens

API = "/api/v1"
MOST_AT_ONCE = 6

numbers = count()


class Plan(NamedTuple):
    """A call before it is made: `target` is the number of the record that it is about, among those that are known."""

    client: int
    method: str
    noun: str
    body: dict[str, Any] | None = None
    target: int | None = None
    query: tuple[tuple[str, str], ...] = ()
    if_match: int | None = None  # how many versions ago the one was that it is said to be


History = list[list[Plan]]  # groups; what is in one is made at once


# ---- made-up calls --------------------------------------------------------------------------------------------------


def some(random: Random, *values: Any) -> Any:
    return random.choice(values)


def email(random: Random) -> dict[str, Any]:
    """An email of a small world: few ids, senders and texts, so that many are copies of one, or seem to be. `§` stands
    for what a round has for itself."""
    n = random.randrange(2)
    files = [
        {"id": "1", "name": "a.pdf", "size": 3} | some(random, {}, {"content": "YWJj"}),
        {"id": "2", "name": "b.pdf", "size": 1, "content": "YQ=="},
    ]
    links = [
        {"type": some(random, "Contact", "contact"), "id": "c0§"},
        {"type": some(random, "Deal", "deal"), "id": "7"},
    ]
    body = {
        "rfc822MsgId": some(random, None, f"<r{n}§@x>", f"r{n}§@x", f" <r{n}§@x> "),
        "msgId": some(random, None, f"g{random.randrange(2)}§", f"g{n}§"),
        "syncThreadId": some(random, None, "t§"),
        "inReplyTo": some(random, None, None, "<parent@x>"),
        "receivedAt": some(
            random, None, "2026-01-31T09:30:00.000000Z", "2026-01-31T09:30:00.000000Z", "2026-02-01T00:00:00.000000Z"
        ),
        "subject": some(random, None, " ", "Salary", "Salary", "Lunch?"),
        "fromAddress": some(random, None, "boss§@x.example", "boss§@x.example", "Boss§@X.example", "joe§@x.example"),
        "fromName": some(random, None, "The Boss"),
        "toAddresses": random.sample(["to1§@x.example", "to2§@x.example", "To <to3§@x.example>"], random.randrange(3)),
        "ccAddresses": random.sample(["cc1§@x.example", "cc2§@x.example"], random.randrange(2)),
        "bccAddresses": random.sample(["bcc1§@x.example", "bcc2§@x.example"], random.randrange(2)),
        "textBody": some(random, "Hello", "Hello", "Another text"),
        "htmlBody": some(random, None, None, "<p>Hello</p>", "<p>Another</p>"),
        "attachments": random.sample(files, some(random, 0, 0, 1, 2)),
        "relatedTo": some(random, [], [], links[0], links[:1], links[1:], links),
    }
    return {name: value for name, value in body.items() if value or random.random() < 0.3}


def email_change(random: Random) -> dict[str, Any]:
    """Some fields of an email, to PATCH."""
    whole = dict.fromkeys(("subject", "textBody", "msgId", "rfc822MsgId", "toAddresses")) | email(random)
    whole.pop("attachments", None)
    return {name: whole[name] for name in random.sample(sorted(whole), random.randint(1, 2))}


def contact(random: Random) -> dict[str, Any]:
    addresses = ["to1§@x.example", "TO1§@X.example", "boss§@x.example", "Ann <a2§@x.example>"]
    body = {
        "firstName": some(random, None, "Ann", "Bob"),
        "lastName": some(random, None, "Doe"),
        "companyId": some(random, None, None, "k0§", "k1§"),
        "emailAddresses": random.sample(addresses[random.randrange(2) :: 2] + addresses[2:3], random.randrange(3)),
    }
    body["emailAddresses"] = list({text.casefold(): text for text in body["emailAddresses"]}.values())
    return {name: value for name, value in body.items() if value or random.random() < 0.5}


def company(random: Random) -> dict[str, Any]:
    return {"name": some(random, None, "Acme", "Umbrella"), "domains": [f"d{random.randrange(2)}-§.example"]}


def plan(random: Random) -> Plan:
    """One call."""
    client, target = random.randrange(3), random.randrange(4)
    change = partial(Plan, client, target=target, if_match=some(random, None, None, None, 0, 1))
    kind = random.choices(("email", "contact", "company"), (6, 3, 1))[0]
    if kind == "email":
        makers = [
            *[lambda: Plan(client, "POST", "emails", email(random))] * 6,
            *[lambda: change("PATCH", "emails", email_change(random))] * 2,
            lambda: change("PUT", "emails", email(random)),
            lambda: change("DELETE", "emails"),
            lambda: change("DELETE", "emails", query=(("remember", "false"),)),
            lambda: Plan(client, "GET", "emails", target=target),
        ]
    elif kind == "contact":
        ids = {"id": f"c{random.randrange(2)}§"}
        queried = ",".join(random.sample(["to1§@x.example", "boss§@x.example", "A2§@x.example"], random.randint(1, 3)))
        makers = [
            *[lambda: Plan(client, "POST", "contacts", contact(random))] * 3,
            lambda: Plan(client, "POST", "contacts", contact(random) | ids),
            lambda: Plan(client, "PUT", f"contacts/{ids['id']}", contact(random)),
            *[lambda: change("PATCH", "contacts", contact(random))] * 2,
            lambda: change("DELETE", "contacts"),
            lambda: Plan(client, "GET", "contacts/lookup", query=(("emails", queried),)),
        ]
    else:
        path = f"companies/k{random.randrange(2)}§"
        queried = some(random, "", "mail.", "www.", "jane@", "not") + f"d{random.randrange(2)}-§.example"
        makers = [
            lambda: Plan(client, "POST", "companies", company(random)),
            lambda: Plan(client, "PUT", path, company(random)),
            lambda: Plan(client, "DELETE", path),
            lambda: Plan(client, "GET", "companies/lookup", query=(("domain", queried),)),
        ]
    return random.choice(makers)()


def one_by_one(random: Random) -> History:
    return [[plan(random)] for _ in range(random.randint(4, 14))]


def at_once(random: Random) -> History:
    before = [[plan(random)] for _ in range(random.randrange(4))]
    groups = [[plan(random) for _ in range(random.randint(3, MOST_AT_ONCE))] for _ in range(random.randint(1, 2))]
    return before + groups


# ---- making them ----------------------------------------------------------------------------------------------------


_clients: list[Any] = []  # of this process


def be_server(url: str, secrets: Sequence[str]) -> None:
    """Be a process with the application of its own."""
    app = create_app({"DATABASE_URL": url})
    app.test_client_class = Client
    use_clients(app, secrets)


def use_clients(app: Flask, secrets: Sequence[str]) -> None:
    _clients[:] = [app.test_client() for _ in secrets]
    for client, secret in zip(_clients, secrets, strict=True):
        client.token = secret


def make(client: int, call: Call, start: float = 0) -> Answer:
    """Make a call at a moment, at which others are made too."""
    while time.time() < start:
        time.sleep(0)
    headers = {"If-Match": call.if_match} if call.if_match else {}
    answer = _clients[client].open(
        API + call.path, method=call.method, json=call.body, query_string=dict(call.query), headers=headers
    )
    return Answer(answer.status_code, answer.json if answer.data else None, answer.headers.get("ETag"))


class Round:
    """The calls of a history, made by clients, with all that is known of them."""

    def __init__(self, pool: Executor) -> None:
        self.pool = pool
        self.mark = f"-{next(numbers)}-"
        self.models = [Model()]
        self.ids: dict[str, list[str]] = {"emails": [], "contacts": [], "companies": []}
        self.etags: dict[str, list[str]] = {}
        self.story: list[str] = []
        self.begun = self._last_change()

    def play(self, history: History) -> None:
        """Make the calls, and raise Contradiction where no order of them explains the answers."""
        for group in history:
            self._group([(one.client, call) for one in group if (call := self._call(one))])
        self._look()

    def _group(self, calls: list[tuple[int, Call]]) -> None:
        start = time.time() + (0.005 if len(calls) > 1 else 0)
        if len(calls) == 1:
            answers = [make(*calls[0])]
        else:
            answers = [one.result(WITHIN) for one in [self.pool.submit(make, *call, start) for call in calls]]
        for n, ((client, call), answer) in enumerate(zip(calls, answers, strict=True)):
            self._keep(call, answer)
            self.story.append(
                f"{'+' if n else '-'} client {client}: {call} -> {answer.status} {answer.body} {answer.etag}"
            )
        self._explain([(call, answer) for (_, call), answer in zip(calls, answers, strict=True)])

    def _explain(self, made: list[tuple[Call, Answer]]) -> None:
        """Go on with the models of all orders that explain the answers."""
        reasons = []
        level = [(frozenset(range(len(made))), model) for model in self.models]
        for _ in made:
            reached: dict[tuple[frozenset[int], str], Model] = {}
            for left, model in level:
                for n in left:
                    try:
                        after = model.copy()
                        after.take(*made[n])
                        reached[left - {n}, after.state()] = after
                    except Contradiction as error:
                        reasons.append(str(error))
            level = [(left, model) for (left, _), model in reached.items()]
        if not level:
            raise Contradiction("; or ".join(dict.fromkeys(reasons)))
        self.models = [model for _, model in level]

    def _look(self) -> None:
        """Read everything, which must be as at least one of the orders leaves it."""
        looks = [Call("GET", f"/{noun}/{one}") for noun, ids in self.ids.items() for one in ids]
        looks += [Call("GET", f"/emails/{one}/copies") for one in self.ids["emails"]]
        looks += [Call("GET", f"/contacts/{one}/emails") for one in self.ids["contacts"]]
        for name, value in [("rfc822MsgId", "r{}@x"), ("msgId", "g{}"), ("address", "to{}@x.example")]:
            looks += [Call("GET", "/emails", query=((name, value.format(f"{n}{self.mark}")),)) for n in range(3)]
        self._explain_each([(look, make(0, look)) for look in looks])
        feed = make(0, Call("GET", "/changes", query=(("after", str(self.begun)), ("limit", "1000")))).body
        self._any(lambda model: model.check_feed(feed))

    def _explain_each(self, made: list[tuple[Call, Answer]]) -> None:
        for call, answer in made:
            self.story.append(f"- {call} -> {answer.status} {answer.body}")
            self._any(lambda model, call=call, answer=answer: model.take(call, answer))

    def _any(self, check: Any) -> None:
        fitting, reason = [], Contradiction()
        for model in self.models:
            try:
                check(model)
                fitting.append(model)
            except Contradiction as error:
                reason = error
        if not fitting:
            raise reason
        self.models = fitting

    def _call(self, plan: Plan) -> Call | None:
        """The call that a plan means by now."""
        path = f"/{plan.noun}".replace("§", self.mark)
        etag = None
        if plan.target is not None:
            ids = self.ids[plan.noun]
            record_id = ids[plan.target % len(ids)] if ids else "999999999"
            if plan.method in ("PATCH", "PUT") and any(
                record_id in model.emails and model.emails[record_id].withheld for model in self.models
            ):
                return None  # the contract does not say what becomes of it
            path += f"/{record_id}"
            etags = self.etags.get(path, [])
            if plan.if_match is not None and len(etags) > plan.if_match:
                etag = etags[-1 - plan.if_match]
        query = tuple((name, value.replace("§", self.mark)) for name, value in plan.query)
        return Call(plan.method, path, _marked(plan.body, self.mark), query, etag)

    def _keep(self, call: Call, answer: Answer) -> None:
        if answer.status in (200, 201) and isinstance(answer.body, dict):
            noun = call.path.split("/")[1]
            record_id = answer.body["id"]
            if record_id not in self.ids[noun]:
                self.ids[noun].append(record_id)
            etags = self.etags.setdefault(f"/{noun}/{record_id}", [])
            if answer.etag and answer.etag not in etags:
                etags.append(answer.etag)

    def _last_change(self) -> int:
        last = 0
        while changes := make(0, Call("GET", "/changes", query=(("after", str(last)), ("limit", "1000")))).body:
            last = changes[-1]["seq"]
        return last


def _marked(value: Any, mark: str) -> Any:
    if isinstance(value, str):
        return value.replace("§", mark)
    if isinstance(value, list):
        return [_marked(one, mark) for one in value]
    return {name: _marked(one, mark) for name, one in value.items()} if isinstance(value, dict) else value


def failure(pool: Executor, history: History) -> str | None:
    """Why a history contradicts the contract, with its story; None where it does not."""
    round_ = Round(pool)
    try:
        round_.play(history)
    except (Contradiction, KeyError) as error:
        return "\n".join([*round_.story, f"{type(error).__name__}: {error}"])
    return None


def fewest(pool: Executor, history: History) -> str:
    """The story of a failing history without the calls that it fails without."""
    tries = 5 if any(len(group) > 1 for group in history) else 1
    why = ""
    shorter = True
    while shorter:
        shorter = False
        for g, n in [(g, n) for g, group in enumerate(history) for n in range(len(group))][::-1]:
            less = [group[:n] + group[n + 1 :] if g == h else group for h, group in enumerate(history)]
            for _ in range(tries):
                if found := failure(pool, [group for group in less if group]):
                    history, why, shorter = [group for group in less if group], found, True
                    break
            if shorter:
                break
    return why


# ---- the tests ------------------------------------------------------------------------------------------------------


@pytest.fixture
def secrets(app: Flask) -> list[str]:
    """The tokens of three clients, of two users."""
    crm.add_user({**USER, "id": "u2", "email": "second@brightsync.example"})
    secrets = [tokens.create(user, "admin") for user in ("u1", "u1", "u2")]
    use_clients(app, secrets)
    return secrets


@pytest.fixture
def threads(secrets: list[str]) -> Iterator[Executor]:
    """The threads of one server."""
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        yield pool


@pytest.fixture
def processes(secrets: list[str], url: str) -> Iterator[Executor]:
    """Servers on one database."""
    with ProcessPoolExecutor(4, get_context("forkserver"), be_server, (url, secrets)) as pool:
        yield pool


def run(pool: Executor, make_up: Callable[[Random], History], rounds: int) -> None:
    random = new_random()
    for n in range(rounds):
        history = make_up(Random(random.getrandbits(64)))
        if why := failure(pool, history):
            pytest.fail(f"round {n}\n{why}\n\nwith fewer calls:\n{fewest(pool, history)}", pytrace=False)


ROUNDS = int(os.environ.get("MODEL_ROUNDS", 300))  # on each database, of all three forms


def test_each_answer_is_what_the_contract_says(threads: Executor) -> None:
    """Calls one after the other."""
    run(threads, one_by_one, 15)


def test_answers_that_were_given_at_once_have_an_order(threads: Executor) -> None:
    """Calls of several clients at the same moment."""
    run(threads, at_once, 8)


@pytest.mark.system
@pytest.mark.parametrize(("make_up", "share"), [(one_by_one, 2), (at_once, 4)])
def test_thousands_of_rounds(threads: Executor, make_up: Callable[[Random], History], share: int) -> None:
    """The same for long."""
    run(threads, make_up, ROUNDS // share)


@pytest.mark.system
def test_thousands_of_rounds_of_several_servers(processes: Executor) -> None:
    """The same where each call is made to some other process."""
    run(processes, at_once, ROUNDS // 4)
