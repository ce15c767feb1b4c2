"""A seeded share of the tampering campaign, and the pieces it rests on: `make tamper` plays all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tamper import campaign
from tests.tamper.attacks import Attack, Places, attacks
from tests.tamper.bed import Bed, Found
from tests.tamper.world import World, make

SHARE = 0.02


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    """A share of the campaign: at least one attack of each kind."""
    return campaign.play(tmp_path_factory.mktemp("tamper"), 7, SHARE)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """A small real store and its copies."""
    return make(tmp_path_factory.mktemp("world"))


def outcome(world: World, kind: str, name: str = "") -> tuple[Attack, Found]:
    """What comes of one attack."""
    bed = Bed(world.store, world.store.parent)
    places = Places(bed)
    bed.close()
    attack = next(a for a in attacks(world, places) if a.kind == kind and name in a.name)
    bed = Bed(getattr(world, attack.on), world.store.parent)
    try:
        attack.do(bed)
        return attack, bed.verified(attack.heads, attack.keys)
    finally:
        bed.close()


@pytest.mark.req("1.10b", mutant=None, reason="every attack is a planted defect of the file itself")
def test_every_attack_of_a_share_is_detected_and_located(played) -> None:
    """Of each kind of attack at least one is tried; all are detected, and the right entry and field are named."""
    tally, _, wrong, _ = played
    assert wrong == []
    assert tally.missed == []
    assert tally.total["tried"] == tally.total["located"] > 600
    assert len(tally.cells) > 25


def test_what_a_file_alone_cannot_show_is_listed_truly(played) -> None:
    """Each thing that is said to be undetectable in a file was tried, and was not detected."""
    _, design, _, _ = played
    assert [one["name"] for one in design if one["detected"]] == []
    assert len(design) >= 7


@pytest.mark.req("1.10a", mutant="roots-are-not-compared")
def test_history_forged_with_all_hashes_is_found_by_the_checkpoint(world: World) -> None:
    """A body is changed and all hashes of its run are made anew: the root of the checkpoint that covers it differs."""
    attack, found = outcome(world, "body forged with all hashes", "position 3")
    assert attack.where(found), found


@pytest.mark.req("1.10a", mutant="checkpoints-are-believed")
def test_checkpoint_signed_with_another_key_is_found(world: World) -> None:
    """Checkpoints that fit a forged history under a key that is not registered are named by their signature."""
    attack, found = outcome(world, "checkpoints signed with another key", "not registered")
    assert attack.where(found), found


@pytest.mark.req("1.10a", mutant="retired-keys-go-on")
def test_checkpoint_signed_with_the_key_before_is_found(world: World) -> None:
    """A key that another followed signs nothing that covers the entry which says so."""
    attack, found = outcome(world, "checkpoints signed with another key", "in use before")
    assert attack.where(found), found


@pytest.mark.req("1.10b", mutant="leaves-are-not-hashed")
def test_flipped_byte_of_an_entry_is_found(world: World, tmp_path: Path) -> None:
    """Bytes of entries' columns, one at a time: each is detected, at its entry and its column."""
    tally = campaign.Tally()
    campaign.flip_all(world, tmp_path, tally, 3, 0.01)
    assert tally.missed == []
    assert tally.total["tried"] > 200


@pytest.mark.req("1.10b", mutant="bodies-are-not-opened")
def test_flipped_byte_of_a_body_is_found(world: World, tmp_path: Path) -> None:
    """Bytes of bodies and salts, one at a time: each is detected, at its entry."""
    tally = campaign.Tally()
    campaign.flip_all(world, tmp_path, tally, 4, 0.01)
    assert tally.cells["byte flipped in a body or its salt"]["tried"] > 100
    assert tally.missed == []


@pytest.mark.req("1.10b", mutant="shorter-stores-extend")
def test_rolled_back_file_is_found_by_a_published_head(world: World) -> None:
    """Yesterday's file is whole in itself; who brings a newer head is told that the store was rolled back."""
    attack, found = outcome(world, "rolled back, given a head")
    assert attack.where(found), found


@pytest.mark.req("1.10b", mutant="roots-of-heads-are-not-compared")
def test_fork_is_found_by_the_head_of_the_other(world: World) -> None:
    """Two files that are each whole are told apart by either's head, and between which entries they part."""
    for name in ("one of two", "the other"):
        attack, found = outcome(world, "forked, given the other head", name)
        assert attack.where(found), found


def test_undisturbed_stores_verify_and_extend_their_heads(world: World, tmp_path: Path) -> None:
    """Store, fork and yesterday's copy verify untouched, with their own published heads and the first key."""
    assert campaign.whole(world, tmp_path) == []
