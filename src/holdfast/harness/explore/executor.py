"""Where tasks run: here, in processes of this machine, or on a Ray cluster, behind one call.

``map(work, tasks)`` gives results in the order of the tasks, each as soon as those before it are there. A task and its
result are plain data that pickles, and ``work`` is a function of a module.

Promises: the same results on every engine. Does not promise how long anything takes, and does not move code: a Ray
cluster runs what is installed there, so it must have this version.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from typing import Any, Protocol, TypeVar

from holdfast.kernel.errors import BadValue, ExtraMissing

T = TypeVar("T")
R = TypeVar("R")

ENGINES = "local, processes:N, ray://local, ray://HOST:PORT"


class Executor(Protocol):
    """Something that runs tasks."""

    name: str

    def map(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """Every result, in the order of the tasks."""
        ...

    def close(self) -> None:
        """Let go of whatever it holds."""
        ...


class Local:
    """One after the other, in this process."""

    name = "local"

    def map(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """Every result, in the order of the tasks."""
        return (uncollected(work, task) for task in tasks)

    def close(self) -> None:
        """Nothing is held."""


class Processes:
    """A pool of processes on this machine."""

    def __init__(self, count: int) -> None:
        """Start no process before there is a task."""
        self.name = f"processes:{count}"
        self._pool = ProcessPoolExecutor(max_workers=count)

    def map(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """Every result, in the order of the tasks."""
        futures = [self._pool.submit(uncollected, work, task) for task in tasks]
        return (future.result() for future in futures)

    def close(self) -> None:
        """End the processes; what has not begun never will."""
        self._pool.shutdown(wait=True, cancel_futures=True)


class Cluster:
    """A Ray cluster: one that runs, or one that is begun here for as long as this lasts."""

    def __init__(self, address: str) -> None:
        """Connect, or with ``local`` begin one of this machine's cores. Raises ExtraMissing without Ray."""
        if find_spec("ray") is None:
            raise ExtraMissing(extra="ray", module="ray", what=f"the engine ray://{address}")
        import ray  # type: ignore[import-not-found,unused-ignore]

        self._ray: Any = ray
        self.name = f"ray://{address}"
        own = address == "local"
        quiet: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "configure_logging": False}
        if own:
            ray.init(num_cpus=os.cpu_count() or 1, **quiet)
        else:
            ray.init(address=f"ray://{address}")

    def map(self, work: Callable[[T], R], tasks: Iterable[T]) -> Iterator[R]:
        """Every result, in the order of the tasks."""
        remote = self._ray.remote(uncollected)
        waiting = [remote.remote(work, task) for task in tasks]
        return (self._ray.get(one) for one in waiting)

    def close(self) -> None:
        """Let go of the cluster; one that was begun here ends."""
        self._ray.shutdown()


def uncollected(work: Callable[[T], R], task: T) -> R:
    """One task without the collector: a tree of choices holds no cycles, which it would look for again and again."""
    was = gc.isenabled()
    gc.disable()
    try:
        return work(task)
    finally:
        if was:
            gc.enable()


def executor(engine: str) -> Executor:
    """The executor of a name: ``local``, ``processes:N``, ``ray://local`` or ``ray://HOST:PORT``. Raises BadValue."""
    kind, _, rest = engine.partition(":")
    if engine == "local":
        return Local()
    if kind == "processes" and (rest == "" or (rest.isdecimal() and int(rest) > 0)):
        return Processes(int(rest) if rest else os.cpu_count() or 1)
    if engine.startswith("ray://") and len(engine) > len("ray://"):
        return Cluster(engine.removeprefix("ray://"))
    raise BadValue(path="engine", why=f"an engine is one of {ENGINES}, not {engine!r}", value_type="str")
