"""Defects of the engine that a campaign must find: by exploring, or in a worked situation of the real application.

What hunts them, and by what, stands in tests/mutants; each is named after what the engine would then do.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holdfast.effect import admit, dispatch, observe, reconcile, verify
from holdfast.gate import asking, rulings
from holdfast.kernel import commit as commits
from holdfast.kernel import due, guard, identity
from holdfast.kernel.answers import Absent, CannotTell, Holds, Refusal
from holdfast.kernel.model import State
from holdfast.kernel.ports import Ruling
from holdfast.runtime import queue_wanted, stops
from holdfast.store.unit import Unit
from tests.harness.planted import Put

NEVER_MS = 1 << 50


def lease_never_expires(put: Put) -> None:
    """A lease lasts until its holder gives it back, whatever has become of its holder."""
    honest, judge = due.due, guard._ownership

    def lasting(view: Any) -> Any:
        return replace(view, lease_until_ms=NEVER_MS) if view.holder else view

    put(due, "due", lambda view, *given: honest(lasting(view), *given))
    put(guard, "_ownership", lambda asked, view, now_ms: judge(asked, lasting(view), now_ms))


def approval_of_the_tool(put: Put) -> None:
    """A yes to one call is a yes to whatever its tool is called with next."""
    honest, refuses = admit._asking, dispatch.refuses

    async def known(ports: Any, seen: Any, *given: Any) -> Any:
        view = seen.effect
        before = await ports.store.read(view.previous) if view.previous else None
        amended = before is not None and before.effect.state is State.SUPERSEDED
        if not amended or before.approval is None or not before.approval.yes:
            return await honest(ports, seen, *given)
        return admit._moved(ports, view, "admitted", {"answer": "ask", "approval": before.approval.id})

    def foreign(seen: Any) -> bool:
        return seen.approval is not None and seen.approval.effect != seen.effect.id

    put(admit, "_asking", known)
    put(dispatch, "refuses", lambda seen, *given: None if foreign(seen) else refuses(seen, *given))
    put(guard, "_approval", lambda *_: None)


def approval_past_its_end(put: Put) -> None:
    """For a yes that was given no time passes."""
    answered, approved, refuses, bounds = admit._answered, guard._approval, dispatch.refuses, dispatch.not_after

    def held_up(seen: Any) -> Any:
        end_ms = seen.approval.expires_ms if seen.approval is not None else seen.now_ms
        return replace(seen, now_ms=min(seen.now_ms, end_ms))

    async def patient(ports: Any, seen: Any, *given: Any) -> Any:
        return await answered(ports, held_up(seen), *given)

    def good(asked: Any, approval: Any, rows: Any, now_ms: int) -> Any:
        return approved(asked, approval, rows, min(now_ms, approval.expires_ms))

    put(admit, "_answered", patient)
    put(guard, "_approval", good)
    put(dispatch, "refuses", lambda seen, *given: refuses(held_up(seen), *given))
    put(dispatch, "not_after", lambda run, approval, contract: bounds(run, None, contract))


def delivered_twice(put: Put) -> None:
    """What has been done is forgotten: the same call, delivered once more, is new."""
    honest = admit.meets

    def forgetful(latest: Any, digest: str) -> str:
        relation = honest(latest, digest)
        return "next" if relation == "same" and latest.state not in due.OPEN else relation

    put(admit, "meets", forgetful)


def refusal_is_done(put: Put) -> None:
    """A no from the outside is logged as done."""
    honest = observe.read

    def glad(reply: Any, view: Any, contract: Any, now_ms: int) -> Any:
        if isinstance(reply, Refusal):
            return observe.Reading("committed", {"value": reply.why, "basis": "answered"})
        return honest(reply, view, contract, now_ms)

    put(observe, "read", glad)


def refusal_is_failure(put: Put) -> None:
    """A no to sending once more is counted as the failure of the whole effect."""
    honest = observe.read

    def hasty(reply: Any, view: Any, contract: Any, now_ms: int) -> Any:
        if isinstance(reply, Refusal):
            return observe.Reading("failed", {"cause": reply.why, "basis": "said no", "unsettled": "refund"})
        return honest(reply, view, contract, now_ms)

    put(observe, "read", hasty)


def stale_read_accepted(put: Put) -> None:
    """A read that need not show what has just landed is taken for the present."""
    honest = reconcile.final_absence

    def trusting(contract: Any, *given: Any) -> str:
        return honest(replace(contract, visible_within_ms=0), *given)

    put(reconcile, "final_absence", trusting)


def silence_is_absence(put: Put) -> None:
    """A probe that cannot tell is taken for one that found nothing, finally."""
    honest = reconcile._conclude

    async def deaf(ports: Any, seen: Any, contract: Any, answer: Any) -> Any:
        if isinstance(answer, CannotTell) and contract.has_probe:
            answer = Absent(final=True, why=answer.why)
        return await honest(ports, seen, contract, answer)

    put(reconcile, "_conclude", deaf)


def shared_token(put: Put) -> None:
    """Everybody who claims is given the same token."""
    honest = Unit.mint

    def mint(self: Any) -> int:
        honest(self)
        return 1

    put(Unit, "mint", mint)


def claimed_by_two(put: Put) -> None:
    """A claim does not compare the record with the one that was read."""
    honest, fold = guard.judge, commits.apply

    def judged(asked: Any, rows: Any, now_ms: int) -> Any:
        claims = asked.states == (State.ADMITTED,)
        return honest(replace(asked, states=(), version=None) if claims else asked, rows, now_ms)

    def lenient(view: Any, draft: Any, stamp: Any) -> Any:
        if draft.kind == "claimed" and view.state is State.CLAIMED:
            view = replace(view, state=State.ADMITTED)
        return fold(view, draft, stamp)

    put(guard, "judge", judged)
    put(commits, "apply", lenient)


def stop_at_admission_only(put: Put) -> None:
    """A halt is looked at when a call is admitted, and never again."""
    stop, judge = asking.stop_reason, guard.judge

    def once(seen: Any, contract: Any) -> str:
        return str(stop(seen, contract)) if seen.effect.state in (State.PROPOSED, State.WAITING) else ""

    put(asking, "stop_reason", once)
    put(guard, "judge", lambda asked, rows, now_ms: judge(replace(asked, epochs=()), rows, now_ms))


def budget_forgets_unknown(put: Put) -> None:
    """What is in doubt is given back to the budget."""
    honest = commits._consequences

    def generous(asked: Any, draft: Any, before: Any, after: Any, rows: Any, now_ms: int) -> None:
        honest(asked, draft, before, after, rows, now_ms)
        if draft.kind == "unknown":
            commits._account(after, rows, commits.refund)

    put(commits, "_consequences", generous)


def verified_by_its_own_reply(put: Put) -> None:
    """Whatever the tool answered stands for what the world holds."""
    honest = verify.concluded

    def loyal(view: Any, contract: Any, answer: Any, asked_ms: int) -> Any:
        return honest(view, contract, Holds() if view.value is not None else answer, asked_ms)

    put(verify, "concluded", loyal)


def resent_past_its_window(put: Put) -> None:
    """The same key goes out again, however long ago the outside may have forgotten it."""
    why, honest = reconcile.no_resend, reconcile.resending
    put(reconcile, "no_resend", lambda contract, view, now_ms: why(contract, view, view.first_dispatch_ms))

    def late(ports: Any, seen: Any, contract: Any, ruling: Any) -> Any:
        return honest(ports, seen, replace(contract, keyed_ms=NEVER_MS), ruling)

    put(reconcile, "resending", late)


def nested_past_policy(put: Put) -> None:
    """What a body calls is not asked about: its parent was."""
    honest = rulings.Rulings.rule

    async def lenient(self: Any, seen: Any) -> Any:
        ruling = await honest(self, seen)
        return Ruling(answer="allow", rules=("its parent",), policy=ruling.policy) if seen.effect.parent else ruling

    put(rulings.Rulings, "rule", lenient)


def compensated_twice(put: Put) -> None:
    """Each wish to undo is a wish of its own."""
    honest, count = identity.identity, itertools.count()

    def anew(*given: Any) -> str:
        again = given[-1]
        return honest(*given[:-1], f"{again} {next(count)}" if again.startswith("undo ") else again)

    put(identity, "identity", anew)


def partial_write_accepted(put: Put) -> None:
    """One item that was written stands for all of them."""
    honest = observe._batch

    def glad(items: Any, *given: Any) -> Any:
        done = next((answer for _, answer in items if answer.get("kind") == "ack"), None)
        return honest(tuple((name, done or answer) for name, answer in items), *given)

    put(observe, "_batch", glad)


def redelivered_past_its_deadline(put: Put) -> None:
    """A reference that was good once is good whenever it is brought again, and so is what it stands for."""
    honest, way, stop = queue_wanted.standing, stops.stop_of, asking.stop_reason
    judge, last = guard.judge, dispatch.last_ms

    def timeless(run: Any) -> Any:
        return replace(run, deadline_ms=None)

    def judged(asked: Any, rows: Any, now_ms: int) -> Any:
        kept = tuple(pair for pair in asked.not_after if pair[0] not in ("deadline", "reserve"))
        return judge(replace(asked, not_after=kept), rows, now_ms)

    put(stops, "stop_of", lambda seen, *given: way(replace(seen, run=timeless(seen.run)), *given))
    put(queue_wanted, "standing", lambda job, run, *given: honest(job, timeless(run), *given))
    put(asking, "stop_reason", lambda seen, contract: stop(replace(seen, run=timeless(seen.run)), contract))
    put(guard, "judge", judged)
    put(dispatch, "last_ms", lambda at_ms, view, run, approval: last(at_ms, view, timeless(run), approval))


PLANT: dict[str, Callable[[Put], None]] = {
    "lease-never-expires": lease_never_expires,
    "approval-of-the-tool": approval_of_the_tool,
    "approval-past-its-end": approval_past_its_end,
    "delivered-twice": delivered_twice,
    "refusal-is-done": refusal_is_done,
    "refusal-is-failure": refusal_is_failure,
    "stale-read-accepted": stale_read_accepted,
    "silence-is-absence": silence_is_absence,
    "shared-token": shared_token,
    "claimed-by-two": claimed_by_two,
    "stop-at-admission-only": stop_at_admission_only,
    "budget-forgets-unknown": budget_forgets_unknown,
    "verified-by-its-own-reply": verified_by_its_own_reply,
    "resent-past-its-window": resent_past_its_window,
    "nested-past-policy": nested_past_policy,
    "compensated-twice": compensated_twice,
    "partial-write-accepted": partial_write_accepted,
    "redelivered-past-its-deadline": redelivered_past_its_deadline,
}
