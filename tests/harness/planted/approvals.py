"""Defects of asking, answering, and registering people: each lets something count that does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holdfast.effect import admit
from holdfast.gate import asking
from holdfast.gate.rulings import Rulings
from holdfast.gate.signing import key_id_of
from holdfast.kernel import authority
from holdfast.kernel import identity as names
from holdfast.kernel.authority import spelled
from holdfast.kernel.documents import Approver
from holdfast.kernel.model import BEFORE_DISPATCH
from holdfast.report import approval as pages
from holdfast.runtime import announce, approvers, habits, people

Put = Callable[[Any, str, Any], None]


class Softened:
    """The documents of a store, with every approver made better than they are."""

    def __init__(self, rows: Any, better: Callable[[Approver], Approver]) -> None:
        self._rows = rows
        self._better = better

    def document(self, kind: str, key: str) -> Any:
        found = self._rows.document(kind, key)
        return self._better(found) if isinstance(found, Approver) else found


def _counting(put: Put, better: Callable[[Any, Approver], Approver]) -> None:
    honest = authority.counted

    def counted(approval: Any, rows: Any, now_ms: int) -> Any:
        return honest(approval, Softened(rows, lambda person: better(approval, person)), now_ms)

    put(authority, "counted", counted)


def group_unchecked_at_spend(put: Put) -> None:
    """Whoever was in the group when they said yes counts for ever."""
    _counting(put, lambda approval, person: replace(person, groups=(*person.groups, approval.group)))


def revoked_key_counts(put: Put) -> None:
    """A key that was good once is good for ever."""
    _counting(put, lambda approval, person: replace(person, revoked_ms=0, expires_ms=0))


def old_key_counts(put: Put) -> None:
    """A yes counts for its name, whatever key the name has now."""

    def better(approval: Any, person: Approver) -> Approver:
        used = [d.key_id for d in approval.decisions if spelled(d.who) == person.id]
        return replace(person, key_id=used[0]) if used else person

    _counting(put, better)
    put(asking, "unsound", lambda seen: "")


def quorum_counts_spellings(put: Put) -> None:
    """Every yes is somebody else's."""
    put(people, "said_already", lambda person, approval: False)
    put(authority, "counted", lambda approval, rows, now_ms: tuple(d for d in approval.decisions if d.yes))


def signature_unchecked(put: Put) -> None:
    """A signature is any text."""
    honest = asking.unsound
    put(asking, "unsound", lambda seen: "" if "signature" in honest(seen) else honest(seen))


def edited_record_carries(put: Put) -> None:
    """What the row says is what was said."""
    put(asking, "unsound", lambda seen: "")
    put(asking, "digest_of", lambda secret, view, approval: approval.digest)


def fingerprint_not_reread(put: Put) -> None:
    """Dispatch takes the target to be as it was approved."""
    from holdfast.effect import dispatch

    honest = dispatch.refuses

    def refuses(seen: Any, contract: Any, ruling: Any, fingerprint: str, *more: Any) -> Any:
        shown = seen.approval.fingerprint if seen.approval is not None else fingerprint
        return honest(seen, contract, ruling, shown, *more)

    put(dispatch, "refuses", refuses)


def changed_body_is_the_same(put: Put) -> None:
    """Before dispatch, another body is the same call."""
    honest = admit.meets

    def meets(latest: Any, args_digest: str) -> str:
        return "same" if latest is not None and latest.state in BEFORE_DISPATCH else honest(latest, args_digest)

    put(admit, "meets", meets)


def environment_is_not_bound(put: Put) -> None:
    """What is approved in one environment is the same effect in every other."""
    honest = names.identity
    put(names, "identity", lambda secret, tenant, environment, *more: honest(secret, tenant, "", *more))


def assent_in_text(put: Put) -> None:
    """Words of assent in an argument count as one."""
    honest = Rulings.rule_now

    def rule_now(self: Any, seen: Any) -> Any:
        ruling = honest(self, seen)
        said = "go ahead" in str(seen.effect.args)
        return replace(ruling, answer="allow") if said and ruling.answer == "ask" else ruling

    put(Rulings, "rule_now", rule_now)


