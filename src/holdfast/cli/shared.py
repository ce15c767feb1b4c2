"""Options that every command has, and how a command gets at a store or an application."""

from __future__ import annotations

import getpass
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from holdfast.cli.config import Settings, load
from holdfast.kernel.errors import BadConfig, UnknownId

if TYPE_CHECKING:
    from holdfast.app import App
    from holdfast.kernel.model import Contract, Effect
    from holdfast.store import Store


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Shared:
    """Options that every command has."""

    config: Annotated[str | None, Parameter(name=["--config", "-C"])] = None
    "The holdfast.toml to use, or its directory [default: $HOLDFAST_CONFIG, else ./holdfast.toml]."
    store: Annotated[str | None, Parameter(name="--store")] = None
    "The store, sqlite:PATH or postgresql://…, instead of $HOLDFAST_STORE and the one in the file."
    json: Annotated[bool, Parameter(name="--json", negative="")] = False
    "Answer with one JSON document: {time, counts, truncated, data} or {time, error}."

    def settings(self) -> Settings:
        """What the file and the options amount to."""
        return load(self.config, self.store)


class Misused(Exception):  # noqa: N818  # it says what happened
    """A command line that is understood and makes no sense; nothing was opened."""


NO_OPTIONS = Shared()
Limit = Annotated[int, Parameter(name="--limit")]
As = Annotated[str, Parameter(name="--as")]
Reason = Annotated[str, Parameter(name="--reason")]


@contextmanager
def reading(shared: Shared) -> Iterator[Store]:
    """The store, only to read: no lock, no mark on the file, no tool code."""
    settings = shared.settings()
    needed(settings)
    from holdfast.store import open_store

    store = open_store(settings.store, read_only=True)
    try:
        with translated(store.path):
            yield store
    finally:
        store.close_now()


@contextmanager
def deciding(shared: Shared) -> Iterator[Store]:
    """The store, to record what a person decided; no tool code."""
    settings = shared.settings()
    needed(settings)
    from holdfast.store import open_store

    store = open_store(settings.store)
    try:
        with translated(store.path):
            yield store
    finally:
        store.close_now()


@contextmanager
def translated(path: str) -> Iterator[None]:
    """What goes wrong while a damaged file is read is the file's fault, and said so."""
    import apsw
    import msgspec

    from holdfast.kernel.errors import StoreCorrupt
    from holdfast.store.faults import translate

    try:
        yield
    except apsw.Error as error:
        raise translate(error, path) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreCorrupt(store=path, where=f"a record cannot be read: {error}") from error


@asynccontextmanager
async def working(shared: Shared, effect: str) -> AsyncIterator[tuple[App, Effect]]:
    """The application with its tools, taking up nothing by itself, and the effect that is asked about.

    Raises BadConfig where opening it would put another policy or contract in force than the workers have.
    """
    from holdfast.app import open_app
    from holdfast.cli.config import load_tools

    settings = shared.settings()
    needed(settings)
    if not settings.tools:
        why = "this command asks the outside, and no tools are named"
        raise BadConfig(file=settings.named, key="tools", nearest=None, why=why)
    app = open_app(
        settings.store,
        tools=load_tools(settings),
        policy=settings.policy,
        environment=settings.environment,
        tenant=settings.tenant,
        sources=settings.sources,
        limits=settings.limits,
        recover=False,
    )
    with reading(shared) as store:
        view = store.read_now(store.find(effect, "effect")).effect
        if view is None:
            raise UnknownId(given=effect, kind="effect")
        _of_here(app, settings, view)
        same_rules(app, store, settings)
    async with app:
        yield app, view


def contracts_of(shared: Shared) -> Mapping[str, Contract]:
    """What the named tools declare; empty where none are named, and then nothing is known to be protected."""
    from holdfast.cli.config import load_tools
    from holdfast.tools.registry import Registry

    settings = shared.settings()
    return Registry(load_tools(settings)).contracts if settings.tools else {}


def _of_here(app: App, settings: Settings, view: Effect) -> None:
    """An effect of this environment, made with a tool that is here."""
    if view.environment != settings.environment:
        why = f"the effect belongs to the environment {view.environment}"
        raise BadConfig(file=settings.named, key="environment", nearest=view.environment, why=why)
    if view.tool not in app.registry.contracts:
        why = f"the tool {view.tool} is not among them"
        raise BadConfig(file=settings.named, key="tools", nearest=None, why=why)


def same_rules(app: App, store: Store, settings: Settings) -> None:
    """A person's command works under the rules that are in force; it never changes them by the way."""
    wanted = {f"policy:{settings.environment}": ("policy", app.policy.digest)}
    wanted |= {f"contract:{name}": ("tools", c.version) for name, c in app.registry.contracts.items()}
    for scope, (key, digest) in wanted.items():
        fact = store.fact(scope)
        if fact is not None and fact.value != digest:
            how = "starting a worker with it puts it in force"
            if scope.startswith("contract:"):
                how = f"look at what changed: holdfast tool review {scope.partition(':')[2]}"
            why = f"{scope} differs from the one in force here; {how}"
            raise BadConfig(file=settings.named, key=key, nearest=None, why=why)


def needed(settings: Settings) -> None:
    """A command about records does not make an empty store by being misspelled."""
    if settings.store_missing:
        what_to_do = "name a holdfast.toml with --config, or make a project: holdfast init"
        where = settings.store_path or settings.place
        by = f"named by {settings.stored_in}" if settings.stored_in else "where one is looked for if nothing names one"
        raise Misused(f"there is no store at {where} ({by}); {what_to_do}")


def a_run_or_file(given: str) -> None:
    """Raises Misused for what can only be the name of a file, and no file has it: it is not looked for as an id."""
    named = ("/" in given or "." in given) and not given.startswith(("ru_", "ef_", "ap_"))
    if named and not Path(given).exists():
        raise Misused(f"there is no file {given}; a run's id begins with ru_: holdfast run list")


def vouched() -> str:
    """Who says that ``--as NAME`` is right: the operating-system user who typed it."""
    try:
        return f"operating-system user {getpass.getuser()}"
    except (KeyError, OSError):  # a user without a name, as in some containers
        import os

        return f"operating-system user {os.getuid()}"
