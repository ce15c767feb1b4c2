"""Planted defects of the engine, and the hunt for each: `python -m tests.harness.mutants`.

A mutant replaces named functions of the engine for as long as it is planted, and never switches anything inside it.
Its name is what a requirement mark names; `planted(name)` plants it for a block, the plugin tests.harness.plant for a
whole run of pytest. The hunt explores a small scenario, expects the right law to break, and shrinks what it found.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from msgspec.structs import replace

from holdfast.effect import admit, claim, dispatch, observe, reconcile, settle, verify
from holdfast.gate import asking
from holdfast.harness.explore.bounded import explore
from holdfast.harness.explore.scenario import Bounds, Scenario, lapsing, one, two
from holdfast.harness.explore.shrink import Shrunk, shrink
from holdfast.kernel import authority, finality, guard, life
from holdfast.kernel import commit as commits
from holdfast.kernel import identity as names
from holdfast.kernel.answers import Doubt, Refusal
from holdfast.kernel.canon import encode, keyed
from holdfast.kernel.commit import Change
from holdfast.kernel.guard import Guard
from holdfast.kernel.life import Draft
from holdfast.kernel.model import State
from holdfast.kernel.ports import Request, Sent
from holdfast.runtime import drive
from holdfast.store.memory import MemoryStore
from tests.harness.planted import PLANTED

ROOT = Path(__file__).resolve().parents[2]
EVENTS_WANTED = 6

Put = Callable[[Any, str, Any], None]


class Mutant(NamedTuple):
    """A defect, the scenario that shows it, and the laws of which one must break."""

    plant: Callable[[Put], None]
    scenario: Scenario
    laws: tuple[str, ...]
    first_ten: bool = False


def effect_before_claim(put: Put) -> None:
    """The request leaves while the effect is being claimed; the dispatch commit comes after."""
    honest = claim.claim

    async def eager(ports: Any, effect: str) -> Any:
        view = (await ports.store.read(effect)).effect
        if view.state is State.ADMITTED:
            request = Request(
                effect=view.id, run=view.run, tool=view.tool, args=view.args, key=view.key, token=0, attempt=1,
                send_by_ms=1 << 50, timeout_ms=1_000,
            )  # fmt: skip
            await ports.body.send(request)
        return await honest(ports, effect)

    put(drive, "VERBS", {**drive.VERBS, "claim": eager})


def key_timestamp(put: Put) -> None:
    """The key is minted with the time, by each machine's own clock."""
    honest, recording = admit.propose, admit.first_record

    async def timed(ports: Any, proposal: Any) -> str:
        now_ms = (await ports.store.read("")).now_ms
        return await honest(ports, replace(proposal, parent=f"{now_ms} on {ports.me}"))

    def stamped(secret: bytes, contract: Any, proposal: Any, identity: str, digest: str, gen: int) -> Any:
        body = recording(secret, contract, replace(proposal, parent=""), identity, digest, gen)
        return body | {"key": keyed(secret, "key", f"{identity}:{gen}:{proposal.parent}".encode())}

    put(admit, "propose", timed)
    put(admit, "first_record", stamped)


def key_ignores_argument(put: Put) -> None:
    """One identity argument does not count."""

    def forgetful(secret: bytes, tenant: str, env: str, purpose: str, contract: Any, args: Any, again: str) -> str:
        chosen = {name: args[name] for name in contract.identity[:1] if name in args}
        return keyed(secret, "identity", encode([tenant, env, purpose, contract.name, chosen, again]))

    put(names, "identity", forgetful)


def outcome_before_effect(put: Put) -> None:
    """The outcome is recorded before the request leaves."""
    honest = dispatch.deliver

    async def early(ports: Any, verdict: Any, contract: Any) -> Sent:
        view = verdict.effect
        body = {"value": None, "basis": "acknowledged", **observe.check_next(contract, verdict.at_ms)}
        draft = Draft(effect=view.id, kind="committed", by=ports.me, body=body)
        await ports.store.commit(Change(run=view.run, guard=Guard(effect=view.id), drafts=(draft,)))
        return await honest(ports, verdict, contract)

    put(dispatch, "deliver", early)


def fence_ignored(put: Put) -> None:
    """The store takes the word of a stale owner."""
    honest = guard.judge
    put(commits.guards, "judge", lambda g, rows, now_ms: honest(replace(g, token=None), rows, now_ms))


