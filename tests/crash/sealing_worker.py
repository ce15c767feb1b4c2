"""A process that seals a store again and again, or up to a point at which it is killed or paused.

    python -m tests.crash.sealing_worker STORE STATE KEY POINT [WITNESS]

POINT ``rounds`` seals until its standard input ends. ``signed`` and ``appended`` say so on standard output and wait for
a line there: between the signature and the append, and between the append and the push.
"""

from __future__ import annotations

import sys
import threading
import time

from holdfast.runtime import sealer
from holdfast.runtime.peers import my_name
from holdfast.runtime.sealer import Evidence, Pace, Sealing
from holdfast.store import open_store
from tests.unit.runtime.sealed import write


def reached(point: str) -> None:
    """Say so, and wait to be told to go on."""
    print(point, flush=True)
    sys.stdin.readline()


def main(store: str, state: str, key: str, point: str, *witnesses: str) -> None:
    """Seal as told."""
    opened = open_store(store, state_dir=state)
    sealing = Sealing(opened, Evidence(key=key, witnesses=witnesses), my_name(), Pace(lease_ms=400))
    if point == "signed":
        honest = sealer.signed

        def signed(*given):
            note = honest(*given)
            reached("signed")
            return note

        sealer.signed = signed
        print("sealed" if sealing.seal() is not None else "refused", flush=True)
    elif point == "appended":
        sealing.seal()
        reached("appended")
        sealing.push()
    else:
        over = threading.Event()
        threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
        print("ready", flush=True)
        while not over.is_set():
            write(opened, 2)
            sealing.round(push_all=True)
            time.sleep(0.005)
    sealing.close()
    opened.close_now()


if __name__ == "__main__":
    main(*sys.argv[1:])
