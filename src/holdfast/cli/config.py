"""``holdfast.toml``: which store, which tools, which policy.

Decides what a key means, and that a key that means nothing is refused with the nearest one that does. Reading
it imports no tool code; :func:`load_tools` does, for the few commands that need tools.

Relative paths are relative to the file. Without a file the store is ``holdfast.db`` in the working directory.
``$HOLDFAST_STORE`` goes before the file and behind ``--store``: an address with a password needs to stand in neither.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.kernel.errors import BadConfig, BadValue, HoldfastError

if TYPE_CHECKING:
    from holdfast.kernel.limits import Limits
    from holdfast.runtime.sealer import Evidence
    from holdfast.store.address import Address
    from holdfast.tools.define import Tool

FILE = "holdfast.toml"
ENV = "HOLDFAST_CONFIG"
STORE_ENV = "HOLDFAST_STORE"
KEYS: dict[str, str] = {
    "store": "text",
    "environment": "text",
    "tenant": "text",
    "tools": "a list of texts",
    "policy": "text",
    "sources": "a list of texts",
    "limits": "a table",
    "keys": "text",
    "announce": "text",
    "reconcile": "text",
    "telemetry": "text",
    "evidence": "a table",
    "planners": "a table",
}
EVIDENCE_KEYS = {
    "key": "text", "signer": "text", "public_key": "text", "every": "text", "most": "a whole number",
    "witnesses": "a list of texts",
}  # fmt: skip

TYPES: dict[str, Callable[[Any], bool]] = {
    "text": lambda value: isinstance(value, str),
    "a list of texts": lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value),
    "a whole number": lambda value: type(value) is int and value >= 0,
    "a number": lambda value: type(value) in (int, float),
    "true or false": lambda value: isinstance(value, bool),
    "a table": lambda value: isinstance(value, dict),
    "a list of tables": lambda value: isinstance(value, list) and all(isinstance(v, dict) for v in value),
}
"""What a value of a configuration file may be, in the words of an error."""


@dataclass(frozen=True)
class Settings:
    """What a command works with. ``home`` is the directory that relative paths start from, ``stored_in`` what named the
    store. ``store`` is its complete address, and may hold a password: it is shown by :attr:`place`.
    """

    store: str = field(default="sqlite:holdfast.db", repr=False)
    environment: str = "dev"
    tenant: str = "main"
    tools: tuple[str, ...] = ()
    policy: str | None = None
    sources: tuple[str, ...] = ()
    limits: Limits | None = None
    announce: str | None = None
    reconcile: str | None = None
    telemetry: str | None = None
    evidence: Evidence | None = None
    planners: tuple[tuple[str, str], ...] = ()
    keys: Path = field(default_factory=lambda: _keys(None, Path.cwd()))
    file: str = ""
    home: Path = field(default_factory=Path.cwd)
    stored_in: str = field(default="", compare=False)

    @property
    def place(self) -> Address:
        """Where the store is."""
        from holdfast.store.address import address as address_of

        return address_of(self.store)

    @property
    def store_path(self) -> Path | None:
        """Where the store's file is; None where it is on a server."""
        return self.place.path

    @property
    def store_missing(self) -> bool:
        """Whether there is no store where it should be. Raises what keeps a server from being asked."""
        if self.store_path is not None:
            return not self.store_path.is_file()
        from holdfast.store.opening import is_there

        return not is_there(self.place)

    @property
    def named(self) -> str:
        """What an error calls the place these settings come from."""
        return self.file or "the command line"


