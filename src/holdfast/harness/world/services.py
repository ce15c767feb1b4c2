"""A simulated service: what it reads and changes for others, and which promises it keeps while doing so.

Decides whether a request is let in (permission, fence, key, send-by, expected state) and writes down who asked. The
promises are properties of the outside, off unless declared: so a tool's contract can be true of it, or false. Promises
that a refused request changes nothing, and that a change is in the world's log when it is in the world. Does not know
what the world is made of, nor how a tool maps its answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from holdfast.harness.world import change as changing
from holdfast.harness.world.change import FILES, Change, place_of, split
from holdfast.harness.world.face import Done
from holdfast.kernel import canon
from holdfast.tools.fx import Fx
from holdfast.tools.signals import DidNotHappen

if TYPE_CHECKING:
    from holdfast.harness.world.simulated import Simulated

TOOL = "tool"


class Refused(DidNotHappen):
    """The service said no and changed nothing: its send-by has passed, the token is stale, the state is another.

    ``status`` is what a service over HTTP answers: 403 denied, 409 another state, 410 too late, 412 a stale token.
    ``floor`` is the token that the place has seen, where an older one was refused.
    """

    def __init__(self, why: str, *, status: int = 409, floor: int = 0) -> None:
        super().__init__(why)
        self.status = status
        self.floor = floor


class Denied(Refused):
    """This principal has no permission for this service (its own 403), or the service does not keep that table."""

    def __init__(self, why: str) -> None:
        super().__init__(why, status=403)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What a service promises. ``keyed_ms`` is how long a key is honoured; None is for ever.

    ``keyed``: the same key gets the first answer again and makes no second change. ``fenced``: a token older than the
    newest that a place has seen is refused. ``enforces_send_by``: what arrives after its send-by is refused.
    ``conditional``: what expects another state than there is, is refused; of an operation of several changes the
    first place counts.
    """

    keyed: bool = False
    keyed_ms: int | None = None
    fenced: bool = False
    enforces_send_by: bool = False
    conditional: bool = False


class Kept(msgspec.Struct, frozen=True):
    """What a service remembers of a request with a key: when it was done, and what it answered."""

    at_ms: int
    answer: Any


