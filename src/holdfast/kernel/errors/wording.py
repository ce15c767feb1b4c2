"""Errors: what is said when holdfast cannot go on, and to whom.

Decides the wording. There are three families, named by who must act: `UsageError` (fix the code or the
configuration), `EffectError` (an operator decides) and `IntegrityError` (holdfast stops and is right to).
Every concrete class declares its sentences as data, in the one agreed order: what happened (and to which
effect or thing), what is known, what is not known, what to do. The message is always built in that order.

Promises: codes never change meaning; fields are plain JSON data; `errors.from_json` undoes `to_json`;
errors survive pickling; text that came from outside is escaped and clipped before it reaches the message.
Does NOT promise that a message carries the whole of a field (read the attribute), nor that the text of a
message stays the same between versions (match on `code`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, ClassVar, dataclass_transform

DOCS_PAGE = "docs/reference/errors.md"
SHOWN_CHARS = 300

BY_CODE: dict[str, type[HoldfastError]] = {}


@dataclass_transform(kw_only_default=True, eq_default=False)
class HoldfastError(Exception):
    """Base of everything holdfast raises on purpose. Concrete classes are built with keywords only."""

    code: ClassVar[str] = ""
    exit_code: ClassVar[int] = 1
    what_happened: ClassVar[str] = ""
    what_is_known: ClassVar[str] = ""
    what_is_not_known: ClassVar[str] = ""
    what_to_do: ClassVar[str] = ""
    next_command: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        """Turn the annotated fields into a keyword-only constructor and list the class by its code."""
        dataclass(kw_only=True, eq=False, repr=False)(cls)
        if "code" in vars(cls):
            assert cls.code not in BY_CODE, f"two errors claim the code {cls.code}"
            BY_CODE[cls.code] = cls

    def __post_init__(self) -> None:
        assert self.code, f"{type(self).__name__} is a family; raise one of its members"
        words = self._words()
        parts = (self.what_happened, self.what_is_known, self.what_is_not_known, self.what_to_do)
        self.message = " ".join(part.format_map(words) for part in parts if part)
        self.hint = self.next_command.format_map(words)
        self.docs = f"{DOCS_PAGE}#{self.code.lower()}"
        super().__init__(self.message)

    @property
    def values(self) -> dict[str, Any]:
        """The typed fields by name, as they were given."""
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def _words(self) -> dict[str, str]:
        """Each field as it appears in a sentence, and `{name_maybe}` as a clause that may be empty."""
        words = {name: _shown(name, value) for name, value in self.values.items()}
        nearest = words.get("nearest")
        words["nearest_maybe"] = f" Did you mean {nearest}?" if nearest and nearest != "none" else ""
        words["pos_maybe"] = f" (position {words['pos']})" if words.get("pos", "0") != "0" else ""
        return words

    def to_json(self) -> dict[str, Any]:
        """Plain JSON data: {code, message, fields, hint, docs}; tuples become lists."""
        plain = {name: list(v) if isinstance(v, tuple) else v for name, v in self.values.items()}
        said = {"message": self.message, "hint": self.hint, "docs": self.docs}
        return {"code": self.code, "fields": plain, **said}

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross process borders in sweeps; the default would call the constructor by position."""
        return _rebuild, (type(self), self.values)


def _rebuild(kind: type[HoldfastError], values: dict[str, Any]) -> HoldfastError:
    return kind(**values)


def _escaped(text: str) -> str:
    """Make text safe for a terminal: control and format characters visible, length bounded."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return text if len(text) <= SHOWN_CHARS else text[:SHOWN_CHARS] + f"… ({len(text)} characters)"


def _shown(name: str, value: object) -> str:
    """One field as words. `until_ms` is a moment (UTC); any other `_ms` is a length of time."""
    if value is None or value == ():
        return "none"
    if isinstance(value, tuple):
        return _escaped(", ".join(str(item) for item in value))
    if name == "until_ms" and isinstance(value, int):
        try:
            return datetime.fromtimestamp(value // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        except (ValueError, OverflowError, OSError):
            return f"{value} ms"
    if name.endswith("_ms"):
        return f"{value} ms"
    return _escaped(str(value))