def load(config: str | None = None, store: str | None = None) -> Settings:
    """The settings from ``--config``, $HOLDFAST_CONFIG or ./holdfast.toml; the store from ``--store`` or
    $HOLDFAST_STORE if they name one.

    Raises BadConfig.
    """
    given = config or os.environ.get(ENV)
    path = Path(given) if given else Path(FILE)
    if given and path.is_dir():
        path /= FILE
    if not path.is_file():
        if given:
            by = "--config" if config else f"${ENV}"
            raise BadConfig(file=str(path), key=by, nearest=None, why="there is no such file")
        settings = Settings()
    else:
        settings = _read(path)
    named = ((store, "the command line", "--store"), (os.environ.get(STORE_ENV) or None, "the environment", STORE_ENV))
    for given_store, by, key in named:
        if given_store is not None:
            return _replaced(settings, address(given_store, Path.cwd(), by, key), key)
    return _replaced(settings, address(settings.store, settings.home, settings.named, "store"), settings.file)


def parsed(path: Path) -> tuple[str, dict[str, Any]]:
    """A TOML file as text and as data. Raises BadConfig."""
    try:
        text = path.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadConfig(file=str(path), key="the file", nearest=None, why=f"it is not TOML: {error}") from None


def _read(path: Path) -> Settings:
    text, keys = parsed(path)
    for key, value in keys.items():
        check(path, text, key, value, KEYS)
    home = path.resolve().parent
    policy = keys.get("policy")
    return Settings(
        store=keys.get("store", Settings.store),
        environment=keys.get("environment", Settings.environment),
        tenant=keys.get("tenant", Settings.tenant),
        tools=tuple(keys.get("tools", ())),
        policy=str(home / policy) if policy is not None else None,
        sources=tuple(keys.get("sources", ())),
        limits=_limits(path, text, keys["limits"]) if "limits" in keys else None,
        announce=keys.get("announce"),
        reconcile=keys.get("reconcile"),
        telemetry=keys.get("telemetry"),
        evidence=_evidence(path, text, keys["evidence"]) if "evidence" in keys else None,
        planners=planners_of(path, text, keys.get("planners", {})),
        keys=_keys(keys.get("keys"), home),
        file=str(path),
        home=home,
    )


def _limits(path: Path, text: str, table: dict[str, Any]) -> Limits:
    """The ``[limits]`` tables. Raises BadConfig naming the key and what is wrong with it."""
    from holdfast.kernel.limits import read_limits

    try:
        return read_limits(table)
    except BadValue as error:
        where = _line_of(text, error.path.rpartition(".")[2])
        raise BadConfig(file=str(path), key=error.path, nearest=None, why=f"{where}{error.why}") from None


def _evidence(path: Path, text: str, table: dict[str, Any]) -> Evidence:
    """The ``[evidence]`` table: how the log is sealed, and who is told. Raises BadConfig naming the key."""
    from holdfast.runtime.sealer import Evidence

    for key, value in table.items():
        check(path, text, key, value, EVIDENCE_KEYS, "evidence")
    given = {**table, "witnesses": tuple(table.get("witnesses", ()))}
    try:
        return Evidence(**given, home=path.resolve().parent)
    except BadConfig as error:
        key = str(error.values["key"])
        why = f"{_line_of(text, key)}{error.values['why']}"
        raise BadConfig(file=str(path), key=f"evidence.{key}", nearest=None, why=why) from None