def unknown_as_failed(put: Put) -> None:
    """A doubt is recorded as a failure and proposed anew."""
    honest = observe.read

    def guessing(reply: Any, view: Any, contract: Any, now_ms: int) -> Any:
        if isinstance(reply, Doubt):
            return observe.Reading("failed", {"cause": reply.cause, "basis": "error", "unsettled": "refund+again"})
        return honest(reply, view, contract, now_ms)

    put(observe, "read", guessing)


def approval_reused(put: Put) -> None:
    """A dispatch leaves its approval as it was."""
    honest = commits._spend
    put(commits, "_spend", lambda g, after, rows: honest(replace(g, approval=""), after, rows))


def not_found_is_final(put: Put) -> None:
    """A probe that does not find it yet proves that it never happened."""
    put(reconcile, "final_absence", lambda *_: "not found")


def told_before_commit(put: Put) -> None:
    """Whoever asked is told before the record is on disk."""

    async def early(ports: Any, seen: Any, blocked: Any) -> Any:
        await ports.tell.tell(seen.effect)
        await ports.store.flush()
        return drive.Rest(effect=seen.effect, now_ms=seen.now_ms, blocked=blocked)

    put(drive, "publish", early)


def clock_back_revives(put: Put) -> None:
    """The store's time is the wall clock, and goes back with it."""
    put(MemoryStore, "now_ms", lambda store: store._clock())


def halt_unguarded(put: Put) -> None:
    """The commit does not look at halts: only the check before it does."""
    honest = guard.judge
    put(commits.guards, "judge", lambda g, rows, now_ms: honest(replace(g, epochs=()), rows, now_ms))


def deadline_unguarded(put: Put) -> None:
    """The commit does not look at times: only the check before it does."""
    honest = guard.judge
    put(commits.guards, "judge", lambda g, rows, now_ms: honest(replace(g, not_after=()), rows, now_ms))


def budget_unguarded(put: Put) -> None:
    """Two effects may spend the last of a budget."""
    honest = guard.judge
    put(commits.guards, "judge", lambda g, rows, now_ms: honest(replace(g, budget=False), rows, now_ms))


def restored_unguarded(put: Put) -> None:
    """A restored store dispatches like any other."""
    honest = guard.judge
    put(commits.guards, "judge", lambda g, rows, now_ms: honest(replace(g, released=False), rows, now_ms))


def silent_unknown(put: Put) -> None:
    """What nobody can find out is left without an owner, a next act and a time."""
    put(reconcile, "owned", lambda _contract, _now_ms: {"escalated": True, "owner": "", "next": "", "due_ms": 0})


def retry_without_key(put: Put) -> None:
    """An unknown is sent again whether or not the outside honours a key."""
    put(reconcile, "no_resend", lambda contract, view, _now_ms: "enough" if view.resends else "")
    honest = reconcile.resending

    def bold(ports: Any, seen: Any, contract: Any, ruling: Any) -> Any:
        keyed_ms = contract.keyed_ms if contract.keyed_ms is not None else 1 << 40
        return honest(ports, seen, replace(contract, keyed_ms=keyed_ms), ruling)

    put(reconcile, "resending", bold)


def illegal_moves(put: Put) -> None:
    """Every state may follow every other."""
    put(life, "HOW", {kind: how._replace(before=(None, *State)) for kind, how in life.HOW.items()})


def own_approval(put: Put) -> None:
    """Whoever proposed may say yes."""
    put(asking, "proposers", lambda seen: ())
    honest = authority.counted
    put(authority, "counted", lambda asked, rows, now: honest(replace(asked, proposer="nobody"), rows, now))


def reused_silently(put: Put) -> None:
    """A call with other material arguments is answered with the earlier effect."""
    put(admit, "meets", lambda latest, _digest: "new" if latest is None else "same")


def repeat_is_new(put: Put) -> None:
    """A repeated call becomes the next generation, whatever became of the first."""
    put(admit, "meets", lambda latest, _digest: "new" if latest is None else "next")


def trusts_what_was_due(put: Put) -> None:
    """A verb acts on what it was due for, and does not look whether it still is."""
    honest = drive.VERBS["verify"]

    async def stubborn(ports: Any, effect: str) -> Any:
        seen = await ports.store.read(effect)
        if seen.effect.state is State.VERIFIED:
            body = {"verified_ms": seen.now_ms, "basis": "again"}
            draft = Draft(effect=effect, kind="verified", by=ports.me, body=body)
            await ports.store.later(Change(run=seen.effect.run, drafts=(draft,)))
            return None
        return await honest(ports, effect)

    put(drive, "VERBS", {**drive.VERBS, "verify": stubborn})


