"""The machine: Python, the libraries, the clock.

Decides what of them breaks a promise: a library older than what this version was made for, a wall clock behind what
the store recorded. Does not promise that the clock is right: it can only be seen to contradict something.
"""

from __future__ import annotations

import ctypes
import platform
import re
import sys
from collections.abc import Callable, Iterator
from importlib import metadata

from holdfast.report.doctor import Finding, broken, doubtful, fine, skipped
from holdfast.report.text import iso, span
from holdfast.store.clock import JUMP_MS

LEAST_PYTHON = (3, 11)
STEP_MS = 100
"""More than this between wall clock and time since boot while the doctor looks: somebody set the clock."""
BEHIND_MS = 1_000
TIME_ERROR = 5
"""What adjtimex(2) answers where nothing keeps the clock right."""

_NEEDS = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?\s*(?:>=\s*([0-9.]+))?")


def python() -> Iterator[Finding]:
    """The interpreter and the system it runs on."""
    version, system = platform.python_version(), platform.system()
    if sys.version_info < LEAST_PYTHON:
        yield broken(
            "python-too-old", "python", f"Python {version}", why="holdfast needs Python 3.11 or newer.",
            to_do="Install a newer Python and holdfast into it.", version=version,
        )  # fmt: skip
    elif system != "Linux":
        yield doubtful(
            "system-not-tried", "python", f"Python {version} on {system}",
            why="holdfast is tried on Linux only: it tells a dead worker and a held lock by /proc.",
            to_do="Use it here for development, and Linux for what counts.", version=version, system=system,
        )  # fmt: skip
    else:
        yield fine("python", "python", f"{version} on {system} {platform.machine()}", version=version)


def libraries() -> Iterator[Finding]:
    """What holdfast itself needs, in the versions that it was made for. Extras are looked at where they are used."""
    try:
        needs = metadata.requires("holdfast") or []
    except metadata.PackageNotFoundError:
        yield skipped("libraries", "libraries", "holdfast is not installed as a package, so nothing says what it needs")
        return
    good = True
    found: dict[str, str] = {}
    for name, least in (_NEEDS.match(line).groups() for line in needs if "extra ==" not in line):  # type: ignore[union-attr]
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = ""
        if not found[name] or (least and _parts(found[name]) < _parts(least)):
            good = False
            yield broken(
                "library-missing" if not found[name] else "library-too-old",
                "libraries",
                f"{name} {found[name] or 'is not installed'}; {least or 'any version'} or newer is needed",
                why="This version of holdfast was made and tested with no older one.",
                to_do=f'pip install "{name}>={least}"' if least else f"pip install {name}",
                library=name, found=found[name], least=least or "",
            )  # fmt: skip
    if good:
        yield fine("libraries", "libraries", ", ".join(f"{name} {version}" for name, version in found.items()))


def _parts(version: str) -> tuple[int, ...]:
    """The numbers of a version, as far as they are numbers; enough to compare with a least one."""
    return tuple(int(part) for part in re.findall(r"\d+", version.partition("+")[0])[:3])


def clock_kept() -> bool | None:
    """Whether the kernel thinks that something keeps its clock right (adjtimex(2)); None: it does not say."""
    try:
        said: int = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))  # all zero asks and sets nothing
    except (OSError, AttributeError):
        return None
    return None if said < 0 else said != TIME_ERROR


class ClockLook:
    """The two clocks, from the doctor's first moment to its last."""

    def __init__(self, wall: Callable[[], int], boot: Callable[[], int]) -> None:
        """Both in milliseconds; ``boot`` cannot be set by anybody."""
        self._wall, self._boot = wall, boot
        self._offset_ms = wall() - boot()

    def findings(self, high_ms: int | None, *, kept: bool | None) -> Iterator[Finding]:
        """``high_ms`` is the highest time that the store recorded, None where there is none to compare with."""
        now_ms = self._wall()
        good = True
        moved_ms = now_ms - self._boot() - self._offset_ms
        if abs(moved_ms) > STEP_MS:
            good = False
            yield broken(
                "clock-stepped", "clock", f"the wall clock was moved by {span(moved_ms)} within the last moments",
                why="Leases, approvals and deadlines are judged by it; a running worker that sees more than "
                f"{span(JUMP_MS)} dispatches nothing.",
                to_do="Find out what sets the clock by steps; let a time service slew it.", moved_ms=moved_ms,
            )  # fmt: skip
        behind_ms = (high_ms or 0) - now_ms
        if behind_ms > JUMP_MS:
            good = False
            yield broken(
                "clock-behind-store", "clock",
                f"the wall clock says {iso(now_ms)}, and the store has seen {iso(high_ms or 0)}",
                why=f"It is {span(behind_ms)} behind: one of the two was wrong, so nothing is dispatched.",
                to_do="Set the machine's clock right, then start anew.", behind_ms=behind_ms,
            )  # fmt: skip
        elif behind_ms > BEHIND_MS:
            good = False
            yield doubtful(
                "clock-behind-store", "clock", f"the wall clock is {span(behind_ms)} behind what the store has seen",
                why="The store's time stands still until the clock has caught up, and deadlines with it.",
                to_do="Look at what keeps this machine's clock.", behind_ms=behind_ms,
            )  # fmt: skip
        if kept is False:
            yield doubtful(
                "clock-not-kept", "clock", "the kernel says that no time service keeps this clock right",
                why="Approvals, key windows and deadlines end by it; a clock that drifts ends them early or late.",
                to_do="Run a time service (chrony, systemd-timesyncd), or let the host do it and ignore this.",
            )  # fmt: skip
        if good:
            against = "the time since boot" + (" and the store's time" if high_ms is not None else "")
            yield fine("clock", "clock", f"{iso(now_ms)}, in step with {against}", now_ms=now_ms)
