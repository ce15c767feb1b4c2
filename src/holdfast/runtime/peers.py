"""Who a lease holder is, and whether it is proved dead (DESIGN §1.1, ground c).

A holder's name says host, boot, process-id namespace, process and the instant it started, so that a reused process id
is not mistaken for it. Proved dead means: same host, same boot, same namespace, and that process is gone. Anything
else is *not proved*, however long it has been silent.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import socket
from pathlib import Path

_counter = itertools.count(1)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _place() -> str:
    """This host, this boot and this process-id namespace, in eight hex digits; empty where it cannot be known."""
    boot = _read("/proc/sys/kernel/random/boot_id")
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return ""
    if not boot:
        return ""
    host = _read("/etc/machine-id") or socket.gethostname()
    return hashlib.sha256(f"{host}|{boot}|{namespace}".encode()).hexdigest()[:8]


def started(pid: int) -> str:
    """When a living process started (clock ticks since boot), empty if it is gone or only waits to be reaped."""
    stat = _read(f"/proc/{pid}/stat")
    fields = stat.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in ("Z", "X", "x"):
        return ""
    return fields[19]


def my_name() -> str:
    """A holder's name for one open application in this process: ``place.pid.start.number``."""
    pid = os.getpid()
    return f"{_place() or 'nowhere'}.{pid}.{started(pid) or '0'}.{next(_counter)}"


class Peers:
    """Implements :class:`holdfast.kernel.ports.PeersPort` by reading ``/proc``."""

    def __init__(self) -> None:
        """Learn where we are, once."""
        self._here = _place()

    async def dead(self, holder: str) -> bool:
        """Whether this holder is proved dead."""
        return self.dead_now(holder)

    def dead_now(self, holder: str) -> bool:
        """:meth:`dead` without a wait."""
        parts = holder.split(".")
        if len(parts) != 4 or not self._here or parts[0] != self._here or not parts[1].isdigit():
            return False
        return started(int(parts[1])) != parts[2]
