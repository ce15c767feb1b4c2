"""A webhook is told of a drift and of a dead letter that need a person: once, from any process, without values."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

import holdfast as hf
from holdfast.kernel.commit import STORE_RUN_ID, Change
from holdfast.kernel.documents import Job
from holdfast.runtime.announce import ANNOUNCED, Announcer
from holdfast.runtime.drift.records import accept
from holdfast.runtime.needed import needed
from tests.unit.runtime.drift.catalogue import BRISK, Catalogue, Reconciler, inserted, opened, the_drift
from tests.unit.runtime.drift.conftest import catalogue
from tests.unit.runtime.test_announce import HASTE, Mailbox, mailbox, until

__all__ = ["catalogue", "mailbox"]
BY_HAND = BRISK._replace(repairs=False)
PRIVATE = "a secret of the clerk"


def delivered(app: hf.App, name: str) -> Any:
    """Whether it is on record that this was taken."""

    def is_so() -> bool:
        fact = app.store.fact(ANNOUNCED + name)
        return fact is not None and fact.value == "delivered"

    return is_so


@pytest.mark.req("1.3c", mutant="announced-are-requests-alone")
async def test_the_webhook_is_told_of_a_drift_that_waits_for_a_person(
    mailbox: Mailbox, catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Class, owner, what is to be done and until when; not what was observed; accepted, nobody is told any more."""
    monkeypatch.setattr("holdfast.app.Announcer", lambda store, hook, me: Announcer(store, hook, me, HASTE))
    async with opened(f"sqlite:{tmp_path / 's.db'}", announce=mailbox.url) as app:
        effect = await inserted(app, "cup", 31_337)
        catalogue.lose("cup", books_too=True)
        reconciler = Reconciler(app, BY_HAND)
        await reconciler.round(everything=True)
        await reconciler.stop()
        drift = the_drift(app)
        [message] = needed(app.store)
        assert await until(delivered(app, message.id))
        accept(app.store, drift.id, who="ann", reason="it is sold out")
        assert message.posts() is None
        assert list(needed(app.store)) == []
    ((headers, body),) = mailbox.posts
    said = json.loads(body)
    assert headers["webhook-id"] == message.id
    assert (said["type"], said["class"], said["effect"]) == ("drift.needs_a_person", "missing", effect)
    assert (said["owner"], said["next"], said["due_ms"]) == (drift.owner, "repair or accept", drift.due_ms)
    assert said["command"] == f"holdfast drift show {drift.id}"
    assert b"31337" not in body


@pytest.mark.req("1.6c", mutant="announced-are-requests-alone")
async def test_the_webhook_is_told_of_a_dead_letter(
    mailbox: Mailbox, catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose it is, how often it was tried and what resolves it; what it ran into may quote a value and is not told."""
    monkeypatch.setattr("holdfast.app.Announcer", lambda store, hook, me: Announcer(store, hook, me, HASTE))
    async with opened(f"sqlite:{tmp_path / 's.db'}", announce=mailbox.url) as app:
        await app.submit(hf.Intent(goal="stock", purpose="stock", principal="clerk"))
        [job] = app.store.documents("job")
        assert isinstance(job, Job)
        dead = replace(job, state="dead", owner="stock desk", tries=5, why=PRIVATE, since_ms=app.store.now_ms())
        await app.store.commit(Change(run=STORE_RUN_ID, documents=(dead,)))
        [message] = needed(app.store)
        assert await until(delivered(app, message.id))
    ((_, body),) = mailbox.posts
    said = json.loads(body)
    assert (said["type"], said["run"], said["owner"], said["tries"]) == (
        "job.needs_a_person", job.run, "stock desk", 5,
    )  # fmt: skip
    assert said["command"] == f"holdfast queue show {job.run}"
    assert PRIVATE.encode() not in body
