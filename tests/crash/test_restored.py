"""A store that is a copy, or older than what was last seen of it, dispatches nothing until a person releases it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from holdfast.runtime.release import release
from holdfast.store import SqliteStore, open_store
from tests.crash.brisk import tools
from tests.crash.judge import judge
from tests.crash.scene import Case, Ran, Stage

BEFORE_DISPATCH = "dispatch/store.commit#1:before"


def copy(store: Path, target: Path) -> None:
    """Copy the file with its log, as a backup or a clone does; the target keeps its own inode if it has one."""
    for suffix in ("", "-wal"):
        source, to = Path(f"{store}{suffix}"), Path(f"{target}{suffix}")
        if source.exists():
            shutil.copyfile(source, to)
        else:
            to.unlink(missing_ok=True)


def opened(ran: Ran, path: Path | None = None) -> SqliteStore:
    """The store as an operator opens it."""
    return open_store(f"sqlite:{path or ran.store}", state_dir=ran.folder / "state")


def changes(scene: Stage, ran: Ran) -> int:
    """What the outside shows of a case."""
    return sum(row["invoice"] == ran.invoice for row in scene.client.books()["changes"])


def attempt(scene: Stage, ran: Ran, **more: Any) -> str:
    """Run one more worker on the store as it is; what it was told last."""
    told = len(ran.told())
    ran.codes.append(scene.nursery.run(scene.plan(ran, **({"patience_ms": 300, "limit_ms": 500} | more))))
    return ran.told()[-1].outcome if len(ran.told()) > told else ""


def released(ran: Ran, path: Path | None = None) -> tuple[str, ...]:
    """Release as a named human; the effects that were refused with it."""
    contracts = {tool.name: tool.contract for tool in tools()}
    store = opened(ran, path)
    try:
        assert store.restored()
        refused = release(store, contracts, who="olga", reason="the books were compared")
        assert not store.restored()
        return tuple(view.id for view in refused)
    finally:
        store.close_now()


@pytest.mark.req("1.4e", mutant="restored-unguarded")
@pytest.mark.parametrize("tool", ["refund", "refund_keyed", "refund_fenced", "refund_probed", "refund_bare"])
def test_a_clone_at_another_path_dispatches_nothing(scene: Stage, tool: str) -> None:
    """A copy made while an effect was ready to go: the original sends it, the clone is stopped and sends nothing."""
    ran = scene.new(Case(tool=tool))
    clone = ran.folder / "clone.db"
    ran.codes.append(scene.nursery.run(scene.plan(ran, at=BEFORE_DISPATCH)))
    copy(ran.store, clone)
    attempt(scene, ran)
    assert changes(scene, ran) == 1
    for _ in range(2):
        assert attempt(scene, ran, store=str(clone)) == "Stopped"
    assert attempt(scene, ran, store=str(clone), purpose="another ticket") in ("Stopped", "Deferred")
    assert changes(scene, ran) == 1


@pytest.mark.req("1.4e", mutant="restored-unguarded")
@pytest.mark.parametrize("tool", ["refund_keyed", "refund_fenced", "refund_bare"])
def test_a_backup_put_back_in_place_dispatches_nothing_until_released(scene: Stage, tool: str) -> None:
    """Overwritten with an older copy, the store has forgotten that it paid; it does not pay again.

    Released, the keyed tool goes on under its old key and is answered from the first change; what no key keeps out is
    refused with the release and must be asked for anew.
    """
    ran = scene.new(Case(tool=tool))
    backup = ran.folder / "backup.db"
    ran.codes.append(scene.nursery.run(scene.plan(ran, at=BEFORE_DISPATCH)))
    copy(ran.store, backup)
    attempt(scene, ran)
    assert changes(scene, ran) == 1
    Path(f"{ran.store}-shm").unlink(missing_ok=True)
    copy(backup, ran.store)
    assert attempt(scene, ran) == "Stopped"
    assert changes(scene, ran) == 1
    refused = released(ran)
    assert len(refused) == (0 if tool == "refund_keyed" else 1)
    if tool == "refund_keyed":
        assert attempt(scene, ran) == "Verified"
    assert changes(scene, ran) == 1


@pytest.mark.req("1.4e", mutant="restored-unguarded")
def test_a_copy_taken_while_a_worker_is_at_work_is_not_the_store(scene: Stage) -> None:
    """Copied under a stopped worker that holds the dispatch commit: the copy asks about it and sends nothing."""
    ran = scene.new(Case(tool="refund_keyed"))
    worker = scene.nursery.start(scene.plan(ran, at="dispatch/body.send#1:before", action="stop"))
    assert worker.wait_until_stopped()
    clone = ran.folder / "clone.db"
    copy(ran.store, clone)
    worker.signal(9)
    worker.wait()
    assert attempt(scene, ran, store=str(clone)) != "Verified"
    assert changes(scene, ran) == 0
    store = opened(ran, clone)
    try:
        assert store.restored()
        assert [view.state.value for view in store.effects()] == ["unknown"]
    finally:
        store.close_now()
    assert released(ran, clone) == ()
    assert attempt(scene, ran, store=str(clone), limit_ms=5_000, patience_ms=4_000) == "Verified"
    assert changes(scene, ran) == 1


def test_the_store_itself_goes_on_after_a_crash(scene: Stage) -> None:
    """Killed and started again in its own place, a store is not taken for a copy."""
    ran = scene.play(Case(tool="refund", kills=("dispatch/store.commit#1:after",)))
    assert judge(ran, scene.books()).broken == []
    store = opened(ran)
    try:
        assert not store.restored()
    finally:
        store.close_now()