def planners_of(path: Path, text: str, table: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    """The ``[planners]`` table: by the name that a job has, ``default`` for those that have none. Raises BadConfig."""
    for key, value in table.items():
        check(path, text, key, value, {key: "text"}, "planners")
    return tuple(("" if name == "default" else name, at) for name, at in table.items())


def _keys(given: str | None, home: Path) -> Path:
    """Where this person's own private keys lie: $HOLDFAST_KEYS, ``keys`` of the file, or their configuration folder."""
    if named := os.environ.get("HOLDFAST_KEYS"):
        return Path(named)
    if given is not None:
        return home / Path(given).expanduser()
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "holdfast" / "keys"


def check(path: Path, text: str, key: str, value: Any, keys: dict[str, str], table: str = "") -> None:
    """One key of a file, or of a ``table`` of it: known, of its type, and not empty. Raises BadConfig."""
    where, name = _line_of(text, key), f"{table}.{key}" if table else key
    if key not in keys:
        import difflib

        near = difflib.get_close_matches(key, keys, n=1, cutoff=0.5)
        raise BadConfig(file=str(path), key=name, nearest=near[0] if near else None, why=f"{where}there is no such key")
    wanted = keys[key]
    if not TYPES[wanted](value):
        why = f"{where}it is {wanted}, not {type(value).__name__}"
        raise BadConfig(file=str(path), key=name, nearest=None, why=why)
    if isinstance(value, str) and not value.strip():
        raise BadConfig(file=str(path), key=name, nearest=None, why=f"{where}it is empty")


def _line_of(text: str, key: str) -> str:
    """``line 3: `` for the line on which a key is set; empty where it cannot be told."""
    wanted = re.compile(rf"""^\s*(?:\[+\s*)?["']?{re.escape(key)}["']?\s*(?:=|\.|\])""")
    for number, line in enumerate(text.splitlines(), 1):
        if wanted.match(line):
            return f"line {number}: "
    return ""


def address(store: str, home: Path, file: str, key: str) -> str:
    """The store's address, of a file with an absolute path; a bare path is SQLite's. Raises BadConfig."""
    from holdfast.store.address import address as address_of

    at = address_of(store, file=file, key=key)
    return at.url if at.path is None else f"sqlite:{home / store.removeprefix('sqlite:')}"


def _replaced(settings: Settings, store: str, stored_in: str) -> Settings:
    import dataclasses

    return dataclasses.replace(settings, store=store, stored_in=stored_in)


# ------------------------------------------------------------------------------------- tools, where needed


def load_tools(settings: Settings) -> list[Tool[..., Any]]:
    """Import what ``tools`` names: ``module:name`` or ``path/to/file.py:name``, a tool or a list of them.

    This runs the code of those modules. Raises BadConfig for what is not there.
    """
    from holdfast.tools.define import Tool

    found: list[Tool[..., Any]] = []
    for entry in settings.tools:
        place, colon, name = entry.rpartition(":")
        if not colon or not place or not name:
            raise _no(settings, f'"{entry}" is neither "module:name" nor "path/to/file.py:name"')
        thing = getattr(module_at(settings, place), name, None)
        several: list[Any] = list(thing) if isinstance(thing, list | tuple) else [thing]
        if not several or not all(isinstance(one, Tool) for one in several):
            raise _no(settings, f'"{entry}" names no tool and no list of tools')
        found += several
    return found


def module_at(settings: Settings, place: str, key: str = "tools") -> Any:
    """Import a module by its name or by its file; ``key`` is what asked for it. Raises BadConfig."""
    import importlib
    import importlib.util
    import sys

    home = str(settings.home)
    if home not in sys.path:
        sys.path.insert(0, home)  # as for a program that lies beside holdfast.toml
    path = settings.home / place
    spec = importlib.util.spec_from_file_location(f"holdfast_tools_{path.stem}", path)
    by_name = not place.endswith(".py")
    if not by_name and (spec is None or not path.is_file()):
        raise _no(settings, f"there is no file {path}", key)
    try:
        if by_name or spec is None or spec.loader is None:
            return importlib.import_module(place)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    except HoldfastError:
        raise
    except ImportError as error:
        raise _no(settings, f"{place} cannot be imported: {error}", key) from error
    except Exception as error:  # whatever the module's own code raises is its author's, not ours
        said = f"{_place_in(settings.home, error)}{type(error).__name__}: {error}"
        raise _no(settings, f"{place} cannot be imported: {said}", key) from error
    return module


def _place_in(home: Path, error: Exception) -> str:
    """The innermost line of the project's own files that led to an error; nothing where none of them did."""
    import traceback

    ours = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(home)]
    return f"{Path(ours[-1].filename).name}, line {ours[-1].lineno}: " if ours else ""


def _no(settings: Settings, why: str, key: str = "tools") -> BadConfig:
    return BadConfig(file=settings.named, key=key, nearest=None, why=why)
