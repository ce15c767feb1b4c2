"""Defining a tool: the decorator, and the same from plain data.

Decides how a Python function becomes a contract. Promises that the type of a tool keeps the parameters of
its body (so that a type checker sees a wrong call), and that a definition is only a description: nothing is
checked as a whole, and nothing can be called, until a registry takes it in. Does NOT hold the rules of a
complete contract: see `contract`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Concatenate, Final, Generic, Literal, ParamSpec, TypeVar, cast

import msgspec

from holdfast.kernel.amounts import parse_duration
from holdfast.kernel.answers import Checked, Found
from holdfast.kernel.errors import BadContract
from holdfast.kernel.model import Bound, Contract, Cost, EffectClass, Yields
from holdfast.tools import signature
from holdfast.tools.arguments import always_there, listed
from holdfast.tools.call import Call
from holdfast.tools.fx import Fx
from holdfast.tools.plain import to_builtins

P = ParamSpec("P")
R = TypeVar("R")
ProbeT = TypeVar("ProbeT", bound=Callable[..., Found | Awaitable[Found]])
VerifyT = TypeVar("VerifyT", bound=Callable[..., Checked | Awaitable[Checked]])
UndoT = TypeVar("UndoT", bound=Callable[..., Call | Awaitable[Call]])
AnyT = TypeVar("AnyT", bound=Callable[..., Any])

Duration = str | int
"""Text such as "24h" or "1h30m", or an integer of milliseconds."""
EffectName = Literal["read", "idempotent", "compensable", "irreversible"]
COMPANIONS: Final = ("probe", "state", "verify", "list", "undo", "preview")


def cost(argument: str, currency: str) -> Cost:
    """`hf.cost("amount", "EUR")`: the argument that is this call's cost in minor units, and its currency."""
    return Cost(argument=argument, currency=currency)


def inside(folder: str) -> Bound:
    """`hf.inside("/srv/repo")`: a relative path that stays in this folder, every link followed."""
    return Bound(folder=folder)


def hosts(*names: str, schemes: tuple[str, ...] = ("https",), ports: tuple[int, ...] = ()) -> Bound:
    """`hf.hosts("api.example.com")`: an address at one of these hosts. Without `ports` only the scheme's own."""
    return Bound(hosts=names, schemes=schemes, ports=ports)


def yields(kind: str = "observed", *, fresh_for: Duration = 0, source: str = "", about: str = "") -> Yields:
    """What a read's answer is to a planner: its kind, where it comes from, what it is about, how long it stays fresh.

    `about` is a pattern over the arguments (the resource, where it is left out); `fresh_for` 0 is no bound.
    """
    fresh_for_ms = parse_duration(fresh_for, name="fresh_for")
    return Yields(item=kind, source=source, about=about, fresh_for_ms=fresh_for_ms)