def settling_answers_all(put: Put) -> None:
    """Any call is answered with what a settling still owes."""
    honest = admit.meets

    def loose(latest: Any, digest: str) -> str:
        if latest is not None and latest.state in (State.REFUSED, State.FAILED) and latest.unsettled:
            return "same"
        return honest(latest, digest)

    put(admit, "meets", loose)


def takes_no_resource(put: Put) -> None:
    """Taking over an effect leaves its resource to whoever holds it."""
    honest = claim.take

    async def narrow(ports: Any, view: Any, now_ms: int) -> Any:
        contracts = {name: replace(c, shared=True) for name, c in ports.contracts.items()}
        return await honest(dataclasses.replace(ports, contracts=contracts), view, now_ms)

    put(reconcile, "take", narrow)
    put(verify, "take", narrow)


def probes_with_a_lost_token(put: Put) -> None:
    """A token is shown to the outside before it is on disk."""
    honest = claim.take

    class Soft:
        """A store whose commits are only buffered."""

        def __init__(self, store: Any) -> None:
            self._store = store
            self.commit = store.later

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

    async def hurried(ports: Any, view: Any, now_ms: int) -> Any:
        return await honest(dataclasses.replace(ports, store=Soft(ports.store)), view, now_ms)

    put(reconcile, "take", hurried)


def late_no_is_final(put: Put) -> None:
    """After a resend, a no is taken for the whole effect."""
    honest = observe.read

    def hasty(reply: Any, view: Any, contract: Any, now_ms: int) -> Any:
        if isinstance(reply, Refusal):
            return observe.Reading("failed", {"cause": reply.why, "basis": "said no", "unsettled": "refund"})
        return honest(reply, view, contract, now_ms)

    put(observe, "read", hasty)


def absence_from_dispatch(put: Put) -> None:
    """What its sender is not proved dead for counts as final once it should have landed."""
    honest = finality.final_absence

    def early(contract: Any, view: Any, answer: Any, asked_ms: int, steady_ms: int = 0) -> str:
        grounds = replace(view, dead_since_ms=view.dead_since_ms or view.attempts[-1].at_ms)
        return honest(contract, grounds, answer, asked_ms, steady_ms)

    put(reconcile, "final_absence", early)


def verified_unread(put: Put) -> None:
    """An acknowledgement is taken for a verification."""
    put(verify, "concluded", lambda view, _c, _a, asked_ms: ("verified", {"verified_ms": asked_ms}, ()))


def grant_unguarded(put: Put) -> None:
    """The commit does not look at revoked grants: only the check before it does."""
    honest = guard.judge

    def judged(g: Guard, rows: Any, now_ms: int) -> Any:
        kept = tuple(pair for pair in g.epochs if not pair[0].startswith("revoke:"))
        return honest(replace(g, epochs=kept), rows, now_ms)

    put(commits.guards, "judge", judged)


def grant_expiry_unguarded(put: Put) -> None:
    """The commit does not look at when a grant ends."""
    put(guard, "not_granted", lambda view, rows, now_ms, *, debits=True: None)
    put(dispatch, "grants_end", lambda seen: ())


def resend_outlives_grant(put: Put) -> None:
    """A grant that ended is no bound for sending under the same key again."""
    honest = guard.not_granted

    def once(view: Any, rows: Any, now_ms: int, *, debits: bool = True) -> Any:
        return honest(view, rows, now_ms) if debits else None

    put(guard, "not_granted", once)
    put(dispatch, "grants_end", lambda seen: ())


def key_revocation_unguarded(put: Put) -> None:
    """The commit takes every recorded yes, whatever became of its key."""
    put(guard, "enough", lambda approval, yes: True)
    put(dispatch, "unsound", lambda seen: "")


def approval_revocation_unguarded(put: Put) -> None:
    """The commit takes an approval that was taken back."""
    honest, approval = guard.judge, guard._approval
    put(commits.guards, "judge", lambda g, rows, now_ms: honest(replace(g, version=None), rows, now_ms))

    def loose(g: Guard, found: Any, rows: Any, now_ms: int) -> Any:
        given = replace(found, state="granted") if found is not None and found.state == "revoked" else found
        return approval(g, given, rows, now_ms)

    put(guard, "_approval", loose)


def reserve_unguarded(put: Put) -> None:
    """The commit does not keep any time for verification: only the check before it does."""
    honest = guard.judge

    def judged(g: Guard, rows: Any, now_ms: int) -> Any:
        kept = tuple(pair for pair in g.not_after if pair[0] != "reserve")
        return honest(replace(g, not_after=kept), rows, now_ms)

    put(commits.guards, "judge", judged)


