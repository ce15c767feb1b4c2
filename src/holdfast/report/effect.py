"""The page of one effect: its seven verbs in order, then how it stands.

Built from the record and its entries. Promises that a verb is marked done only by an entry that says so, and
that each line names the entry it comes from. Times, holders and tokens are shown as recorded.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import msgspec

from holdfast.kernel.life import MOVES, VERBS
from holdfast.kernel.model import AFTER_COMMIT, ENDS, Approval, Contract, Effect, Run, State
from holdfast.report.page import SIGNS, Page, Sign, Span, exit_code, sign
from holdfast.report.standing import Standing, standing
from holdfast.report.text import amount, escaped, framed, framed_json, iso, span, when


class Fact(NamedTuple):
    """One entry of an effect as a page needs it; ``body`` is None where it was redacted."""

    seq: int
    kind: str
    before: str
    after: str
    at_ms: int
    by: str
    token: int
    body: dict[str, Any] | None


_BY_MOVE = {(m.before.value if m.before else "", m.after.value): m.verb for m in reversed(MOVES)}
_BY_NOTE = {"granted": "admit", "declined": "admit", "probed": "reconcile", "checked": "verify"}
_BY_NOTE |= {"scheduled": "admit", "revoked": "admit"}
_BY_NOTE |= {"escalated": "reconcile", "late": "reconcile", "settled": "settle"}
_DONE = Sign("✓", "done", "good")
_NOT_REACHED = Sign("—", "not reached", "quiet")
_NOT_NEEDED = Sign("—", "not needed", "quiet")
_IN_ARCHIVE = Sign("—", "in the archive", "quiet")
_HAD_OUTCOME = AFTER_COMMIT | ENDS


def verb_of(fact: Fact, state: str) -> str:
    """Which verb wrote an entry; ``state`` is the effect's state when it was written."""
    if fact.after:
        return _BY_MOVE.get((fact.before, fact.after), "observe")
    if fact.kind == "taken":
        return "verify" if state in (State.COMMITTED, State.UNCONFIRMED) else "reconcile"
    return _BY_NOTE.get(fact.kind, "observe")


