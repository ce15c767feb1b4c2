"""A webhook is told of a saga that needs a person: after it is on disk, once, without values, from any process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import holdfast as hf
from examples.travel import providers
from examples.travel.tools import TOOLS, book, send
from holdfast.runtime.announce import ANNOUNCED, Announcer
from tests.unit.runtime.test_announce import HASTE, Mailbox, mailbox, until

__all__ = ["mailbox"]
POLICY = Path(__file__).resolve().parents[3] / "examples/travel/policy.cedar"
PRIVATE = "a place that nobody is told of"


def opened(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> hf.App:
    """An application that announces in a hurry."""
    monkeypatch.setattr("holdfast.app.Announcer", lambda store, hook, me: Announcer(store, hook, me, HASTE))
    monkeypatch.setenv("TRAVEL_BOOKS", str(folder / "books.db"))
    return hf.open(f"sqlite:{folder / 's.db'}", tools=TOOLS, policy=POLICY, environment="prod", announce=url)


async def trip(app: hf.App) -> hf.SagaReport:
    """A saga whose payment goes through and whose mail does not."""
    run = await app.begin(hf.Intent(goal="travel", purpose="trip", principal="agent"))
    steps = [
        hf.Step("room", book(what="room", trip=PRIVATE), tell=("hotel",)),
        hf.Step("pay", send(what="payment", trip=PRIVATE), kind="irreversible"),
        hf.Step("mail", send(what="mail", trip=PRIVATE), kind="irreversible", tries=1),
    ]
    return await run.saga("trip", steps, owner="travel desk")


@pytest.mark.req("1.9c", mutant=None, reason="the webhook's own suite is mutated; this is what it is told of a saga")
async def test_the_webhook_is_told_who_moves_next_and_of_which_state(
    mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One post, with the state reached, its owner and who was told, and no argument's value; then it is on record."""
    monkeypatch.setenv("TRAVEL_DOWN", "mail")
    async with opened(tmp_path, mailbox.url, monkeypatch) as app:
        report = await trip(app)
        assert report.record is not None
        name = f"{report.saga}:{report.record.since_ms}"

        def delivered() -> bool:
            fact = app.store.fact(ANNOUNCED + name)
            return fact is not None and fact.value == "delivered"

        assert await until(delivered)
    ((headers, body),) = mailbox.posts
    said = json.loads(body)
    assert headers["webhook-id"] == name
    assert said == {
        "type": "saga.needs_a_person",
        "saga": report.saga,
        "run": report.saga.partition("/")[0],
        "state": "partly compensated",
        "held": False,
        "reached": "there: room, pay; not there: mail",
        "owner": "travel desk",
        "told": ["hotel", "travel desk"],
        "command": f"holdfast saga show {report.saga}",
    }
    assert PRIVATE not in body.decode()
    assert providers.stands(PRIVATE) == ["room", "payment"]


async def test_a_saga_that_needs_nobody_is_told_to_nobody(
    mailbox: Mailbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Completed: it stands among none that a person has to look at, and nothing was posted."""
    monkeypatch.setenv("TRAVEL_DOWN", "")
    async with opened(tmp_path, mailbox.url, monkeypatch) as app:
        assert (await trip(app)).state == "completed"
        assert app.store.documents_due("saga", "person", app.store.now_ms()) == []
    assert mailbox.posts == []
