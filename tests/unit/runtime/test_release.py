"""Leaving restored mode: what the lost tail may have sent goes on only where a key keeps a second one out."""

from __future__ import annotations

import pytest

from holdfast.kernel.model import Contract, Effect, EffectClass, State
from holdfast.runtime.release import in_doubt

HOUR_MS = 3_600_000


def effect(state: State) -> Effect:
    """An effect that last moved at the epoch."""
    return Effect(
        id="ef_1", tenant="main", environment="prod", run="ru_1", purpose="p", tool="t", contract="c",
        effect_class=EffectClass.IRREVERSIBLE, key="k", identity="i", generation=1, args={}, args_digest="d",
        resource="r", principal="bot", state=state,
    )  # fmt: skip


def contract(keyed_ms: int | None = None, *, fenced: bool = False) -> Contract:
    """A contract with or without a key window."""
    return Contract(name="t", effect=EffectClass.IRREVERSIBLE, resource="r", keyed_ms=keyed_ms, fenced=fenced)


@pytest.mark.req("1.4e", mutant=None, reason="pure rule; the stores' own tests copy, clone and roll back real files")
@pytest.mark.parametrize("state", [State.PROPOSED, State.WAITING, State.ADMITTED, State.CLAIMED])
def test_an_unkeyed_effect_that_had_not_left_is_in_doubt_after_a_restore(state: State) -> None:
    """Nothing keeps a second one out, fenced or not: a fresh token is a higher one."""
    assert in_doubt(effect(state), contract(), 0)
    assert in_doubt(effect(state), contract(fenced=True), 0)


def test_a_keyed_effect_goes_on_while_its_key_is_surely_honoured() -> None:
    """The same key is sent again and answered from the first; once the window may be over, it is in doubt."""
    keyed = contract(24 * HOUR_MS)
    assert not in_doubt(effect(State.ADMITTED), keyed, HOUR_MS)
    assert in_doubt(effect(State.ADMITTED), keyed, 24 * HOUR_MS)


@pytest.mark.parametrize("state", [State.DISPATCHED, State.UNKNOWN, State.PENDING, State.COMMITTED, State.VERIFIED])
def test_what_had_left_is_reconciled_as_always(state: State) -> None:
    """Releasing does not touch what is known to have left."""
    assert not in_doubt(effect(state), contract(), HOUR_MS)
