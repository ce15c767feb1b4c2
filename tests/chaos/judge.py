"""What the outside's own books say of an episode, and whether the ledger says the same.

Decides from the books first. Broken are: two changes for one call; an order that is done without its changes; an order
that nobody has; an effect, a job or a dead letter without owner and next act; evidence that does not verify.

Who has what, for L13: an effect that left is its own record's owner's. One that has not left goes on only with its run,
so its next act is whatever is next for the job of that run, and whoever has the job has it: a worker (now, or when the
job is due), or the owner of a job that waits for a person or is a dead letter. What is still to be done of a job in a
lane is due at its time; what waits for a person has waited since a time, and is shown with its age.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec

from holdfast.kernel.due import is_open
from holdfast.kernel.model import BEFORE_DISPATCH, Effect, State
from holdfast.store import open_store
from tests.chaos.scene import Scene, unresolved
from tests.chaos.shop import TRIES, invoice


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
    handed: int = 0
    owned: int = 0
    spent: int = 0
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
        if scene.submitted and not found.changes:
            found.broken.append(f"of {len(scene.submitted)} orders none changed anything: nothing was tried")
        for run in store.runs(1_000_000):
            kinds = Counter(entry.kind for entry in store.entries(run.id))
            found.late += kinds["late"]
        if not settled:
            left = [job for job in jobs.values() if unresolved(job, store)]
            found.stuck += len(left)
            found.broken.append(f"{found.stuck} jobs never came to an end: {_stuck(left)}")
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
    found.handed += job is not None and job.state == "queued" and not unresolved(job, store)
    if job is not None and job.state == "dead" and not job.owner:
        found.broken.append(f"the dead letter of {name} has no owner")
    for way in ways:
        changes = books[invoice(name, way)]
        mine = effects.get(way, [])
        if changes > 1:
            found.doubles += 1
            found.broken.append(f"{changes} changes for {name} {way}: {_states(mine)}")
        spent = len(mine) >= TRIES and all(view.state in (State.FAILED, State.REFUSED) for view in mine)
        found.spent += changes == 0 and spent
        if changes == 0 and run.state == "done" and not spent:
            found.losses += 1
            found.broken.append(f"{name} is done and {way} changed nothing: {_states(mine)}")
        if changes and not mine:
            found.broken.append(f"{name} {way} changed something that no effect owns")
        if changes and mine and all(view.state in (State.FAILED, State.REFUSED) for view in mine):
            found.broken.append(f"{name} {way} happened and is recorded as absent: {_states(mine)}")
    for view in (view for views in effects.values() for view in views if is_open(view)):
        found.owned += 1
        if not had(view, job):
            found.broken.append(f"{view.id} of {name} is {view.state.value} and nobody has it")


def had(view: Effect, job: Any) -> bool:
    """Whether somebody has an open effect, and knows what to do next."""
    if view.state in BEFORE_DISPATCH and job is not None and job.state in ("queued", "claimed", "dead"):
        return bool(job.owner or job.holder)
    return bool(view.owner and view.next)


def _states(views: list[Effect]) -> str:
    return ", ".join(
        f"{view.generation}: {view.state.value} {view.cause or view.reason} x{len(view.attempts)}" for view in views
    )


def _stuck(jobs: list[Any]) -> str:
    said = (f"{job.id} {job.state} {job.holder} waits '{job.waits}' {job.about} {job.why}" for job in jobs)
    return "; ".join(said)[:3_000]
