"""The benchmark's own judgement: what was not measured is not met, and a part is only what remains of the whole."""

import argparse
import io
import json
from contextlib import contextmanager

import pytest
from rich.console import Console

import bench.__main__ as bench_main
from bench import hands, outsides, planning, recording, rounds, startup
from bench.goals import judged
from bench.rounds import Figure
from bench.workload import measure

RESTART = {"decided_ms": 12.3, "records": 100_000}
STORAGE = {"bytes": 900_000}
EXPLORER = {"executed_per_second": 25_000.0}


def figure(who, runs, per_second, **more):
    """One contestant at one level."""
    values = {"way": "", "cpu_us": 100.0, "p50_ms": 1.0, "p99_ms": 5.0, "rounds": (per_second,), "more": {}} | more
    return Figure(who=who, runs=runs, per_second=per_second, **values)


def by_id(figures, explorer=EXPLORER):
    """The goals by their id."""
    return {goal["id"]: goal for goal in judged(figures, RESTART, STORAGE, explorer)}


def test_a_ratio_is_met_exactly_where_it_is_reached():
    """At 1.3 times the peer's rate the goal is met, and just below it is not."""
    peer = figure("LangGraph", 1, 1000.0)
    assert by_id([figure("call", 1, 1300.0), peer])["langgraph-1"]["met"]
    assert not by_id([figure("call", 1, 1299.0), peer])["langgraph-1"]["met"]


def test_a_peer_that_was_not_run_meets_no_goal():
    """Without the peer's figure there is no ratio, and the goal says so instead of passing."""
    goal = by_id([figure("call", 1, 1300.0)])["dbos-1"]
    assert goal["measured"] == "not run"
    assert not goal["met"]


def test_an_explorer_that_could_not_be_run_is_named_in_its_goal():
    """The reason stands where the figure would, and the goal is not met."""
    goal = by_id([], {"reason": "no scenario"})["explorer"]
    assert (goal["measured"], goal["met"]) == ("no scenario", False)


def test_a_peer_that_is_not_installed_is_named_with_the_way_to_install_it(monkeypatch):
    """A missing peer is a line in the table, with what to type."""
    monkeypatch.setitem(rounds.PEERS, "Nobody", ("no_such_engine.at_all", "bench.peers.nobody", ("plain",)))
    assert "pip install 'holdfast[bench]'" in rounds.missing("Nobody")


@pytest.mark.parametrize("drive", [False, True])
async def test_parts_add_up_to_the_whole(tmp_path, monkeypatch, drive):
    """The parts of an effect, the rest included, are the CPU of the process and nothing is counted twice."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "before"))
    result = await measure(tmp_path, runs=2, each=20, drive=drive, parts=True)
    assert result.effects == 40
    assert min(result.parts_us[part] for part in ("policy", "encode", "hash", "plan", "sql")) > 0
    # The clocks' own cost is taken off, so the parts come to less than the whole, and never to more.
    assert sum(result.parts_us.values()) <= result.cpu_us


async def test_statements_are_counted_for_every_effect(tmp_path, monkeypatch):
    """A pass that counts finds the statements of an effect, and a timed pass none."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "before"))
    counted = await measure(tmp_path / "counted", runs=1, each=10, count=True)
    timed = await measure(tmp_path / "timed", runs=1, each=10)
    assert counted.statements > 20
    assert timed.statements == 0


# ---- planners, outsides, start-up ----------------------------------------------------------------


@pytest.fixture
def state(tmp_path, monkeypatch):
    """A folder for heads; what a measurement writes into the environment is taken back."""
    for name in ("HOLDFAST_STATE_DIR", "FILES_ROOT", "CATALOGUE_URL"):
        monkeypatch.setenv(name, str(tmp_path / "before"))
    return tmp_path


def asked(**more):
    """Arguments as the command line gives them."""
    return argparse.Namespace(folder=None, **more)


def test_a_part_measured_alone_leaves_the_others_as_they_were(tmp_path, monkeypatch):
    """With --only the file keeps counts, goals and settings of an earlier sitting and gains the part with its own."""
    old = {"name": "bench", "settings": {"rounds": 5}, "counts": {"rates": [1]}, "goals": [{"id": "g"}]}
    (tmp_path / "bench.json").write_text(json.dumps(old))
    monkeypatch.setattr(bench_main, "BUILD", tmp_path)
    row = {"processes": 1, "min_ms": 1.0, "median_ms": 1.0, "worst_ms": 1.0, "cpu_ms": 1.0}
    monkeypatch.setattr(hands, "measure_startup", lambda _arguments, _say: {"holdfast --help": row})
    assert bench_main.main(["--only", "startup"]) == 0
    new = json.loads((tmp_path / "bench.json").read_text())
    assert (new["counts"]["rates"], new["goals"], new["settings"]["rounds"]) == ([1], [{"id": "g"}], 5)
    assert new["counts"]["startup"] == {"holdfast --help": row}
    assert "load_average" in new["settings"]["sittings"]["startup"]


