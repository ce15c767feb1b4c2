"""The judge's own power: workers with planted defects are brought before it, and it must find the harm by the books."""

from __future__ import annotations

from typing import Any

import pytest

from tests.crash.judge import Judged, judge
from tests.crash.scene import Case, Stage

SENT = "body/wire.send#1:after"
PLANTED = {
    "death-as-failure": Case(tool="refund_bare", kills=(SENT,), defect="death-as-failure"),
    "unknown-as-failed": Case(tool="refund_bare", fault=("drop_reply", None, 1), defect="unknown-as-failed"),
    "fresh-key": Case(tool="refund_keyed", kills=(SENT,), defect="fresh-key"),
    "not-found-is-final": Case(tool="refund_probed", kills=(), fault=("act_late", 400, 1), defect="not-found-is-final"),
    "silent-unknown": Case(tool="refund_bare", kills=(SENT,), defect="silent-unknown"),
    "told-too-early": Case(tool="refund_probed", kills=("caller/told#1:before",), defect="told-too-early"),
}


@pytest.fixture(scope="module")
def verdicts(scene: Stage) -> dict[str, dict[str, Judged]]:
    """Each case with its defect and the same case without it."""
    names = list(PLANTED)
    sound = [Case(tool=c.tool, kills=c.kills, fault=c.fault) for c in PLANTED.values()]
    rans = scene.play_all([*PLANTED.values(), *sound])
    books: dict[str, Any] = scene.books()
    judged = [judge(ran, books) for ran in rans]
    return {
        "planted": dict(zip(names, judged[: len(names)], strict=True)),
        "sound": dict(zip(names, judged[len(names) :], strict=True)),
    }


def test_without_a_defect_the_same_cases_are_clean(verdicts: dict[str, dict[str, Judged]]) -> None:
    """What the judge finds below is the defect and not the case."""
    assert [judged.sentence for judged in verdicts["sound"].values() if judged.broken] == []


@pytest.mark.parametrize("defect", ["unknown-as-failed", "death-as-failure"])
def test_an_engine_that_takes_unknown_for_failed_repeats_silently(
    verdicts: dict[str, dict[str, Judged]], defect: str
) -> None:
    """Doubt recorded as failure and proposed anew: two changes or more, and a failed effect that happened."""
    found = verdicts["planted"][defect]
    assert (found.changes, found.silent_repeats) == (2, 1)
    assert any("is failed, and the outside shows" in sentence for sentence in found.broken)


def test_an_engine_that_resends_under_a_new_key_repeats_silently(verdicts: dict[str, dict[str, Judged]]) -> None:
    """A resend with another key: two changes, neither of which the ledger owns."""
    found = verdicts["planted"]["fresh-key"]
    assert (found.changes, found.silent_repeats) == (2, 1)
    assert any("owned by an effect" in sentence for sentence in found.broken)


def test_an_engine_that_takes_not_found_for_final_repeats_silently(verdicts: dict[str, dict[str, Judged]]) -> None:
    """A request that landed after the probe, and a second one sent because of it."""
    found = verdicts["planted"]["not-found-is-final"]
    assert (found.changes, found.silent_repeats) == (2, 1)


def test_an_unknown_that_nobody_owns_is_found(verdicts: dict[str, dict[str, Judged]]) -> None:
    """An open record without owner, next act and due time counts as unowned."""
    found = verdicts["planted"]["silent-unknown"]
    assert found.unowned >= 1
    assert any("without owner and next act and due time" in sentence for sentence in found.broken)


def test_telling_before_the_disk_is_found(verdicts: dict[str, dict[str, Judged]]) -> None:
    """A caller that knew more than the ledger when its worker was killed counts as lost."""
    found = verdicts["planted"]["told-too-early"]
    assert found.lost >= 1
    assert any("was told, and the ledger had" in sentence for sentence in found.broken)
