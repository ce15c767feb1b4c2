"""What a plan that was made on beliefs becomes: the arrays of one call, and what has to be found as it was believed.

Promises that every row which the plan was made on is named with what it was believed to be, and that hashes cover the
entry before in the run. Effects and runs are named by their place, from one, in lists that are given along; the effects
that are new come last.
"""

from __future__ import annotations

import os
from hashlib import sha256
from typing import TYPE_CHECKING

from msgspec.structs import replace

from holdfast.kernel.canon import commitment, leaf_hash
from holdfast.kernel.documents import encode as encode_document
from holdfast.kernel.due import is_open
from holdfast.kernel.model import DEFAULT_TENANT, Effect
from holdfast.store import rows
from holdfast.store.evidence import LEAF_VERSION, Leaf
from holdfast.store.postgres_believed import Planned
from holdfast.store.postgres_books import log_key
from holdfast.store.postgres_packed import Packed, blobs, numbers, texts
from holdfast.store.postgres_rows import MODE, SALT_BYTES, NotHeld, keys_of

if TYPE_CHECKING:
    from holdfast.store.postgres_memory import Memory


class Columns:
    """The values of the call for one plan, in the order in which the function takes them."""

    def __init__(self, unit: Planned, memory: Memory, from_ms: int, until_ms: int) -> None:
        """``from_ms`` and ``until_ms`` bound the server's time for which the plan was judged. Raises NotHeld."""
        self._unit, self._memory = unit, memory
        self._words = memory.words
        beliefs = unit.beliefs
        self._there = sorted(name for name, view in beliefs.effects.items() if view is not None)
        self._new = [name for name in unit.effects_held if name in unit.dirty_effects and beliefs.effects[name] is None]
        self._effect_at = {name: at for at, name in enumerate((*self._there, *self._new), 1)}
        self._runs = sorted(beliefs.runs)
        self._run_at = {name: at for at, name in enumerate(self._runs, 1)}
        self._said = (
            from_ms, until_ms, unit.now_ms, unit.token or 0, memory.stands[1], memory.redacted, memory.marked.leapt_ms,
            memory.marked.steady_ms, memory.marked.ahead_ms, self._word(DEFAULT_TENANT),
        )  # fmt: skip
        self.last_hash = b""
        entries = self._entries()  # sealed now: the next plan goes on from where these end
        heads = self._heads()
        self._columns = (*self._believed(), *self._beside(), *self._effects(), *heads, *entries)

    def values(self, writer: str, mark: str, draw: int, prune: int) -> Packed:
        """All of it, as one connection writes it."""
        return Packed((writer.encode(), mark.encode(), numbers((*self._said, draw, prune)), *self._columns))

    def _word(self, text: str) -> int:
        found = self._words.get(text)
        if found is None:
            raise NotHeld("word", text, True)
        return found

    # -- what has to be so --

    def _believed(self) -> list[bytes]:
        beliefs, schema = self._unit.beliefs, self._memory.place.schema
        shared = keys_of(schema, (MODE, *(f"fact:{scope}" for scope in beliefs.facts)))
        resources = sorted(beliefs.leases)
        leases = (beliefs.leases[name] for name in resources)
        documents = sorted(beliefs.documents)
        digests = (beliefs.documents[at] for at in documents)
        effects = (beliefs.effects[name] for name in self._there)
        return [
            numbers([log_key(schema), *shared]),
            texts(beliefs.facts),
            numbers([fact.epoch if fact is not None else 0 for fact in beliefs.facts.values()]),
            texts(self._there),
            numbers([view.version for view in effects if view is not None]),
            texts(self._runs),
            numbers([beliefs.runs[name].seq for name in self._runs]),
            blobs([bytes.fromhex(beliefs.runs[name].head) for name in self._runs]),
            numbers(keys_of(schema, (f"resource:{name}" for name in resources))),
            texts(resources),
            numbers([lease.token if lease is not None else 0 for lease in leases]),
            numbers(keys_of(schema, (f"document:{kind}:{key}" for kind, key in documents))),
            texts(kind for kind, _ in documents),
            texts(key for _, key in documents),
            blobs([sha256(encode_document(found)).digest() if found is not None else b"" for found in digests]),
        ]

    # -- what is written --

    def _beside(self) -> list[bytes]:
        unit = self._unit
        view_of, views, ended = list[int](), list[bytes](), list[int]()
        for name, view in unit.moved_effects().items():
            was = unit.beliefs.effects[name]
            if is_open(view):
                view_of.append(self._effect_at[name])
                views.append(rows.encode(view))
            elif was is not None and is_open(was):
                ended.append(self._effect_at[name])
        held = [lease for name in sorted(unit.dirty_leases) if (lease := unit.lease(name)) is not None]
        freed = [name for name in unit.dirty_leases if unit.lease(name) is None]
        return [
            numbers(view_of),
            blobs(views),
            numbers(ended),
            texts(sorted(freed)),
            texts(lease.resource for lease in held),
            texts(lease.effect for lease in held),
            texts(lease.holder for lease in held),
            numbers([lease.token for lease in held]),
            numbers([lease.until_ms for lease in held]),
        ]

    def _effects(self) -> list[bytes]:
        unit = self._unit
        moved = [name for name in self._there if name in unit.dirty_effects]
        new = [self._view(name) for name in self._new]
        both = [*(self._view(name) for name in moved), *new]
        identities = (rows.blob(view.identity) for view in new)
        return [
            texts(self._new),
            numbers([self._run_at[view.run] for view in new]),
            blobs([raw.encode() if isinstance(raw, str) else raw for raw in identities]),
            numbers([view.generation for view in new]),
            numbers([self._word(view.tool) for view in new]),
            numbers([self._effect_at[name] for name in moved]),
            numbers([self._word(view.state._value_) for view in both]),
            numbers([view.version for view in both]),
            numbers([int(is_open(view)) for view in both]),
            numbers([view.due_ms for view in both]),
        ]

    def _view(self, name: str) -> Effect:
        view = self._unit.held_effect(name)
        assert view is not None, "an effect is never taken away"
        return view

    def _heads(self) -> list[bytes]:
        """The runs that are written, each with the head that its entries have now."""
        written = [name for name in self._runs if name in self._unit.dirty_runs]
        runs = []
        for name in written:
            run = self._unit.run(name)
            assert run is not None, "a run is never taken away"
            seq, head = self._ends.get(name) or (run.seq, run.head)
            if (seq, head) != (run.seq, run.head):
                run = replace(run, seq=seq, head=head)
                self._unit.sealed(run)
            runs.append(run)
        return [
            numbers([self._run_at[name] for name in written]),
            texts(run.state for run in runs),
            numbers([run.seq for run in runs]),
            blobs([bytes.fromhex(run.head) for run in runs]),
            blobs([rows.encode(run) for run in runs]),
        ]

    def _entries(self) -> list[bytes]:
        """Seal the lines, run by run: each hash covers the one before it in its run."""
        unit, word, words = self._unit, self._word, self._words
        ends: dict[str, tuple[int, str]] = {}
        columns: tuple[list[int], ...] = tuple([] for _ in range(10))
        of_run, seqs, of_effect, kinds, befores, afters, ats, bys, tokens, tenants = columns
        commitments, hashes, salts, bodies = list[bytes](), list[bytes](), list[bytes](), list[bytes]()
        random = os.urandom(SALT_BYTES * len(unit.lines))
        head = b""
        for at, ((run, effect, kind, before, after, at_ms, by, token, _), body) in enumerate(unit.lines):
            row = unit.held_run(run)
            assert row is not None, "a line names a run that is there"
            seq, prev = ends.get(run) or (row.seq, row.head)
            salt = random[at * SALT_BYTES : (at + 1) * SALT_BYTES]
            bound = commitment(salt, body)
            said = (after, at_ms, before, by, bound.hex(), effect, kind, prev, run, seq + 1, row.tenant, token)
            head = leaf_hash(rows.encode(Leaf(*said, LEAF_VERSION)))
            ends[run] = (seq + 1, head.hex())
            of_run.append(self._run_at[run])
            seqs.append(seq + 1)
            of_effect.append(self._effect_at[effect] if effect else 0)
            kinds.append(words.get(kind) or word(kind))
            befores.append(words.get(before) or (word(before) if before else 0))
            afters.append(words.get(after) or (word(after) if after else 0))
            ats.append(at_ms)
            bys.append(words.get(by) or (word(by) if by else 0))
            tokens.append(token)
            tenants.append(words.get(row.tenant) or word(row.tenant))
            commitments.append(bound)
            hashes.append(head)
            salts.append(salt)
            bodies.append(body)
        self._ends, self.last_hash = ends, head
        return [*map(numbers, columns), *map(blobs, (commitments, hashes, salts, bodies))]
