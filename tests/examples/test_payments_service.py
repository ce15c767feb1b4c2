"""examples/payments: each rule and each switch, on a real process, judged by the service's own books."""

from __future__ import annotations

import ast
import json
import os
import pickle
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from examples.payments import client as payments
from examples.payments.client import PaymentsClient
from examples.payments.spawn import SERVICE, running, wait_until_ready

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 20.0
PAST_MS, FAR_MS = 1, 4_000_000_000_000


@pytest.fixture
def service(tmp_path: Path) -> Iterator[PaymentsClient]:
    """A service with one invoice of 100.00, and a client of it."""
    with running(tmp_path / "books.sqlite", key_window_ms=60_000, payout_ms=60_000) as (url, _):
        client = PaymentsClient(url)
        client.add_invoice("in_1", 10_000)
        with client:
            yield client


def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds; the limit is only there so that a defect ends the test."""
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "the condition never came true"
        time.sleep(0.005)  # Short, because this only paces the polling.


def changes(client: PaymentsClient) -> list[tuple[str | None, int]]:
    """What really happened outside: key and amount of every change, in order."""
    return [(change["key"], change["amount"]) for change in client.books()["changes"]]


def sources(client: PaymentsClient) -> list[str]:
    """How every change came about, in order."""
    return [change["source"] for change in client.books()["changes"]]


# ---- keys ----------------------------------------------------------------------------------------


def test_refund_is_one_line_in_the_books(service: PaymentsClient) -> None:
    """A refund is one change with everything that came with it, and the invoice shows it."""
    before = service.now_ms()
    made = service.refund("in_1", 1_200, note="twice billed", key="k1", fence=7, send_by_ms=FAR_MS, if_match=1)
    books = service.books()
    (change,) = books["changes"]
    assert change.pop("at_ms") == made["at_ms"] >= before
    assert change == {
        "id": 1, "kind": "refund", "key": "k1", "fence": 7, "invoice": "in_1", "amount": 1_200,
        "currency": "EUR", "note": "twice billed", "version": 2, "source": "request",
        "client": "payments-client",
    }  # fmt: skip
    assert made["refund_id"] == "re_000001"
    assert books["invoices"][0] == {
        "invoice_id": "in_1", "amount": 10_000, "currency": "EUR", "refunded": 1_200, "version": 2,
    }  # fmt: skip
    assert service.invoice("in_1")["remaining"] == 8_800


def test_known_key_gets_its_first_answer_and_changes_nothing(service: PaymentsClient) -> None:
    """A repeat under a key is answered word for word as the first time, and marked as a replay."""
    first = service.refund("in_1", 1_200, key="k1")
    again = service.refund("in_1", 1_200, key="k1")
    assert (first.pop("replayed"), again.pop("replayed")) == (False, True)
    assert again == first
    assert changes(service) == [("k1", 1_200)]


@pytest.mark.parametrize("other", [{"amount": 1_300}, {"note": "other"}, {"invoice_id": "in_2"}])
def test_known_key_with_another_body_is_a_conflict(service: PaymentsClient, other: dict[str, object]) -> None:
    """Another amount, note or invoice under a known key is refused and shown the first answer."""
    service.add_invoice("in_2", 10_000)
    service.refund("in_1", 1_200, key="k1")
    with pytest.raises(payments.Conflict) as refusal:
        service.refund(**{"invoice_id": "in_1", "amount": 1_200, "key": "k1", **other})
    assert (refusal.value.status, refusal.value.body["first"]["refund_id"]) == (409, "re_000001")
    assert changes(service) == [("k1", 1_200)]


def test_key_and_payout_share_one_name_space(service: PaymentsClient) -> None:
    """The key of a refund cannot start a payout of the same amount."""
    service.refund("in_1", 1_200, key="k1")
    with pytest.raises(payments.Conflict):
        service.payout("in_1", 1_200, key="k1")
    assert service.books()["payouts"] == []


def test_key_is_forgotten_after_its_window(service: PaymentsClient) -> None:
    """Inside the window a repeat is a replay; after it, a second change (a stated non-guarantee)."""
    service.refund("in_1", 1_200, key="k1")
    service.advance_clock(30_000)
    assert service.refund("in_1", 1_200, key="k1")["replayed"] is True
    service.advance_clock(30_000)
    assert service.refund("in_1", 1_200, key="k1")["replayed"] is False
    assert changes(service) == [("k1", 1_200), ("k1", 1_200)]
    assert [found["refund_id"] for found in service.lookup("k1")] == ["re_000001", "re_000002"]


def test_without_a_key_every_request_is_a_change(service: PaymentsClient) -> None:
    """The service does not guess that two equal requests are one (a stated non-guarantee)."""
    service.refund("in_1", 1_200)
    service.refund("in_1", 1_200)
    assert changes(service) == [(None, 1_200), (None, 1_200)]


def test_refusal_leaves_the_key_free(service: PaymentsClient) -> None:
    """A declined request is not remembered under its key: what is done later under it, is done."""
    with pytest.raises(payments.Declined):
        service.refund("in_1", 10_001, key="k1")
    service.refund("in_1", 10_000, key="k1")
    assert changes(service) == [("k1", 10_000)]


def test_same_key_from_many_threads_at_once_is_one_change(service: PaymentsClient) -> None:
    """Sixteen requests at once under one key: one change, sixteen equal answers."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: service.refund("in_1", 5, key="k1"), range(16)))
    assert {answer["refund_id"] for answer in answers} == {"re_000001"}
    assert [answer["replayed"] for answer in answers].count(False) == 1
    assert changes(service) == [("k1", 5)]


