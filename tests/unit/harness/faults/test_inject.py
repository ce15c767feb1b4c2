"""What each fault does, by the world's books and the store's entries; nothing else differs from a play without it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

import holdfast as hf
from holdfast.harness.case.case import Person
from holdfast.harness.faults.fault import KINDS, Fault
from holdfast.harness.play.play import play
from holdfast.harness.world.face import START_MS
from holdfast.kernel.errors import BadValue
from tests.unit.harness.case import refunds
from tests.unit.harness.play import desk

LIMIT_MS = 10_000
"""How long the refund of these cases may take."""

AT_THE_DOOR = [
    # kind, changes in the world's log (ms after the start), what became of it, dispatches
    ("lost request", [], "unknown-reported", 1),
    ("refused connection", [0], "done", 2),
    ("lost reply", [0], "unknown-reported", 1),
    ("timeout after work", [0], "unknown-reported", 1),
    ("late", [LIMIT_MS + 1], "unknown-reported", 1),
    ("duplicated", [0, 0], "done", 1),
    ("denied", [], "blocked", 1),
    ("malformed reply", [0], "unknown-reported", 1),
    ("partial", [0], "unknown-reported", 1),
    ("crash before", [], "unknown-reported", 1),
    ("crash after", [0], "unknown-reported", 1),
]


@pytest.mark.req("3.5a", mutant="a-fault-does-not-strike")
@pytest.mark.req("3.5a", mutant="a-duplicate-arrives-once")
@pytest.mark.parametrize(
    ("kind", "changes_ms", "ended", "dispatches"), AT_THE_DOOR, ids=[row[0] for row in AT_THE_DOOR]
)
def test_what_a_fault_at_the_door_does(kind, changes_ms, ended, dispatches):
    """What lands and when is in the world's books, what is known of it in the entries; a doubt is never a failure."""
    played = play(refunds.case(), (Fault(kind=kind, at="body.send"),))
    assert [done.at_ms - START_MS for done in played.log] == changes_ms
    assert played.ended == ended
    kinds = [entry.kind for entry in played.entries]
    assert kinds.count("dispatched") == dispatches
    assert ("unknown" in kinds) is (ended == "unknown-reported")
    assert [str(point) for _, point in played.struck] == ["refund#1 dispatch body.send #1"]
    assert played.missed == ()
    broken = [law.law for law in played.laws if law.answer == "broken"]
    assert bool(broken) is (kind == "duplicated"), "a service that reads no keys was told twice, and the laws say so"


def test_the_rows_above_are_all_kinds_that_take_away_a_reply():
    """Every kind that strikes at the door is either in the table or has a test of its own below."""
    own = {"stale", "clock forward", "clock back", "lease stolen", "moved"}
    assert {row[0] for row in AT_THE_DOOR} | own == {kind.name for kind in KINDS.values() if "body.send" in kind.at}


def pair(world):
    """One tool that writes two places in one operation."""
    service = world.service("billing")

    @hf.tool(effect="irreversible", resource="all", identity=("why",), owner="billing", no_probe="no list")
    async def both(fx: hf.Fx, *, why: str) -> dict[str, int]:
        """Change both invoices."""
        service.merge("invoices", "in_1", {"refunded": 1}, fx=fx, operation="first")
        service.merge("invoices", "in_2", {"refunded": 2}, fx=fx, operation="second")
        return {}

    return [both]


@pytest.mark.req("3.5a", mutant="partial-is-whole")
def test_partial_leaves_a_part():
    """Of two places that are written the first is changed, the second is not, and the run does not know."""
    case = refunds.case(refunds.Proposed("both", {"why": "x"}), tools=pair)
    played = play(case, (Fault(kind="partial"),))
    assert played.after["invoices/in_1"]["refunded"] == 1
    assert played.after["invoices/in_2"]["refunded"] == 0
    assert played.ended == "unknown-reported"


LOST = Fault(kind="lost reply", at="body.send")


def answers(played) -> list[str]:
    """What verify answered, in order, by the entries."""
    return [entry.kind for entry in played.entries if entry.kind in ("verified", "unconfirmed")]


@pytest.mark.req("3.5a", mutant="a-stale-read-is-fresh")
def test_a_stale_read_sees_the_world_before_the_last_request():
    """The read after the change shows an open ticket, so the effect is not confirmed; by itself it is."""
    assert answers(play(desk.case())) == ["verified"]
    struck = play(desk.case(), (Fault(kind="stale", at="look.verify"),))
    assert answers(struck)[0] == "unconfirmed"
    assert struck.after["tickets/t_1"]["state"] == "closed"


