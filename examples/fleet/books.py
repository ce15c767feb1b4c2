"""What the payment service's own books say; nothing of holdfast is asked.

    python -m examples.fleet.books 1000              # exit code 0: each of 1,000 invoices was changed once
    python -m examples.fleet.books --until 300       # wait for the service and 300 changes, then end

``PAYMENTS_URL`` says where the service is.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter

from examples.payments.client import ConnectionRefused, PaymentsClient

EVERY_S = 0.2


def changes() -> Counter[str]:
    """How often each invoice was changed."""
    with PaymentsClient(os.environ["PAYMENTS_URL"]) as client:
        return Counter(change["invoice"] for change in client.books()["changes"])


def reached(count: int, within_s: float) -> Counter[str]:
    """The changes, once there are so many, or when time is up. Raises ConnectionRefused: the service is not there."""
    end_s = time.monotonic() + within_s
    while True:
        late = time.monotonic() >= end_s
        try:
            if (made := changes()).total() >= count or late:
                return made
        except ConnectionRefused:
            if late:
                raise
        time.sleep(EVERY_S)


def main() -> int:
    """Count, or wait. Exit code 1: not as many as were asked for, or some twice, or not there in time."""
    asked = argparse.ArgumentParser(description="What the payment service's own books say.")
    asked.add_argument("count", type=int, nargs="?", help="how many invoices must have been changed once each")
    asked.add_argument("--until", type=int, default=0, help="wait until there are so many changes")
    asked.add_argument("--within", type=float, default=300.0, help="seconds that --until waits at most")
    given = asked.parse_args()
    made = reached(given.until, given.within)
    twice = sorted(invoice for invoice, times in made.items() if times > 1)
    print(f"{made.total()} changes of {len(made)} invoices; changed more than once: {', '.join(twice) or 'none'}")
    if made.total() < given.until or twice:
        return 1
    return 0 if given.count is None or made.total() == given.count else 1


if __name__ == "__main__":
    raise SystemExit(main())