class Tool(Generic[P, R]):
    """A body with its contract and companions. `refund(invoice_id="in_7")` builds a `Call`; nothing happens
    yet.

    `body` is the function itself, for unit tests. `probe`, `state`, `preview`, `verify`, `list` and `undo`
    are decorators that attach a companion, sync or async, called as `(look, **arguments it names)`.
    """

    __slots__ = ("_draft", "_taken_in", "body", "companions", "did_not_happen", "reading", "takes")

    def __init__(
        self,
        draft: Contract,
        body: Callable[Concatenate[Fx, P], R],
        *,
        did_not_happen: Iterable[type[Exception]] = (),
        reading: signature.Reading | None = None,
    ) -> None:
        self._draft = draft
        self._taken_in = False
        self.body = body
        self.companions: dict[str, Callable[..., Any]] = {}
        self.did_not_happen = tuple(did_not_happen)
        self.reading = reading
        self.takes = signature.takes(body)

    @classmethod
    def from_contract(
        cls,
        contract: Contract,
        *,
        body: Callable[..., Any],
        probe: Callable[..., Any] | None = None,
        state: Callable[..., Any] | None = None,
        verify: Callable[..., Any] | None = None,
        list: Callable[..., Any] | None = None,  # noqa: A002 - the companion is called so everywhere.
        undo: Callable[..., Any] | None = None,
        preview: Callable[..., Any] | None = None,
        did_not_happen: Iterable[type[Exception]] = (),
    ) -> Tool[..., Any]:
        """The same tool from plain data, for tools found at run time. Its body gets plain JSON."""
        tool: Tool[..., Any] = Tool(contract, body, did_not_happen=did_not_happen)
        given = {"probe": probe, "state": state, "verify": verify, "list": list, "undo": undo}
        given["preview"] = preview
        for kind, companion in given.items():
            if companion is not None:
                tool._attach(kind, companion)
        return tool

    @property
    def name(self) -> str:
        """The name that calls, policy and records use."""
        return self._draft.name

    @property
    def contract(self) -> Contract:
        """The contract as declared so far, with the companions attached; complete only in a registry."""
        has: dict[str, Any] = {f"has_{kind}": True for kind in self.companions}
        classes = tuple(sorted(getattr(c, "__name__", repr(c)) for c in self.did_not_happen))
        return msgspec.structs.replace(self._draft, did_not_happen=classes, **has)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Call:
        """The call, typed. Raises TypeError at once where the body could not be called so."""
        if self.reading is not None:
            bound = self.reading.signature.bind(*args, **kwargs).arguments
            return Call(self.name, cast("dict[str, Any]", to_builtins(bound)))
        schema = self._draft.schema
        if args:
            raise TypeError(f"{self.name} takes keyword arguments only")
        if unknown := sorted(set(kwargs) - set(listed(schema))):
            raise TypeError(f"{self.name} has no argument {', '.join(unknown)}")
        if missing := sorted(set(schema.get("required", ())) - always_there(schema).intersection(kwargs)):
            raise TypeError(f"{self.name} is missing {', '.join(missing)}")
        return Call(self.name, cast("dict[str, Any]", kwargs))

    def __repr__(self) -> str:
        return f"<holdfast tool {self.name} ({self._draft.effect or 'incomplete'})>"

    def probe(self, companion: ProbeT) -> ProbeT:
        """Attach what finds out whether a key took effect: Happened, Absent or CannotTell."""
        return self._attach("probe", companion)

    def state(self, companion: AnyT) -> AnyT:
        """Attach what reads the target's state as JSON, bound into approvals and re-read before dispatch."""
        return self._attach("state", companion)

    def verify(self, companion: VerifyT) -> VerifyT:
        """Attach the independent read of the intended state: Holds, Differs or CannotTell."""
        return self._attach("verify", companion)

    def list(self, companion: AnyT) -> AnyT:
        """Attach what lists everything that exists outside, as JSON, for drift."""
        return self._attach("list", companion)

    def undo(self, companion: UndoT) -> UndoT:
        """Attach what builds the call that offsets an effect."""
        return self._attach("undo", companion)

    def preview(self, companion: AnyT) -> AnyT:
        """Attach what reads the target's state as it would be after the call, as JSON like that of `state`."""
        return self._attach("preview", companion)

    def take_in(self) -> None:
        """A registry has read this; what is attached later would never be seen, so it is refused."""
        self._taken_in = True

    def _attach(self, kind: str, companion: AnyT) -> AnyT:
        if self._taken_in or kind in self.companions:
            why = "the tool is registered already" if self._taken_in else f"it has a {kind} already"
            raise BadContract(tool=self.name, missing=(), problems=(f"{kind} was not attached: {why}",))
        self.companions[kind] = companion
        return companion