def not_as_shown_is_taken(put: Put) -> None:
    """A yes is recorded whatever became of the target since."""
    put(people, "not_as_shown", lambda approval, present: "")


def planner_decides(put: Put) -> None:
    """A planner is a person like any other."""
    put(approvers, "planners", lambda desk, **more: {})


def revocation_ignored(put: Put) -> None:
    """Taking an approval back is a wish."""
    put(people, "revoke", lambda desk, request, **more: people.view_of(desk, desk.approval(request).effect))


def expiry_ignored(put: Put) -> None:
    """A request is open for a year."""
    honest = asking.ask_for

    def ask_for(secret: Any, me: Any, view: Any, contract: Any, ruling: Any, *more: Any) -> Any:
        return honest(secret, me, view, contract, replace(ruling, expires_ms=1 << 35), *more)

    put(asking, "ask_for", ask_for)


def review_not_owed(put: Put) -> None:
    """What was done in an emergency is nobody's business afterwards."""
    put(people, "owed", lambda facts: [])


def anybody_registers(put: Put) -> None:
    """Whoever signs a change of approvers may make it."""
    put(approvers, "_admin", lambda desk, signer, name, asked: Approver(id="x", name="x", key_id="", public_key=""))


def one_key_two_names(put: Put) -> None:
    """A key may be registered as often as somebody likes."""
    put(approvers, "_own_key", lambda others, name, public_key, asked: key_id_of(public_key))


def last_admin_goes(put: Put) -> None:
    """A store may be left with nobody who can change its approvers."""
    put(approvers, "_somebody_stays", lambda desk, changed, asked: None)


def announced_with_arguments(put: Put) -> None:
    """The webhook learns the arguments."""
    honest = announce.said
    put(announce, "said", lambda approval, view: honest(approval, view) | {"args": view.args})


def difference_not_shown(put: Put) -> None:
    """The page says nothing of the target's state."""
    put(pages, "_state_lines", lambda *given: None)


def staleness_not_shown(put: Put) -> None:
    """The page shows all evidence as good."""
    honest = pages._evidence_lines

    def lines(page: Any, context: Any, now_ms: int) -> None:
        honest(page, context._replace(evidence=tuple(e._replace(weak="") for e in context.evidence)), now_ms)

    put(pages, "_evidence_lines", lines)


def habit_without_bounds(put: Put) -> None:
    """The rule of a habit permits any cost."""
    honest = habits.rule_of
    put(habits, "rule_of", lambda habit, until: honest(habit._replace(most_minor=1 << 40), until))


PLANT: dict[str, Callable[[Put], None]] = {
    "announced-are-requests-alone": lambda put: put(announce, "needed", lambda _store: ()),
    "announced-with-arguments": announced_with_arguments,
    "anybody-registers": anybody_registers,
    "assent-in-text": assent_in_text,
    "changed-body-is-the-same": changed_body_is_the_same,
    "difference-not-shown": difference_not_shown,
    "edited-record-carries": edited_record_carries,
    "environment-is-not-bound": environment_is_not_bound,
    "expiry-ignored": expiry_ignored,
    "fingerprint-not-reread": fingerprint_not_reread,
    "group-unchecked-at-spend": group_unchecked_at_spend,
    "habit-without-bounds": habit_without_bounds,
    "last-admin-goes": last_admin_goes,
    "not-as-shown-is-taken": not_as_shown_is_taken,
    "old-key-counts": old_key_counts,
    "one-key-two-names": one_key_two_names,
    "planner-decides": planner_decides,
    "quorum-counts-spellings": quorum_counts_spellings,
    "review-not-owed": review_not_owed,
    "revocation-ignored": revocation_ignored,
    "revoked-key-counts": revoked_key_counts,
    "signature-unchecked": signature_unchecked,
    "staleness-not-shown": staleness_not_shown,
}
