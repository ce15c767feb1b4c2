"""The causes of doubt, each brought about for real: what the record says, and how the doubt ends.

A lease that is lost while the tool works is in test_paused.py; a caller that stops listening is in the unit tests.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest

from holdfast.kernel.model import Effect
from holdfast.store import open_store
from tests.crash.judge import Judged, judge
from tests.crash.scene import Case, Ran, Stage


class Cause(NamedTuple):
    """What is done, and how the record names the doubt."""

    fault: tuple[str, object, int] | None
    kills: tuple[str, ...]
    cause: str


CAUSES = {
    "the tool works on while its time limit passes": Cause(("work_then_hang", 1_500, 1), (), "timeout"),
    "the reply is lost": Cause(("drop_reply", None, 1), (), "lost_reply"),
    "the worker dies after sending": Cause(None, ("body/wire.send#1:after",), "died"),
    "the worker dies before recording": Cause(None, ("observe/store.later#1:before",), "died"),
    "the answer cannot be read": Cause(("garbage", "body", 1), (), "error"),
    "the answer is not even of its protocol": Cause(("garbage", "wire", 1), (), "error"),
}
TOOLS = ("refund_probed", "refund_fenced", "refund_keyed")


def log_of(ran: Ran) -> tuple[list[Effect], list[tuple[str, dict[str, Any]]]]:
    """The effects of a case, and the entries about them as (kind, body), in order."""
    store = open_store(f"sqlite:{ran.store}", read_only=True, state_dir=ran.folder / "state")
    try:
        effects = store.effects()
        entries = [entry for effect in effects for entry in store.entries(effect.id)]
        return effects, [(entry.kind, msgspec.json.decode(entry.body or b"{}")) for entry in entries]
    finally:
        store.close_now()


@pytest.fixture(scope="module")
def played(scene: Stage) -> dict[tuple[str, str], Judged]:
    """Every cause with every tool that can find out."""
    names = [(cause, tool) for cause in CAUSES for tool in TOOLS]
    rans = scene.play_all([Case(tool=tool, kills=CAUSES[c].kills, fault=CAUSES[c].fault) for c, tool in names])
    books = scene.books()
    return dict(zip(names, (judge(ran, books) for ran in rans), strict=True))


@pytest.mark.req("1.1d", "1.1c", mutant="unknown-as-failed")
@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("cause", list(CAUSES))
def test_each_cause_gives_unknown_and_only_evidence_ends_it(
    played: dict[tuple[str, str], Judged], cause: str, tool: str
) -> None:
    """The doubt is an entry of its own that names its cause; then a probe or the same key, and one change."""
    judged = played[cause, tool]
    assert judged.broken == []
    assert judged.changes == 1
    _, log = log_of(judged.ran)
    kinds = [kind for kind, _ in log]
    causes = [body["cause"] for kind, body in log if kind == "unknown"]
    assert causes, kinds
    assert causes[0].startswith(CAUSES[cause].cause), causes
    after = kinds[kinds.index("unknown") + 1 :]
    assert {"committed", "failed"} & set(after)
    ended = next(body for kind, body in log[kinds.index("unknown") :] if kind in ("committed", "failed"))
    assert (
        ended["basis"] == "probe"
        or "acknowledged" in ended["basis"]
        or "refuses token" in ended["basis"]
        or ("proved dead" in ended["basis"])
    )


@pytest.mark.req("1.2d", mutant=None, reason="real processes; fresh-key is planted in test_judge.py")
def test_the_key_travels_with_every_attempt(played: dict[tuple[str, str], Judged]) -> None:
    """After a kill a keyed tool is sent again under the recorded key; the outside's books hold that very key."""
    judged = played["the worker dies after sending", "refund_keyed"]
    [effect], _ = log_of(judged.ran)
    assert len(effect.attempts) == 2
    assert effect.attempts[1].resend
    assert effect.attempts[0].token < effect.attempts[1].token


@pytest.mark.req("W1", "1.1d", mutant="unknown-as-failed")
def test_a_tool_that_times_out_after_doing_the_work_is_found_by_lookup(played: dict[tuple[str, str], Judged]) -> None:
    """The money left, the reply did not come: one change outside, and the record says that a lookup found it."""
    judged = played["the tool works on while its time limit passes", "refund_probed"]
    [effect], log = log_of(judged.ran)
    assert judged.changes == 1
    assert len(effect.attempts) == 1
    assert [body["basis"] for kind, body in log if kind == "committed"] == ["probe"]
    assert effect.state.value == "verified"
    assert [told.outcome for told in judged.ran.told()] == ["Verified"]
