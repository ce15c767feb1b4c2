"""What is shown of drifts: nothing is complete while one is open, and the counts are those of the records."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli.main import run
from holdfast.store import open_store
from tests.unit.runtime.drift.catalogue import BRISK, PERMITS, Catalogue, at_work, inserted, the_drift

BY_HAND = BRISK._replace(repairs=False)


@pytest.fixture
def said(store: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command on the store of this test; its exit code and what it answered."""
    config = tmp_path / "holdfast.toml"
    lines = [f"store = {json.dumps(store)}", 'tools = ["examples.database.tools:TOOLS"]', 'policy = "policy.cedar"']
    config.write_text("\n".join(lines))
    monkeypatch.setattr(sys, "argv", ["holdfast"])

    def command(*words: str) -> tuple[int, Any]:
        code = run([*words, "--config", str(config), "--json"])
        answer = json.loads(capsys.readouterr().out)
        return code, answer if "data" in answer else {"data": answer}

    return command


@pytest.fixture
async def effect(store: str, catalogue: Catalogue, tmp_path: Path) -> str:
    """The effect of a drift that waits for a person."""
    policy = tmp_path / "policy.cedar"
    policy.write_text(PERMITS)
    async with at_work(store, policy=str(policy), pace=BY_HAND) as (app, reconciler):
        effect = await inserted(app, "cup")
        catalogue.lose("cup", books_too=True)
        await reconciler.round(everything=True)
        assert the_drift(app).state == "escalated"
    return effect


@pytest.mark.req("1.3c", mutant="drift-shown-complete")
def test_nothing_is_shown_complete_while_a_drift_of_it_is_open(effect: str, said: Any) -> None:
    """The effect was verified and its page does not answer 0; nor do its run's, and the store's."""
    code, page = said("effect", "show", effect)
    assert code == 4
    assert page["data"]["drifts"][0]["what"] == "missing"
    code, page = said("run", "show", page["data"]["drifts"][0]["of_run"])
    assert (code, page["data"]["drifts"][0]["effect"]) == (4, effect)
    code, page = said("status")
    assert (code, page["data"]["drift"]["open"]["missing"], page["data"]["drift"]["escalated"]) == (4, 1, 1)


def test_a_person_ends_a_drift_from_the_command_line(effect: str, said: Any, catalogue: Catalogue) -> None:
    """Listed and shown with what may be done; a repair without a reason is none; with one it is made, and ends it."""
    code, page = said("drift", "list")
    [drift] = page["data"]
    assert (code, drift["effect"], drift["state"], drift["owner"]) == (4, effect, "escalated", "catalogue-oncall")
    assert said("drift", "show", drift["id"][:9])[0] == 4
    assert said("drift", "repair", drift["id"], "--as", "ann", "--reason", " ")[0] == 2
    assert said("drift", "show", "dr_nobody")[0] == 2
    assert catalogue.products() == {}
    code, page = said("drift", "repair", drift["id"], "--as", "ann", "--reason", "the backup was too old")
    assert (code, page["data"]["state"], page["data"]["by"]) == (0, "repaired", "ann")
    assert catalogue.products() == {"cup": 500}
    assert said("drift", "repair", drift["id"], "--as", "ann", "--reason", "again")[0] == 5
    assert said("drift", "list")[0] == 0
    assert [d["state"] for d in said("drift", "list", "--all")[1]["data"]] == ["repaired"]
    assert said("drift", "list", "--what", "nonsense")[0] == 2
    assert said("effect", "show", effect)[0] == 0


def test_a_round_from_the_command_line_says_what_it_came_to(effect: str, said: Any, catalogue: Catalogue) -> None:
    """One round over everything; accepted, what it finds again is not live."""
    code, page = said("drift", "run", "--once", "--all")
    assert code == 4, page
    assert page["data"]["round"]["ran"]
    assert page["data"]["round"]["counts"]["drift"] == 1
    [drift] = page["data"]["live"]
    assert drift["effect"] == effect
    assert said("drift", "accept", drift["id"], "--as", "ann", "--reason", "cups are no longer sold")[0] == 0
    code, page = said("drift", "run", "--once", "--all")
    assert (code, page["data"]["live"]) == (0, [])
    assert catalogue.products() == {}


@pytest.mark.req("1.3d", mutant="drift-uncounted")
def test_metrics_count_drifts_and_the_time_to_a_read_that_held(effect: str, said: Any, store: str) -> None:
    """By class, the age of the oldest, how many wait for a person, and how long effects took to be confirmed."""
    _, page = said("status", "--metrics")
    found = {(s["name"], s["labels"].get("class", s["labels"].get("le", ""))): s["value"] for s in page["data"]}
    assert [found["holdfast_drift_open", what] for what in ("missing", "orphan", "lingering", "partial")] == [
        1,
        0,
        0,
        0,
    ]
    assert found["holdfast_drift_escalated", ""] == 1
    assert found["holdfast_drift_oldest_seconds", ""] > 0
    assert found["holdfast_confirmed_seconds_count", ""] == 1
    assert found["holdfast_confirmed_seconds_bucket", "+Inf"] == 1
    opened = open_store(store, read_only=True)
    try:
        view = opened.read_now(effect).effect
        admitted = next(entry.at_ms for entry in opened.entries(effect) if entry.kind == "admitted")
        assert view is not None
        took_ms = next(e.at_ms for e in opened.entries(effect) if e.kind == "verified") - admitted
        assert found["holdfast_confirmed_seconds_sum", ""] * 1_000 == pytest.approx(took_ms)
    finally:
        opened.close_now()