# ---- fences, send-by, versions, refusals ---------------------------------------------------------


def test_lower_token_is_fenced_and_an_equal_one_is_not(service: PaymentsClient) -> None:
    """The highest token seen for an invoice refuses every lower one, and itself may come again."""
    service.refund("in_1", 1, key="a", fence=5)
    service.refund("in_1", 2, key="b", fence=5)
    with pytest.raises(payments.Fenced) as refusal:
        service.refund("in_1", 3, key="c", fence=4)
    assert (refusal.value.status, refusal.value.body["highest"]) == (412, 5)
    assert changes(service) == [("a", 1), ("b", 2)]


def test_fence_of_one_invoice_does_not_touch_another(service: PaymentsClient) -> None:
    """Tokens are compared for each invoice apart."""
    service.add_invoice("in_2", 100)
    service.refund("in_1", 1, key="a", fence=5)
    service.refund("in_2", 2, key="b", fence=4)
    assert changes(service) == [("a", 1), ("b", 2)]


@pytest.mark.parametrize("resource", ["invoice:in_1", "in_1"])
def test_raised_fence_makes_absence_final(service: PaymentsClient, resource: str) -> None:
    """After the fence is raised nothing has changed, and the older attempt can never land."""
    assert service.raise_fence(resource, 9) == {"resource": "invoice:in_1", "token": 9}
    with pytest.raises(payments.Fenced):
        service.refund("in_1", 1, key="late", fence=8)
    assert changes(service) == []
    assert service.refund("in_1", 1, key="new", fence=9)["replayed"] is False


def test_fence_is_not_raised_by_a_stale_prober_or_for_nothing(service: PaymentsClient) -> None:
    """A prober with a lower token learns that it is stale; an unknown invoice is refused, not ignored."""
    service.raise_fence("invoice:in_1", 3)
    service.raise_fence("invoice:in_1", 9)
    with pytest.raises(payments.Fenced):
        service.raise_fence("invoice:in_1", 8)
    for unknown in ("invoice:in_9", "order:in_1"):
        with pytest.raises(payments.NotFound):
            service.raise_fence(unknown, 10)
    assert service.books()["fences"] == [{"resource": "invoice:in_1", "token": 9}]


def test_refused_request_still_raises_the_fence(service: PaymentsClient) -> None:
    """A declined request with a higher token shuts out the older holder all the same."""
    with pytest.raises(payments.Declined):
        service.refund("in_1", 10_001, fence=9)
    with pytest.raises(payments.Fenced):
        service.refund("in_1", 1, fence=8)
    assert changes(service) == []


def test_refusals_are_never_given_for_a_key_that_did_something(service: PaymentsClient) -> None:
    """A stale, late or outdated repeat of a done key gets its first answer: a refusal means not done."""
    first = service.refund("in_1", 6_000, key="k1", fence=5)
    service.raise_fence("invoice:in_1", 9)
    again = service.refund("in_1", 6_000, key="k1", fence=5, send_by_ms=PAST_MS, if_match=1)
    assert again["refund_id"] == first["refund_id"]
    assert changes(service) == [("k1", 6_000)]


