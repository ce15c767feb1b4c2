"""What it costs to write a model's answer down: bytes in the store and time, for a small answer and one of 20 kB.

An answer is checked and recorded by the drive's own code, before it is acted on: the call, the words, and by what it
was made (model, tokens, price and the digests of all that was shown). It is ordered before what follows from it and
waits for no sync of its own; the sync that ends a measurement is in its time, shared by all answers of it.

Promises bytes of the store's file, closed and its log taken up, with indexes and the chain of entries. Does not promise
the bytes of one entry: they lie in pages.
"""

from __future__ import annotations

import os
import statistics
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

import holdfast as hf
from bench.workload import POLICY, tools
from holdfast.kernel.commit import Note
from holdfast.runtime.planner import Answer, Made, Proposed, Scripted, said, usable
from holdfast.runtime.turns import Patience, Turns

ANSWERS = 200
ROUNDS = 3
WARM = 20
LARGE_CHARS = 20_000


def answers() -> dict[str, Answer]:
    """A small one and one of 20 kB, as a model gives them."""
    made = Made(
        by="openai:gpt-x",
        model="gpt-x-2026",
        prompt_version="1",
        response="chatcmpl-0123456789abcdef",
        finish="tool_call",
        input_tokens=2_000,
        output_tokens=100,
        prompt=sha256(b"prompt").hexdigest(),
        schemas=sha256(b"schemas").hexdigest(),
        shown=sha256(b"shown").hexdigest(),
    )
    small = Answer(calls=(Proposed("touch", {"slot": "s.1", "amount": 100}),), made=made)
    words = "The invoice was paid twice, as the two bookings of May show. " * (LARGE_CHARS // 60)
    return {"small": small, "20 kB": msgspec.structs.replace(small, says=words[:LARGE_CHARS])}


async def recording(folder: Path, count: int = ANSWERS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Bytes and microseconds per answer, each size in stores of its own."""
    found: dict[str, Any] = {"answers": count, "rounds": rounds}
    for number, (name, answer) in enumerate(answers().items()):
        places = [folder / f"{number}.{n}" for n in range(rounds)]
        got = []
        for place in places:
            os.mkdir(place)  # noqa: PTH102 -- nobody else waits for this loop
            got.append(await _recorded(place, answer, count))
        middle = {key: statistics.median(g[key] for g in got) for key in got[0]}
        found[name] = {"answer_bytes": len(msgspec.json.encode(answer)), **middle}
    return found


async def _recorded(folder: Path, answer: Answer, count: int) -> dict[str, float]:
    os.environ["HOLDFAST_STATE_DIR"] = str(folder / "state")
    path = folder / "bench.db"

    async def take(number: int) -> tuple[int, int]:
        """Record so many in a newly opened store; wall and CPU time."""
        async with hf.open(f"sqlite:{path}", tools=tools(), policy=POLICY, environment="bench", recover=False) as app:
            run = await app.begin(hf.Intent(goal="measure", principal="bench", purpose="answers"))
            turns = Turns(run, app, app.ports, Scripted([]), Patience())
            cpu_ns, wall_ns = time.process_time_ns(), time.perf_counter_ns()
            for _ in range(number):
                note = Note(kind="step", by="planner", body=said(usable(answer)))
                await turns._record(note, answer.made)  # noqa: SLF001 -- the drive's own recording is what is measured
            await app.store.flush()
            return time.perf_counter_ns() - wall_ns, time.process_time_ns() - cpu_ns

    await take(WARM)
    before = path.stat().st_size
    wall_ns, cpu_ns = await take(count)
    return {
        "bytes": (path.stat().st_size - before) / count,
        "wall_us": wall_ns / 1e3 / count,
        "cpu_us": cpu_ns / 1e3 / count,
    }