def in_force_unguarded(put: Put) -> None:
    """The commit does not look at which policy and contract are in force."""
    honest = guard.judge
    put(commits.guards, "judge", lambda g, rows, now_ms: honest(replace(g, in_force=()), rows, now_ms))


QUIET = Bounds(0, 0)
ONE = Bounds(1, 1)

MUTANTS: dict[str, Mutant] = {
    "effect-before-claim": Mutant(effect_before_claim, one("keyed", bounds=ONE), ("L1",), True),
    "key-timestamp": Mutant(key_timestamp, one("keyed", bounds=Bounds(0, 1)), ("L2",), True),
    "key-ignores-argument": Mutant(key_ignores_argument, one("keyed", bounds=Bounds(0, 1)), ("L14",), True),
    "outcome-before-effect": Mutant(outcome_before_effect, one("keyed", bounds=ONE), ("L3",), True),
    "fence-ignored": Mutant(fence_ignored, one("keyed", bounds=Bounds(0, 1)), ("L6",), True),
    "unknown-as-failed": Mutant(unknown_as_failed, one("probed", bounds=ONE), ("L3",), True),
    "approval-reused": Mutant(approval_reused, one("keyed", ruling="ask", bounds=ONE), ("L5",), True),
    "not-found-is-final": Mutant(not_found_is_final, one("probed", bounds=Bounds(0, 1)), ("L2",), True),
    "told-before-commit": Mutant(told_before_commit, one("probed", bounds=ONE), ("L12",), True),
    "clock-back-revives": Mutant(
        clock_back_revives,
        one("keyed", ruling="ask", bounds=Bounds(0, 2), moves=("jump:approval", "jump:back")),
        ("L5",),
        True,
    ),
    "halt-unguarded": Mutant(halt_unguarded, one("keyed", bounds=Bounds(0, 1)), ("L7",)),
    "deadline-unguarded": Mutant(
        deadline_unguarded,
        one("keyed", bounds=Bounds(0, 1), deadline_ms=1_003_000, moves=("jump:short",)),
        ("L7",),
    ),
    "grant-unguarded": Mutant(grant_unguarded, lapsing("keyed", bounds=Bounds(0, 1)), ("L7",)),
    "grant-expiry-unguarded": Mutant(
        grant_expiry_unguarded, lapsing("keyed", bounds=Bounds(0, 1), moves=("expire grant",)), ("L4",)
    ),
    "resend-outlives-grant": Mutant(
        resend_outlives_grant, lapsing("keyed", bounds=Bounds(0, 2), moves=("expire grant",)), ("L4",)
    ),
    "key-revocation-unguarded": Mutant(
        key_revocation_unguarded, lapsing("keyed", ruling="ask", bounds=Bounds(0, 1), moves=("revoke key",)), ("L5",)
    ),
    "approval-revocation-unguarded": Mutant(
        approval_revocation_unguarded,
        lapsing("keyed", ruling="ask", bounds=Bounds(0, 1), moves=("revoke approval",)),
        ("L5",),
    ),
    "reserve-unguarded": Mutant(
        reserve_unguarded, lapsing("keyed", bounds=Bounds(0, 1), moves=("deadline nears",)), ("L7",)
    ),
    "in-force-unguarded": Mutant(
        in_force_unguarded, lapsing("keyed", bounds=Bounds(0, 1), moves=("policy moved",)), ("L4",)
    ),
    "silent-unknown": Mutant(silent_unknown, one("bare", bounds=ONE), ("L13",)),
    "retry-without-key": Mutant(retry_without_key, one("probed", bounds=ONE), ("L2", "L3")),
    "reused-silently": Mutant(reused_silently, one("keyed", bounds=Bounds(0, 1)), ("L14",)),
    "repeat-is-new": Mutant(repeat_is_new, one("keyed", bounds=Bounds(0, 1)), ("L2",)),
    "trusts-what-was-due": Mutant(trusts_what_was_due, one("probed", bounds=Bounds(0, 1)), ("L12", "verb")),
    "settling-answers-all": Mutant(settling_answers_all, one("fenced", bounds=ONE), ("L14",)),
    "takes-no-resource": Mutant(
        takes_no_resource, two("fenced", "fenced", same=True, bounds=ONE, moves=("jump:lease",)), ("L6",)
    ),
    "probes-with-a-lost-token": Mutant(probes_with_a_lost_token, one("fenced", bounds=Bounds(2, 0), moves=()), ("L6",)),
    "absence-from-dispatch": Mutant(
        absence_from_dispatch, one("probed", bounds=Bounds(0, 1), moves=("pause",)), ("L2",)
    ),
    "verified-unread": Mutant(verified_unread, one("probed", bounds=Bounds(0, 1)), ("L12",)),
}
"""Those that an exploration of a small scenario finds. The first ten come first."""

