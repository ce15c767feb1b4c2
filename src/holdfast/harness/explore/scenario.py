"""What is explored: virtual tools with their protections, the calls of a planner, what people do, and the bounds.

Data only. A scenario is a plan (what happens if nothing goes wrong) and the alphabet of what else may; the bounds say
how often. Spans are short so that every one of them can pass within a schedule.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec.structs import replace

from holdfast.kernel.amounts import Budget
from holdfast.kernel.model import Contract, EffectClass

SECRET = b"an identity secret for virtual stores"
START_MS = 1_000_000
OPEN_MS = 20_000
"""How long a request to a human stays open."""


def _contract(name: str, **more: Any) -> Contract:
    return Contract(
        name=name,
        version=f"v1-{name}",
        effect=EffectClass.COMPENSABLE,
        resource="account:{account}",
        identity=("order", "account"),
        volatile=("noted",),
        owner="ops",
        timeout_ms=1_000,
        lands_within_ms=1_000,
        skew_ms=100,
        retry_after_ms=100,
        probes=5,
        verifies=2,
        resends=2,
        attempts=3,
        answer_within_ms=3_600_000,
        **more,
    )


TOOLS: dict[str, Contract] = {
    c.name: c
    for c in (
        _contract("fenced", fenced=True, has_probe=True, has_verify=True),
        _contract("keyed", keyed_ms=60_000, no_probe="its key answers", has_verify=True),
        _contract("probed", has_probe=True, has_verify=True, visible_within_ms=200),
        _contract("bare", no_probe="it cannot be asked"),
        # Beyond the four: what they become when a contract promises more, or the outside takes its time.
        _contract("lagging", fenced=True, has_probe=True, visible_within_ms=200),
        _contract("looked", keyed_ms=60_000, has_probe=True, visible_within_ms=200),
        _contract("timed", enforces_send_by=True, has_probe=True),
        _contract("conditional", conditional=True, has_state=True, has_probe=True, has_verify=True),
        _contract("long", has_probe=True, has_verify=True),
    )
}
"""Virtual tools by name. The first four are the protections every contract has one of."""

FOUR = ("fenced", "keyed", "probed", "bare")


class Protections(NamedTuple):
    """A tool of somebody's own, as far as exploring goes: which protections its contract declares. Spans are ours."""

    name: str
    fenced: bool = False
    keyed: bool = False
    conditional: bool = False
    enforces_send_by: bool = False
    probe: bool = False
    state: bool = False
    verify: bool = False
    lags: bool = False

    @classmethod
    def of(cls, contract: Contract) -> Protections:
        """What this contract declares."""
        return cls(
            contract.name,
            contract.fenced,
            contract.keyed_ms is not None,
            contract.conditional,
            contract.enforces_send_by,
            contract.has_probe,
            contract.has_state,
            contract.has_verify,
            bool(contract.visible_within_ms),
        )

    @property
    def contract(self) -> Contract:
        """The virtual tool with these protections."""
        return _contract(
            self.name,
            fenced=self.fenced,
            keyed_ms=60_000 if self.keyed else None,
            conditional=self.conditional,
            enforces_send_by=self.enforces_send_by,
            has_probe=self.probe,
            has_state=self.state or self.conditional,
            has_verify=self.verify,
            visible_within_ms=200 if self.lags else 0,
            no_probe="" if self.probe else "it cannot be asked",
        )


class Call(NamedTuple):
    """One call of the planner. ``order`` names it in addresses; ``amount`` is material, ``noted`` volatile."""

    tool: str
    order: str = "A"
    account: str = "x"
    amount: int = 5
    noted: int = 0

    @property
    def args(self) -> dict[str, Any]:
        """The arguments as the tool takes them."""
        return {"order": self.order, "account": self.account, "amount": self.amount, "noted": self.noted}


class Bounds(NamedTuple):
    """How much may go wrong in one schedule. A fault is anything but a crash, planner and people included."""

    crashes: int = 2
    faults: int = 1


class AtWill(NamedTuple):
    """What a closed exploration lets happen as often as anybody likes: no bound on length, faults or crashes.

    ``effects`` calls are in flight at a time and ``workers`` at work. ``classes`` says what else the planner may make
    of a call that is in flight: ``repeat`` (the same, with another volatile argument), ``amend`` (another
    material one).
    ``people`` are the acts of people: decide, halt, lift, attest.
    """

    effects: int = 1
    workers: int = 2
    classes: tuple[str, ...] = ("repeat", "amend")
    people: tuple[str, ...] = ("decide", "halt", "lift", "attest")


