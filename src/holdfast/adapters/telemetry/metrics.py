"""Metrics in Prometheus' text format, read from the store: any process that can read it gives the same numbers.

Decides their names and labels; a label's values come from closed sets, contracts and rules, never from arguments.
Gauges are what is in the store now; counters are counted from its entries. Only what no entry says (how long commits
took in this process, and how many went to the disk together) is kept in memory, and is there only where an
application is open. ``prometheus_client`` and not OpenTelemetry's metrics, because what is asked for is state that
somebody comes and reads; its collector reads this format too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from holdfast.kernel.documents import EVERY, Job
from holdfast.kernel.documents.drift import CLASSES
from holdfast.kernel.model import State
from holdfast.report.jobs import Class, classes_of
from holdfast.runtime.stops import Ground
from holdfast.store import Store, reader_beside
from holdfast.store.tally import NOTHING, STEPS_MS, Counts

BUCKETS_S: Final = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
OUTCOMES: Final = frozenset(
    {
        State.COMMITTED, State.FAILED, State.PENDING, State.UNKNOWN, State.ABANDONED, State.VERIFIED, State.UNCONFIRMED,
        State.REFUSED, State.SUPERSEDED, State.COMPENSATED,
    }
)  # fmt: skip
OTHER: Final = "other"
MOST_CLASSES: Final = 100
"""Classes of work that have a label of their own; whoever submits names them."""
NEVER_MS: Final = 1 << 62


def exposition(store: Store) -> str:
    """Everything that a store says of itself, in the text format."""
    registry = CollectorRegistry()
    registry.register(_Once(store))
    return generate_latest(registry).decode()


def samples(text: str) -> list[dict[str, Any]]:
    """The samples of an exposition as plain data."""
    found = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return [{"name": one.name, "labels": one.labels, "value": one.value} for one in found]


class _Once(Collector):
    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterable[Metric]:
        return families(self._store, self._store.tally().since())


class Exposed(Collector):
    """The metrics of one application: of its store, read anew for each scrape beside it, and of its own commits."""

    def __init__(self) -> None:
        """Nothing is watched yet."""
        self.registry = CollectorRegistry()
        self._seconds = Histogram(
            "holdfast_commit_seconds",
            "How long durable commits took, from asking to the disk's answer.",
            registry=self.registry,
            buckets=BUCKETS_S,
        )
        self.took = self._seconds.observe
        self._lock = threading.Lock()
        self._counts: Counts = NOTHING
        self._ledger: Store | None = None
        self.registry.register(self)

    def watch(self, ledger: Store) -> None:
        """Read this store from now on."""
        with self._lock:
            self._ledger, self._counts = ledger, NOTHING

    def close(self) -> None:
        """Read it no more."""
        with self._lock:
            self._ledger = None

    def collect(self) -> Iterable[Metric]:
        """A scrape, in whatever thread: over a connection of its own, counting on from the last one."""
        with self._lock:
            if self._ledger is None:
                return []
            store = reader_beside(self._ledger)
            try:
                self._counts = store.tally().since(self._counts)
                return [*families(store, self._counts), *_written(self._ledger.count())]
            finally:
                store.close_now()


def families(store: Store, counts: Counts) -> Iterator[Metric]:
    """What a store says of itself now."""
    status = store.status()
    now_ms: int = status["now_ms"]
    restored = status["mode"] != "normal"
    yield _gauge("holdfast_restored", "1: nothing is dispatched until somebody releases it.", restored)
    halts = sum(fact.scope.startswith("halt:") and fact.raised for fact in store.facts())
    yield _gauge("holdfast_halts", "Halts that are raised.", halts)
    yield _gauge("holdfast_effects_open", "Effects that are not at their end.", status["open"])
    yield _labelled("holdfast_effects", "Effects by tool and state.", ("tool", "state"), store.tally().standing())
    yield _gauge("holdfast_unknown", "Effects whose outcome is unknown.", status["unknown"])
    oldest_s = status["oldest_unknown_ms"] / 1000 if status["unknown"] else 0
    yield _gauge("holdfast_unknown_oldest_seconds", "How long the oldest of them has been unknown.", oldest_s)
    waiting = store.approvals("open")
    yield _gauge("holdfast_approvals_waiting", "Requests that wait for a person.", len(waiting))
    asked_ms = min((approval.asked_ms for approval in waiting), default=now_ms)
    age_s = max(0, now_ms - asked_ms) / 1000
    yield _gauge("holdfast_approvals_waiting_oldest_seconds", "How long the oldest of them has waited.", age_s)
    yield _labelled("holdfast_runs", "Runs by state.", ("state",), store.tally().runs())
    yield from _queued(store, now_ms)
    yield from _drifting(store, counts, now_ms)
    yield from _sealing(store, now_ms)
    yield from _counted(counts)


def _queued(store: Store, now_ms: int) -> Iterator[Metric]:
    """Runs that stand in the queue, by class of work, and for how long the oldest that is due has waited."""
    lanes = (store.documents_due("job", lane, NEVER_MS, EVERY) for lane in store.lanes("job"))
    classes = classes_of((job for lane in lanes for job in lane if isinstance(job, Job)), {}, now_ms)
    depth: dict[tuple[str, str], float] = {}
    oldest: dict[str, float] = {}
    for number, one in enumerate(classes):
        work = one.work if number < MOST_CLASSES else OTHER
        for state, count in _standing(one).items():
            depth[work, state] = depth.get((work, state), 0.0) + count
        oldest[work] = max(oldest.get(work, 0.0), one.oldest_ms / 1000)
    yield _labelled("holdfast_queue_depth", "Queued runs by class of work.", ("work", "state"), depth)
    says = "How long the oldest run that is due has waited for a worker."
    yield _labelled("holdfast_queue_oldest_seconds", says, ("work",), oldest)


def _standing(one: Class) -> dict[str, int]:
    return {"due": one.queued, "later": one.later, "waiting": one.waits, "driven": one.claimed, "dead": one.dead}


def _drifting(store: Store, counts: Counts, now_ms: int) -> Iterator[Metric]:
    drifts = dict.fromkeys(CLASSES, 0)
    for kind, count in store.tally().open_drifts(counts).items():
        drifts[kind if kind in CLASSES else OTHER] = count
    yield _labelled("holdfast_drift_open", "Differences that are open, by class.", ("class",), drifts)
    live = store.tally().live_drifts()
    oldest_ms = min((drift.found_ms for drift in live), default=now_ms)
    yield _gauge("holdfast_drift_oldest_seconds", "How long the oldest is open.", max(0, now_ms - oldest_ms) / 1000)
    escalated = sum(drift.state == "escalated" for drift in live)
    yield _gauge("holdfast_drift_escalated", "Differences that a person is waited for about.", escalated)
    took = counts.confirmed
    buckets = [(f"{step / 1000:g}", float(n)) for step, n in zip(STEPS_MS, took.within, strict=True)]
    says = "How long effects took from being let in to the first read that held."
    family = HistogramMetricFamily("holdfast_confirmed_seconds", says)
    family.add_metric((), [*buckets, ("+Inf", float(took.effects))], took.sum_ms / 1000)
    yield family


def _sealing(store: Store, now_ms: int) -> Iterator[Metric]:
    tree = store.tree()
    size, latest = tree.size(), tree.latest()
    sealed = latest.size if latest is not None else 0
    yield _gauge("holdfast_entries_unsealed", "Entries that no checkpoint covers yet.", size - sealed)
    first_ms = store.tally().first_after_ms(sealed)
    age_s = max(0, now_ms - first_ms) / 1000 if first_ms else 0
    yield _gauge("holdfast_entries_unsealed_oldest_seconds", "How old the oldest of them is.", age_s)


def _counted(counts: Counts) -> Iterator[Metric]:
    yield _total("holdfast_entries", "Entries of the record.", (), {(): counts.pos})
    outcomes = {at: count for at, count in counts.moves.items() if at[1] in OUTCOMES}
    yield _total("holdfast_outcomes", "Times that an effect came into this state.", ("tool", "outcome"), outcomes)
    sent = {(tool,): count for (tool, kind), count in counts.moves.items() if kind == State.DISPATCHED}
    yield _total("holdfast_attempts", "Physical dispatches, resends included.", ("tool",), sent)
    said = {(answer, code): count for (answer, code), count in counts.admissions.items()}
    yield _total("holdfast_admissions", "Answers of admission.", ("answer", "code"), said)
    grounds = {(ground.value,): counts.stops[ground.value] for ground in Ground}
    yield _total("holdfast_stops", "Runs that were stopped, by ground.", ("ground",), grounds)


def _written(count: dict[str, int]) -> Iterator[Metric]:
    yield _total("holdfast_commit_batches", "Transactions of this process.", (), {(): count["batches"]})
    yield _total("holdfast_commit_changes", "Changes in them: over batches, their size.", (), {(): count["changes"]})
    yield _total("holdfast_commit_syncs", "Times that this process waited for the disk.", (), {(): count["syncs"]})


def _gauge(name: str, says: str, value: float) -> Metric:
    return GaugeMetricFamily(name, says, value=float(value))


def _labelled(name: str, says: str, labels: tuple[str, ...], values: Any) -> Metric:
    family = GaugeMetricFamily(name, says, labels=labels)
    for at, value in sorted(values.items()):
        family.add_metric((at,) if isinstance(at, str) else at, value)
    return family


def _total(name: str, says: str, labels: tuple[str, ...], values: dict[Any, int]) -> Metric:
    family = CounterMetricFamily(name, says, labels=labels)
    for at, value in sorted(values.items()):
        family.add_metric(at, value)
    return family
