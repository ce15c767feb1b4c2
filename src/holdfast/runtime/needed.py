"""What needs a person beside a request for approval, as a webhook is told of it: a saga, a drift, a dead letter.

Promises that what is told says who moves next, on what, and with which command, and holds no value of an argument: no
reason is in it, for one may quote a value, nor what was observed outside. What was resolved meanwhile is not told.
Does not post anything: :mod:`.announce` does.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

from holdfast.kernel.commit import STORE_RUN_ID
from holdfast.kernel.documents import EVERY, AnyDocument, Drift, Job, Saga
from holdfast.runtime.saga.telling import needs_a_person

NEVER_MS = 1 << 62
"""After every due time: an escalated drift is due when it should be over, and is told at once."""


class Papers(Protocol):
    """Where documents are read."""

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...

    def documents_due(self, kind: str, lane: str, until_ms: int, limit: int = ...) -> list[AnyDocument]:
        """Documents in a lane that are due by then."""
        ...


class Message(NamedTuple):
    """What is to be told: its id, the run it is of, and what is posted now (None: nobody need be told any more)."""

    id: str
    run: str
    what: str
    posts: Callable[[], dict[str, Any] | None]


def needed(papers: Papers) -> Iterator[Message]:
    """What is on disk and waits for a person, each under an id that is another one when it comes to wait anew."""
    for lane, kind in (("person", "saga"), ("escalated", "drift"), ("dead", "job")):
        for one in papers.documents_due(kind, lane, NEVER_MS, EVERY):
            if isinstance(one, Saga):
                posts = functools.partial(needs_a_person, papers, one)
                yield Message(f"{one.id}:{one.since_ms}", one.run, "saga", posts)
            elif isinstance(one, Drift):
                posts = functools.partial(of_drift, papers, one)
                yield Message(f"{one.id}:{one.times}.{one.repairs}", STORE_RUN_ID, "drift", posts)
            elif isinstance(one, Job):
                posts = functools.partial(of_job, papers, one)
                yield Message(f"{one.id}:{one.since_ms}", one.run, "job", posts)


def of_drift(papers: Papers, drift: Drift) -> dict[str, Any] | None:
    """What is told of a drift that waits for a person, while it still does."""
    now = papers.document("drift", drift.id)
    if not isinstance(now, Drift) or now.state != "escalated" or now.times != drift.times:
        return None
    return {
        "type": "drift.needs_a_person",
        "drift": now.id,
        "class": now.what,
        "tool": now.tool,
        "environment": now.environment,
        "target": now.resource if now.effect else "",  # what an orphan is known by may be a value of somebody's
        "effect": now.effect,
        "run": now.of_run,
        "owner": now.owner,
        "next": now.next,
        "due_ms": now.due_ms,
        "command": f"holdfast drift show {now.id}",
    }


def of_job(papers: Papers, job: Job) -> dict[str, Any] | None:
    """What is told of a dead letter, while it is one. It is nobody's but its owner's, and due at once."""
    now = papers.document("job", job.id)
    if not isinstance(now, Job) or now.state != "dead" or now.since_ms != job.since_ms:
        return None
    return {
        "type": "job.needs_a_person",
        "run": now.run,
        "class": now.work,
        "tries": now.tries,
        "owner": now.owner,
        "next": "resolve",
        "due_ms": now.since_ms,
        "command": f"holdfast queue show {now.run}",
    }
