"""Tools that lie, each in one way, over the payment service of the examples. `LIES` names the claims that each breaks.

Every one of them is complete by its contract, and every lie is one that was written in good faith somewhere: a client
that "retries", an `except` that is too wide, a probe that asks its own memory.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from typing import Any

import holdfast as hf
from examples.payments.client import PaymentsError
from examples.payments.tools import SAID_NO, bank, of_invoice, paid

OURS: dict[str, Any] = {
    "effect": "irreversible",
    "resource": "invoice:{invoice_id}",
    "identity": ("invoice_id",),
    "lands_within": "2s",
    "timeout": "2s",
    "owner": "billing-oncall",
    "did_not_happen": SAID_NO,
}
NO_PROBE = "nothing can be asked here"


def referenced(fx: hf.Fx, invoice_id: str, amount: int) -> dict[str, Any]:
    """An honest refund that can be looked up by its note."""
    return bank().refund(invoice_id, amount, note=f"ref {fx.key}", timeout_s=fx.remaining_s())


def looked_up(look: hf.Look, invoice_id: str) -> hf.Happened | hf.Absent:
    """An honest probe."""
    found = of_invoice(invoice_id, look.key)
    return hf.Happened(found[0]) if found else hf.Absent(why="not listed yet")


# ---- the ten -------------------------------------------------------------------------------------


@hf.tool(**OURS, keyed="1h", no_probe=NO_PROBE)
def ignores_the_key(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """It declares a key and makes one of its own for each request."""
    return bank().refund(invoice_id, amount, key=f"{fx.key}-{fx.attempt}-{time.time_ns()}")


@hf.tool(**OURS, no_probe=NO_PROBE)
def swallows_an_error(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Whatever goes wrong, it says that all is well."""
    try:
        return bank().refund(invoice_id, amount)
    except (OSError, PaymentsError):
        return {"refund_id": None, "status": "ok"}