def test_a_file_that_cannot_be_read_is_begun_anew(tmp_path):
    """Half a document is no reason not to measure, and nothing of it is kept."""
    (tmp_path / "bench.json").write_text('{"settings": {')
    assert bench_main.earlier(tmp_path / "bench.json")["counts"] == {}


def test_an_outside_without_its_part_is_not_run_and_one_that_fails_is_named(monkeypatch):
    """What is not installed says what to type and is no failure; what broke is named with its last words."""
    nowhere = outsides.OUTSIDES["files"]._replace(modules=("no_such_module.at_all",))
    monkeypatch.setattr(outsides, "OUTSIDES", {"gone": nowhere, "broken": outsides.OUTSIDES["files"]})
    # The measuring process knows no outside of the name "broken", and ends with an error.
    counts = hands.measure_outsides(asked(), lambda _line: None)
    assert "pip install 'holdfast[test]'" in counts["gone"]["not_run"]
    assert hands.unmeasured(counts) == ["broken: KeyError: 'broken'"]
    console = Console(width=132, file=io.StringIO(), record=True)
    hands.show_outsides(console, counts)
    said = "gone: not run: no_such_module.at_all is not installed: pip install 'holdfast[test]'"
    assert said in console.export_text()


def test_a_program_that_is_not_there_is_named(monkeypatch):
    """An outside that needs git says so where there is none."""
    monkeypatch.setenv("PATH", "")
    assert outsides.missing("repository") == "git is not on PATH"


@pytest.mark.parametrize("name", ["(no outside)", "files", "database, SQLite"])
async def test_effects_through_an_outside_are_counted_in_its_books(name, state):
    """A few effects end verified, and the outside holds as many changes as were claimed."""
    got = await outsides.measure(name, state, 2)
    assert got["effects"] == 2
    assert 0 < got["p50_ms"] <= got["worst_ms"]


async def test_books_that_hold_another_number_stop_the_measurement(state, monkeypatch):
    """A rate of effects that the outside does not have is not given."""
    files = outsides.OUTSIDES["files"]

    @contextmanager
    def lying(folder):
        with files.stage(folder) as staged:
            yield staged._replace(changes=lambda: staged.changes() - 1)

    monkeypatch.setitem(outsides.OUTSIDES, "files", files._replace(stage=lying))
    with pytest.raises(RuntimeError) as error:
        await outsides.measure("files", state, 2)
    assert f"{outsides.WARM + 2} effects are verified and the books of files hold" in str(error.value)


async def test_overhead_of_planning_is_what_a_drive_takes_more(state):
    """The difference is between a scripted drive and the same calls without a planner."""
    got = await planning.steps(state, each=3, rounds=1)
    assert got["overhead"]["cpu_us"] == pytest.approx(got["driven"]["cpu_us"] - got["ahead"]["cpu_us"])
    assert got["against_called"]["wall_us"] == pytest.approx(got["driven"]["wall_us"] - got["called"]["wall_us"])


@pytest.mark.slow
async def test_the_servers_own_time_is_taken_off_a_models_step(state):
    """Every question of every drive is answered by the server, and its own time is part of the step."""
    got = await planning.model(state, each=2, rounds=1)
    for way in ("whole", "streamed"):
        step, without = got[way]["step"]["wall_us"], got[way]["without_server"]["wall_us"]
        assert 0 < got[way]["server_us"] < step
        assert without == pytest.approx(step - got[way]["server_us"])


async def test_the_view_that_is_timed_holds_every_item_and_outcome(state):
    """Nothing is left out of what is built: a view without its items would be quick."""
    built = []
    honest = planning.build

    def kept(*given):
        built.append(honest(*given))
        return built[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(planning, "build", kept)
        got = await planning.view(state, items=12, told=3, builds=2)
    assert [len(view.items) for view in built] == [12] * 6
    assert (got["nothing_told"]["told"], got["with_told"]["told"]) == (0, 3)
    assert all(item.content.startswith(str(n)) for n, item in enumerate(built[0].items))


async def test_an_answer_is_in_the_store_with_all_that_it_says(state):
    """Twenty thousand characters take at least as many bytes, and a small answer takes few."""
    got = await recording.recording(state, count=20, rounds=1)
    assert got["20 kB"]["bytes"] > recording.LARGE_CHARS
    assert 0 < got["small"]["bytes"] < 5_000


def test_start_up_is_of_commands_that_did_their_work(tmp_path, monkeypatch):
    """Each command is timed, and one that ends badly stops the measurement."""
    got = startup.startup(processes=1, folder=str(tmp_path))
    assert {name: figures["processes"] for name, figures in got.items()} == dict.fromkeys(startup.commands(), 1)
    monkeypatch.setattr(startup, "commands", lambda: {"holdfast nonsense": [*startup.holdfast(), "nonsense"]})
    with pytest.raises(RuntimeError) as error:
        startup.startup(processes=1, folder=str(tmp_path))
    assert "ended with 2" in str(error.value)
