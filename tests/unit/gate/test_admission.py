"""Admission: five answers with their codes, who comes first, and what a limit may say."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

import holdfast as hf
from holdfast.gate.admission import ANSWERS, Admission, admission, ahead, asked, is_retry, places, queues
from holdfast.kernel.documents import Meter
from holdfast.kernel.errors import BadValue
from holdfast.kernel.limits import Load, Queued, read_limits
from holdfast.kernel.model import Contract, Effect, EffectClass, Principal, Run, State
from holdfast.kernel.outcomes import Refused, outcome_of
from holdfast.report.queues import queues_of

NOW_MS = 1_700_000_000_000
PAY = Contract(
    name="pay",
    effect=EffectClass.IRREVERSIBLE,
    resource="bills",
    work="payments",
    splits="bills",
    instead="pay_later",
    not_done="nothing is paid before tomorrow",
)
BARE = msgspec.structs.replace(PAY, splits="", instead="", not_done="")


def run(**parts: Any) -> Run:
    """An open run of alice's."""
    said: dict[str, Any] = {"tenant": "main", "environment": "prod", "intent": "in_1", "purpose": "p", "goal": "g"}
    return Run(id="ru_1", principal=Principal(name="alice"), **(said | parts))


def view(**parts: Any) -> Effect:
    """A proposal of alice's to pay three bills."""
    said: dict[str, Any] = {
        "id": "ef_mine",
        "tenant": "main",
        "environment": "prod",
        "run": "ru_1",
        "purpose": "p",
        "tool": "pay",
        "contract": "v1",
        "effect_class": EffectClass.IRREVERSIBLE,
        "key": "k",
        "identity": "i",
        "generation": 1,
        "args": {"bills": ["a", "b", "c"]},
        "args_digest": "d",
        "resource": "bills",
        "principal": "alice",
        "proposed_ms": NOW_MS - 10,
    }
    return Effect(**(said | parts))


def limits(work: hf.Work | None = None, **parts: Any) -> hf.Limits:
    """Limits of the class payments."""
    return hf.Limits(work={"payments": work or hf.Work(most=4, share=50, within="30s")}, **parts)


def load(*queued: Queued, oldest_ms: int = 0, **used: int) -> Load:
    """Meters by short names (``all``, ``alice``, ``waiting`` …) and who waits."""
    names = {
        "all": "work:payments",
        "alice": "work:payments/principal:alice",
        "bob": "work:payments/principal:bob",
        "retries": "work:payments/retries",
        "waiting": "waiting:payments",
        "asked": "asked:payments",
    }
    meters = tuple(Meter(id=names[name], open=count) for name, count in used.items())
    return Load(meters=meters, queued=queued, oldest_ms=oldest_ms)


def said(load_: Load, contract: Contract = PAY, effect: Effect | None = None, **parts: Any) -> Admission:
    """The answer."""
    given = {"run": run(), "limits": limits()} | parts
    return admission(contract, effect or view(), given["run"], load_, given["limits"], NOW_MS)


@pytest.mark.req("1.5a", mutant="answers-blended")
def test_each_of_the_five_answers_is_given_with_a_code_for_programs() -> None:
    """Room, too many items, no room, a broken promise with a cheaper call, and no way out, are told apart."""
    broken = load(alice=2, oldest_ms=NOW_MS - 31_000)
    given = [
        said(load()),
        said(load(), limits=limits(hf.Work(most_items=2))),
        said(load(alice=2)),
        said(broken),
        said(broken, BARE, limits=limits(hf.Work(most=4, share=50, most_waiting=0))),
    ]
    assert [one.answer for one in given] == list(ANSWERS)
    assert [one.code for one in given] == ["room", "too-many-items", "share-full", "promise-broken", "queue-full"]
    assert all(one.reason for one in given[1:])


@pytest.mark.req("1.5a", mutant="answers-blended")
def test_shape_proposes_the_same_items_in_calls_that_there_is_room_for() -> None:
    """Nothing is lost and nothing is doubled between the call and the smaller ones."""
    answer = said(load(), limits=limits(hf.Work(most_items=2)))
    refused = outcome_of(view(state=State.REFUSED, admission=answer.said(), reason=answer.reason))
    assert isinstance(refused, Refused)
    assert [call["args"]["bills"] for call in refused.instead] == [["a", "b"], ["c"]]
    assert refused.not_done == ""


@pytest.mark.req("1.5a", mutant="answers-blended")
def test_degrade_names_the_cheaper_call_and_what_it_leaves_undone() -> None:
    """The cheaper call has the same arguments, and is not made by itself."""
    answer = said(load(alice=2, waiting=1_000))
    refused = outcome_of(view(state=State.REFUSED, admission=answer.said(), reason=answer.reason))
    assert answer.answer == "degrade"
    assert isinstance(refused, Refused)
    assert refused.instead == ({"tool": "pay_later", "args": {"bills": ["a", "b", "c"]}},)
    assert refused.not_done == "nothing is paid before tomorrow"


