"""A play as one document: what it began with, what went wrong, what was shown, said, done, and what it came to.

Decides what is kept of a play, so that it can be read, projected and played again without anything else but the case's
own code. Promises canonical bytes and their digest: equal plays have equal bundles. A playback uses the recorded
answers and says where it first parts from the bundle, side by side; a fresh planner on the same world is compared by
what it did. Does not hold the code of world, tools or planner; it names the versions of the contracts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from holdfast.harness.case.case import Case
from holdfast.harness.faults.fault import Fault
from holdfast.harness.play.play import Played, play
from holdfast.harness.play.recording import Recorded, Turn
from holdfast.harness.world.difference import difference
from holdfast.kernel import canon
from holdfast.tools.code import installed

VERSION = 1
MAX_BYTES = 64 << 20
ORDER = ("before", "points", "turns", "effects", "log", "approvals", "after", "end")
"""In which order two bundles are compared: what comes first explains what follows."""


class Parting(NamedTuple):
    """The first place at which two plays differ: which part, where in it, and both sides in short."""

    part: str
    at: str
    left: str
    right: str

    def __str__(self) -> str:
        """Side by side."""
        return f"{self.part} {self.at}:\n  before: {self.left}\n  now:    {self.right}"


def bundle(played: Played) -> dict[str, Any]:
    """A play as plain data."""
    case, plain = played.case, msgspec.to_builtins
    report = played.report
    told = {
        "v": VERSION,
        "holdfast": installed(),
        "case": {
            "name": case.name,
            "origin": case.origin,
            "environment": case.environment,
            "expect": case.expect,
            "purpose": case.intent.purpose,
            "allowed": plain(case.allowed),
            "forbidden": list(case.forbidden),
        },
        "seed": played.seed,
        "faults": plain(played.faults),
        "struck": [[plain(fault), plain(point)] for fault, point in played.struck],
        "missed": plain(played.missed),
        "contracts": {name: contract.version for name, contract in sorted(played.contracts.items())},
        "shape": shape(played),
        "before": dict(played.before),
        "after": dict(played.after),
        "difference": [str(one) for one in difference(played.before, played.after)],
        "hidden": played.hidden,
        "log": plain(played.log),
        "points": [str(point) for point in played.points],
        "turns": plain(played.turns),
        "effects": [_effect(view) for view in played.effects],
        "approvals": [{"id": a.id, "effect": a.effect, "state": a.state} for a in played.approvals],
        "end": {
            "ended": played.ended,
            "state": report.state if report is not None else "",
            "reason": report.reason if report is not None else "",
            "says": played.says,
            "error": played.error,
            "starts": played.starts,
            "took_ms": played.took_ms,
        },
        "laws": [{"law": law.law, "answer": law.answer, "why": law.why} for law in played.laws],
        "verdict": plain(played.verdict) | {"word": played.verdict.word} if played.verdict is not None else None,
    }
    plainly: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(told))
    return plainly  # as it is when it has been kept and read: lists, and nothing else that looks like one


def shape(played: Played) -> str:
    """What a recording of this case rests on: contracts, allowed changes and the world it begins in, as a digest."""
    case = played.case
    said = {
        "contracts": {name: contract.version for name, contract in sorted(played.contracts.items())},
        "allowed": msgspec.to_builtins(case.allowed),
        "forbidden": list(case.forbidden),
        "expect": case.expect,
        "before": dict(played.before),
    }
    return hashlib.sha256(canon.encode(said, max_bytes=MAX_BYTES)).hexdigest()


def encoded(kept: Mapping[str, Any]) -> bytes:
    """Canonical bytes of a bundle."""
    return canon.encode(dict(kept), max_bytes=MAX_BYTES)


def digest(kept: Mapping[str, Any]) -> str:
    """The content hash of a bundle."""
    return "sha256:" + hashlib.sha256(encoded(kept)).hexdigest()


def faults_of(kept: Mapping[str, Any]) -> tuple[Fault, ...]:
    """The faults that a bundle was played under."""
    return tuple(msgspec.convert(kept["faults"], list[Fault]))


def turns_of(kept: Mapping[str, Any]) -> tuple[Turn, ...]:
    """What its planner was shown and answered."""
    return tuple(msgspec.convert(kept["turns"], list[Turn]))


def playback(case: Case, kept: Mapping[str, Any]) -> tuple[Played, Parting | None]:
    """Play a bundle again with its own answers, and say where the play parts from it; None: nowhere."""
    turns = turns_of(kept)
    played = play(case, faults_of(kept), seed=kept["seed"], planner=lambda _world: Recorded(turns))
    return played, parting(kept, bundle(played))


def fresh(case: Case, kept: Mapping[str, Any]) -> tuple[Played, Parting | None]:
    """Play the case's own planner in the world and under the faults of a bundle; where its doing parts from it."""
    played = play(case, faults_of(kept), seed=kept["seed"])
    return played, parting(kept, bundle(played), ("before", "effects", "log", "after", "end"))


def parting(left: Mapping[str, Any], right: Mapping[str, Any], parts: Sequence[str] = ORDER) -> Parting | None:
    """The first difference of two bundles."""
    for part in parts:
        found = _parts(left[part], right[part])
        if found is not None:
            return Parting(part, *found)
    return None


def _parts(left: Any, right: Any) -> tuple[str, str, str] | None:
    if left == right:
        return None
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        for key in sorted({*left, *right}):
            if left.get(key) != right.get(key):
                inner = _parts(left.get(key), right.get(key))
                at, one, other = inner if inner is not None else ("", "", "")
                return f"{key}{' ' + at if at else ''}", one, other
    if isinstance(left, Sequence) and isinstance(right, Sequence) and not isinstance(left, str):
        for number in range(max(len(left), len(right))):
            one = left[number] if number < len(left) else "nothing"
            other = right[number] if number < len(right) else "nothing"
            if one != other:
                inner = _parts(one, other)
                return (f"#{number + 1} {inner[0]}".strip(), inner[1], inner[2]) if inner is not None else None
    return "", _short(left), _short(right)


def _short(value: Any, most: int = 300) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
    return text if len(text) <= most else f"{text[:most]}…"


def _effect(view: Any) -> dict[str, Any]:
    return {
        "id": view.id,
        "tool": view.tool,
        "args": view.args,
        "resource": view.resource,
        "generation": view.generation,
        "state": view.state.value,
        "answer": view.answer,
        "reason": view.reason,
        "cause": view.cause,
        "differs": view.differs,
        "attempts": len(view.attempts),
        "grants": list(view.grants),
        "approval": view.approval,
    }
