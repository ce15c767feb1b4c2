"""A case written as TOML, to paste: the way back from :mod:`.load`.

Decides what is written: what differs from what nothing said means. Promises that a case whose parts have names or are
plain data reads back as an equal case. A part that is a function without a name of its own is marked by a line that
says so; then the text is to be read, and not yet to be loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.harness.case.case import Allow, Case, Person
from holdfast.harness.case.named import Named
from holdfast.harness.case.parts import Changes, FromData, FromRecord, Strategy
from holdfast.harness.case.toml import inline, json_where_needed, key, line, text
from holdfast.harness.planners import Errand
from holdfast.harness.play.scripts import Careful, Script
from holdfast.kernel.model import Principal
from holdfast.runtime.planner import Proposed

PLAIN: Final = ("says", "expect", "seed", "environment", "owner", "twin", "max_steps", "sources", "tags", "forbidden")
UNITS: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def written(case: Case) -> str:
    """The case as the text of a file."""
    return "\n".join(_lines(case)).strip() + "\n"


def _lines(case: Case) -> Iterator[str]:
    yield line("name", case.name)
    defaults = {field.name: field.default for field in msgspec.structs.fields(Case)}
    for name in PLAIN:
        if getattr(case, name) != defaults[name]:
            yield line(name, getattr(case, name))
    if case.policy is not None:
        yield line("policy", str(case.policy))
    if case.kept_for_ms != defaults["kept_for_ms"]:
        yield line("kept_for", span(case.kept_for_ms))
    if case.limits is not None:
        yield line("limits", _told(case.limits))
    yield _place("tools", case.tools)
    for name in ("prepares", "moved"):
        if (part := getattr(case, name)) is not None:
            yield line(name, _changes(part)) if isinstance(part, Changes) else _place(name, part)
    yield from _world(case.world)
    yield from _intent(case)
    yield from _planner("planner", case.planner, case)
    for name, make in (("oracle", case.oracle), ("bad", case.bad)):
        if make is not None:
            yield from _planner(name, make, case)
    errand = case.errand or next((p.errand for p in (case.planner, case.oracle) if isinstance(p, Strategy)), None)
    if errand is not None:
        yield from _errand(errand)
    for person in case.people:
        yield from _table("[people]", _person(person))
    for fault in case.faults:
        told = msgspec.to_builtins(fault)
        by_ms = told.pop("by_ms", 0)
        yield from _table("[faults]", told | ({"by": span(by_ms)} if by_ms else {}))
    for allow in case.allowed:
        yield from _table("[allowed]", _allow(allow))


def _world(make: Callable[[int], Any]) -> Iterator[str]:
    if not isinstance(make, FromData):
        yield from _headed("world", [_place("make", make)])
        return
    if make.kind != "memory":
        yield from _table("world", {"kind": make.kind})
    given = dict(make.given)
    for name, rows in given.pop("tables", {}).items():
        if isinstance(json_where_needed(rows), str):
            yield from _headed("world", [line("tables", json_where_needed(make.given["tables"]))])
            break
        yield from _headed(f"world.tables.{key(name)}", [line(row, value) for row, value in rows.items()])
    for name, value in given.items():
        told = json_where_needed(value)
        if isinstance(told, str):
            yield from _headed("world", [line(name, told)])
        elif told:
            yield from _headed(f"world.{name}", [line(inner, one) for inner, one in told.items()])
    for act in make.acts:
        told = {"by": act.by}
        if act.at_ms is not None:
            told["at"] = span(act.at_ms)
        if act.after_change is not None:
            told["after_change"] = act.after_change
        does = {"changes": act.does.changes} if isinstance(act.does, Changes) else {}
        yield from _table("[world.acts]", told | does, () if does else (_place("does", act.does),))


def _intent(case: Case) -> Iterator[str]:
    intent = case.intent
    told: dict[str, Any] = {"goal": intent.goal}
    if intent.purpose != case.name:
        told["purpose"] = intent.purpose
    who = intent.principal
    told["principal"] = who.name if isinstance(who, Principal) else who
    if intent.deadline is not None:
        told["deadline"] = intent.deadline
    told |= {name: tuple(getattr(intent, name)) for name in ("scope", "done") if getattr(intent, name)}
    if budget := _told(intent.budget):
        told["budget"] = budget
    if intent.grant:
        told["grant"] = intent.grant
    note: tuple[str, ...] = ()
    if isinstance(who, Principal) and (who.groups or who.kind != "service"):
        note = (f"# its principal is of kind {who.kind}, in the groups {', '.join(who.groups) or 'none'}",)
    yield from _table("intent", told, note)


def _planner(name: str, make: Callable[[Any], Any], case: Case) -> Iterator[str]:
    if isinstance(make, Strategy):
        yield from _table(name, {"strategy": make.name})
    elif isinstance(make, FromRecord):
        yield from _table(name, {"recorded": make.path})
    elif isinstance(make, Named):
        yield from _headed(name, [_place("make", make)])
    elif (script := make if isinstance(make, Script) else _script_of(make, case)) is not None:
        turns = [[_call(call) for call in turn] for turn in script.turns]
        flat = [turn[0] if len(turn) == 1 else turn for turn in turns]
        said = [line("careful", value=True)] if isinstance(script, Careful) else []
        said += [line("says", script.says)] if script.says else []
        yield from _headed(name, ["script = []" if not flat else _script_line(flat), *said])
    else:
        yield from _headed(name, [_place("make", make)])


def _script_line(turns: list[Any]) -> str:
    return "script = [\n" + "".join(f"    {inline(turn)},\n" for turn in turns) + "]"


def _script_of(make: Callable[[Any], Any], case: Case) -> Script | None:
    """What a function makes that has no name, if that is a script after all: one that was shrunk is."""
    if _named(make):
        return None
    world = None
    try:
        world = case.world(case.seed)
        planner = make(world)
    except Exception:  # noqa: BLE001  # whatever a case's own code raises: then it is written as a function
        return None
    finally:
        if world is not None:
            world.close()
    return planner if isinstance(planner, Script) else None


def _errand(errand: Errand) -> Iterator[str]:
    told: dict[str, Any] = {
        name: [_call(call) for call in getattr(errand, name)] for name in ("calls", "tempting") if getattr(errand, name)
    }
    told |= {name: value for name in ("elsewhere", "wording") if (value := getattr(errand, name))}
    yield from _table("errand", {"calls": [], **told, "says": errand.says})


def _call(call: Proposed) -> dict[str, Any]:
    told: dict[str, Any] = {"tool": call.tool}
    if call.args:
        told["args"] = json_where_needed(call.args)
    return told | {name: value for name in ("cites", "risk") if (value := getattr(call, name))}


def _person(person: Person) -> dict[str, Any]:
    told: dict[str, Any] = {"name": person.name}
    if person.groups:
        told["groups"] = person.groups
    told["says"] = person.says if isinstance(person.says, str) else _named(person.says) or "nothing"
    return told if person.after_ms == Person().after_ms else told | {"after": span(person.after_ms)}


def _allow(allow: Allow) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(allow)
    return told


def _changes(part: Changes) -> dict[str, Any]:
    return {"by": part.by, "changes": part.changes}


def _told(record: Any) -> dict[str, Any]:
    """What a record says, without what nothing said means."""
    told: dict[str, Any] = msgspec.to_builtins(record)
    return {name: value for name, value in told.items() if value is not None}


def _table(heading: str, told: dict[str, Any], more: tuple[str, ...] = ()) -> Iterator[str]:
    yield from _headed(heading, [*(line(name, value) for name, value in told.items()), *more])


def _headed(heading: str, lines: list[str]) -> Iterator[str]:
    yield ""
    yield f"[{heading}]"
    yield from lines


def _place(name: str, part: Any) -> str:
    """A part that is code: by its name, or the line that says that it has none."""
    found = _named(part)
    return line(name, found) if found else f"# {name}: {text(repr(part))} has no name that a file could give"


def _named(part: Any) -> str:
    if isinstance(part, Named):
        return part.place
    module, name = getattr(part, "__module__", ""), getattr(part, "__qualname__", "")
    if not module or not name or "<" in name or module == "__main__":
        return ""
    if module.startswith("holdfast_case_"):
        file = getattr(getattr(part, "__code__", None), "co_filename", "")
        return f"{Path(file).name}:{name}" if file else ""
    return f"{module}:{name}"


def span(length_ms: int) -> str | int:
    """A span in its largest unit that it is a whole number of."""
    return next(f"{length_ms // unit_ms}{unit}" for unit, unit_ms in UNITS if length_ms % unit_ms == 0)