def test_a_list_with_more_pieces_than_are_proposed_says_what_is_left_over() -> None:
    """A hundred pieces are proposed, and the rest is named as not done."""
    answer = said(load(), effect=view(args={"bills": list("x" * 250)}), limits=limits(hf.Work(most_items=2)))
    refused = outcome_of(view(args={"bills": list("x" * 250)}, state=State.REFUSED, admission=answer.said()))
    assert isinstance(refused, Refused)
    assert len(refused.instead) == 100
    assert refused.not_done == "50 more items of bills"


def test_a_wait_that_ends_after_the_deadline_is_refused_at_once() -> None:
    """Nobody is put off to a time at which it is too late for them."""
    answer = said(load(alice=2), BARE, run=run(deadline_ms=NOW_MS + 100))
    assert (answer.answer, answer.code) == ("refuse", "past-deadline")


def test_whoever_was_put_off_as_often_as_the_class_allows_is_refused() -> None:
    """Being put off is bounded."""
    often = view(state=State.WAITING, schedulings=3)
    answer = said(load(alice=2), BARE, often, limits=limits(hf.Work(most=4, share=50, schedulings=3)))
    assert (answer.answer, answer.code) == ("refuse", "put-off-too-often")


@pytest.mark.req("1.5b", mutant="queue-unbounded")
def test_a_full_queue_takes_nobody() -> None:
    """As many wait as may: the next one is refused, and told so."""
    answer = said(load(alice=2, waiting=5), BARE, limits=limits(hf.Work(most=4, share=50, most_waiting=5)))
    assert (answer.answer, answer.code) == ("refuse", "queue-full")


@pytest.mark.req("1.5b", mutant="queue-unbounded")
def test_no_more_requests_wait_for_people_than_may() -> None:
    """The backlog of people is bounded as well."""
    answer = asked(BARE, view(), load(asked=5), limits(hf.Work(most_waiting=5)), NOW_MS)
    assert (answer.answer, answer.code) == ("refuse", "asked-full")


@pytest.mark.req("1.5b", mutant="retries-free")
def test_retries_draw_from_their_own_share_and_budget() -> None:
    """A second generation finds its share full where a first one finds room; a run's retries run out."""
    busy, again = load(retries=2), view(generation=2)
    assert said(busy).answer == "accept"
    assert said(busy, BARE, again).code == "retries-full"
    spent = Load(meters=(Meter(id="retries:run:ru_1", used=3, since_ms=NOW_MS - 5),))
    few = limits(retries=hf.Retries(per_run=3, window="1m"))
    answer = said(spent, BARE, again, limits=few)
    assert (answer.answer, answer.code, answer.not_before_ms) == ("schedule", "run-retries-spent", NOW_MS + 59_996)
    assert said(spent, BARE, limits=few).answer == "accept"


@pytest.mark.req("1.5b", mutant="retries-free")
def test_without_a_retry_budget_no_retry_is_made() -> None:
    """Zero is no window to wait for: it is refused."""
    answer = said(load(), BARE, view(tries=1), limits=limits(retries=hf.Retries(per_principal=0)))
    assert (answer.answer, answer.code) == ("refuse", "principal-retries-spent")


def test_what_is_read_again_is_no_retry() -> None:
    """A reading that went stale and is made anew takes nothing from the retry budget."""
    assert is_retry(view(generation=2))
    assert not is_retry(view(generation=2, effect_class=EffectClass.READ))


@pytest.mark.req("1.5b", mutant="share-ignored")
def test_no_principal_has_more_places_than_its_share() -> None:
    """Half of four places are one principal's; the other half are for whoever comes."""
    answer = said(load(all=2, alice=2), BARE)
    assert (answer.answer, answer.code) == ("schedule", "share-full")
    assert said(load(all=2, alice=2), BARE, view(principal="bob")).answer == "accept"


