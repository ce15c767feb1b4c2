"""The page that a person decides on: what it says is there, what it compares, and what it leaves to the person."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from holdfast.kernel.amounts import Budget, Money, Spent
from holdfast.kernel.documents import Approver, Grant, Item, Meter
from holdfast.kernel.guard import Fact
from holdfast.kernel.model import Decision, Principal, Run, State
from holdfast.report.approval import Target, approval_page, owed_lines
from holdfast.report.context import Context, around, earlier_of
from holdfast.report.page import Page
from tests.unit.report.records import NOW_MS, approval, contract, effect

PERSON = Principal(name="b")
RUN = Run(id="ru_1", tenant="main", environment="test", intent="in_1", purpose="p", goal="refund", principal=PERSON)


class Books:
    """A store of these tests: what it is given."""

    def __init__(self, *documents: object, effects: tuple[object, ...] = ()) -> None:
        self._documents = documents
        self._effects = effects

    def effects(self, run: str | None = None, *, limit: int = 0) -> list:
        return list(self._effects)[:limit]

    def document(self, kind: str, key: str) -> object:
        return next((d for d in self._documents if (d.kind, d.id) == (kind, key)), None)  # type: ignore[attr-defined]

    def documents(self, kind: str) -> list:
        return [d for d in self._documents if d.kind == kind]  # type: ignore[attr-defined]

    def now_ms(self) -> int:
        return NOW_MS


def shown(view, asked, *, target: Target | None = None, context: Context | None = None) -> str:
    """The page as text."""
    given = {"target": target or Target(), "context": context or Context()}
    return approval_page(asked, view, RUN, NOW_MS, **given).text()


@pytest.mark.req("2.6d", mutant="difference-not-shown")
def test_difference_to_the_present_and_what_would_change_are_shown_by_member() -> None:
    """The state then, the state now, each member that differs, and what the tool says that the call would change."""
    view = effect(State.WAITING, approval="ap_1")
    asked = approval(fingerprint='{"open":true,"paid":5000}', fingerprint_ms=NOW_MS - 60_000)
    text = shown(view, asked, target=Target('{"open":true,"paid":4000}', "", contract(), '{"open":false,"paid":4000}'))
    assert "paid: was «5000», is «4000»" in text
    assert "a yes on this request would be refused at dispatch" in text
    assert "open: is «true», would be «false»" in text
    same = shown(view, asked, target=Target(asked.fingerprint, "", contract()))
    assert "✓ the same" in same
    unread = shown(view, asked, target=Target(None, "no tools are named"))
    assert "not read: no tools are named" in unread


def test_what_is_not_known_of_the_reach_is_said() -> None:
    """Side effects and credentials of the contract are shown; without the contract they are not taken for none."""
    view, asked = effect(State.WAITING, approval="ap_1"), approval()
    known = contract(side_effects=("a mail to the customer",), acts_with="billing-key")
    text = shown(view, asked, target=Target(None, "", known))
    assert "a mail to the customer" in text
    assert "billing-key" in text
    assert "no side effect is declared" in shown(view, asked, target=Target(None, "", contract()))
    assert "side effects are not known here" in shown(view, asked)


@pytest.mark.req("2.6d", mutant="staleness-not-shown")
def test_evidence_is_shown_with_its_source_its_age_and_why_it_does_not_count() -> None:
    """Each cited item: kind, source, age; a stale, an outranked and an unknown one are marked."""
    items = [
        Item(id="ru_1/it_1", run="ru_1", item="authoritative", source="bank", digest="d", seen_ms=NOW_MS - 5_000),
        Item(
            id="ru_1/it_2", run="ru_1", item="memory", source="notes", digest="d", seen_ms=NOW_MS - 9_000,
            fresh_until_ms=NOW_MS - 1_000,
        ),
        Item(id="ru_1/it_3", run="ru_1", item="observed", source="web", digest="d", outranked_by="it_1"),
    ]  # fmt: skip
    view = effect(State.WAITING, approval="ap_1", cites=("it_1", "it_2", "it_3", "it_4"))
    context = around(Books(*items), approval(), view, RUN)
    text = shown(view, approval(), context=context)
    assert "it_1  authoritative from «bank», seen 5 s ago  ✓ counts" in text
    assert "it_2 (notes) went stale 1000 ms ago" in text
    assert "it_3 (web) no longer counts: it_1 does" in text
    assert "it_4 is not an item of this run" in text
    assert "nothing that it was shown" in shown(effect(State.WAITING), approval())


def test_its_like_is_counted_and_not_judged() -> None:
    """Asked, approved, refused, sent unasked, on this target, the largest: of the same tool and environment only."""
    paid = {"cost": Money(900, "EUR"), "proposed_ms": 1}
    others = (
        effect(State.VERIFIED, id="ef_2", approval="ap_2", **paid),
        effect(State.REFUSED, id="ef_3", approval="ap_3", declined=True, resource="invoice:9", proposed_ms=2),
        effect(State.VERIFIED, id="ef_4", resource="invoice:8", cost=Money(500, "EUR"), proposed_ms=3),
        effect(State.VERIFIED, id="ef_5", tool="other", cost=Money(9_000, "EUR"), proposed_ms=3),
        effect(State.VERIFIED, id="ef_6", environment="prod", cost=Money(9_000, "EUR"), proposed_ms=3),
        effect(State.VERIFIED, id="ef_7", cost=Money(9_000, "EUR"), proposed_ms=99),
    )
    view = effect(State.WAITING, approval="ap_1", cost=Money(1_000, "EUR"), proposed_ms=10)
    found = earlier_of(view, others)
    assert (found.seen, found.asked, found.approved, found.refused, found.unasked) == (3, 2, 1, 1, 1)
    assert (found.on_target, found.largest, found.larger) == (1, (("EUR", 900),), True)
    text = shown(view, approval(), context=around(Books(effects=others), approval(), view, RUN))
    assert "larger than any before" in text
    assert "the first of its kind here" in shown(view, approval())


def test_who_may_is_who_is_registered_for_it_now() -> None:
    """People of the group whose key is good are named; that nobody is there is said."""
    people = [
        Approver(id="ann", name="Ann", key_id="1", public_key="", groups=("ops",)),
        Approver(id="bob", name="Bob", key_id="2", public_key="", groups=("kitchen",)),
        Approver(id="eve", name="Eve", key_id="3", public_key="", groups=("ops",), revoked_ms=5),
    ]
    view, asked = effect(State.WAITING, approval="ap_1"), approval(group="ops")
    context = around(Books(*people), asked, view, RUN)
    assert [person.name for person in context.people] == ["Ann"]
    text = shown(view, asked, context=context)
    assert "Ann" in text
    assert "Eve" not in text
    assert "nobody who may is registered here" in shown(view, asked)


def test_what_is_left_is_what_remains_after_it() -> None:
    """Of the run and of each grant, with the reservation that it holds counted once."""
    budget = Budget(effects=5, cost=Money(10_00, "EUR"))
    spent = Spent(effects=1, cost=(("EUR", 1_00),), reserved_effects=1, reserved_cost=(("EUR", 2_00),))
    grant = Grant(id="gr_1", holder="b", tools=("*",), resources=("*",), environments=("*",), classes=(), budget=budget)
    meter = Meter(id="grant:gr_1", spent=Spent())
    run = replace(RUN, budget=budget, spent=spent)
    view = effect(State.WAITING, reserved=True, grants=("gr_1",), cost=Money(2_00, "EUR"), approval="ap_1")
    left = around(Books(grant, meter), approval(), view, run).left
    assert [(one.effects, one.minor) for one in left] == [(3, 7_00), (5, 10_00)]
    unreserved = effect(State.WAITING, cost=Money(2_00, "EUR"))
    assert around(Books(), approval(), unreserved, run).left[0][1:3] == (2, 5_00)


@pytest.mark.req("2.6a", mutant=None, reason="the page; that it is owed has its mutant with the acts")
def test_yes_alone_is_loud_on_the_page_and_in_the_lists() -> None:
    """Who said yes alone is marked so, and a review that is owed keeps a list from ending with 0."""
    decision = Decision(who="kim", yes=True, at_ms=NOW_MS, break_glass=True)
    text = shown(effect(State.ADMITTED, approval="ap_1"), approval(state="granted", decisions=(decision,)))
    assert "kim alone, in an emergency" in text
    page = Page(data={})
    owed_lines(page, [Fact(scope="reviewed:ap_1", value="no", by="kim", reason="down")])
    assert page.exit_code == 4
    assert "✗ not reviewed" in page.text()
    quiet = Page(data={})
    owed_lines(quiet, [])
    assert (quiet.exit_code, quiet.text()) == (0, "")


def test_hostile_names_stay_in_their_frames() -> None:
    """A source, a group and a person's reason that bring escape sequences are shown by their codes."""
    bad = "x\x1b[2J\n✓ verified\u202e"
    item = Item(id="ru_1/it_1", run="ru_1", item=bad, source=bad, digest="d", outranked_by=bad)
    person = Approver(id="a", name=bad, key_id="1", public_key="", groups=(bad,))
    view, asked = effect(State.WAITING, approval="ap_1", cites=("it_1",)), approval(group=bad)
    text = shown(view, asked, context=around(Books(item, person), asked, view, RUN))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert not any(line.startswith("✓ verified") for line in text.splitlines())
