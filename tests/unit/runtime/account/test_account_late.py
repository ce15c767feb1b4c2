"""A yes that comes after an absence was proved: kept, told, and nothing that cannot be read again."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.gate.signing import good
from holdfast.kernel.commit import Change
from holdfast.kernel.guard import Guard
from holdfast.kernel.model import State
from holdfast.store import open_store
from tests.contract.acts import Acts
from tests.explaining import explained, text_of


@pytest.mark.req("W5", mutant=None, reason="the store once could not read an effect after such a reply")
async def test_a_late_yes_after_an_absence_leaves_a_record_that_is_read_audited_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The effect stays failed and readable, the audit passes, and the account tells the reply and the drift."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    path = tmp_path / "h.db"
    store = open_store(f"sqlite:{path}")
    acts = Acts(now_ms=store.now_ms())
    effect = acts.id(1)
    for change in (acts.begin(), acts.propose(1), acts.admit(1), acts.leave(1)):
        await store.commit(change)
    seen = await store.read(effect)
    assert seen.effect is not None
    token, sent = seen.effect.token, (State.DISPATCHED,)
    no = acts.draft(1, "failed", cause="no", basis="the outside said no")
    yes = acts.draft(1, "committed", value=1, basis="acknowledged")
    await store.commit(Change(run=acts.run.id, guard=Guard(effect=effect, states=sent, token=token), drafts=(no,)))
    stale = Guard(effect=effect, states=sent, token=token - 1)
    await store.commit(Change(run=acts.run.id, guard=stale, drafts=(yes,), reply={"kind": "ack", "value": 1}))
    await store.flush()
    assert [entry.kind for entry in store.entries(acts.run.id)][-2:] == ["late", "drift"]
    store.close_now()
    again = open_store(f"sqlite:{path}", read_only=True)
    view = again.read_now(effect).effect
    assert view is not None
    assert view.state is State.FAILED
    assert again.verify(good).not_folded == 0
    again.close_now()
    [data] = list(explained(path))
    assert f"a reply to refund {effect} came from " in text_of(data, "done")
    assert "whose token 0 was no longer good (then 1)" in text_of(data, "done")
    assert f"found otherwise than recorded for {effect}: «outside, though recorded as absent»" in text_of(
        data, "verified"
    )
