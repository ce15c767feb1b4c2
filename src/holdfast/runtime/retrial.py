"""Trying a policy on the whole history of a store: the runs are divided among processes, each with its own judge.

Promises the same result for any number of processes, read from one file that nobody is kept from writing to, and that
nothing is written. Does not promise one moment: a run that goes on meanwhile may be judged with what it has added.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from itertools import groupby
from typing import NamedTuple

import msgspec

from holdfast.kernel.canon import decode
from holdfast.kernel.commit import STORE_RUN_ID
from holdfast.kernel.model import State
from holdfast.runtime.trial import IN_FORCE, PROVED, Candidate, Tried, counted
from holdfast.store import Store, open_store

PARTS_PER_JOB = 8
ARCHIVED = "its entries are in an archive"


class Asked(NamedTuple):
    """What is tried, on what: plain data, so that another process can be told."""

    store: str
    sources: dict[str, bytes]
    since_ms: int
    keep: int


def candidate_of(store: Store, sources: dict[str, bytes]) -> Candidate:
    """A policy to be tried against what this store keeps. Raises BadPolicy where it does not fit the contracts."""
    in_force = {
        fact.scope.removeprefix(IN_FORCE): fact.value for fact in store.facts() if fact.scope.startswith(IN_FORCE)
    }
    return Candidate(sources, store.document, in_force, _proofs(store))


def _proofs(store: Store) -> Iterator[tuple[int, str, str]]:
    """When which version of which tool was proved, in the order in which the store's own run says so."""
    for entry in store.entries(STORE_RUN_ID):
        if entry.body is None or b'"proved:' not in entry.body:
            continue
        told = decode(entry.body).get("facts")
        for scope, fact in told.items() if isinstance(told, dict) else ():
            if scope.startswith(PROVED):
                yield entry.at_ms, scope.removeprefix(PROVED), str(fact.get("value", ""))


def part(asked: Asked, first: int, last: int) -> Tried:
    """The runs of these numbers."""
    store = open_store(asked.store, read_only=True)
    try:
        candidate = candidate_of(store, asked.sources)
        runs = store.reading.numbered(first, last)
        tried = Tried(archived=sum(1 for run in runs.values() if run.archived))
        for run, said in groupby(store.reading.decided(first, last), key=lambda entry: entry.run):
            answers = candidate.tried(runs[run], said, asked.since_ms)
            tried = tried.and_(counted(answers, asked.keep), asked.keep)
        gone = sum(_decided(store, run, asked.since_ms) for run in runs if runs[run].archived)
        return tried.and_(Tried(apart={ARCHIVED: gone} if gone else {}), asked.keep)
    finally:
        store.close_now()


def _decided(store: Store, run: str, since_ms: int) -> int:
    """How many effects of a run in an archive were decided on, as the rows that stayed behind tell."""
    left = (State.PROPOSED, State.SUPERSEDED)
    return sum(view.state not in left and view.moved_ms >= since_ms for view in store.effects(run))


def over_all(
    asked: Asked, *, run: str = "", jobs: int = 2, progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Tried:
    """Try it on every run (or one), in this many processes; ``progress`` is told of runs done, of how many.

    Raises BadPolicy before anything is judged.
    """
    store = open_store(asked.store, read_only=True)
    try:
        candidate_of(store, asked.sources)
        numbers = store.reading.numbers(run)
    finally:
        store.close_now()
    size = max(1, -(-len(numbers) // (jobs * PARTS_PER_JOB)))
    parts = [numbers[at : at + size] for at in range(0, len(numbers), size)]
    results: dict[int, Tried] = {}
    done = 0
    if jobs <= 1 or len(parts) <= 1:
        for n, runs in enumerate(parts):
            results[n] = part(asked, runs[0], runs[-1])
            done += len(runs)
            progress(done, len(numbers))
    else:
        with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
            waiting = {pool.submit(part, asked, runs[0], runs[-1]): n for n, runs in enumerate(parts)}
            for future in as_completed(waiting):
                n = waiting[future]
                results[n] = future.result()
                done += len(parts[n])
                progress(done, len(numbers))
    whole = Tried()
    for n in sorted(results):  # in the order of the runs, whichever process was faster
        whole = whole.and_(results[n], asked.keep)
    return whole


def as_data(tried: Tried) -> dict[str, object]:
    """A trial as plain data."""
    groups = [
        {**change._asdict(), "decisions": group.decisions, "effects": [answer._asdict() for answer in group.first]}
        for change, group in sorted(tried.groups.items(), key=lambda one: -one[1].decisions)
    ]
    whole = {"judged": tried.judged, "changed": tried.changed, "groups": groups, "not_judged": dict(tried.apart)}
    whole["archived_runs"] = tried.archived
    plain: dict[str, object] = msgspec.to_builtins(whole)
    return plain
