"""The laws that the outside's own log can break: intent first, no double, fence, stop, accounted.

Promises: judged from what the outside logged and what was on disk at that moment, never from what a tool replied.
"""

from __future__ import annotations

from typing import Any

from holdfast.kernel.laws.events import Changed, Event, Evidence, Left, Recorded, Shown, TurnedAway
from holdfast.kernel.laws.law import Broken, Law
from holdfast.kernel.model import Effect, State

_OWNERS = frozenset(
    {"dispatched", "committed", "failed", "pending", "probed", "checked", "verified", "unconfirmed", "escalated"}
)
"""Entries that only the present holder of an effect writes, unless a named human did."""


class IntentFirst(Law):
    """No dispatch without an intent and a decision recorded before it, durable by its dispatch commit at the latest."""

    id, name, watches = "L1", "intent-first", (Recorded, Left)

    def step(self, state: Any, event: Event) -> Any:
        if isinstance(event, Recorded):
            was = event.was
            if event.kind == "dispatched" and (was is None or event.run is None or not was.answer):
                return self.broken(f"{event.view.id} was dispatched without a run and a decision recorded before")
            return state
        assert isinstance(event, Left)
        held = event.on_disk
        if held is None or all(a.number != event.attempt or a.token != event.token for a in held.attempts):
            return self.broken(f"bytes of {event.effect} left while its attempt {event.attempt} was not on disk")
        return state


class NoDouble(Law):
    """One key makes at most one change outside, and one identity at most one over all its generations.

    A generation advances only after the one before is refused, superseded or proved absent; a change under a later
    one beside a change under an earlier one therefore means that an absence was taken as final and was not.
    """

    id, name, watches = "L2", "no-double", (Changed, Left)

    def start(self) -> Any:
        """Keys changed, identities changed, effects of bare tools whose bytes left."""
        return ((), (), ())

    def step(self, state: Any, event: Event) -> Any:
        keys, identities, left = state
        if isinstance(event, Left):
            view = event.on_disk
            contract = self.contracts.get(view.tool) if view is not None else None
            if contract is None or contract.reconcilable or contract.fenced or contract.conditional:
                return state
            if event.effect in left:
                return self.broken(f"{event.effect} of a bare tool was sent twice")
            return keys, identities, (*left, event.effect)
        assert isinstance(event, Changed)
        if event.key in keys:
            return self.broken(f"key {event.key[:12]} changed {event.resource} a second time")
        if event.effect is None:
            return (*keys, event.key), identities, left
        if event.effect.identity in identities:
            return self.broken(
                f"{event.effect.id} (generation {event.effect.generation}) changed {event.resource}, and another "
                "generation of the same identity already had"
            )
        return (*keys, event.key), (*identities, event.effect.identity), left


class Fence(Law):
    """A stale owner changes neither the ledger nor a resource that checks the token; no healthy owner is starved."""

    id, name, watches = "L6", "fence", (Recorded, Changed, TurnedAway, Shown)

    def step(self, state: Any, event: Event) -> Any:
        if isinstance(event, Recorded):
            no = self._ledger(event)
        elif isinstance(event, Changed):
            no = None
            if event.token < event.floor:
                no = f"token {event.token} changed {event.resource}, which had seen {event.floor}"
        elif isinstance(event, Shown):
            # Lost and minted again, this token would be stale outside while it is current in the ledger.
            safe = event.on_disk is not None and event.on_disk.token >= event.token
            no = None if safe else f"token {event.token} of {event.effect} was shown outside and was not on disk"
        else:
            assert isinstance(event, TurnedAway)
            no = self._starved(event)
        return self.broken(no) if no else state

    def _ledger(self, event: Recorded) -> str | None:
        was, view = event.was, event.view
        if was is None:
            return None
        if view.token < was.token:
            return f"the token of {view.id} went back from {was.token} to {view.token}"
        if event.kind == "claimed" and was.holder:
            return f"{event.by} claimed {view.id} while {was.holder} held it"
        if event.kind not in _OWNERS or view.attested_by or (event.kind == "committed" and was.late_seen):
            return None
        if was.holder and event.by != was.holder:
            return f"{event.by} recorded {event.kind} on {view.id}, whose holder is {was.holder}"
        return None

    def _starved(self, event: TurnedAway) -> str | None:
        view = event.view
        if view is None or view.token != event.token or not view.holder or event.at_ms > view.lease_until_ms:
            return None
        return f"{view.id} holds the newest token {event.token} and was turned away for {event.floor}"


class Stop(Law):
    """No dispatch commit follows a stop, a halt, a revocation or a deadline, nor the time kept before it."""

    id, name, watches = "L7", "stop", (Recorded,)

    def step(self, state: Any, event: Event) -> Any:
        assert isinstance(event, Recorded)
        if event.kind != "dispatched":
            return state
        if event.halted:
            return self.broken(f"{event.view.id} was dispatched although {event.halted}")
        run = event.run
        if run is not None and run.state != "open":
            return self.broken(f"{event.view.id} was dispatched after its run was {run.state}")
        if run is not None and run.deadline_ms is not None and event.at_ms > run.deadline_ms:
            return self.broken(f"{event.view.id} was dispatched {event.at_ms - run.deadline_ms} ms past its deadline")
        contract = self.contracts.get(event.view.tool)
        if run is not None and run.deadline_ms is not None and contract is not None and contract.effect != "read":
            inside_ms = event.at_ms - (run.deadline_ms - contract.kept_for_verify_ms)
            if inside_ms > 0:
                why = f"{event.view.id} was dispatched {inside_ms} ms inside the time kept for verification"
                return self.broken(why)
        return state


class Accounted(Law):
    """Every change outside belongs to exactly one effect; the evidence holds from the first entry to its head."""

    id, name, watches = "L8", "accounted", (Changed, Evidence)
    blind = "whether the evidence agrees with a head that somebody else published is not asked here"

    def step(self, state: Any, event: Event) -> Any:
        if isinstance(event, Evidence):
            return self.broken(f"the chain of {event.run}: {event.why}") if event.why else state
        assert isinstance(event, Changed)
        if event.effect is None or not _sent(event.effect):
            return self.broken(f"a change of {event.resource} under key {event.key[:12]} belongs to no sent effect")
        return state


def _sent(view: Effect) -> bool:
    return bool(view.attempts) and view.state not in (State.PROPOSED, State.WAITING, State.ADMITTED)


__all__ = ["Accounted", "Broken", "Fence", "IntentFirst", "NoDouble", "Stop"]