@hf.tool(**OURS, no_probe=NO_PROBE)
def returns_before_acting(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """It says that it is done and does it afterwards."""
    client = bank()

    def later() -> None:
        # Longer than any check takes to look at the books.
        time.sleep(1.0)
        with suppress(OSError):
            client.refund(invoice_id, amount)

    threading.Thread(target=later, daemon=True).start()
    return {"status": "ok"}


REMEMBERED: dict[str, dict[str, Any]] = {}


@hf.tool(**OURS)
def probes_a_cache(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Its probe knows what was acknowledged, and nothing of the world."""
    REMEMBERED[fx.key] = answer = referenced(fx, invoice_id, amount)
    return answer


@probes_a_cache.probe
def _from_the_cache(look: hf.Look) -> hf.Happened | hf.Absent:
    return hf.Happened(REMEMBERED[look.key]) if look.key in REMEMBERED else hf.Absent(why="never heard of it")


@hf.tool(**OURS, no_probe=NO_PROBE)
def verifies_its_own_reply(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Its verification reads the reply that it is to verify."""
    return bank().refund(invoice_id, amount)


@verifies_its_own_reply.verify
def _from_the_reply(look: hf.Look, *, amount: int) -> hf.Holds | hf.Differs:
    value = look.value or {}
    return hf.Holds(value) if value.get("amount") == amount else hf.Differs("another amount")


@hf.tool(**OURS, no_probe=NO_PROBE)
def lists_one_page(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Its list ends where the first page does."""
    return bank().refund(invoice_id, amount)


@lists_one_page.list
def _first_page(look: hf.Look) -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = bank().list_refunds(limit=2)["refunds"]
    return listed


@hf.tool(**OURS, no_probe=NO_PROBE)
def acts_twice(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """It sends everything once more, to be sure."""
    bank().refund(invoice_id, amount)
    return bank().refund(invoice_id, amount)


@hf.tool(**OURS, no_probe=NO_PROBE)
def denies_what_it_did(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """It takes a lost reply for a refusal."""
    try:
        return bank().refund(invoice_id, amount)
    except OSError as error:
        raise hf.DidNotHappen(f"the bank did not answer: {error}") from error


@hf.tool(**OURS, fenced=True, no_probe=NO_PROBE)
def forgets_the_token(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """It declares a fence and sends no token."""
    return bank().refund(invoice_id, amount)


# The tenth leaves a side file: see folder.py.

# ---- more of the kind ----------------------------------------------------------------------------


@hf.tool(**OURS)
def always_finds(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Its probe is an optimist."""
    return referenced(fx, invoice_id, amount)


@always_finds.probe
def _always(look: hf.Look) -> hf.Happened:
    return hf.Happened({})


ANSWERED: dict[str, hf.Happened | hf.Absent] = {}


@hf.tool(**OURS)
def remembers_its_answer(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Its probe asks the world once for each key and never again."""
    return referenced(fx, invoice_id, amount)


@remembers_its_answer.probe
def _once(look: hf.Look, *, invoice_id: str) -> hf.Happened | hf.Absent:
    return ANSWERED.setdefault(look.key, looked_up(look, invoice_id))


COPY: list[dict[str, Any]] = []


@hf.tool(**OURS, no_probe=NO_PROBE)
def verifies_a_copy(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Its verification reads the listing as it was when it first looked."""
    return bank().refund(invoice_id, amount)


@verifies_a_copy.verify
def _in_the_copy(look: hf.Look, *, invoice_id: str) -> hf.Holds | hf.Differs:
    COPY.extend([] if COPY else bank().list_refunds()["refunds"])
    mine = [r for r in COPY if r["refund_id"] == look.value["refund_id"] and r["invoice_id"] == invoice_id]
    return hf.Holds() if mine else hf.Differs("no such refund")


@hf.tool(**OURS, fenced=True)
def says_final_too_early(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Its probe claims a final absence without raising the fence first."""
    return bank().refund(invoice_id, amount, note=f"ref {fx.key}", fence=fx.token)


@says_final_too_early.probe
def _final(look: hf.Look, *, invoice_id: str) -> hf.Happened | hf.Absent:
    found = looked_up(look, invoice_id)
    return found if isinstance(found, hf.Happened) else hf.Absent(final=True, why="not there")


def seen_version(look: hf.Look, *, invoice_id: str) -> dict[str, Any]:
    """An honest state: the version that If-Match compares with."""
    return {"version": bank().invoice(invoice_id)["version"]}


@hf.tool(**OURS, conditional=True, no_probe=NO_PROBE)
def writes_over_anything(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """It declares a condition and sends none."""
    return bank().refund(invoice_id, amount)


writes_over_anything.state(seen_version)


@hf.tool(**OURS, conditional=True, no_probe=NO_PROBE)
def looks_then_writes(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """It compares by itself and then writes without a condition: what changes in between is overwritten."""
    if bank().invoice(invoice_id)["version"] != json.loads(fx.expect)["version"]:
        raise hf.DidNotHappen("the invoice has changed")
    return bank().refund(invoice_id, amount)


looks_then_writes.state(seen_version)


@hf.tool(**OURS, no_probe=NO_PROBE)
def sees_no_change(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """Its state is the part of the target that never changes."""
    return bank().refund(invoice_id, amount)


@sees_no_change.state
def _constant(look: hf.Look, *, invoice_id: str) -> dict[str, Any]:
    return {"amount": bank().invoice(invoice_id)["amount"]}


@hf.tool(**OURS, enforces_send_by=True, no_probe=NO_PROBE)
def forgets_the_send_by(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """It declares that late requests are refused, and does not say when they are late."""
    return bank().refund(invoice_id, amount)


@hf.tool(**OURS, keyed="48h", no_probe=NO_PROBE)
def overstates_its_window(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """The bank honours a key for a day, and this says two."""
    return bank().refund(invoice_id, amount, key=fx.key)


@hf.tool(effect="read", resource="invoice:{invoice_id}")
def reads_and_pays(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """A read that changes something."""
    return bank().refund(invoice_id, 1)


# ---- honest ones beside them ---------------------------------------------------------------------


@hf.tool(**OURS, conditional=True, no_probe=NO_PROBE)
def writes_on_condition(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """The version that was seen travels with the request."""
    return bank().refund(invoice_id, amount, if_match=json.loads(fx.expect)["version"])


writes_on_condition.state(seen_version)


@writes_on_condition.verify
def _conditioned(look: hf.Look, *, invoice_id: str, amount: int) -> hf.Holds | hf.Differs:
    return paid(invoice_id, amount, look.value)


@hf.tool(effect="read", resource="invoice:{invoice_id}")
def reads_only(fx: hf.Fx, *, invoice_id: str, amount: int) -> dict[str, Any]:
    """A read."""
    return bank().invoice(invoice_id)


LIES: dict[str, set[str]] = {
    "ignores_the_key": {"keyed", "key-window"},
    "swallows_an_error": {"no-false-ack"},
    "returns_before_acting": {"acts-first"},
    "probes_a_cache": {"probe-found", "probe-late"},
    "verifies_its_own_reply": {"verify"},
    "lists_one_page": {"list"},
    "acts_twice": {"one-change", "nothing-later"},
    "denies_what_it_did": {"refusals"},
    "forgets_the_token": {"fenced"},
    "always_finds": {"probe-absent", "probe-late"},
    "remembers_its_answer": {"probe-absent", "probe-late"},
    "verifies_a_copy": {"verify"},
    "says_final_too_early": {"probe-late"},
    "writes_over_anything": {"conditional"},
    "looks_then_writes": {"conditional"},
    "sees_no_change": {"state"},
    "forgets_the_send_by": {"send-by"},
    "overstates_its_window": {"key-window"},
    "reads_and_pays": {"read-only"},
}
"""Which claims each lie breaks, and no others."""

TOOLS = [thing for thing in list(globals().values()) if isinstance(thing, hf.Tool)]