class Service:
    """One service of a world. Reads see the past where a fault says so; changes are always made now."""

    def __init__(self, world: Simulated, name: str) -> None:
        """Made by ``world.service(name)``."""
        self.name = name
        self._world = world

    def __repr__(self) -> str:
        return f"Service({self.name!r}, {self._world.kind})"

    # --- reads -----------------------------------------------------------------------------------------------------

    def get(self, table: str, key: str) -> Any:
        """A row, as a copy; None if it is not there."""
        return changing.own(self._world.seen(self._mine(place_of(table, key))))

    def rows(self, table: str) -> dict[str, Any]:
        """Every row of a table by key, in the order of keys, as copies."""
        self._mine(place_of(table, "*"))
        return {split(place)[1]: changing.own(value) for place, value in self._world.all_seen(table)}

    def file(self, path: str) -> str | None:
        """The text of a file; None if it is not there."""
        text = self.get(FILES, path)
        return None if text is None else str(text)

    def files(self) -> dict[str, str]:
        """Every file by path."""
        return self.rows(FILES)

    def version(self, table: str, key: str) -> str:
        """What names the state of one place, as an ETag does: empty if it is not there."""
        return version(self._world.seen(self._mine(place_of(table, key))))

    def find(self, key: str, *, token: int = 0, on: str = "") -> Any:
        """What was answered to the newest request that was done with this key; None if there was none.

        A fenced service that is asked with a token about a place (``table/key``) refuses all older tokens there from
        then on, so that "there was none" stays true of them.
        """
        with self._world.together():
            if token and on and self._world.rules(self.name).fenced:
                self._world.raise_floor(place_of(*split(on)), token)
            kept = self._world.seen_kept(self.name, key) if key else None
        return None if kept is None else changing.own(kept.answer)

    # --- changes ---------------------------------------------------------------------------------------------------

    def put(self, table: str, key: str, row: Any, *, fx: Fx | None = None, by: str = "", operation: str = "put") -> Any:
        """The row is this afterwards."""
        return self.do(operation, changing.put(table, key, row), fx=fx, by=by)

    def merge(
        self,
        table: str,
        key: str,
        fields: Mapping[str, Any],
        *,
        fx: Fx | None = None,
        by: str = "",
        operation: str = "merge",
    ) -> Any:
        """These fields are so afterwards; the others stay."""
        return self.do(operation, changing.merge(table, key, fields), fx=fx, by=by)

    def remove(self, table: str, key: str, *, fx: Fx | None = None, by: str = "", operation: str = "remove") -> Any:
        """The row is not there afterwards."""
        return self.do(operation, changing.remove(table, key), fx=fx, by=by)

    def write_file(
        self, path: str, text: str, *, fx: Fx | None = None, by: str = "", operation: str = "write_file"
    ) -> Any:
        """The file holds this text afterwards."""
        return self.do(operation, changing.write_file(path, text), fx=fx, by=by)

    def do(
        self,
        operation: str,
        *changes: Change,
        fx: Fx | None = None,
        by: str = "",
        args: Mapping[str, Any] | None = None,
        answer: Any = None,
    ) -> Any:
        """One operation of any number of changes: all of them or, where it is refused, none.

        A tool hands on its ``fx``, another actor its name as ``by``. ``args`` are written into the log (by default the
        changes themselves). Gives ``answer``, by default the number of the change in the world's log. Raises
        :class:`Refused` and :class:`Denied`, which prove that nothing changed, and ConnectionError where a fault lets
        only a part land.
        """
        if not changes:
            raise ValueError(f"{operation} changes nothing: it names no change")
        world = self._world
        who = world.in_whose_name(by)
        if fx is None and who == TOOL:
            raise TypeError(f"{operation} does not say who asks: hand on the tool's fx, or by= the name of an actor")
        request = fx if fx is not None else Fx()
        allowed = world.let_through(who, len(changes))
        places = tuple(dict.fromkeys(place_of(*split(self._mine(change.place))) for change in changes))
        with world.together():
            self._permit(who, request)
            kept = self._admit(request, places)
            if kept is not None:
                return changing.own(kept.answer)
            done = Done(
                number=world.changes() + 1,
                at_ms=world.now_ms(),
                service=self.name,
                operation=operation,
                places=places if allowed is None else tuple(dict.fromkeys(c.place for c in changes[:allowed])),
                args=changing.plain(dict(args) if args is not None else _as_args(changes)),
                by=who,
                principal=request.principal,
                key=request.key,
                token=request.token,
                effect=request.effect,
                run=request.run,
            )
            world.land(changes if allowed is None else changes[:allowed], done)
            given = {"change": done.number} if answer is None else changing.plain(answer)
            if request.key:
                # Remembered though only a part may have landed: the key makes no second change, whatever came of it.
                world.keep(self.name, request.key, Kept(done.at_ms, given))
        world.follow()
        if allowed is not None:
            world.cut_off(operation)
        return changing.own(given)

    def _mine(self, place: str) -> str:
        table = split(place)[0]
        tables = self._world.services.get(self.name)
        if tables is not None and table not in tables:
            raise Denied(f"the service {self.name} keeps no table {table}")
        return place

    def _permit(self, who: str, request: Fx) -> None:
        permits = self._world.permits
        principal = request.principal if who == TOOL else who
        # A principal of whom nothing is said may do nothing; another actor of whom nothing is said may do anything.
        if permits and self.name not in permits.get(principal, () if who == TOOL else (self.name,)):
            raise Denied(f"{principal or 'somebody without a name'} has no permission for the service {self.name}")

    def _admit(self, request: Fx, places: tuple[str, ...]) -> Kept | None:
        """What was answered to this key before; None if the request is to be done. Raises Refused."""
        world, rules, now_ms = self._world, self._world.rules(self.name), self._world.now_ms()
        floor = 0
        if rules.fenced and request.token:
            floor = max(map(world.floor, places))
            for place in places:
                world.raise_floor(place, request.token)
        if rules.keyed and request.key:
            kept = world.kept(self.name, request.key)
            if kept is not None and (rules.keyed_ms is None or now_ms <= kept.at_ms + rules.keyed_ms):
                return kept
        if request.token < floor:
            why = f"the token {request.token} is stale: {places[0]} has seen {floor}"
            raise Refused(why, status=412, floor=floor)
        if rules.enforces_send_by and request.send_by_ms and now_ms > request.send_by_ms:
            raise Refused(f"it came {now_ms - request.send_by_ms} ms after its send-by", status=410)
        if rules.conditional and request.expect and not expected(request.expect, world.value(places[0])):
            raise Refused(f"{places[0]} is not in the state that was expected")
        return None


def version(value: Any) -> str:
    """The digest of a value, short; empty for what is not there."""
    return "" if value is None else canon.digest(canon.encode(value, max_bytes=changing.MAX_VALUE_BYTES))[-16:]


def expected(expect: str, value: Any) -> bool:
    """Whether a place is in the state that a request expects: its version, or the value itself as a state reads it.

    A tool's state companion may give either; what reaches the service is its canonical JSON, or the digest of that.
    """
    written = canon.encode(value, max_bytes=changing.MAX_VALUE_BYTES)
    name = version(value)
    return expect in {name, f'"{name}"', written.decode(), canon.digest(written)}


def _as_args(changes: tuple[Change, ...]) -> dict[str, Any]:
    return {"changes": [[c.how, c.place] if c.value is None else [c.how, c.place, c.value] for c in changes]}
