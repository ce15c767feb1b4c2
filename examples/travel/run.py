"""Four trips: all goes well, the payment is refused, the mail cannot be sent, and a process that dies on the way.

After each the saga's state stands beside what the providers' own books say. ``python -m examples.travel.run``.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import holdfast as hf
from examples.travel import providers
from examples.travel.tools import TOOLS

HERE = Path(__file__).resolve().parent


def saga(trip: str) -> hf.Saga:
    """The saga of the file, for one trip."""
    return hf.Saga.of(tomllib.loads((HERE / "trip.toml").read_text(encoding="utf-8").replace("TRIP", trip)))


def opened() -> hf.App:
    """The application, on the store that the environment names."""
    url = os.environ["TRAVEL_STORE"]
    return hf.open(url, tools=TOOLS, policy=HERE / "policy.cedar", environment="prod")


async def travel(trip: str, *, dies_after: str = "") -> hf.SagaReport:
    """Carry one trip as far as it goes. With ``dies_after`` the process ends once that change is in the books."""
    if dies_after:
        honest = providers.change

        def last_words(what: str, of: str, key: str) -> dict:
            answer = honest(what, of, key)
            if what == dies_after:
                os._exit(9)  # the change is made, and nobody will ever hear of it
            return answer

        providers.change = last_words
    async with opened() as app:
        run = await app.begin(hf.Intent(goal="travel", purpose=trip, principal="agent"))
        return await run.saga(saga(trip), patience="10s")


def say(trip: str, report: hf.SagaReport) -> None:
    """The state of a saga, and beside it what stands outside."""
    print(f"{trip}: {report.state} ({report.reached})")
    print(f"  books: {', '.join(providers.stands(trip)) or 'nothing stands'}")
    if report.owner:
        print(f"  next:  {report.owner}; told: {', '.join(sorted({one['who'] for one in report.told}))}")


def main() -> None:
    """The four trips, in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="holdfast-travel-") as folder:
        os.environ |= {
            "TRAVEL_STORE": f"sqlite:{folder}/trips.db", "TRAVEL_BOOKS": f"{folder}/books.db",
            "HOLDFAST_STATE_DIR": f"{folder}/state",
        }  # fmt: skip
        say("monday", asyncio.run(travel("monday")))
        os.environ["TRAVEL_DOWN"] = "payment"
        say("tuesday", asyncio.run(travel("tuesday")))
        os.environ["TRAVEL_DOWN"] = "mail"
        say("wednesday", asyncio.run(travel("wednesday")))
        os.environ["TRAVEL_DOWN"] = ""
        died = subprocess.run([sys.executable, "-m", "examples.travel.run", "thursday", "room"], check=False)
        print(f"thursday: the process died with exit code {died.returncode} after the room was booked")
        say("thursday", asyncio.run(travel("thursday")))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(travel(sys.argv[1], dies_after=sys.argv[2]))
    else:
        main()
