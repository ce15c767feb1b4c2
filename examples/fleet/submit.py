"""Submit refunds of so many invoices, and end: the workers do the rest.

    python -m examples.fleet.submit 1000

Run it twice, or end it in the middle and run it again: a purpose that was submitted is accepted as the run it has.
``HOLDFAST_STORE`` and ``PAYMENTS_URL`` say where the store and the service are.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import time
from collections import Counter

import holdfast as hf
from examples.fleet import shop
from examples.payments.tools import bank

AT_ONCE = 16


async def submit(count: int) -> Counter[str]:
    """How many were accepted now (room), before (known, over), or not."""
    codes: Counter[str] = Counter()
    numbers = iter(range(1, count + 1))
    async with hf.open(os.environ["HOLDFAST_STORE"], tools=shop.tools, policy=shop.policy) as app:

        async def some() -> None:
            for number in numbers:
                invoice = f"in-{number:05}"
                await asyncio.to_thread(bank().add_invoice, invoice, 10_000)
                answer = await app.submit(hf.Intent(goal="refund an order", purpose=invoice, principal="shop"))
                codes[answer.code] += 1

        await asyncio.gather(*(some() for _ in range(AT_ONCE)))
    return codes


def main() -> int:
    """Submit; exit code 1: some were not accepted."""
    asked = argparse.ArgumentParser(description="Submit refunds of so many invoices.")
    asked.add_argument("count", type=int)
    count: int = asked.parse_args().count
    began_s = time.monotonic()
    codes = asyncio.run(submit(count))
    accepted = sum(codes[code] for code in ("room", "known", "over"))
    print(f"{accepted} of {count} accepted in {time.monotonic() - began_s:.1f} s: {dict(codes)}")
    return 0 if accepted == count else 1


if __name__ == "__main__":
    raise SystemExit(main())