def test_quotas_of_a_principal_and_a_tenant_are_waited_for_until_their_window_ends() -> None:
    """The not-before of a quota is the end of its window, of effects as of money."""
    used = Load(meters=(Meter(id="tenant:main", used=7, since_ms=NOW_MS - 1_000),))
    answer = said(used, BARE, limits=limits(tenant=hf.Quota(effects=7, window="1m")))
    assert (answer.code, answer.not_before_ms) == ("tenant-quota", NOW_MS + 59_001)
    money = limits(principal=hf.Quota(cost=hf.money(100, "EUR"), window="1h"))
    answer = said(load(), BARE, view(cost=hf.money(101, "EUR")), limits=money)
    assert answer.code == "principal-cost"
    assert answer.not_before_ms == (NOW_MS // 3_600_000 + 1) * 3_600_000 + 1


def waiting(name: str, principal: str, **parts: Any) -> Queued:
    """Somebody who waits for a place."""
    return Queued(effect=name, principal=principal, **({"proposed_ms": NOW_MS - 5_000, "code": "class-full"} | parts))


def test_a_place_that_is_free_is_for_whoever_comes_first() -> None:
    """One place is free and bob has waited: alice, who comes now, is put off although there is room."""
    answer = said(load(waiting("ef_b", "bob"), all=3), BARE)
    assert (answer.answer, answer.code, answer.position) == ("schedule", "others-first", 2)
    assert said(load(waiting("ef_b", "bob"), all=2), BARE).answer == "accept"


def test_a_higher_priority_comes_before_whoever_waited_longer() -> None:
    """Priority is looked at before age."""
    assert said(load(waiting("ef_b", "bob"), all=3), BARE, run=run(priority=1)).answer == "accept"


def test_a_flood_counts_no_more_than_its_share_among_those_who_come_first() -> None:
    """A hundred of bob's wait, older than alice's: she is behind one of them and not behind a hundred."""
    work = hf.Work(most=4, share=50)
    flood = [waiting(f"ef_{n:03}", "bob", proposed_ms=NOW_MS - 9_000 + n) for n in range(100)]
    mine = view(principal="alice")
    assert ahead(mine, run(), load(*flood, all=0), work, "payments") == 1
    busy = msgspec.structs.replace(
        load(*flood, all=2, bob=2), meters=(Meter(id="work:payments/principal:bob", open=2),)
    )
    assert ahead(mine, run(), busy, work, "payments") == 0


def test_whoever_waits_for_a_window_holds_nobody_back() -> None:
    """A quota that is used up is its principal's affair."""
    quota = waiting("ef_b", "bob", code="principal-quota")
    assert said(load(quota, all=3), BARE).answer == "accept"


def test_every_scope_that_was_looked_at_is_carried_into_the_commit() -> None:
    """What is accepted holds only if there is still room, in each of them, when it is written down."""
    answer = said(load(), BARE, view(generation=2), limits=limits(principal=hf.Quota(effects=9)))
    assert answer.limits == places(BARE, view(generation=2), limits(principal=hf.Quota(effects=9)), NOW_MS)
    assert {"work:payments", "work:payments/principal:alice", "work:payments/retries", "principal:alice"} == set(
        answer.scopes
    )
    put_off = said(load(alice=2), BARE)
    assert put_off.limits == queues(BARE, view(), limits())


@pytest.mark.parametrize(
    ("table", "path"),
    [
        ({"work": {"payments": {"mots": 3}}}, "limits.work.payments.mots"),
        ({"works": {}}, "limits.works"),
        ({"work": {"payments": {"most": "3"}}}, "limits.work[...].most"),
        ({"work": {"payments": {"share": 0}}}, "work.share"),
        ({"work": {"payments": {"most": 0}}}, "work.most"),
        ({"work": {"payments": {"within": "soon"}}}, "work.within"),
        ({"retries": {"per_run": -1}}, "retries.per_run"),
        ({"work": {"a/principal:bob": {}}}, "work.a/principal:bob"),
        ({"runs": {"degrade_from": 3}}, "runs.degrade_from"),
        ({"principal": {"cost": {"minor": -1, "currency": "EUR"}}}, "money.minor"),
    ],
)
def test_a_limit_that_means_nothing_is_refused_by_its_path(table: dict[str, Any], path: str) -> None:
    """A misspelt or impossible limit never becomes no limit."""
    with pytest.raises(BadValue) as caught:
        read_limits(table)
    assert caught.value.path == path


def test_limits_of_a_file_are_those_of_the_program() -> None:
    """Tables and records say the same."""
    table = {"work": {"payments": {"most": 4, "share": 50, "within": "30s"}}, "retries": {"per_run": 3}}
    assert read_limits(table) == limits(retries=hf.Retries(per_run=3))


@pytest.mark.req("1.5c", mutant="age-hidden")
def test_the_age_of_the_oldest_accepted_item_is_counted_from_its_proposal() -> None:
    """Being put off again makes nothing younger, and a promise is broken as soon as it is."""
    old = view(state=State.WAITING, schedulings=9, proposed_ms=NOW_MS - 31_000, moved_ms=NOW_MS - 5)
    old = msgspec.structs.replace(old, admission={"work": "payments"})
    young = msgspec.structs.replace(old, id="ef_young", state=State.CLAIMED, proposed_ms=NOW_MS - 7)
    (queue,) = queues_of([young, old], {"prod": limits()}, NOW_MS)
    assert (queue.oldest, queue.oldest_ms, queue.promise_ms, queue.broken) == ("ef_mine", 31_000, 30_000, True)
    assert (queue.under_way, queue.waiting) == (1, 1)
    (later,) = queues_of([old], {"prod": limits()}, NOW_MS + 4_000)
    assert later.oldest_ms == 35_000


@pytest.mark.req("1.5c", mutant="age-hidden")
def test_who_waits_for_a_person_is_not_counted_against_a_promise_of_speed() -> None:
    """What is asked about is counted apart; a class in which nothing waits has no age."""
    request = view(state=State.WAITING, approval="ap_1", proposed_ms=1, admission={"work": "payments"})
    mine = view(state=State.ADMITTED, proposed_ms=NOW_MS - 2, admission={"work": "payments"})
    (queue,) = queues_of([request, mine], {"prod": limits()}, NOW_MS)
    assert (queue.asked, queue.waiting, queue.oldest_ms, queue.broken) == (1, 0, 2, False)
