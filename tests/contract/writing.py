"""A writer in a process of its own: records effects until it is ended, and prints what it was told is on
disk.
"""

from __future__ import annotations

import asyncio
import sys
import time

from holdfast.kernel.commit import Applied
from holdfast.store import open_store
from tests.contract.acts import Acts


async def main(path: str, state: str, name: str, count: int) -> None:
    """``count`` effects leave and are acknowledged; each line printed was durable before it was printed."""
    store = open_store(path, state_dir=state)
    acts = Acts(now_ms=time.time_ns() // 1_000_000, name=name, me=f"worker-{name}")
    await store.commit(acts.begin())
    for n in range(count):
        await store.later(acts.propose(n))
        await store.later(acts.admit(n))
        verdict = await store.commit(acts.leave(n))
        assert isinstance(verdict, Applied)
        assert verdict.effect is not None
        print(n, verdict.effect.token, flush=True)
        await store.later(acts.acknowledge(n, verdict.effect.token))
        await store.later(acts.verify(n, verdict.effect.token))
    await store.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