def test_request_after_its_send_by_does_nothing(service: PaymentsClient) -> None:
    """The send-by is judged by the service's clock, wherever the sender's stands."""
    send_by_ms = service.now_ms() + 50_000
    service.refund("in_1", 1, key="a", send_by_ms=send_by_ms)
    service.advance_clock(50_001)
    with pytest.raises(payments.TooLate) as refusal:
        service.refund("in_1", 2, key="b", send_by_ms=send_by_ms)
    assert refusal.value.status == 410
    assert changes(service) == [("a", 1)]


def test_other_version_than_expected_does_nothing(service: PaymentsClient) -> None:
    """A conditional refund of an invoice that somebody else changed is refused and shown what is there."""
    seen = service.invoice("in_1")["version"]
    service.refund("in_1", 1, note="a colleague")
    with pytest.raises(payments.Changed) as refusal:
        service.refund("in_1", 2, key="k1", if_match=seen)
    assert refusal.value.body["invoice"]["version"] == seen + 1
    service.refund("in_1", 2, key="k1", if_match=seen + 1)
    assert changes(service) == [(None, 1), ("k1", 2)]


def test_more_than_remains_is_declined_and_unknown_is_not_found(service: PaymentsClient) -> None:
    """Refusals are honest: 422 and 404 come with nothing done."""
    service.refund("in_1", 9_000)
    with pytest.raises(payments.Declined) as refusal:
        service.refund("in_1", 1_001)
    assert (refusal.value.status, refusal.value.body["invoice"]["remaining"]) == (422, 1_000)
    for ask in (
        lambda: service.refund("in_9", 1),
        lambda: service.invoice("in_9"),
        lambda: service.payout("in_9", 1),
    ):
        with pytest.raises(payments.NotFound):
            ask()
    assert changes(service) == [(None, 9_000)]


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"{", {}),
        (b"[]", {}),
        (b'{"invoice_id": "in_1"}', {}),
        (b'{"invoice_id": "in_1", "amount": true}', {}),
        (b'{"invoice_id": "in_1", "amount": 1.5}', {}),
        (b'{"invoice_id": "in_1", "amount": 0}', {}),
        (b'{"invoice_id": "in_1", "amount": -5}', {}),
        (b'{"invoice_id": "in_1", "amount": 99999999999999999999}', {}),
        (b'{"invoice_id": "", "amount": 5}', {}),
        (b'{"invoice_id": "in_1", "amount": 5, "note": 5}', {}),
        (b'{"invoice_id": "in_1", "amount": 5, "amuont": 5}', {}),
        (b'{"invoice_id": "in_1", "amount": 5}', {"Fence-Token": "-1"}),
        (b'{"invoice_id": "in_1", "amount": 5}', {"Send-By": "soon"}),
        (b'{"invoice_id": "in_1", "amount": 5}', {"If-Match": "*"}),
    ],
)
def test_request_without_a_meaning_does_nothing(service: PaymentsClient, body: bytes, headers: dict[str, str]) -> None:
    """What cannot be understood is refused with 400; no condition is dropped because it is odd."""
    request = urllib.request.Request(f"{service.base_url}/refunds", body, headers, method="POST")
    with pytest.raises(urllib.request.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=LIMIT_S)
    assert (refusal.value.code, json.load(refusal.value)["error"]) == (400, "bad_request")
    assert changes(service) == []


def test_ids_may_hold_any_text(service: PaymentsClient) -> None:
    """An id with a slash, a space and a letter outside ASCII finds its own invoice and nothing else."""
    service.add_invoice("in/1 ü?", 100)
    service.refund("in/1 ü?", 5, key="a key & more")
    assert service.invoice("in/1 ü?")["refunded"] == 5
    assert [found["invoice_id"] for found in service.lookup("a key & more")] == ["in/1 ü?"]
    assert service.invoice("in_1")["refunded"] == 0


def test_invoice_is_set_up_once(service: PaymentsClient) -> None:
    """The same set-up again is no change; another amount under the id is refused."""
    service.refund("in_1", 1)
    assert service.add_invoice("in_1", 10_000)["refunded"] == 1
    with pytest.raises(payments.Conflict):
        service.add_invoice("in_1", 5)
    assert service.invoice("in_1")["amount"] == 10_000


# ---- lookups, lists, books -----------------------------------------------------------------------


