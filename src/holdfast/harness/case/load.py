"""Cases from TOML: one at the top of a file, or several as ``[[case]]`` over what they share.

    name = "a refund whose reply is lost"
    tools = "tools.py:billing"

    [world.tables.invoices]
    in_1 = { cents = 1200, refunded = 0 }

    [intent]
    goal = "refund invoice in_1"
    principal = "support-agent"

    [planner]
    script = [ { tool = "refund", args = { invoice = "in_1", cents = 1200 } } ]
    says = "Refunded in_1."

    [[faults]]
    kind = "lost reply"
    tool = "refund"

    [[allowed]]
    place = "invoices/in_1/refunded"
    to = 1200

Decides what each key makes. Promises that a key that means nothing, a value of the wrong form and a name that leads
nowhere are refused with file, line, key and the nearest that does (BadConfig), before anything is played. Runs the code
of the modules that a file names.
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.harness.case.case import Allow, Case, Person
from holdfast.harness.case.named import named
from holdfast.harness.case.parts import (
    Changes,
    FromData,
    OtherAct,
    Strategy,
    call_of,
    recorded,
    table,
    turns_of,
)
from holdfast.harness.case.schema import check
from holdfast.harness.faults.fault import Fault
from holdfast.harness.planners import Errand
from holdfast.harness.play.scripts import Careful, Script
from holdfast.kernel.amounts import Budget, Money, parse_duration
from holdfast.kernel.errors import BadConfig, BadValue
from holdfast.kernel.limits import Limits, read_limits
from holdfast.runtime.begin import Intent

PLAIN: Final = ("environment", "expect", "seed", "says", "twin", "owner", "max_steps")
SEVERAL: Final = ("sources", "forbidden", "tags")


def load(path: str | Path) -> tuple[Case, ...]:
    """The cases of one file, in its order. Raises BadConfig."""
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(file=str(path), key="the file", nearest=None, why=f"it cannot be read: {error}") from None
    return loads(text, file=str(path), home=file.resolve().parent)


def loads(text: str, *, file: str = "a case", home: Path | None = None) -> tuple[Case, ...]:
    """The cases of a text; paths and modules are looked for from ``home``. Raises BadConfig."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadConfig(file=file, key="the file", nearest=None, why=f"it is not TOML: {error}") from None
    data = _plain(data)
    check(data, file=file, text=text)
    shared = {key: value for key, value in data.items() if key != "case"}
    found: dict[str, Case] = {}
    for given in data.get("case", [{}]):
        whole = {**shared, **given}
        name = whole["name"]
        if name in found:
            raise _bad(file, f'case["{name}"].name', "another case of this file has this name")
        for key in ("tools", "intent", "planner"):
            if key not in whole:
                why = "it is missing, here and at the top of the file"
                raise _bad(file, f'case["{name}"].{key}', why)
        found[name] = _Made(whole, file, home or Path.cwd()).case()
    return tuple(found.values())


