"""Beginning an intent: a purpose names one intent, on any machine, and a known purpose gives the recorded one back.

Pure but for the store's own calls. Promises: two processes that begin one purpose at once meet in one run; the
recorded terms stand, whatever the second beginning says.
"""

from __future__ import annotations

import unicodedata
from typing import Any

import msgspec

from holdfast.kernel import identity as names
from holdfast.kernel.amounts import Budget, parse_duration
from holdfast.kernel.commit import Change, Note
from holdfast.kernel.errors import BadPurpose, BadValue, IntentDiffers
from holdfast.kernel.guard import Rejected
from holdfast.kernel.model import Principal, Run
from holdfast.kernel.ports import StorePort

PURPOSE_LIMIT = 200
RUNS_LIMIT = 10_000


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """The durable reason for a run. ``purpose`` names it for ever: same purpose, same work, on any machine.

    ``deadline`` is a span from now ("15m") or milliseconds; ``scope`` and ``done`` are texts for people in this
    version; ``budget`` bounds effects, cost, steps and tokens.
    """

    goal: str
    purpose: str
    principal: Principal | str
    deadline: str | int | None = None
    budget: Budget = Budget()
    scope: tuple[str, ...] | list[str] = ()
    done: tuple[str, ...] | list[str] = ()


def checked(intent: Intent) -> Intent:
    """The intent with its purpose in one normal form and its principal as a record; raises BadPurpose or BadValue."""
    purpose: object = intent.purpose  # whatever a caller put there
    if not isinstance(purpose, str) or not purpose.strip():
        raise BadPurpose(purpose=repr(purpose), why="it is empty")
    purpose = unicodedata.normalize("NFC", purpose.strip())
    if len(purpose) > PURPOSE_LIMIT:
        raise BadPurpose(purpose=purpose[:40], why=f"it is longer than {PURPOSE_LIMIT} characters")
    if not purpose.isprintable():
        raise BadPurpose(purpose=ascii(purpose), why="it holds characters that cannot be printed")
    principal = intent.principal
    if isinstance(principal, str):
        principal = Principal(name=principal)
    if not principal.name.strip():
        raise BadValue(path="$.principal.name", why="a principal needs a name", value_type="str")
    return msgspec.structs.replace(intent, purpose=purpose, principal=principal)


async def begin(store: StorePort, secret: bytes, intent: Intent, *, tenant: str, environment: str, by: str) -> Run:
    """The open run of this purpose, recorded now if it is new. Raises IntentDiffers for another principal."""
    intent = checked(intent)
    assert isinstance(intent.principal, Principal)
    intent_id = names.intent_id(secret, tenant, environment, intent.purpose)
    for number in range(1, RUNS_LIMIT):
        run_id = names.run_id(secret, intent_id, number)
        found = await store.run_row(run_id)
        if found is None:
            await _record(store, _new(run_id, intent_id, intent, tenant, environment, await store.time()), by)
            found = await store.run_row(run_id)
            assert found is not None
        if found.principal.name != intent.principal.name:
            raise IntentDiffers(purpose=intent.purpose, field_names=("principal",))
        if found.state == "open":
            return found
    raise BadPurpose(purpose=intent.purpose, why=f"it was begun {RUNS_LIMIT} times")


def _new(run_id: str, intent_id: str, intent: Intent, tenant: str, environment: str, now_ms: int) -> Run:
    assert isinstance(intent.principal, Principal)
    span_ms = parse_duration(intent.deadline, name="deadline") if intent.deadline is not None else None
    return Run(
        id=run_id,
        tenant=tenant,
        environment=environment,
        intent=intent_id,
        purpose=intent.purpose,
        goal=intent.goal,
        principal=intent.principal,
        deadline_ms=now_ms + span_ms if span_ms is not None else None,
        scope=tuple(intent.scope),
        done=tuple(intent.done),
        budget=intent.budget,
    )


async def _record(store: StorePort, run: Run, by: str) -> None:
    """On disk at once: a second process that begins the same purpose must find it."""
    body: dict[str, Any] = msgspec.to_builtins(run)
    note = Note(kind="intent", by=by, body={k: v for k, v in body.items() if k not in ("id", "seq", "head", "state")})
    verdict = await store.commit(Change(run=run.id, opens=run, notes=(note,)))
    assert not isinstance(verdict, Rejected) or verdict.part == "exists"
