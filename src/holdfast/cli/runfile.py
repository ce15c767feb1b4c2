"""A run file: what is wanted, with which tools, under which policy, planned by which model.

It may hold every key of ``holdfast.toml`` (those it leaves out come from there), a table ``[intent]``, a table
``[model]``, and ``[[items]]`` that the planner is shown. Decides what a key means, and that a key that means nothing is
refused with the nearest one that does. A key of a model provider is never one of them: it comes from the environment.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.cli.config import KEYS, Settings, address, check, load, parsed, planners_of
from holdfast.kernel.amounts import Budget, Money, parse_duration
from holdfast.kernel.errors import BadConfig, BadValue

if TYPE_CHECKING:
    from holdfast.adapters.models import ModelSpec
    from holdfast.runtime.begin import Intent

TABLES = {**KEYS, "intent": "a table", "model": "a table", "items": "a list of tables"}
del TABLES["limits"]  # what bounds everybody's runs is not one run's to set
INTENT = {
    "goal": "text",
    "purpose": "text",
    "principal": "text",
    "deadline": "text",
    "scope": "a list of texts",
    "done": "a list of texts",
    "budget": "a table",
    "grant": "text",
}
BUDGET = {"effects": "a whole number", "steps": "a whole number", "tokens": "a whole number", "cost": "a table"}
COST = {"minor": "a whole number", "currency": "text"}
MODEL = {
    "name": "text",
    "base_url": "text",
    "key_env": "text",
    "stream": "true or false",
    "max_tokens": "a whole number",
    "temperature": "a number",
    "timeout": "text",
    "stall": "text",
    "input_price": "a whole number",
    "output_price": "a whole number",
    "currency": "text",
}
SECRETS = frozenset({"api_key", "apikey", "auth", "key", "password", "secret", "token"})
ITEM = dict.fromkeys(("source", "kind", "text", "file", "fresh_for", "about", "owner"), "text")


@dataclass(frozen=True)
class Shown:
    """An item that the planner is to be shown."""

    source: str
    content: str
    kind: str
    fresh_for: str | None
    about: str = ""
    owner: str = ""


@dataclass(frozen=True)
class RunFile:
    """One file, read and found sound. ``intent`` and ``model`` are None where the file has no such table."""

    settings: Settings
    intent: Intent | None
    model: ModelSpec | None
    items: tuple[Shown, ...]


def read(file: str, config: str | None, store: str | None, *, purpose: str | None = None) -> RunFile:
    """Read a run file over the settings of ``holdfast.toml``. Raises BadConfig."""
    path = Path(file)
    if not path.is_file():
        raise BadConfig(file=file, key="the run file", nearest=None, why="there is no such file")
    text, keys = parsed(path)
    for key, value in keys.items():
        check(path, text, key, value, TABLES)
    return RunFile(
        settings=_settings(path, keys, load(config, store), given=store is not None),
        intent=_intent(path, text, keys["intent"], purpose) if "intent" in keys else None,
        model=_model(path, text, keys["model"]) if "model" in keys else None,
        items=tuple(_item(path, text, item) for item in keys.get("items", [])),
    )


def _settings(path: Path, keys: dict[str, Any], under: Settings, *, given: bool) -> Settings:
    """What the file says over what ``holdfast.toml`` says; relative paths start from the file's own directory."""
    home = path.resolve().parent
    plain = ("announce", "environment", "telemetry", "tenant")
    changed: dict[str, Any] = {name: keys[name] for name in plain if name in keys}
    if "planners" in keys:
        changed |= {"planners": planners_of(path, "", keys["planners"]), "home": home}
    if "tools" in keys:
        changed |= {"tools": tuple(keys["tools"]), "home": home}
    if "policy" in keys:
        changed["policy"] = str(home / keys["policy"])
    if "store" in keys and not given:
        changed["store"] = address(keys["store"], home, str(path), "store")
    elif not under.file and not given:
        changed["store"] = address(Settings.store, home, str(path), "store")
    return dataclasses.replace(under, file=str(path), **changed)