OTHERS: dict[str, Callable[[Put], None]] = {
    "budget-unguarded": budget_unguarded,
    "restored-unguarded": restored_unguarded,
    "illegal-moves": illegal_moves,
    "own-approval": own_approval,
    "late-no-is-final": late_no_is_final,
}
"""Planted for marked tests only: no move of a virtual scenario shows them."""

PLANTERS: dict[str, Callable[[Put], None]] = {
    **{name: mutant.plant for name, mutant in MUTANTS.items()},
    **OTHERS,
    **PLANTED,
}


@contextlib.contextmanager
def planted(name: str) -> Iterator[None]:
    """Plant a defect for a block, everywhere the replaced function was imported to, and take it out again."""
    undo: list[tuple[Any, str, Any]] = []

    def put(owner: Any, attribute: str, value: Any) -> None:
        honest = getattr(owner, attribute)
        places = [owner]
        if not isinstance(owner, type):
            modules = [m for n, m in list(sys.modules.items()) if n.startswith("holdfast.") and m is not owner]
            places += [m for m in modules if vars(m).get(attribute) is honest]
        for place in places:
            undo.append((place, attribute, honest))
            setattr(place, attribute, value)

    PLANTERS[name](put)
    verbs = dict(drive.VERBS)
    for verb, module in zip(life.VERBS, (admit, claim, dispatch, observe, reconcile, settle, verify), strict=True):
        drive.VERBS.setdefault(verb, getattr(module, verb))
    try:
        yield
    finally:
        drive.VERBS.update(verbs)
        for place, attribute, honest in reversed(undo):
            setattr(place, attribute, honest)


class Hunted(NamedTuple):
    """What became of one mutant."""

    name: str
    law: str
    executed: int
    seconds: float
    shrunk: Shrunk | None


def hunt(name: str) -> Hunted:
    """Explore with a defect planted until the right law breaks, then shrink. ``shrunk`` is None if it got away."""
    mutant = MUTANTS[name]
    with planted(name):
        explored = explore(mutant.scenario, laws=mutant.laws)
        if not explored.findings:
            return Hunted(name, "", explored.executed, explored.seconds, None)
        found = explored.findings[0]
        shrunk = shrink(mutant.scenario, found.script, found.broken.law)
    return Hunted(name, found.broken.law, explored.executed, explored.seconds, shrunk)


def main() -> int:
    """Hunt every mutant, print the score, write build/mutants.json; 1 if one got away."""
    rows = []
    started = time.monotonic()
    print(f"{'mutant':<26}{'law':<6}{'schedules':>10}{'seconds':>9}{'shrunk to':>11}{'executions':>12}")
    for name in MUTANTS:
        hunted = hunt(name)
        rows.append(hunted)
        found = hunted.shrunk
        size = f"{len(found.script)} events" if found is not None else "GOT AWAY"
        spent = found.executions if found is not None else 0
        print(f"{name:<26}{hunted.law:<6}{hunted.executed:>10}{hunted.seconds:>9.2f}{size:>11}{spent:>12}", flush=True)
    caught = [row for row in rows if row.shrunk is not None]
    small = [row for row in caught if row.shrunk is not None and len(row.shrunk.script) <= EVENTS_WANTED]
    goals = [
        {"id": "found", "goal": len(rows), "measured": len(caught), "met": len(caught) == len(rows)},
        {
            "id": f"shrunk to at most {EVENTS_WANTED} events",
            "goal": len(rows),
            "measured": len(small),
            "met": len(small) == len(rows),
        },
    ]
    report = {
        "name": "mutants",
        "settings": {"mutants": len(rows)},
        "counts": {
            "seconds": round(time.monotonic() - started, 2),
            "mutants": [
                {
                    "name": row.name,
                    "law": row.law,
                    "executed": row.executed,
                    "events": len(row.shrunk.script) if row.shrunk is not None else None,
                    "case": row.shrunk.case() if row.shrunk is not None else None,
                }
                for row in rows
            ],
        },
        "goals": goals,
    }
    (ROOT / "build").mkdir(exist_ok=True)
    (ROOT / "build" / "mutants.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(
        f"{len(caught)} of {len(rows)} found, {len(small)} shrunk to at most {EVENTS_WANTED} events; build/mutants.json"
    )
    return 0 if all(goal["met"] for goal in goals) else 1


if __name__ == "__main__":
    sys.exit(main())
