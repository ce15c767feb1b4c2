"""What the outside's own books say of an episode, and whether the ledger says the same.

Decides from the books first. Broken are: two changes for one call; an order that is done without its changes; an order
that nobody has; an effect or a dead letter without owner, next act and due time; evidence that does not verify.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from holdfast.kernel.due import is_open
from holdfast.kernel.model import Effect, State
from holdfast.store import open_store
from tests.chaos.scene import Scene
from tests.chaos.shop import invoice


class Judged(msgspec.Struct, kw_only=True):
    """The verdict on one episode; ``broken`` holds a sentence for each broken promise."""

    seed: int
    kind: str
    faults: dict[str, int] = {}
    orders: int = 0
    calls: int = 0
    changes: int = 0
    done: int = 0
    dead: int = 0
    owned: int = 0
    late: int = 0
    takeovers: int = 0
    unsure: int = 0
    entries: int = 0
    doubles: int = 0
    losses: int = 0
    stuck: int = 0
    broken: list[str] = []


def judge(scene: Scene, *, settled: bool) -> Judged:
    """The verdict, after everything came to rest or should have."""
    books = Counter(change["invoice"] for change in scene.payments.books()["changes"])
    store = open_store(scene.direct, read_only=True)
    try:
        found = Judged(seed=scene.seed, kind=scene.kind, faults=dict(scene.did), orders=len(scene.order))
        found.unsure = scene.unsure
        jobs = {job.id: job for job in store.documents("job", limit=1_000_000)}
        runs = {run.purpose: run for run in store.runs(1_000_000) if run.id != "ru_store"}
        for name, ways in scene.submitted.items():
            _order(found, store, runs.get(name), jobs, name, ways.split(), books)
        found.changes = sum(books.values())
        for run in store.runs(1_000_000):
            kinds = Counter(entry.kind for entry in store.entries(run.id))
            found.late += kinds["late"]
        if not settled:
            found.stuck += len([job for job in jobs.values() if job.state in ("queued", "claimed")])
            found.broken.append(f"{found.stuck} jobs never came to an end: {_stuck(jobs)}")
        audited = store.verify()
        found.entries = audited.entries
    except Exception as error:
        found.broken.append(f"the evidence does not verify: {error}")
    finally:
        store.close_now()
    return found


def _order(
    found: Judged, store: Any, run: Any, jobs: dict[str, Any], name: str, ways: list[str], books: Counter[str]
) -> None:
    if run is None:
        found.losses += 1
        found.broken.append(f"order {name} is recorded nowhere")
        return
    job = jobs.get(run.id)
    effects: dict[str, list[Effect]] = {}
    for view in store.effects(run=run.id):
        effects.setdefault(view.tool, []).append(view)
    found.calls += len(ways)
    found.done += job is not None and job.state == "done" and run.state == "done"
    found.dead += job is not None and job.state == "dead"
    if job is not None and job.state == "dead" and not job.owner:
        found.broken.append(f"the dead letter of {name} has no owner")
    for way in ways:
        changes = books[invoice(name, way)]
        mine = effects.get(way, [])
        if changes > 1:
            found.doubles += 1
            found.broken.append(f"{changes} changes for {name} {way}: {_states(mine)}")
        if changes == 0 and run.state == "done":
            found.losses += 1
            found.broken.append(f"{name} is done and {way} changed nothing: {_states(mine)}")
        if changes and not mine:
            found.broken.append(f"{name} {way} changed something that no effect owns")
        if changes and mine and all(view.state in (State.FAILED, State.REFUSED) for view in mine):
            found.broken.append(f"{name} {way} happened and is recorded as absent: {_states(mine)}")
    for view in (view for views in effects.values() for view in views if is_open(view)):
        found.owned += 1
        if not (view.owner and view.next):
            found.broken.append(f"{view.id} of {name} is {view.state.value} and nobody has it")


def _states(views: list[Effect]) -> str:
    return ", ".join(f"{view.generation}: {view.state.value} {view.cause} x{len(view.attempts)}" for view in views)


def _stuck(jobs: dict[str, Any]) -> str:
    there = (job for job in jobs.values() if job.state in ("queued", "claimed"))
    return "; ".join(f"{job.id} {job.state} {job.holder} {job.why}" for job in there)[:600]