def test_pages_of_the_list_hold_every_refund_once(service: PaymentsClient) -> None:
    """Following `next` gives all refunds in order, for all invoices or one."""
    service.add_invoice("in_2", 1_000)
    for number in range(7):
        service.refund(f"in_{1 + number % 2}", 10 + number, key=f"k{number}")
    seen, after = [], None
    while True:
        page = service.list_refunds(after=after, limit=3)
        seen.append([refund["amount"] for refund in page["refunds"]])
        after = page["next"]
        if after is None:
            break
    assert seen == [[10, 11, 12], [13, 14, 15], [16]]
    assert [refund["amount"] for refund in service.list_refunds("in_2")["refunds"]] == [11, 13, 15]
    assert [refund["amount"] for refund in service.lookup("k4")] == [14]
    assert service.lookup("never") == []


def test_books_are_canonical_and_only_grow(service: PaymentsClient, tmp_path: Path) -> None:
    """Equal books are equal bytes, and the database itself refuses to alter a change."""
    service.refund("in_1", 1_200, key="k1")
    first, second = (urllib.request.urlopen(f"{service.base_url}/books").read() for _ in range(2))
    assert first == second
    assert first == json.dumps(json.loads(first), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    file = sqlite3.connect(tmp_path / "books.sqlite")
    for altering in ("UPDATE changes SET amount = 1", "DELETE FROM changes"):
        with pytest.raises(sqlite3.IntegrityError):
            file.execute(altering)
    file.close()
    assert changes(service) == [("k1", 1_200)]


# ---- payouts -------------------------------------------------------------------------------------


def test_payout_is_pending_and_then_done_at_its_time(service: PaymentsClient) -> None:
    """The books are empty until the payout is due; then it is dated so, whoever looks when."""
    accepted = service.payout("in_1", 400, key="p1", note="by wire")
    assert (accepted["status"], accepted["replayed"]) == ("pending", False)
    assert service.payout_status(accepted["operation_id"])["status"] == "pending"
    assert changes(service) == []
    service.advance_clock(90_000)
    assert service.payout_status(accepted["operation_id"])["status"] == "done"
    (change,) = service.books()["changes"]
    assert (change["kind"], change["key"], change["at_ms"]) == ("payout", "p1", accepted["due_ms"])
    assert service.invoice("in_1")["remaining"] == 9_600


def test_payout_without_cover_at_its_time_is_declined(service: PaymentsClient) -> None:
    """A payout is judged when it is due: of two that cannot both be paid, the earlier one is."""
    first, second = service.payout("in_1", 6_000, key="p1"), service.payout("in_1", 6_000, key="p2")
    service.advance_clock(60_000)
    assert [service.payout_status(it["operation_id"])["status"] for it in (first, second)] == [
        "done",
        "declined",
    ]
    assert changes(service) == [("p1", 6_000)]


def test_repeated_payout_key_names_the_same_operation(service: PaymentsClient) -> None:
    """When the 202 was lost, the key leads back to the one operation, repeated or looked up."""
    service.switch("drop_reply", times=1)
    with pytest.raises(OSError):
        service.payout("in_1", 400, key="p1")
    (found,) = service.lookup_payouts("p1")
    again = service.payout("in_1", 400, key="p1")
    assert (again["operation_id"], again["replayed"]) == (found["operation_id"], True)
    assert len(service.books()["payouts"]) == 1


def test_payout_survives_a_kill_while_pending(tmp_path: Path) -> None:
    """A pending payout falls due although the service was dead at the time, and is dated as promised."""
    with running(tmp_path / "books.sqlite", payout_ms=1) as (url, process):
        client = PaymentsClient(url)
        client.add_invoice("in_1", 1_000)
        accepted = client.payout("in_1", 400, key="p1")
        process.kill()
        process.wait()
    with running(tmp_path / "books.sqlite", payout_ms=1) as (url, _):
        client = PaymentsClient(url)
        until(lambda: client.payout_status(accepted["operation_id"])["status"] == "done")
        assert [change["at_ms"] for change in client.books()["changes"]] == [accepted["due_ms"]]


# ---- switches ------------------------------------------------------------------------------------


def test_drop_reply_does_the_work_and_says_nothing(service: PaymentsClient) -> None:
    """The client is in doubt, the change is there, and the key finds it."""
    service.switch("drop_reply", times=1)
    with pytest.raises(OSError) as doubt:
        service.refund("in_1", 1_200, key="k1")
    assert not isinstance(doubt.value, payments.ConnectionRefused)
    assert [found["amount"] for found in service.lookup("k1")] == [1_200]
    assert service.refund("in_1", 1_200, key="k1")["replayed"] is True
    assert changes(service) == [("k1", 1_200)]


def test_work_then_hang_leaves_the_client_waiting_on_done_work(service: PaymentsClient) -> None:
    """The work is done while the client waits until it gives up."""
    service.switch("work_then_hang", times=1)
    with pytest.raises(TimeoutError):
        service.refund("in_1", 1_200, key="k1", timeout_s=0.2)
    until(lambda: changes(service) == [("k1", 1_200)])
    assert service.refund("in_1", 1_200, key="k1")["replayed"] is True


def test_work_then_hang_hangs_up_in_the_end(service: PaymentsClient) -> None:
    """With a value the service closes the connection after so many milliseconds, without an answer."""
    service.switch("work_then_hang", 20, times=1)
    with pytest.raises(ConnectionError):
        service.refund("in_1", 1_200, key="k1")
    assert changes(service) == [("k1", 1_200)]


def test_act_late_lands_after_a_lookup_has_said_no(service: PaymentsClient) -> None:
    """Not found yet is not did not happen: the change comes after the lookup."""
    service.switch("act_late", times=1)
    with pytest.raises(OSError):
        service.refund("in_1", 1_200, key="k1")
    assert (service.lookup("k1"), service.switches()["late"]) == ([], 1)
    assert service.release_late() == 1
    assert changes(service) == [("k1", 1_200)]
    assert sources(service) == ["late"]


def test_act_late_with_a_delay_lands_by_itself(service: PaymentsClient) -> None:
    """A delay in milliseconds needs nobody to release the work."""
    service.switch("act_late", 30, times=1)
    with pytest.raises(OSError):
        service.refund("in_1", 1_200, key="k1")
    until(lambda: changes(service) == [("k1", 1_200)])
    until(lambda: service.switches()["late"] == 0)
    assert sources(service) == ["late"]


def test_late_work_is_stopped_by_a_raised_fence_or_a_passed_send_by(service: PaymentsClient) -> None:
    """What arrives late is judged when it arrives: the fence and the send-by make an absence final."""
    service.switch("act_late", times=2)
    for key, conditions in (("a", {"fence": 3}), ("b", {"send_by_ms": service.now_ms() + 1_000})):
        with pytest.raises(OSError):
            service.refund("in_1", 1_200, key=key, **conditions)
    service.raise_fence("invoice:in_1", 4)
    service.advance_clock(1_001)
    assert service.release_late() == 2
    assert changes(service) == []


def test_duplicate_acts_twice_on_one_request(service: PaymentsClient) -> None:
    """A broken outside charges twice under one key, even beyond what remains; the lookup shows both."""
    service.switch("duplicate", times=1)
    service.refund("in_1", 10_000, key="k1", if_match=1)
    assert changes(service) == [("k1", 10_000), ("k1", 10_000)]
    assert sources(service) == ["request", "duplicate"]
    assert len(service.lookup("k1")) == 2


def test_duplicate_of_a_refusal_is_nothing(service: PaymentsClient) -> None:
    """Twice refused is not once done."""
    service.switch("duplicate")
    with pytest.raises(payments.Declined):
        service.refund("in_1", 10_001, key="k1")
    assert changes(service) == []


def test_stale_replica_answers_lookups_from_the_past(service: PaymentsClient) -> None:
    """Lookups, lists and invoices lag until the switch is cleared; the books do not."""
    service.refund("in_1", 1, key="old")
    service.switch("stale_replica")
    service.refund("in_1", 2, key="new")
    assert len(service.lookup("old")) == 1
    assert service.lookup("new") == []
    assert len(service.list_refunds()["refunds"]) == 1
    assert service.invoice("in_1")["refunded"] == 1
    assert changes(service) == [("old", 1), ("new", 2)]
    service.clear_switches()
    assert len(service.lookup("new")) == 1


def test_outage_refuses_before_anything_is_done(service: PaymentsClient) -> None:
    """503 is honest, for changes, fences and lookups; nothing else is used up meanwhile."""
    service.switch("duplicate", times=1)
    service.switch("outage")
    for ask in (
        lambda: service.refund("in_1", 1, key="k1", fence=9),
        lambda: service.raise_fence("in_1", 9),
        lambda: service.lookup("k1"),
    ):
        with pytest.raises(payments.Unavailable):
            ask()
    books = service.books()
    assert (books["changes"], books["fences"]) == ([], [])
    assert {it["switch"]: it["times"] for it in service.switches()["switches"]} == {
        "duplicate": 1,
        "outage": None,
    }


def test_outage_that_refuses_connections_ends_by_itself(service: PaymentsClient) -> None:
    """Refused connections never carried a byte; afterwards the same address answers with the same books."""
    service.refund("in_1", 1, key="a")
    service.switch("outage", "refuse", for_ms=1_500)

    def refuses() -> bool:
        """Whoever was let in while the door was closing is thrown out, and not refused."""
        try:
            service.lookup("a")
        except ConnectionResetError:
            return False
        except payments.ConnectionRefused:
            return True
        return False

    until(refuses)
    with pytest.raises(payments.ConnectionRefused):
        service.refund("in_1", 2, key="b")

    def answered() -> bool:
        try:
            return bool(service.lookup("a"))
        except payments.ConnectionRefused:
            return False

    until(answered)
    assert changes(service) == [("a", 1)]


def test_ignore_key_makes_every_repeat_a_change(service: PaymentsClient) -> None:
    """An outside that says it honours keys and does not."""
    service.switch("ignore_key")
    assert [service.refund("in_1", 5, key="k1")["replayed"] for _ in range(2)] == [False, False]
    assert changes(service) == [("k1", 5), ("k1", 5)]


def test_ignore_fence_lets_the_stale_writer_in(service: PaymentsClient) -> None:
    """An outside that says it checks tokens and does not."""
    service.raise_fence("invoice:in_1", 9)
    service.switch("ignore_fence", times=1)
    service.refund("in_1", 5, key="stale", fence=8)
    with pytest.raises(payments.Fenced):
        service.refund("in_1", 6, key="stale again", fence=8)
    assert changes(service) == [("stale", 5)]


@pytest.mark.parametrize("kind", ["body", "wire"])
def test_garbage_is_doubt_about_done_work(service: PaymentsClient, kind: str) -> None:
    """An answer that cannot be read says nothing; the change is there, and the connection is usable again."""
    service.switch("garbage", kind, times=1)
    with pytest.raises(payments.Unintelligible):
        service.refund("in_1", 5, key="k1")
    assert service.refund("in_1", 5, key="k1")["replayed"] is True
    assert changes(service) == [("k1", 5)]


def test_latency_comes_before_the_work(service: PaymentsClient) -> None:
    """A client that gives up during latency has already set the work in motion."""
    service.switch("latency_ms", 300, times=1)
    with pytest.raises(TimeoutError):
        service.refund("in_1", 5, key="k1", timeout_s=0.05)
    until(lambda: changes(service) == [("k1", 5)])
    assert sources(service) == ["request"]


def test_switch_hits_only_what_matches_and_as_often_as_told(service: PaymentsClient) -> None:
    """`match` looks at path, key and invoice; `times` counts only hits; `on` says which kind of request."""
    service.add_invoice("in_2", 100)
    service.switch("duplicate", times=1, match="key=k2")
    service.switch("outage", on="fences", match="invoice=invoice:in_2")
    for key in ("k1", "k2", "k2b"):
        service.refund("in_1", 5, key=key)
    service.raise_fence("invoice:in_1", 3)
    with pytest.raises(payments.Unavailable):
        service.raise_fence("invoice:in_2", 3)
    assert changes(service) == [("k1", 5), ("k2", 5), ("k2", 5), ("k2b", 5)]


def test_switch_with_times_hits_exactly_so_many_requests_at_once(service: PaymentsClient) -> None:
    """Of thirty-two requests from eight threads exactly five are refused."""
    service.switch("outage", times=5)

    def refused(number: int) -> bool:
        try:
            service.refund("in_1", 1, key=f"k{number}")
        except payments.Unavailable:
            return True
        return False

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(refused, range(32)))
    assert outcomes.count(True) == 5
    assert len(changes(service)) == 27


