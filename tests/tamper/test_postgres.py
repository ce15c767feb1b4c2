"""A sample of the tampering campaign on PostgreSQL, by a superuser whose statements no trigger sees."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.store import spread, sweep
from tests.contract.postgres_server import server
from tests.tamper.attacks import Attack, Places, attacks
from tests.tamper.bed import Bed
from tests.tamper.flips import flips, located
from tests.tamper.postgres_bed import PostgresBed
from tests.tamper.world import World, make

__all__ = ["server"]

WHOLE_KINDS = ("row changed", "what an archive left changed", "checkpoint changed", "tail cut behind a checkpoint")
"""Of these every attack is tried; of the others one, which the seed picks."""

NOT_HERE = ("text for a number",)
"""A column of PostgreSQL has one type, and this cannot be done to it."""

FLIPPED = 60


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small real store and its copies."""
    return make(tmp_path_factory.mktemp("world"))


def picked(world: World, seed: int) -> Iterator[Attack]:
    """Of each kind that needs no head from elsewhere at least one."""
    bed = Bed(world.store, world.store.parent)
    places = Places(bed)
    bed.close()
    kinds: dict[str, list[Attack]] = {}
    for attack in attacks(world, places):
        if not attack.heads and not attack.keys and attack.kind not in NOT_HERE:
            kinds.setdefault(attack.kind, []).append(attack)
    dice = random.Random(seed)
    for kind, some in kinds.items():
        yield from some if kind in WHOLE_KINDS else [dice.choice(some)]


@pytest.mark.req("1.10b", mutant=None, reason="every attack is a planted defect of the rows themselves")
def test_every_attack_of_a_sample_is_detected_and_located(world: World, server: str) -> None:
    """Entries, bodies, chains, checkpoints, tails, archives and rows beside: each change is found where it was made."""
    missed, kinds = [], set()
    for attack in picked(world, 11):
        bed = PostgresBed(getattr(world, attack.on), server)
        try:
            attack.do(bed)
            found = bed.verified()
        finally:
            bed.close()
        kinds.add(attack.kind)
        if not (found.broken and attack.where(found)):
            missed.append((attack.kind, attack.name, found))
    assert missed == []
    assert len(kinds) > 18


@pytest.mark.req("1.10b", mutant="leaves-are-not-hashed")
def test_flipped_bytes_are_found_at_their_entry_and_column(world: World, server: str) -> None:
    """Bytes of entries, salts and bodies, one at a time, as PostgreSQL holds them: each is detected and located."""
    bed = PostgresBed(world.store, server)
    every = [(flip, place) for flip, place in flips(bed, 3) if flip.column != "pos"]
    missed = []
    for flip, place in random.Random(3).sample(every, FLIPPED):
        change = f"UPDATE {flip.table} SET {flip.column} = ? WHERE pos = ?"
        bed.db.execute(change, (flip.after, flip.pos))
        found = bed.verified()
        bed.db.execute(change, (flip.before, flip.pos))
        if not (found.broken and located(flip, place, found)):
            missed.append((flip, found))
    assert not bed.verified().broken, "every flip was taken back"
    bed.close()
    assert missed == []


def test_undisturbed_stores_verify(world: World, server: str) -> None:
    """The store, yesterday's copy, the fork, and one of which a run is archived: each is whole on PostgreSQL too."""
    for source in (world.store, world.yesterday, world.fork, world.thin):
        bed = PostgresBed(source, server)
        found = bed.verified()
        bed.close()
        assert not found.broken, (source, found)


@pytest.mark.req("1.10b", mutant="workers-skip-what-is-broken")
def test_several_processes_find_what_one_finds(
    world: World, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Shared by two processes, the whole store verifies and the first of two breaks is told; no password is in argv."""
    monkeypatch.setattr(sweep, "RANGE", 256)
    monkeypatch.setattr(spread, "WORTH_IT", 1)
    commands: list[list[str]] = []
    honest = subprocess.Popen

    def started(command: list[str], **named: object) -> object:
        commands.append(command)
        return honest(command, **named)

    monkeypatch.setattr(spread.subprocess, "Popen", started)
    bed = PostgresBed(world.wide, server)
    try:
        assert not bed.verified(jobs=2).broken
        assert len(commands) == 2
        assert not any(bed.db.place.schema in word or "postgres" in word for command in commands for word in command)
        for pos in (400, 30):
            bed.db.execute("UPDATE entry SET at_ms = at_ms + 1 WHERE pos = ?", (pos,))
        found = bed.verified(jobs=2)
    finally:
        bed.close()
    assert (found.pos, found.field) == (30, "at_ms")
