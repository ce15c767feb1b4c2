"""``holdfast doctor``: finds what is wrong, and says what it is, why it matters and what to do.

Decides what is looked at and in which order. Promises that it changes no record and no file that is kept (it writes
scratch files into the store's directory and takes them away), and that one thing that is broken does not keep it from
looking at the rest. Imports the tools that are named, as ``holdfast effect probe`` does.

Does not promise that what is fine now stays so, nor to find what shows only under load.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast.cli.config import Settings
from holdfast.cli.shared import NO_OPTIONS, Shared
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.kernel.model import Contract
    from holdfast.report.doctor import Finding
    from holdfast.store import Store


def doctor(*, shared: Shared = NO_OPTIONS) -> Page:
    """Find and explain what is wrong: machine, clock, disk, permissions, store, evidence, tools, policy.

    Changes nothing. Exit code 1: something breaks a promise; what is only doubtful leaves it at 0.
    """
    from holdfast.report.doctor import doctor_page
    from holdfast.report.text import escaped
    from holdfast.store.clock import boot_ms, wall_ms

    settings, findings = configured(shared)
    where = escaped(settings.named if settings is not None else "no configuration")
    return doctor_page([*findings, *examined(settings, wall=wall_ms, boot=boot_ms)], where)


def configured(shared: Shared) -> tuple[Settings | None, list[Finding]]:
    """The settings, or why there are none. A file that cannot be used does not hide a store that is named."""
    from holdfast.cli.examine.access import reachable
    from holdfast.cli.examine.rules import extras
    from holdfast.kernel.errors import HoldfastError
    from holdfast.report.doctor import broken, doubtful, fine, of_error
    from holdfast.report.text import escaped

    found: list[Finding] = []
    try:
        settings = shared.settings()
    except HoldfastError as error:
        found = [of_error("config-broken", "config", error), *extras(str(getattr(error, "file", "")))]
    except (OSError, UnicodeDecodeError) as error:
        found = [broken(
            "config-unreadable", "config", f"the configuration cannot be read: {escaped(str(error))}",
            why="No command can use it.", to_do="Give this user the right to read it, as UTF-8 text.",
        )]  # fmt: skip
    else:
        if settings.file:
            return settings, [fine("config", "config", escaped(settings.file)), *extras(settings.file)]
        path = settings.store_path
        if path is None or not reachable(path) or path.exists():
            return settings, [fine("config", "config", "none; the store is the one named or the default")]
        return settings, [doubtful(
            "no-project", "config", "there is neither a holdfast.toml nor a store here",
            why="Only the machine could be looked at.", to_do="holdfast init DIR, or name one: --config FILE.",
        )]  # fmt: skip
    if shared.store is None:
        return None, found
    import dataclasses

    from holdfast.cli.config import address

    try:
        store = address(shared.store, Path.cwd(), "the command line", "--store")
    except HoldfastError as error:
        return None, [*found, of_error("store-not-named", "config", error)]
    return dataclasses.replace(Settings(), store=store, stored_in="--store"), found


def examined(
    settings: Settings | None, *, wall: Callable[[], int], boot: Callable[[], int], state: Path | None = None
) -> list[Finding]:
    """Everything that was looked at, in the order of the page. ``wall`` and ``boot`` give milliseconds."""
    from holdfast.cli.examine import access, machine, record, rules, seals, server
    from holdfast.report.doctor import fine, skipped
    from holdfast.store.heads import state_directory

    clock = machine.ClockLook(wall, boot)
    found = [*machine.python(), *machine.libraries()]
    high_ms: int | None = None
    if settings is not None:
        path = settings.store_path
        on_file = () if path is None else _around(path, state or state_directory())
        found += on_file
        if path is None:
            found += guarded(server.looks, settings.place, settings.stored_in, wall)
        found += guarded(seals.key, settings)
        files = rules.tool_files(settings)
        found += guarded(access.rules, files)
        known: list[Contract] = []
        found += guarded(rules.contracts, settings, known)
        found += guarded(rules.variables, files)
        complete = bool(known) or not settings.tools
        said, policy_set = rules.policy(settings, known, complete=complete)
        found += said
        if path is not None and not access.reachable(path):
            found.append(skipped("store", "store", f"{path} is in a directory that this user may not enter"))
        elif path is not None and not path.exists():
            found.append(skipped("store", "store", f"there is none at {path} yet; a worker makes it"))
        elif path is not None or _on_server(found):
            if path is not None:
                found += [*guarded(record.schema, path), *guarded(record.pages, path), *guarded(record.lock, path)]
            looked, high_ms = of_store(settings, known, policy_set, wall=wall, boot=boot)
            found += looked
            if path is None:
                high_ms = None  # it is the server's clock that has seen it
    found += clock.findings(high_ms, kept=machine.clock_kept())
    found.append(fine("ports", "ports", "none is needed: nothing here listens"))
    return found


def _around(path: Path, state: Path) -> Iterator[Finding]:
    """The disk and the directories of a store in a file."""
    from holdfast.cli.examine import access, disk

    place = nearest_directory(path.parent)
    for look in (disk.kind, disk.sync, disk.space, disk.as_opened):
        yield from guarded(look, place)
    yield from guarded(disk.log_size, path)
    yield from guarded(access.store_files, path)
    yield from guarded(access.directories, path, state)


def _on_server(found: list[Finding]) -> bool:
    """Whether the server was reached and has a store."""
    from holdfast.report.doctor import Mark

    return any(one.id in ("schema", "schema-old") and one.mark is not Mark.SKIPPED for one in found)


def of_store(
    settings: Settings,
    known: list[Contract],
    policy_set: object,
    *,
    wall: Callable[[], int],
    boot: Callable[[], int],
) -> tuple[list[Finding], int | None]:
    """What the store's records say, and the highest time that it has seen."""
    from holdfast.cli.examine import decisions, record, rules, seals
    from holdfast.cli.shared import translated
    from holdfast.kernel.errors import HoldfastError
    from holdfast.report.doctor import of_error
    from holdfast.store import open_store

    found: list[Finding] = []
    high_ms: int | None = None
    try:
        with translated(settings.place.shown):
            store: Store = open_store(settings.place, wall=wall, boot=boot, read_only=True)
            try:
                high_ms = store.reading.source.meta[4]
                for look in (record.standing, record.newest, record.open_effects, decisions.decisions):
                    found += guarded(look, store)
                found += guarded(seals.seals, store, settings)
                facts = {fact.scope: fact for fact in store.facts()}
                found += guarded(rules.in_force, settings, known, policy_set, facts, store.open_effects())
            finally:
                store.close_now()
    except HoldfastError as error:
        found.append(of_error("store-cannot-be-opened", "store", error))
    return found, high_ms


def guarded(look: Callable[..., Iterable[Finding]], *given: object) -> Iterator[Finding]:
    """One look; what it cannot get over is a finding and does not end the others."""
    from holdfast.kernel.errors import HoldfastError
    from holdfast.report.doctor import broken, of_error
    from holdfast.report.text import escaped

    about = look.__module__.rpartition(".")[2]
    name = f"{about}-{look.__name__}".replace("_", "-")
    try:
        yield from look(*given)
    except HoldfastError as error:
        yield of_error(f"{name}-ended", about, error)
    except Exception as error:  # noqa: BLE001  # what is looked at may be damaged in any way.
        yield broken(
            f"{name}-ended", about, f"looking ended with {type(error).__name__}: {escaped(str(error))}",
            why="What is there could not be read as what it should be.",
            to_do="See the other findings first; if there are none, report this one.",
        )  # fmt: skip


def nearest_directory(place: Path) -> Path:
    """The directory itself, or the nearest above it that exists and can be reached: where it would be made."""
    from holdfast.cli.examine.access import reachable

    return next((one for one in (place, *place.parents) if reachable(one) and one.is_dir()), Path("/"))