@pytest.mark.parametrize(
    "body",
    [
        {"switch": "explode"},
        {"switch": "drop_reply", "times": 0},
        {"switch": "drop_reply", "on": "mondays"},
        {"switch": "latency_ms", "value": "slow"},
        {"switch": "garbage", "value": "html"},
        {"switch": "outage", "value": "refuse"},
        {"switch": "drop_reply", "time": 1},
    ],
)
def test_switch_that_makes_no_sense_is_not_set(service: PaymentsClient, body: dict[str, object]) -> None:
    """A mistyped fault must not pass for a fault that was survived."""
    with pytest.raises(payments.BadRequest):
        service._call("POST", "/switches", body)
    assert service.switches()["switches"] == []


# ---- the process ---------------------------------------------------------------------------------


def test_killed_after_commit_keeps_the_change_and_the_key(tmp_path: Path) -> None:
    """SIGKILL between commit and reply: change, key and fence are there after the restart, once."""
    books = tmp_path / "books.sqlite"
    with running(books) as (url, process):
        client = PaymentsClient(url)
        client.add_invoice("in_1", 10_000)
        client.switch("work_then_hang", times=1)
        doubts: list[BaseException] = []

        def ask() -> None:
            try:
                client.refund("in_1", 1_200, key="k1", fence=4)
            except BaseException as doubt:
                doubts.append(doubt)

        asking = threading.Thread(target=ask)
        asking.start()
        until(lambda: changes(client) == [("k1", 1_200)])
        os.kill(process.pid, signal.SIGKILL)
        asking.join(LIMIT_S)
        assert process.wait() == -signal.SIGKILL
        assert [isinstance(doubt, OSError) for doubt in doubts] == [True]
        with pytest.raises(payments.ConnectionRefused):
            client.lookup("k1")
    with running(books, port=int(url.rsplit(":", 1)[1])) as (again, _):
        assert again == url
        assert client.refund("in_1", 1_200, key="k1", fence=4)["replayed"] is True
        with pytest.raises(payments.Fenced):
            client.refund("in_1", 1, key="k2", fence=3)
        assert changes(client) == [("k1", 1_200)]


