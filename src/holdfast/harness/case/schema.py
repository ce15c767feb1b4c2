"""The schema of a file of cases, and what is said of a file that does not fit it.

Decides the wording: which key, which line, what is wrong with it, and the nearest that means something. The schema is
``case.schema.json`` beside this module (JSON Schema 2020-12, so that editors know it too).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import jsonschema_rs

from holdfast.kernel.errors import BadConfig

FILE: Final = Path(__file__).with_name("case.schema.json")


@cache
def schema() -> dict[str, Any]:
    """The schema, as data."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


@cache
def _validator() -> Any:
    return jsonschema_rs.validator_for(schema(), offline=True)


def check(data: Mapping[str, Any], *, file: str, text: str) -> None:
    """Raises BadConfig for the first thing in a file that does not fit; what is deepest explains best."""
    errors = sorted((_inner(error) for error in _validator().iter_errors(data)), key=_telling)
    if errors:
        raise _bad(errors[0], data, file=file, text=text)


def _telling(error: Any) -> tuple[int, int, str]:
    """What is deepest first; a key that means nothing before one that is missing, which it may be misspelled."""
    return (-len(error.instance_path), error.kind.name != "additionalProperties", str(error.message))


def _inner(error: Any) -> Any:
    """Of several ways in which a value could fit, what keeps it from the one that it came nearest to."""
    if error.kind.name not in ("anyOf", "oneOf"):
        return error
    at = len(error.instance_path)
    ways = [[_inner(one) for one in way] for way in error.kind.context]
    near = [way for way in ways if not any(one.kind.name == "type" and len(one.instance_path) == at for one in way)]
    found = sorted((one for way in near for one in way), key=_telling)
    return found[0] if found and found[0].kind.name != "required" else error


def _bad(error: Any, data: Mapping[str, Any], *, file: str, text: str) -> BadConfig:
    path = list(error.instance_path)
    part = _part_at(path)
    near: str | None = None
    match error.kind.name:
        case "additionalProperties":
            strange = min(error.kind.unexpected)
            near = next(iter(difflib.get_close_matches(strange, _keys(part), n=1, cutoff=0.4)), None)
            path, why = [*path, strange], "there is no such key"
        case "required":
            missing = str(error.kind.property)
            path, why = [*path, missing], f"it is missing: {_said(path, missing)}"
        case "enum":
            options = [str(one) for one in error.kind.options]
            near = next(iter(difflib.get_close_matches(str(error.instance), options, n=1, cutoff=0.3)), None)
            why = f"it is one of {', '.join(options)}, not {error.instance!r}"
        case "oneOf" if names := [way["required"][0] for way in part.get("oneOf", ()) if "required" in way]:
            why = f"exactly one of {', '.join(names)} is said"
        case _:
            near = next(iter(part.get("examples", ())), None)
            why = _plain(error, part)
    return BadConfig(file=file, key=_dotted(path, data), nearest=near, why=f"{_line(text, path, data)}{why}")


def _keys(part: Mapping[str, Any]) -> list[str]:
    """The keys that a part of the schema knows, in whichever of its ways."""
    ways = (part, *(_resolved(way) for way in part.get("anyOf", [])), *_items(part))
    return [name for one in ways for name in one.get("properties", {})]


def _items(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [_resolved(part["items"])] if isinstance(part.get("items"), dict) else []


def _plain(error: Any, part: Mapping[str, Any]) -> str:
    said = part.get("description", "").split("\n")[0]
    value = json.dumps(error.instance, default=str)
    value = value if len(value) <= 60 else f"{value[:60]}…"
    return f"{value} does not fit{f': {said}' if said else ': ' + error.message}".rstrip(".")


def _said(path: Sequence[Any], name: str) -> str:
    part = _part_at(path).get("properties", {}).get(name, {})
    return str(_resolved(part).get("description", "a case has one")).rstrip(".")


def _part_at(path: Sequence[Any]) -> dict[str, Any]:
    """The part of the schema that a value stands under."""
    part = schema()
    for step in path:
        part = _resolved(part)
        inner = _ways(part, step)
        if inner is None:
            return {}
        part = inner
    return _resolved(part)


def _ways(part: Mapping[str, Any], step: Any) -> dict[str, Any] | None:
    for one in (part, *(_resolved(way) for way in part.get("anyOf", []))):
        if isinstance(step, int) and isinstance(one.get("items"), dict):
            return dict(one["items"])
        if isinstance(step, str) and step in one.get("properties", {}):
            return dict(one["properties"][step])
    return None


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in part:
        at: Any = schema()
        for name in part["$ref"].removeprefix("#/").split("/"):
            at = at[name]
        part = {**at, **{key: value for key, value in part.items() if key != "$ref"}}
    return part


def _dotted(path: Sequence[Any], data: Any) -> str:
    """The key as it is said: ``planner.script[2].tool``, and a case or allowed change by its name."""
    said = ""
    for step in path:
        if isinstance(step, int):
            one = data[step] if isinstance(data, list) and step < len(data) else None
            name = one.get("name") if isinstance(one, dict) else None
            said += f'["{name}"]' if isinstance(name, str) else f"[{step + 1}]"
            data = one
        else:
            said += f".{step}" if said else str(step)
            data = data.get(step) if isinstance(data, dict) else None
    return said or "the file"


def _line(text: str, path: Sequence[Any], data: Any) -> str:
    """``line 3: `` for the line on which the last key of a path stands, where that can be told."""
    keys = [step for step in path if isinstance(step, str)]
    if not keys:
        return ""
    wanted = re.compile(rf"""(?:^|[\s,{{.\[])["']?{re.escape(keys[-1])}["']?\s*(?:=|\.|\])""")
    lines = [number for number, line in enumerate(text.splitlines(), 1) if wanted.search(line)]
    value: Any = data
    for step in path:
        value = (
            value[step]
            if isinstance(value, list) and isinstance(step, int) and step < len(value)
            else (value.get(step) if isinstance(value, dict) else None)
        )
    if len(lines) > 1 and isinstance(value, str | int):
        shown = [n for n in lines if str(value) in text.splitlines()[n - 1]]
        lines = shown or lines
    return f"line {lines[0]}: " if len(lines) == 1 else ""


def keys_of(name: str) -> Iterator[tuple[str, str]]:
    """The keys of one part (``case``, ``world``, ``fault`` …) with what each means."""
    for key, part in schema()["$defs"][name]["properties"].items():
        yield key, str(_resolved(part).get("description", ""))
