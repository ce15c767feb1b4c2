"""Defects of fences: each lets a stale write in, keeps a healthy one out, or concludes too much from a door."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holdfast.fences import asgi, field, ref, rows, sidecar
from holdfast.fences import file as files
from holdfast.fences.door import Door, Stale, checked
from holdfast.fences.sidecar import Record
from holdfast.kernel.answers import Absent

Put = Callable[[Any, str, Any], None]


def lets_stale_in(put: Put) -> None:
    """The token is taken and not compared."""
    put(Door, "refuse", lambda self, resource, token: None)


def refuses_its_own_token(put: Put) -> None:
    """`<=` where `<` is meant: an attempt is refused after its own first write."""

    def refuse(self: Door, resource: str, token: int) -> None:
        if checked(token) <= self.highest:
            raise Stale(resource, token, self.highest)

    put(Door, "refuse", refuse)


def forgets_its_own_write(put: Put) -> None:
    """Whoever is stale hears that nothing happened, also after having written."""

    def refuse(self: Door, resource: str, token: int) -> None:
        if checked(token) < self.highest:
            raise Stale(resource, token, self.highest)

    put(Door, "refuse", refuse)


def final_while_open(put: Put) -> None:
    """An absence is final because nothing is there, wherever the door stands."""
    honest = Door.found

    def found(self: Door, resource: str, look: Any) -> Any:
        answer = honest(self, resource, look)
        return Absent(final=True, why=answer.why) if isinstance(answer, Absent) else answer

    put(Door, "found", found)


def takes_forgotten_for_absent(put: Put) -> None:
    """What the door does not know any more was never written."""
    honest = Door.found
    put(Door, "found", lambda self, resource, look: honest(replace(self, forgotten=0), resource, look))


def probe_leaves_the_door_open(put: Put) -> None:
    """A probe reads the door as if it had been raised, and raises it in nobody's sight."""
    put(files.File, "found", lambda self, look: self.door().raised(look.token).found(str(self.path), look))

    def found(self: Any, db: Any, look: Any, key: Any) -> Any:
        door = self.door(db, key) or Door()
        return door.raised(look.token).found(f"{self._table} {key}", look)

    put(rows.Rows, "found", found)
    put(rows.Guards, "found", found)


def announces_after_the_rename(put: Put) -> None:
    """The content is put in place first, and the door told of it afterwards."""

    def write(self: Any, token: int, data: bytes) -> dict[str, int]:
        with self._held() as held:
            held.record.door.refuse(str(self.path), checked(token))
            staged = self._staged(token)
            sidecar.put(staged, data, self._mode_now())
            sidecar.move(staged, self.path)
            held.save(Record(door=held.record.door.wrote(token)))
        return {"token": token}

    put(files.File, "write", write)


def sidecar_not_synced(put: Put) -> None:
    """The record is renamed into place, and the disk may know of it later than of the content."""

    def save(self: Any, record: Record) -> None:
        import msgspec

        half = self._path.with_name(f"{self._path.name}.half")
        half.write_bytes(msgspec.json.encode(record))
        half.replace(self._path)
        self.record = record

    put(sidecar.Held, "save", save)


def without_a_lock(put: Put) -> None:
    """The lock is opened and not taken."""

    def take(lock: Any) -> int:
        return os.open(lock, os.O_RDWR | os.O_CREAT, sidecar.PRIVATE)

    put(sidecar, "take", take)


def any_412_is_stale(put: Put) -> None:
    """A failed precondition of any kind is taken for the fence."""

    def raise_if_stale(resource: str, token: int, status: int, fields: Any) -> None:
        if status == field.PRECONDITION_FAILED:
            raise Stale(resource, token, token + 1)

    put(field, "raise_if_stale", raise_if_stale)


def sql_without_the_condition(put: Put) -> None:
    """The token is written and not compared."""
    put(rows._Doors, "_lets_in", property(lambda self: "? IS NOT NULL"))


def sql_refuses_equal(put: Put) -> None:
    """The column must be lower than the token."""
    put(rows._Doors, "_lets_in", property(lambda self: f"COALESCE({self._at(self._fence)}, 0) < ?"))


def http_shuts_nothing(put: Put) -> None:
    """An order to shut is answered and forgotten."""

    async def shut(self: Any, receive: Any, send: Any) -> None:
        import json

        order = json.loads(await asgi._body(receive))
        await asgi._say(send, 200, "shut", **order)

    put(asgi.Fenced, "_shut", shut)


def http_lets_anybody(put: Put) -> None:
    """Whoever brings a token is let in."""

    async def lets(self: Any, scope: Any, send: Any) -> bool:
        return True

    put(asgi.Fenced, "_lets", lets)


def http_lets_go_early(put: Put) -> None:
    """The lock is given back as soon as the tokens were compared."""
    honest = asgi.Fenced._turn

    @contextlib.asynccontextmanager
    async def turn(self: Any, resource: str) -> Any:
        async with honest(self, resource) as held:
            pass
        yield held

    put(asgi.Fenced, "_turn", turn)


def ref_repeat_is_a_refusal(put: Put) -> None:
    """A rejected push did not happen, whatever the door says."""
    put(ref.Ref, "_landed", lambda self, git, before, token, ours, no: False)


def ref_leaves_a_rejected_push_under_way(put: Put) -> None:
    """The door is looked at after a rejection, and left as it was."""

    def landed(self: Any, git: Any, before: Any, token: int, ours: str, no: Any) -> bool:
        return bool(self._seen(git).blob == ours)

    put(ref.Ref, "_landed", landed)


PLANT: dict[str, Callable[[Put], None]] = {
    "fence-lets-stale-in": lets_stale_in,
    "fence-refuses-its-own-token": refuses_its_own_token,
    "fence-forgets-its-own-write": forgets_its_own_write,
    "fence-final-while-open": final_while_open,
    "fence-takes-forgotten-for-absent": takes_forgotten_for_absent,
    "fence-probe-leaves-the-door-open": probe_leaves_the_door_open,
    "fence-announces-after-the-rename": announces_after_the_rename,
    "fence-sidecar-not-synced": sidecar_not_synced,
    "fence-without-a-lock": without_a_lock,
    "fence-any-412-is-stale": any_412_is_stale,
    "fence-sql-without-the-condition": sql_without_the_condition,
    "fence-sql-refuses-equal": sql_refuses_equal,
    "fence-http-shuts-nothing": http_shuts_nothing,
    "fence-http-lets-anybody": http_lets_anybody,
    "fence-http-lets-go-early": http_lets_go_early,
    "fence-ref-repeat-is-a-refusal": ref_repeat_is_a_refusal,
    "fence-ref-leaves-a-rejected-push-under-way": ref_leaves_a_rejected_push_under_way,
}