def test_killed_under_load_keeps_every_change_it_answered_for(tmp_path: Path) -> None:
    """What was answered before SIGKILL is in the books once, and nothing that was not asked for."""
    books = tmp_path / "books.sqlite"
    answered: list[str] = []
    with running(books) as (url, process):
        client = PaymentsClient(url)
        client.add_invoice("in_1", 1_000_000)

        def ask(thread: int) -> None:
            try:
                for number in range(10_000):
                    client.refund("in_1", 1, key=f"{thread}-{number}")
                    answered.append(f"{thread}-{number}")
            except OSError:
                return

        asking = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
        for thread in asking:
            thread.start()
        until(lambda: len(answered) >= 60)
        process.kill()
        for thread in asking:
            thread.join(LIMIT_S)
    with running(books) as (url, _):
        kept = [key for key, _ in changes(PaymentsClient(url))]
    assert len(kept) == len(set(kept))
    assert set(answered) <= set(kept)
    assert len(kept) <= len(answered) + 4


def test_sigterm_ends_the_service_with_nothing_left_over(tmp_path: Path) -> None:
    """Exit code 0, and the books are one whole file without a log beside it."""
    with running(tmp_path / "books.sqlite") as (url, process):
        PaymentsClient(url).add_invoice("in_1", 5)
        process.terminate()
        assert process.wait(LIMIT_S) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["books.sqlite"]