def by_verb(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    """The entries of an effect under the seven verbs, in order."""
    sorted_in: dict[str, list[Fact]] = {verb: [] for verb in VERBS}
    state = ""
    for fact in facts:
        sorted_in[verb_of(fact, state)].append(fact)
        state = fact.after or state
    return sorted_in


def verb_sign(verb: str, view: Effect, facts: list[Fact]) -> Sign:
    """How far a verb has come: its last transition, else what it waits for, else not reached."""
    if view.archived and not facts:
        return _IN_ARCHIVE  # its entries say how far it came, and they are not here
    moved = [f for f in facts if f.after]
    if verb == "claim" and moved and moved[-1].kind == "released":
        return Sign("↺", "given back", "quiet")
    if verb == "claim" and moved:
        return (
            SIGNS[State.CLAIMED]._replace(symbol="✓", role="good")
            if view.state is not State.CLAIMED
            else SIGNS[State.CLAIMED]
        )
    if verb == "dispatch" and moved:
        return Sign("✓", "sent", "good") if moved[-1].after == State.DISPATCHED else SIGNS[State(moved[-1].after)]
    if verb == "settle":
        if view.unsettled:
            return Sign("…", "due", "still")
        return _DONE if facts else (_NOT_NEEDED if view.state in _HAD_OUTCOME else _NOT_REACHED)
    if verb == "verify":
        return _verify_sign(view, moved, facts)
    if verb == "reconcile" and not moved:
        if view.state in (State.UNKNOWN, State.PENDING):
            waits = "a human moves next" if view.escalated else "under way" if facts else "due"
            return Sign("…", waits, "still")
        return _NOT_NEEDED if view.state not in _EARLY else _NOT_REACHED
    if verb == "observe" and not moved and view.state is State.DISPATCHED:
        return Sign("▶", "in flight", "doubt")
    if not moved:
        return _NOT_REACHED
    last = SIGNS[State(moved[-1].after)]
    return (
        last._replace(symbol="✓", role="good")
        if last.symbol == "…" and verb == "admit" and last.word == "admitted"
        else last
    )


_EARLY = frozenset(
    {
        State.PROPOSED,
        State.WAITING,
        State.ADMITTED,
        State.CLAIMED,
        State.DISPATCHED,
        State.REFUSED,
        State.SUPERSEDED,
    }
)


def _verify_sign(view: Effect, moved: list[Fact], facts: list[Fact]) -> Sign:
    if moved:
        return SIGNS[State(moved[-1].after)]
    if view.state is State.COMMITTED and view.next == "verify":
        return Sign("…", "looked, not settled" if facts else "due", "still")
    if view.state is State.COMMITTED and view.attested_by:
        return Sign("—", "not possible: attested", "quiet")
    if view.state in (State.COMMITTED, State.COMPENSATED):
        return Sign("—", "not declared", "quiet")
    if view.state in (State.FAILED, State.ABANDONED):
        return _NOT_NEEDED
    return _NOT_REACHED


# ------------------------------------------------------------------------------------------------- the page


def effect_page(
    view: Effect,
    facts: list[Fact],
    now_ms: int,
    *,
    run: Run | None = None,
    approval: Approval | None = None,
    contract: Contract | None = None,
    halted: str = "",
) -> Page:
    """One effect for a person and, under ``data``, the same for a machine."""
    stands = standing(view, now_ms, approval=approval, contract=contract, halted=halted)
    verbs = by_verb(facts)
    page = Page(data=_data(view, verbs, stands, approval), exit_code=exit_code(view), counts={"entries": len(facts)})
    page.head(f"effect {view.id}  ", sign(view).span)
    describe(page, view, run)
    page.gap()
    for verb in VERBS:
        _verb_lines(page, verb, view, verbs[verb])
    page.gap()
    stand_lines(page, stands)
    return page


def describe(page: Page, view: Effect, run: Run | None) -> None:
    """What the effect is: tool, class, target, arguments, cost, and whose it is."""
    if view.archived:
        page.fact("archive", f"its entries lie in {escaped(view.archived)}, with arguments, target and value")
    page.fact("tool", f"{escaped(view.tool)} · {view.effect_class.value}")
    if not view.archived:
        page.fact("resource", framed(view.resource))
        args = [f"{escaped(name)} = {framed_json(value)}" for name, value in sorted(view.args.items())]
        page.facts("arguments", args or ["none"])
    if view.cost is not None:
        page.fact("cost", amount(view.cost.minor, view.cost.currency))
    goal = f" {framed(run.goal, 120)}" if run is not None and not view.archived else ""
    page.fact("run", f"{view.run}{goal}")
    page.fact("purpose", framed(view.purpose))
    page.fact("principal", f"{escaped(view.principal)} in {escaped(view.environment)}")
    page.fact("proposed", when(view.proposed_ms))
    if view.late_ms:
        late = f"its outcome came {span(view.late_ms)} after the deadline"
        page.fact("✗ late", f"{late}: a broken promise, whatever it was")
    page.fact("identity", f"generation {view.generation}, key {escaped(view.key)}")
    for label, other in (("previous", view.previous), ("successor", view.successor), ("parent", view.parent)):
        if other:
            page.fact(label, escaped(other))
    for label, other in (("offsets", view.compensates), ("offset by", view.compensated_by)):
        if other:
            page.fact(label, escaped(other))
    if view.cites:
        page.fact("cites", ", ".join(escaped(item) for item in view.cites))
    if view.value is not None:
        page.fact("value", framed_json(view.value))


def stand_lines(page: Page, stands: Standing) -> None:
    """The five answers that every page about an effect ends in."""
    for label, lines in (
        ("known", stands.known),
        ("not known", stands.not_known),
        ("safe now", stands.safe),
        ("not safe", stands.not_safe),
        ("next", (stands.next,)),
    ):
        for number, text in enumerate(lines):
            page.line(Span(f"{label if number == 0 else '':<11}", "head"), text)


def _verb_lines(page: Page, verb: str, view: Effect, facts: list[Fact]) -> None:
    page.line(Span(f"  {verb:<11}", "label"), verb_sign(verb, view, facts).span)
    put_off = [fact for fact in facts if fact.kind == "scheduled"]
    for fact in facts:
        if fact.kind == "scheduled" and fact is not put_off[-1]:
            continue  # how often it was put off stands with the last time; every one is in the evidence
        token = f"  token {fact.token}" if fact.token else ""
        page.line(
            Span(f"    {_moment(fact.at_ms, view)}  entry {fact.seq:<4}{' ' * (fact.seq > 999)}", "quiet"),
            f"{fact.kind:<11} by {escaped(fact.by)}{token}{_said(fact)}",
        )


def _moment(at_ms: int, view: Effect) -> str:
    """The time of day; the date as well where it is not the day of the proposal."""
    moment = when(at_ms)
    return moment[11:] if moment[:10] == when(view.proposed_ms)[:10] else moment


def _said(fact: Fact) -> str:
    """The few words of an entry that matter at a glance; all of it is in ``evidence show``."""
    if fact.body is None:
        return "  (redacted)"
    body, words = fact.body, []
    if fact.kind == "dispatched":
        attempt = body.get("attempt", {})
        again = ", sent again under the same key" if attempt.get("resend") else ""
        words.append(f"attempt {attempt.get('number', '?')}{again}, leaves before {when(attempt.get('send_by_ms', 0))}")
    if rules := body.get("rules"):
        words.append("rules " + ", ".join(escaped(str(rule)) for rule in rules))
    texts = ("reason", "cause", "basis", "differs", "note", "evidence")
    words += [f"{name} {framed(body[name], 160)}" for name in texts if body.get(name)]
    if fact.kind == "escalated":
        words.append(f"owner {escaped(str(body.get('owner', '')))}, due {when(body.get('due_ms', 0))}")
    if fact.kind == "scheduled" or body.get("answer") == "schedule":
        code = escaped(str(body.get("admission", {}).get("code", "")))
        words.append(f"put off {body.get('schedulings', 0)} time(s), until {when(body.get('due_ms', 0))}: {code}")
    if fact.kind in ("taken", "claimed"):
        words.append(f"lease until {when(body.get('lease_until_ms', 0))}")
    return "  · " + "; ".join(words) if words else ""


def _data(view: Effect, verbs: dict[str, list[Fact]], stands: Standing, approval: Approval | None) -> dict[str, Any]:
    return {
        "effect": msgspec.to_builtins(view),
        "approval": msgspec.to_builtins(approval) if approval is not None else None,
        "verbs": {
            verb: {
                "sign": verb_sign(verb, view, facts).word,
                "entries": [
                    {"seq": f.seq, "kind": f.kind, "at": iso(f.at_ms), "by": f.by, "token": f.token} for f in facts
                ],
            }
            for verb, facts in verbs.items()
        },
        "known": list(stands.known),
        "not_known": list(stands.not_known),
        "safe_now": list(stands.safe),
        "not_safe": list(stands.not_safe),
        "next": stands.next,
    }