def _intent(path: Path, text: str, keys: dict[str, Any], purpose: str | None) -> Intent:
    from holdfast.runtime.begin import Intent

    for key, value in keys.items():
        check(path, text, key, value, INTENT, "intent")
    found = dict(keys) | ({"purpose": purpose} if purpose else {})
    for key in ("goal", "purpose", "principal"):
        if key not in found:
            why = f"an intent needs a {key}"
            raise BadConfig(file=str(path), key=f"intent.{key}", nearest=None, why=why)
    found["budget"] = _budget(path, text, found.get("budget", {}))
    if "deadline" in found:
        _span(path, "intent.deadline", found["deadline"])
    return Intent(**found)


def _budget(path: Path, text: str, keys: dict[str, Any]) -> Budget:
    for key, value in keys.items():
        check(path, text, key, value, BUDGET, "intent.budget")
    cost = keys.get("cost")
    if cost is not None:
        for key, value in cost.items():
            check(path, text, key, value, COST, "intent.budget.cost")
        if set(cost) != set(COST):
            why = "a cost has an amount in minor units and a currency"
            nearest = '{minor = 50000, currency = "EUR"}'
            raise BadConfig(file=str(path), key="intent.budget.cost", nearest=nearest, why=why)
        try:
            cost = Money(**cost)
        except BadValue as error:
            raise BadConfig(file=str(path), key="intent.budget.cost", nearest=None, why=error.why) from None
    return Budget(**{**keys, "cost": cost})


def _model(path: Path, text: str, keys: dict[str, Any]) -> ModelSpec:
    import msgspec

    from holdfast.adapters.models.spec import checked, parse

    for key, value in keys.items():
        if key in SECRETS:
            why = "a key is not kept in a file; name the environment variable that holds it"
            raise BadConfig(file=str(path), key=f"model.{key}", nearest="key_env", why=why)
        check(path, text, key, value, MODEL, "model")
    if "name" not in keys:
        raise BadConfig(file=str(path), key="model.name", nearest=None, why='a model is named as in "openai:NAME"')
    found = {k: v for k, v in keys.items() if k not in ("name", "timeout", "stall")}
    found |= {f"{k}_ms": _span(path, f"model.{k}", keys[k]) for k in ("timeout", "stall") if k in keys}
    if (found.get("input_price") or found.get("output_price")) and "currency" not in found:
        raise BadConfig(file=str(path), key="model.currency", nearest=None, why="prices need a currency")
    spec = msgspec.structs.replace(parse(keys["name"], file=str(path)), **found)
    return checked(spec, file=str(path))


def _item(path: Path, text: str, keys: dict[str, Any]) -> Shown:
    for key, value in keys.items():
        check(path, text, key, value, ITEM, "items")
    if "source" not in keys or ("text" in keys) == ("file" in keys):
        why = "an item has a source, and either a text or a file"
        raise BadConfig(file=str(path), key="items", nearest=None, why=why)
    content = keys.get("text")
    if content is None:
        place = path.resolve().parent / keys["file"]
        if not place.is_file():
            raise BadConfig(file=str(path), key="items.file", nearest=None, why=f"there is no file {keys['file']}")
        content = place.read_text(encoding="utf-8", errors="replace")
    if "fresh_for" in keys:
        _span(path, "items.fresh_for", keys["fresh_for"])
    about, owner = keys.get("about", ""), keys.get("owner", "")
    return Shown(keys["source"], content, keys.get("kind", "untrusted"), keys.get("fresh_for"), about, owner)


def _span(path: Path, key: str, value: str) -> int:
    try:
        return parse_duration(value, name=key)
    except BadValue as error:
        raise BadConfig(file=str(path), key=key, nearest="15m", why=error.why) from None
