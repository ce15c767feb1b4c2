"""Compares the rows beside effects and runs with what the entries of the whole store say of them.

Documents by digest, meters by reckoning, facts by the entry that set them, leases by the effect that holds them,
requests by their columns. Raises :class:`ChainBroken` at the first that does not fit, naming it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from holdfast.kernel.documents import Meter, Place, Rounds, Worker, decode
from holdfast.kernel.errors import ChainBroken
from holdfast.kernel.guard import Fact
from holdfast.store import rows
from holdfast.store.connection import Connection, each
from holdfast.store.derived import Derived, Named
from holdfast.store.reading import Reading

NOWHERE = Named("", rows.STORE_RUN, 0)


UNLOGGED = frozenset(kind.__struct_config__.tag for kind in (Meter, Worker, Rounds))
"""Kinds that no entry names: a meter is reckoned from effects; of who works, and who looks, nothing is proved."""

NOWHERE_DUE = Place("")


def broken(run: str, seq: int, field: str, expected: str, found: str) -> None:
    """Say what does not fit. Always raises ChainBroken."""
    raise ChainBroken(run=run, seq=seq, field=field, expected=expected, found=found)


def compare(db: Connection, reading: Reading, derived: Derived) -> None:
    """All of it, inside the transaction that is open on ``db``."""
    _documents(db, derived)
    if not derived.silent:
        _facts(reading, derived)
    _leases(db, reading)
    for id_, effect, state, view in db.execute(rows.EVERY_APPROVAL):
        kept = rows.decode_approval(view)
        if (kept.id, kept.effect, kept.state) != (id_, effect, state):
            broken(kept.run, 0, f"{id_}.columns", f"{kept.id} {kept.effect} {kept.state}", f"{id_} {effect} {state}")


def _documents(db: Connection, derived: Derived) -> None:
    """Each document is the last one that an entry named; what an entry named is there."""
    missing, meters = dict(derived.documents), dict(derived.meters)
    for kind, key, run, view, *place in each(db, rows.EVERY_DOCUMENT):
        name = f"{kind}:{key}"
        said = missing.pop(name, NOWHERE)
        digest = hashlib.sha256(view).hexdigest()
        if kind not in UNLOGGED and digest != said.digest and not (derived.silent and not said.digest):
            broken(said.run, said.seq, name, said.digest or "no document", digest)
        try:
            document = decode(view)
        except msgspec.DecodeError:
            broken(said.run, said.seq, name, "a document", "bytes that are none")
            continue
        if tuple(place) != (document.place or NOWHERE_DUE):
            broken(said.run, said.seq, f"{name}.place", str(document.place), str(tuple(place)))
        if (document.kind, document.id, document.run) != (kind, key, run):
            broken(
                said.run, said.seq, f"{name}.columns", f"{document.kind}:{document.id} {document.run}", f"{name} {run}"
            )
        if isinstance(document, Meter) and not derived.redacted:
            _meter(document, meters.pop(key, Meter(id=key)))
    for name, said in missing.items():
        broken(said.run, said.seq, name, said.digest, "no document")
    for meter in meters.values() if not derived.redacted else ():
        _meter(Meter(id=meter.id), meter)


def _meter(there: Meter, told: Meter) -> None:
    """What is used up and what is open under a scope; windows are not in the log."""
    for name in ("spent", "open"):
        if getattr(there, name) != getattr(told, name):
            expected, found = str(getattr(told, name)), str(getattr(there, name))
            broken("the whole store", 0, f"meter:{there.id}.{name}", expected, found)


def _facts(reading: Reading, derived: Derived) -> None:
    """Each fact is as the entry that set it last says, and none is missing."""
    there: dict[str, Fact] = {fact.scope: fact for fact in reading.facts()}
    for scope in sorted(there.keys() | derived.facts.keys()):
        if there.get(scope) != derived.facts.get(scope):
            said: Any = derived.facts.get(scope)
            broken(rows.STORE_RUN, 0, f"fact {scope}", str(said or "none"), str(there.get(scope) or "none"))


def _leases(db: Connection, reading: Reading) -> None:
    """A lease is that of the effect which it names: holder, token and end. That one is missing cannot be told."""
    for resource, effect, holder, token, until_ms in db.execute(rows.EVERY_LEASE):
        view = reading.effect(effect)
        if view is None:
            broken("the whole store", 0, f"lease {resource}", "an effect", effect)
            continue
        wanted = (view.resource, view.holder, view.token, view.lease_until_ms)
        if wanted != (resource, holder, token, until_ms):
            broken(view.run, 0, f"lease {resource}", str(wanted), str((resource, holder, token, until_ms)))
