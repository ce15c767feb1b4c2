"""Rows of a database under holdfast: insert, update and delete, on SQLite or PostgreSQL.

Read ``update_row`` first. A database is the best outside there is: the key of an effect is written **in the same
transaction** as the change itself (table ``changes``), so it is honoured for ever and can be looked up; the guard of a
row keeps the highest fencing token, so a probe can shut the door before it looks; and the version that was read goes
with the write, so nothing is written over what nobody has seen. The contracts say so: ``keyed``, ``fenced`` and
``conditional``.

The address comes from ``CATALOGUE_URL`` (``sqlite:FILE`` or ``postgresql://…``). Prices are in cents.
"""

from __future__ import annotations

import json
import os
from typing import Any

import holdfast as hf
from examples.database import books

FOR_EVER = "36500d"
"""``changes`` is never emptied. Empty it after a year, and this must say less than a year."""


def address() -> str:
    """Where the catalogue is."""
    return os.environ["CATALOGUE_URL"]


def version_in(expect: str) -> int | None:
    """The version in a fingerprint that was read before."""
    version: int | None = json.loads(expect)["version"]
    return version


def fingerprint(sku: str) -> dict[str, Any]:
    """What an approver sees, what must still be so when it is sent, and what the write is conditional on."""
    row = books.product(address(), sku)
    return {"version": row["version"], "price": row["price"]} if row else {"version": None, "price": None}


def found_under(look: hf.Look, sku: str) -> hf.Happened | hf.Absent:
    """Whether this key has made a change. The fence is raised first, so an absence stays one."""
    books.raise_fence(address(), sku, look.token)
    done = books.change_of(address(), look.key)
    return hf.Happened(done) if done else hf.Absent(final=True, why="no change under this key")


def reads(sku: str, wanted: dict[str, Any] | None) -> hf.Holds | hf.Differs:
    """Whether the row is what was intended (None: not there), read from the table and not from our reply."""
    row = books.product(address(), sku)
    if row == wanted:
        return hf.Holds(row)
    what = "missing" if row is None else "lingering" if wanted is None else ""  # which drift it is, if it lasts
    return hf.Differs(f"the row is {row}, not {wanted}", what)


def listed() -> list[dict[str, Any]]:
    """Every change that there is, from every page."""
    found: list[dict[str, Any]] = []
    while page := books.changes(address(), after=found[-1]["number"] if found else 0):
        found += page
    return found


@hf.tool(
    effect="compensable",
    resource="product:{sku}",
    identity=("sku",),
    keyed=FOR_EVER,
    fenced=True,
    conditional=True,
    lands_within="10s",
    timeout="5s",
    owner="catalogue-oncall",
    did_not_happen=(books.Refused,),
)
def update_row(fx: hf.Fx, *, sku: str, price: int) -> dict[str, Any]:
    """Set the price of a product (in cents), over exactly the version that was read before."""
    version = version_in(fx.expect)
    if version is None:
        raise hf.DidNotHappen(f"there is no product {sku}")
    return books.update(address(), sku, price, key=fx.key, token=fx.token, version=version)


@update_row.state
def _update_state(look: hf.Look, *, sku: str) -> dict[str, Any]:
    return fingerprint(sku)


@update_row.probe
def _update_probe(look: hf.Look, *, sku: str) -> hf.Happened | hf.Absent:
    return found_under(look, sku)


@update_row.verify
def _update_verify(look: hf.Look, *, sku: str, price: int) -> hf.Holds | hf.Differs:
    return reads(sku, {**look.value["after"], "price": price})


@update_row.list
def _update_list(look: hf.Look) -> list[dict[str, Any]]:
    return [change for change in listed() if change["verb"] == "update"]


@update_row.undo
def _update_undo(look: hf.Look, *, sku: str) -> hf.Call:
    return hf.Call("update_row", {"sku": sku, "price": look.value["before"]["price"]})


@hf.tool(
    effect="compensable",
    resource="product:{sku}",
    identity=("sku",),
    keyed=FOR_EVER,
    fenced=True,
    conditional=True,
    lands_within="10s",
    timeout="5s",
    owner="catalogue-oncall",
    did_not_happen=(books.Refused,),
)
def insert_row(fx: hf.Fx, *, sku: str, title: str, price: int) -> dict[str, Any]:
    """Insert a product that is not in the catalogue; price in cents."""
    if version_in(fx.expect) is not None:
        raise hf.DidNotHappen(f"product {sku} is there already")
    return books.insert(address(), sku, title, price, key=fx.key, token=fx.token)


@insert_row.state
def _insert_state(look: hf.Look, *, sku: str) -> dict[str, Any]:
    return fingerprint(sku)


@insert_row.probe
def _insert_probe(look: hf.Look, *, sku: str) -> hf.Happened | hf.Absent:
    return found_under(look, sku)


@insert_row.verify
def _insert_verify(look: hf.Look, *, sku: str, title: str, price: int) -> hf.Holds | hf.Differs:
    return reads(sku, {"sku": sku, "title": title, "price": price, "version": look.value["version"]})


@insert_row.list
def _insert_list(look: hf.Look) -> list[dict[str, Any]]:
    return [change for change in listed() if change["verb"] == "insert"]


@insert_row.undo
def _insert_undo(look: hf.Look, *, sku: str) -> hf.Call:
    return hf.Call("delete_row", {"sku": sku})


@hf.tool(
    effect="compensable",
    resource="product:{sku}",
    identity=("sku",),
    keyed=FOR_EVER,
    fenced=True,
    conditional=True,
    lands_within="10s",
    timeout="5s",
    owner="catalogue-oncall",
    did_not_happen=(books.Refused,),
)
def delete_row(fx: hf.Fx, *, sku: str) -> dict[str, Any]:
    """Delete a product if it is still at the version that was read before."""
    version = version_in(fx.expect)
    if version is None:
        raise hf.DidNotHappen(f"there is no product {sku}")
    return books.delete(address(), sku, key=fx.key, token=fx.token, version=version)


@delete_row.state
def _delete_state(look: hf.Look, *, sku: str) -> dict[str, Any]:
    return fingerprint(sku)


@delete_row.probe
def _delete_probe(look: hf.Look, *, sku: str) -> hf.Happened | hf.Absent:
    return found_under(look, sku)


@delete_row.verify
def _delete_verify(look: hf.Look, *, sku: str) -> hf.Holds | hf.Differs:
    return reads(sku, None)


@delete_row.list
def _delete_list(look: hf.Look) -> list[dict[str, Any]]:
    return [change for change in listed() if change["verb"] == "delete"]


@delete_row.undo
def _delete_undo(look: hf.Look, *, sku: str) -> hf.Call:
    gone = look.value["before"]
    return hf.Call("insert_row", {"sku": sku, "title": gone["title"], "price": gone["price"]})


TOOLS: list[hf.Tool[..., Any]] = [insert_row, update_row, delete_row]