@pytest.mark.parametrize("how", ["by path", "as a module", "as a copy"])
def test_service_runs_by_path_as_a_module_and_as_a_copy(tmp_path: Path, how: str) -> None:
    """Each way of starting says the address, on stdout and in the ready file, from any directory."""
    ready = tmp_path / "ready.json"
    if how == "as a copy":
        shutil.copytree(SERVICE.parent, tmp_path / "under_another_name")
    command = {
        "by path": [str(SERVICE)],
        "as a module": ["-m", "examples.payments.service"],
        "as a copy": ["-I", str(tmp_path / "under_another_name" / "service.py")],
    }[how]
    process = subprocess.Popen(
        [sys.executable, *command, "--books", str(tmp_path / "b"), "--ready-file", str(ready)],
        cwd=ROOT if how == "as a module" else tmp_path,
        stdout=subprocess.PIPE,
    )
    try:
        url = wait_until_ready(process)
        assert json.loads(ready.read_text()) == {"url": url, "pid": process.pid}
        assert PaymentsClient(url).books()["changes"] == []
    finally:
        process.terminate()
        assert process.wait(LIMIT_S) == 0
        assert process.stdout is not None
        process.stdout.close()


def test_service_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """A killed parent leaves no orphan behind: the service notices that its input was closed."""
    program = (
        "import sys, time; sys.path.insert(0, sys.argv[1]); from examples.payments.spawn import running\n"
        "with running(sys.argv[2]) as (url, process):\n    print(url, flush=True)\n    time.sleep(60)\n"
    )
    arguments = [sys.executable, "-c", program, str(ROOT), str(tmp_path / "b")]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        client = PaymentsClient(url)
        assert client.now_ms() > 0
        parent.kill()

        def gone() -> bool:
            try:
                client.now_ms()
            except OSError as problem:
                return isinstance(problem, payments.ConnectionRefused)
            return False

        until(gone)


