"""Who a holder is, and when it is proved dead: same place, and that very process is gone. Nothing less."""

from __future__ import annotations

import os

import pytest

from holdfast.runtime import peers
from holdfast.runtime.peers import Peers, my_name, started


def renamed(name: str, *, place: str = "", pid: str = "", start: str = "") -> str:
    """A holder's name with a part of it replaced."""
    old = name.split(".")
    return ".".join([place or old[0], pid or old[1], start or old[2], old[3]])


def test_a_living_process_is_not_dead() -> None:
    """We are alive, under every name we give ourselves."""
    assert not Peers().dead_now(my_name())
    assert my_name() != my_name()


def test_a_process_id_that_nobody_has_is_proved_dead() -> None:
    """Same place, and no such process."""
    gone = next(pid for pid in range(2**22, 1, -1) if not started(pid))
    assert Peers().dead_now(renamed(my_name(), pid=str(gone)))


def test_a_reused_process_id_is_not_the_process_that_had_it() -> None:
    """The process that has this id now began at another instant: the holder is gone."""
    assert Peers().dead_now(renamed(my_name(), start="1"))


@pytest.mark.parametrize("name", ["", "w1", "a.b.c", "nowhere.1.2.3"])
def test_what_cannot_be_told_is_not_proved(name: str) -> None:
    """Another host, an older boot, a name we do not understand: silent is not dead."""
    assert not Peers().dead_now(name)


def test_a_holder_elsewhere_is_never_proved_dead() -> None:
    """The same process id on another host says nothing."""
    assert not Peers().dead_now(renamed(my_name(), place="00000000", pid="999999999"))


def test_where_the_place_is_not_known_nobody_is_proved_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without /proc there is no proof, so there is none."""
    monkeypatch.setattr(peers, "_place", lambda: "")
    name = my_name()
    assert name.startswith("nowhere.")
    assert not Peers().dead_now(renamed(name, pid="999999999"))


def test_a_process_that_only_waits_to_be_reaped_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """A zombie sends nothing any more."""
    alive = f"{os.getpid()} (a (strange) name) S " + " ".join(["0"] * 18) + " 12345 0"
    monkeypatch.setattr(peers, "_read", lambda _path: alive)
    assert started(os.getpid()) == "12345"
    monkeypatch.setattr(peers, "_read", lambda _path: alive.replace(") S ", ") Z "))
    assert started(os.getpid()) == ""
