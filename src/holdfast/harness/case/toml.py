"""Plain data as TOML, to be read by people and pasted.

Decides the form: short tables on one line, long ones under headings. Promises that what is written reads back as the
same data, and that what TOML cannot say (a null inside a table) is said as a text that holds JSON, or refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
SHORT_CHARS: Final = 96


def key(name: str) -> str:
    """A key, in quotes where it needs them."""
    return name if BARE.fullmatch(name) else text(name)


def text(value: str) -> str:
    """A text on one line."""
    return f'"{"".join(char if char.isprintable() else _code(char) for char in _named(value))}"'


def _code(char: str) -> str:
    """A character that does not print as itself, by its code: what is shown is what is pasted."""
    return f"\\u{ord(char):04X}" if ord(char) < 0x10000 else f"\\U{ord(char):08X}"


def _named(value: str) -> str:
    for char, code in (("\\", "\\\\"), ('"', '\\"'), ("\n", "\\n"), ("\t", "\\t"), ("\r", "\\r")):
        value = value.replace(char, code)
    return value


def inline(value: Any) -> str:
    """A value on one line. Raises ValueError for null, which TOML has not."""
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case str():
            return text(value)
        case list() | tuple():
            return f"[{', '.join(map(inline, value))}]"
        case Mapping():
            inner = ", ".join(f"{key(str(name))} = {inline(one)}" for name, one in value.items())
            return f"{{ {inner} }}" if inner else "{}"
        case None:
            raise ValueError("TOML has no null")
        case _:
            raise ValueError(f"a {type(value).__name__} is no plain data")


def line(name: str, value: Any) -> str:
    """``name = value``; a list that is long, one item a line; texts of several lines as they are."""
    if isinstance(value, str) and "\n" in value and "'''" not in value and _prints(value):
        return f"{key(name)} = '''\n{value}'''"
    said = f"{key(name)} = {inline(value)}"
    if len(said) > SHORT_CHARS and isinstance(value, list | tuple):
        return f"{key(name)} = [\n" + "".join(f"    {inline(one)},\n" for one in value) + "]"
    return said


def json_where_needed(value: Mapping[str, Any]) -> Any:
    """The table, or as a text of JSON where it holds a null."""
    try:
        inline(value)
    except ValueError:
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return value


def _prints(value: str) -> bool:
    return all(char.isprintable() or char == "\n" for char in value) and not value.startswith("\n")