class Scenario(NamedTuple):
    """One thing to explore. ``moves`` is the alphabet of events that need no port call to go wrong.

    Moves: ``pause``, ``halt``, ``repeat``, ``amend`` (a changed material argument), ``other`` (the same call with
    another identity argument), ``decline``, ``moved`` (somebody else changes the target), the jumps below, and what
    may end while work is under way: ``LAPSES``.
    """

    name: str
    calls: tuple[Call, ...]
    ruling: str = "allow"
    bounds: Bounds = Bounds()
    moves: tuple[str, ...] = ()
    calls_may_fail: bool = True
    provable: bool = True
    """Whether a crashed worker can be proved dead (same host and boot), or only its lease runs out."""
    budget: Budget = Budget()
    deadline_ms: int | None = None
    granted_until_ms: int = 0
    """When the grant of the run expires; 0: it comes under none."""
    own: tuple[Protections, ...] = ()
    """Tools of somebody's own, beside the virtual ones."""
    at_will: AtWill | None = None
    """Explored until no new state appears. ``calls`` then holds one call of each tool of the alphabet."""

    @property
    def contracts(self) -> dict[str, Contract]:
        """Every tool a call may name, by name."""
        found = TOOLS if not self.own else TOOLS | {tool.name: tool.contract for tool in self.own}
        return found if self.at_will is None else {name: in_ticks(contract) for name, contract in found.items()}


TICK_MS = 6_000
"""Time in a closed exploration: it stands still while anybody works, and passes by ticks, at will."""


def in_ticks(contract: Contract) -> Contract:
    """The same tool with every span a small number of ticks, so that there are few distances between two instants.

    A call times out within its tick; a lease outlasts one tick and not two; a request lands within one; a key may be
    sent again for two. Loops are as short as they can be and still repeat.
    """
    return replace(
        contract,
        lands_within_ms=TICK_MS,
        skew_ms=0,
        retry_after_ms=TICK_MS,
        probes=2,
        verifies=2 if contract.visible_within_ms else 1,
        resends=1,
        attempts=2,
        answer_within_ms=TICK_MS,
        keyed_ms=3 * TICK_MS if contract.keyed_ms is not None else None,
    )


def closed_over(*tools: str, own: tuple[Protections, ...] = (), ruling: str = "allow", **more: Any) -> Scenario:
    """A scenario for closed exploration: these tools, each with its three classes of arguments."""
    at_will = AtWill(**more)
    calls = tuple(Call(tool, order="") for tool in tools)
    name = f"{', '.join(tools)}: {at_will.effects} in flight, {at_will.workers} at work, {ruling}"
    return Scenario(name, calls, ruling, own=own, at_will=at_will)


# Forward, time passes and nobody did anything; back, the machine's clock was set. A short jump stays within a lease.
JUMPS = {
    "jump:short": 4_000,
    "jump:lease": 6_500,
    "jump:approval": OPEN_MS + 1_000,
    "jump:window": 70_000,
    "jump:back": -30_000,
}

LAPSES = (
    "halt",
    "revoke grant",
    "expire grant",
    "deadline nears",
    "deadline passes",
    "revoke approval",
    "revoke key",
)
"""What takes a right away, each at one instant: nothing is dispatched on it from there on."""

SOON_MS = 5_000
"""How far off a deadline or the end of a grant is, in the scenarios that let it pass."""


def lapsing(tool: str, *, ruling: str = "allow", moves: tuple[str, ...] = LAPSES, **more: Any) -> Scenario:
    """One effect of one tool under a grant and a deadline, of which something may end at any wait."""
    if ruling != "ask":
        moves = tuple(move for move in moves if move not in ("revoke approval", "revoke key"))
    ends: dict[str, Any] = {"moves": moves} | more
    if {"deadline nears", "deadline passes"} & set(moves):
        ends["deadline_ms"] = START_MS + SOON_MS
    if {"revoke grant", "expire grant"} & set(moves):
        ends["granted_until_ms"] = START_MS + SOON_MS if "expire grant" in moves else START_MS + 3_600_000
    name = f"{tool}/{ruling}, what may end"
    return Scenario(name, (Call(tool),), ruling, **ends)


EVERY_MOVE = ("pause", "halt", "repeat", "amend", "other", "jump:lease", "jump:approval", "jump:window", "jump:back")


def one(tool: str, *, ruling: str = "allow", **more: Any) -> Scenario:
    """One effect of one tool with the whole alphabet."""
    moves = EVERY_MOVE if ruling == "allow" else (*EVERY_MOVE, "decline")
    scenario = Scenario(f"{tool}/{ruling}", (Call(tool),), ruling, **({"moves": moves} | more))
    if "moves" not in more and scenario.contracts[tool].has_state:
        scenario = scenario._replace(moves=(*moves, "moved"))
    return scenario


def two(first: str, second: str, *, same: bool, **more: Any) -> Scenario:
    """Two effects in flight, on one resource or on two."""
    calls = (Call(first), Call(second, order="B", account="x" if same else "y"))
    where = "one resource" if same else "two resources"
    moves = ("pause", "halt", "jump:lease", "jump:window")
    return Scenario(f"{first}+{second}, {where}", calls, **({"moves": moves} | more))