@pytest.mark.parametrize("paused", [False, True])
def test_process_is_ended_when_the_block_is_left_by_an_error(tmp_path: Path, paused: bool) -> None:
    """`running` ends its process however the block ends, also a process that was paused."""
    with pytest.raises(KeyError), running(tmp_path / "books.sqlite") as (_, process):
        if paused:
            process.send_signal(signal.SIGSTOP)
        raise KeyError
    assert process.returncode == 0


def test_client_notices_a_connection_that_was_closed_meanwhile(tmp_path: Path) -> None:
    """After a restart on the same port the next call opens a new connection, sending nothing twice."""
    books = tmp_path / "books.sqlite"
    with running(books) as (url, _):
        client = PaymentsClient(url)
        client.add_invoice("in_1", 100)
    with running(books, port=int(url.rsplit(":", 1)[1])):
        client.refund("in_1", 5)
        assert changes(client) == [(None, 5)]


def test_forked_client_does_not_use_its_parents_connection(service: PaymentsClient) -> None:
    """A forked process opens its own connection; the parent's answers stay the parent's."""
    service.refund("in_1", 1)
    shared = service._idle[0]
    child = os.fork()
    if child == 0:
        # Nothing of the test run may go on in the child: it says what it saw by its exit code and is gone.
        code = 1
        try:
            service.refund("in_1", 2)
            code = 0 if shared not in service._idle else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    service.refund("in_1", 3)
    assert service._idle == [shared]
    assert changes(service) == [(None, 1), (None, 2), (None, 3)]


def test_program_in_the_readme_runs(tmp_path: Path) -> None:
    """The program that README.md shows does what its last line asserts."""
    readme = (SERVICE.parent / "README.md").read_text(encoding="utf-8")
    (program,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=environment, check=False, timeout=LIMIT_S)
    assert (done.returncode, (tmp_path / "books.sqlite").exists()) == (0, True)


def test_refusals_travel_between_processes() -> None:
    """A refusal keeps its type, status and facts when it is pickled."""
    refusal = payments.Fenced(412, {"error": "fenced", "message": "too low", "highest": 9})
    again = pickle.loads(pickle.dumps(refusal))
    assert (type(again), again.status, again.body, str(again)) == (
        payments.Fenced,
        412,
        refusal.body,
        "too low",
    )


def test_service_and_holdfast_share_no_import() -> None:
    """The outside knows nothing of holdfast, nor holdfast of it; it needs the standard library only."""
    outside = reached("service", "client", "spawn")
    assert {"service", "wire", "books", "switches", "client", "spawn"} <= set(outside)
    for name, packages in outside.items():
        assert packages <= sys.stdlib_module_names, name
    for path in sorted((ROOT / "src" / "holdfast").rglob("*.py")):
        assert "examples" not in imports(path)[0], path.name


def reached(*starts: str) -> dict[str, set[str]]:
    """The modules beside the service that these import, directly or not, with the packages of each."""
    found: dict[str, set[str]] = {}
    waiting = ["__init__", *starts]
    while waiting:
        name = waiting.pop()
        path = SERVICE.with_name(f"{name}.py")
        # `from .books import Answer` names a module; `from . import switches` may name one.
        if name not in found and path.exists():
            found[name], siblings = imports(path)
            waiting += siblings
    return found


def imports(path: Path) -> tuple[set[str], set[str]]:
    """The top-level packages that a module imports, and the names it imports from its own package."""
    packages: set[str] = set()
    siblings: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            packages.add(node.module.partition(".")[0])
        elif isinstance(node, ast.ImportFrom):
            siblings |= {node.module} if node.module else {alias.name for alias in node.names}
    return packages, siblings