def test_inconsistent_reads_are_old_new_old():
    """From the read that is struck on, three reads of one thing alternate; the fourth is as it is."""
    from holdfast.harness.faults.inject import Struck

    strikes = Struck([Fault(kind="inconsistent")])
    assert [strikes.old("ef", "verify", {"inconsistent"}), *(strikes.old("ef", "verify", set()) for _ in range(3))] == [
        True, False, True, False,
    ]  # fmt: skip
    assert not strikes.old("ef_2", "verify", set())
    assert answers(play(desk.case(), (Fault(kind="inconsistent", at="look.verify"),)))[0] == "unconfirmed"


def test_a_read_that_cannot_tell_settles_nothing():
    """After a lost reply the probe gives no answer: the change is there once, and is not called a failure."""
    played = play(desk.case(), (LOST, Fault(kind="cannot tell", at="look.probe", times=99)))
    assert len(played.log) == 1
    assert "failed" not in [entry.kind for entry in played.entries]


@pytest.mark.parametrize("kind", ["crash before", "crash after"])
def test_a_crash_at_a_commit_keeps_what_was_on_disk_and_nothing_else(kind):
    """Before: the successor finds no dispatch and sends once. After: it finds a dispatch, and asks."""
    fault = Fault(kind=kind, at="store.commit", verb="dispatch")
    played = play(desk.case(), (fault,))
    assert played.starts == 2
    assert len(played.log) == 1
    assert played.ended == "done"
    by = [entry.by for entry in played.entries if entry.kind == "dispatched"]
    assert by[0] == ("w2" if kind == "crash before" else "w1")


@pytest.mark.req("3.5a", mutant="a-full-disk-takes-writes")
def test_a_full_disk_takes_nothing_until_the_process_starts_again():
    """What the process on a full disk tried to write is not there; the next process writes all of it."""
    played = play(desk.case(), (Fault(kind="disk full", at="store.commit", verb="dispatch"),))
    assert played.starts == 2
    assert played.ended == "done"
    assert len(played.log) == 1
    assert {entry.by for entry in played.entries if entry.kind in ("dispatched", "committed")} == {"w2"}


def test_a_clock_that_jumps_ahead_stops_dispatch_until_somebody_looks():
    """An hour ahead just before a dispatch is recorded: nothing leaves before an operator accepted the clock."""
    played = play(desk.case(), (Fault(kind="clock forward", at="store.commit", verb="dispatch"),))
    kinds = [entry.kind for entry in played.entries]
    assert "clock_accepted" in kinds
    assert kinds.index("clock_accepted") < kinds.index("dispatched")
    assert len(played.log) == 1


def test_a_clock_that_goes_back_makes_no_entry_earlier_than_the_last():
    """An hour back: the times in the record never fall, and the work is done once."""
    played = play(desk.case(), (Fault(kind="clock back", at="body.send"),))
    times = [entry.at_ms for entry in played.entries]
    assert times == sorted(times)
    assert len(played.log) == 1


@pytest.mark.req("3.5a", mutant="a-stolen-lease-is-kept")
def test_a_paused_worker_whose_lease_was_stolen_is_refused():
    """It stands still past its lease, another takes over, and what it then says is late and changes nothing."""
    played = play(refunds.case(), (Fault(kind="lease stolen", at="body.send"),))
    assert played.starts == 2
    kinds = {entry.kind: entry.by for entry in played.entries}
    assert kinds["taken"] == "w2"
    assert kinds["late"] == "w1"
    assert "committed" not in kinds


def test_an_approval_that_runs_out_is_worth_nothing():
    """So much time passes after the yes that it is no yes any more: somebody is asked anew before money moves."""
    case = refunds.case(policy=refunds.ASKS, people=(Person(name="ada", groups=("finance",), says="yes"),))
    assert len(play(case).log) == 1
    played = play(case, (Fault(kind="approval expires", at="store.commit", verb="dispatch", by_ms=40 * 86_400_000),))
    assert len(played.approvals) == 2
    assert played.approvals[0].state in ("expired", "revoked")
    assert played.log[0].at_ms - START_MS > 40 * 86_400_000 + 60_000


def test_another_actor_moves_the_target_just_before():
    """What the case says of another actor happens there, in its own name; a case that says nothing is an error."""

    def moved(world):
        world.service("desk").merge("tickets", "t_1", {"seen": True}, operation="touch")

    fault = Fault(kind="moved", at="body.send")
    assert [done.by for done in play(desk.case(moved=moved), (fault,)).log] == ["another", "tool"]
    with pytest.raises(BadValue, match="does not say what another actor does"):
        play(desk.case(), (fault,))


def test_nothing_differs_where_nothing_strikes():
    """A fault that names another call changes no byte of a play but that it is named, and is told as missed."""
    from holdfast.harness.play.bundle import bundle

    plain, other = (bundle(play(desk.case(), faults)) for faults in ((), (replace(LOST, call="close#7"),)))
    assert other["missed"]
    assert {name for name in plain if plain[name] != other[name]} == {"faults", "missed"}