class _Definition:
    """What `@hf.tool(...)` returns: takes the body, gives the tool with the body's own parameters."""

    def __init__(self, fields: dict[str, Any], did_not_happen: tuple[type[Exception], ...]) -> None:
        self._fields = fields
        self._did_not_happen = did_not_happen

    def __call__(self, body: Callable[Concatenate[Fx, P], R]) -> Tool[P, R]:
        caller = inspect.currentframe()
        # Annotations of types made in a function are resolved by the names where the decorator stands.
        local_names = caller.f_back.f_locals if caller is not None and caller.f_back is not None else {}
        reading = signature.read(body, local_names)
        fields = {**self._fields, "schema": reading.schema}
        fields["name"] = fields["name"] or getattr(body, "__name__", "")
        fields["description"] = fields["description"] or reading.description
        return Tool(Contract(**fields), body, did_not_happen=self._did_not_happen, reading=reading)


def tool(
    *,
    effect: EffectName | EffectClass | None = None,
    resource: str = "",
    identity: tuple[str, ...] = (),
    volatile: tuple[str, ...] = (),
    only_from_trusted: tuple[str, ...] = (),
    keyed: Duration | None = None,
    fenced: bool = False,
    conditional: bool = False,
    enforces_send_by: bool = False,
    lands_within: Duration = "2m",
    visible_within: Duration = "0s",
    cost: Cost | None = None,
    timeout: Duration = "10s",
    owner: str = "",
    acts_with: str = "",
    enforced_at: str = "",
    side_effects: tuple[str, ...] = (),
    bounds: Mapping[str, Bound] | None = None,
    yields: Yields | None = None,
    work: str = "",
    splits: str = "",
    instead: str = "",
    not_done: str = "",
    reserve: Duration | None = None,
    no_probe: str = "",
    shared: bool = False,
    independent: bool = False,
    attempts: int = 3,
    resends: int = 3,
    probes: int = 8,
    verifies: int = 5,
    retry_after: Duration = "1s",
    answer_within: Duration = "24h",
    skew: Duration = "2s",
    did_not_happen: tuple[type[Exception], ...] = (),
    name: str | None = None,
    description: str | None = None,
) -> _Definition:
    """Declare a tool's contract on its body: `async def refund(fx: hf.Fx, *, invoice_id: str) -> dict`.

    What each field means, and which are needed, stands in docs/guides/tools.md. An incomplete contract
    raises BadContract when it is registered, naming everything that is missing; a malformed duration raises
    BadValue here.
    """
    fields: dict[str, Any] = {
        # An effect class that was left out is named with everything else that is, by the registry.
        "effect": "" if effect is None else effect,
        "resource": resource,
        "identity": identity,
        "volatile": volatile,
        "only_from_trusted": only_from_trusted,
        "owner": owner,
        "acts_with": acts_with,
        "enforced_at": enforced_at,
        "side_effects": side_effects,
        "bounds": dict(bounds or {}),
        "yields": yields,
        "work": work,
        "splits": splits,
        "instead": instead,
        "not_done": not_done,
        "reserve_ms": None if reserve is None else parse_duration(reserve, name="reserve"),
        "keyed_ms": None if keyed is None else parse_duration(keyed, name="keyed"),
        "fenced": fenced,
        "conditional": conditional,
        "enforces_send_by": enforces_send_by,
        "no_probe": no_probe,
        "shared": shared,
        "independent": independent,
        "cost": cost,
        "timeout_ms": parse_duration(timeout, name="timeout"),
        "lands_within_ms": parse_duration(lands_within, name="lands_within"),
        "visible_within_ms": parse_duration(visible_within, name="visible_within"),
        "skew_ms": parse_duration(skew, name="skew"),
        "retry_after_ms": parse_duration(retry_after, name="retry_after"),
        "answer_within_ms": parse_duration(answer_within, name="answer_within"),
        "attempts": attempts,
        "resends": resends,
        "probes": probes,
        "verifies": verifies,
        "name": name,
        "description": description,
    }
    return _Definition(fields, did_not_happen)