class _Made:
    """One case under way."""

    def __init__(self, given: Mapping[str, Any], file: str, home: Path) -> None:
        self.given, self.file, self.home = given, file, home

    def case(self) -> Case:
        given = self.given
        more: dict[str, Any] = {key: given[key] for key in PLAIN if key in given}
        more |= {key: tuple(given[key]) for key in SEVERAL if key in given}
        if "prepares" in given:
            more["prepares"] = self._named("prepares", given["prepares"])
        if "moved" in given:
            more["moved"] = self._moved(given["moved"])
        if "kept_for" in given:
            more["kept_for_ms"] = self._span("kept_for", given["kept_for"])
        more |= {key: self._planner(key, given[key]) for key in ("oracle", "bad") if key in given}
        if "errand" in given:
            more["errand"] = self._errand()
        return Case(
            name=given["name"],
            world=self._world(given.get("world", {})),
            tools=self._named("tools", given["tools"]),
            intent=self._intent(given["intent"]),
            planner=self._planner("planner", given["planner"]),
            policy=self._policy(),
            limits=self._limits(),
            people=tuple(self._person(one) for one in given.get("people", ())),
            faults=tuple(self._fault(one) for one in given.get("faults", ())),
            allowed=tuple(msgspec.convert(one, Allow) for one in given.get("allowed", ())),
            origin=self.file,
            **more,
        )

    def _named(self, key: str, place: str) -> Any:
        return named(place, self.home, file=self.file, key=key)

    def _span(self, key: str, value: str | int) -> int:
        try:
            return parse_duration(value, name=key)
        except BadValue as error:
            raise _bad(self.file, key, error.why, "15m") from None

    def _world(self, given: Mapping[str, Any]) -> Any:
        if "make" in given:
            if len(given) > 1:
                strange = min(given.keys() - {"make"})
                raise _bad(self.file, f"world.{strange}", "a world that a function makes says nothing else here")
            return self._named("world.make", given["make"])
        told = {key: dict(given[key]) for key in ("files", "services", "permits") if key in given}
        told |= {k: table(given[k], file=self.file, key=f"world.{k}") for k in ("tables", "hidden") if k in given}
        self._rows(told.get("tables", {}))
        acts = tuple(self._act(number, one) for number, one in enumerate(given.get("acts", ()), 1))
        return FromData(kind=given.get("kind", "memory"), given=told, acts=acts)

    def _rows(self, tables: Mapping[str, Any]) -> None:
        for name, rows in tables.items():
            if not isinstance(rows, dict):
                raise _bad(self.file, f"world.tables.{name}", "a table holds rows by key")
            if name == "files":
                raise _bad(self.file, "world.tables.files", "texts by path stand under world.files", "files")

    def _act(self, number: int, given: Mapping[str, Any]) -> OtherAct:
        key = f"world.acts[{number}]"
        if ("at" in given) == ("after_change" in given):
            raise _bad(self.file, key, "it is done either at a time (at) or after a change (after_change)")
        if ("does" in given) == ("changes" in given):
            raise _bad(self.file, key, "it is either a function (does) or changes")
        at_ms = self._span(f"{key}.at", given["at"]) if "at" in given else None
        does = self._named(f"{key}.does", given["does"]) if "does" in given else self._changes(given)
        return OtherAct(by=given["by"], does=does, at_ms=at_ms, after_change=given.get("after_change"))

    @staticmethod
    def _changes(given: Mapping[str, Any]) -> Changes:
        return Changes(by=given.get("by", "somebody"), changes=tuple(tuple(one) for one in given["changes"]))

    def _moved(self, given: Any) -> Any:
        return self._changes(given) if isinstance(given, dict) else self._named("moved", given)

    def _intent(self, given: Mapping[str, Any]) -> Intent:
        budget = dict(given.get("budget", {}))
        try:
            if "cost" in budget:
                budget["cost"] = Money(**budget["cost"])
            told = {key: given[key] for key in ("goal", "deadline", "grant") if key in given}
            told |= {key: tuple(given[key]) for key in ("scope", "done") if key in given}
            return Intent(
                purpose=given.get("purpose", self.given["name"]),
                principal=given.get("principal", "agent"),
                budget=Budget(**budget),
                **told,
            )
        except BadValue as error:
            raise _bad(self.file, f"intent.{error.path}", error.why) from None

    def _planner(self, key: str, given: Mapping[str, Any]) -> Any:
        if strange := [name for name in ("careful", "says") if name in given and "script" not in given]:
            raise _bad(self.file, f"{key}.{strange[0]}", "it is said of a script")
        if "make" in given:
            return self._named(f"{key}.make", given["make"])
        if "recorded" in given:
            return recorded(self.home / given["recorded"], given["recorded"], file=self.file)
        if "strategy" in given:
            if "errand" not in self.given:
                raise _bad(self.file, f"{key}.strategy", "it needs an [errand]: the calls that it gets wrong")
            return Strategy(name=given["strategy"], errand=self._errand(), seed=self.given.get("seed", 1))
        turns = turns_of(given["script"], file=self.file, key=f"{key}.script")
        made = Careful if given.get("careful") else Script
        return made(*turns, says=given.get("says", ""))

    def _errand(self) -> Errand:
        given = dict(self.given["errand"])
        for key in ("calls", "tempting"):
            given[key] = tuple(call_of(one, file=self.file, key=f"errand.{key}") for one in given.get(key, ()))
        return Errand(**{**given, "wording": tuple(given.get("wording", ()))})

    def _policy(self) -> str | Path | None:
        given: str | None = self.given.get("policy")
        if given is None or any(mark in given for mark in "\n;") or given.lstrip().startswith("//"):
            return given  # the policy itself: what hf.open takes for one
        path = self.home / given
        if not path.exists():
            raise _bad(self.file, "policy", f"there is no file or folder {given}")
        return path

    def _limits(self) -> Limits | None:
        if "limits" not in self.given:
            return None
        try:
            return read_limits(self.given["limits"])
        except BadValue as error:
            raise _bad(self.file, error.path, error.why) from None

    def _person(self, given: Mapping[str, Any]) -> Person:
        says = given.get("says", "nothing")
        told: dict[str, Any] = {"says": self._named("people.says", says) if ":" in says else says}
        if "after" in given:
            told["after_ms"] = self._span("people.after", given["after"])
        return Person(name=given.get("name", "ada"), groups=tuple(given.get("groups", ())), **told)

    def _fault(self, given: Mapping[str, Any]) -> Fault:
        told = {key: value for key, value in given.items() if key != "by"}
        if "by" in given:
            told["by_ms"] = self._span("faults.by", given["by"])
        return msgspec.convert(told, Fault)


def _plain(value: Any) -> Any:
    """TOML's own dates and times as texts: a world holds JSON."""
    match value:
        case dict():
            return {name: _plain(inner) for name, inner in value.items()}
        case list():
            return [_plain(inner) for inner in value]
        case dt.datetime() | dt.date() | dt.time():
            return re.sub(r"\+00:00$", "Z", value.isoformat())
        case _:
            return value


def _bad(file: str, key: str, why: str, near: str | None = None) -> BadConfig:
    return BadConfig(file=file, key=key, nearest=near, why=why)
