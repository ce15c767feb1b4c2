"""Cases in TOML: what a file makes, and what is said of one that means nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.harness.case.case import EXPECTATIONS, Allow
from holdfast.harness.case.load import load, loads
from holdfast.harness.case.parts import KINDS as WORLDS
from holdfast.harness.case.schema import keys_of, schema
from holdfast.harness.faults.fault import KINDS
from holdfast.harness.planners import NINE
from holdfast.harness.play.play import play
from holdfast.kernel.errors import BadConfig
from holdfast.kernel.model import Principal

HERE = "tests.unit.harness.case.refunds"
TEXT = f'''
tools = "{HERE}:tools"
policy = """
@id("all")
permit(principal, action, resource);
"""

[world.tables.invoices]
in_1 = {{ cents = 1200, refunded = 0 }}
in_2 = {{ cents = 70, refunded = 0 }}

[intent]
goal = "refund invoice in_1"
principal = "agent"

[planner]
script = [ {{ tool = "refund", args = {{ invoice = "in_1", cents = 1200 }} }} ]
says = "Refunded in_1."

[[allowed]]
place = "invoices/in_1/refunded"
to = 1200

[[case]]
name = "a refund"

[[case]]
name = "a refund whose reply is lost"
expect = "unknown-reported"
faults = [ {{ kind = "lost reply", tool = "refund" }} ]
people = [ {{ name = "ada", says = "yes", after = "5m" }} ]
'''


def refused(text: str, file: str = "x.case.toml") -> str:
    """What is said of a file that is not accepted."""
    with pytest.raises(BadConfig) as raised:
        loads(text, file=file)
    return raised.value.message


def test_a_file_makes_cases_that_can_be_played():
    """Two cases over what they share: each is played and judged as its own."""
    one, other = loads(TEXT)
    assert (one.name, one.intent.purpose, one.allowed) == (
        "a refund",
        "a refund",
        (Allow(place="invoices/in_1/refunded", to=1200),),
    )
    assert play(one).verdict.word == "pass"
    assert other.people[0].after_ms == 300_000
    played = play(other)
    assert (played.ended, played.verdict.word) == ("unknown-reported", "pass")


def test_a_play_leaves_nothing_in_its_case():
    """A world from a file is made anew for each play: what one play changed, the next does not see."""
    one = loads(TEXT)[0]
    assert dict(play(one).before) == dict(play(one).before)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("goal", "gaol", "intent.gaol: line 13: there is no such key. Did you mean goal?"),
        ('"lost reply"', '"lost replies"', "faults[1].kind: line 30: it is one of lost request"),
        ('[ { tool = "refund"', '[ { tol = "refund"', "script[1].tol: line 17: there is no such key. Did you mean"),
        (":tools", ":tolls", "tools: tests.unit.harness.case.refunds has no tolls. Did you mean tools?"),
        (f"{HERE}:tools", "tools", 'tools: line 2: "tools" does not fit'),
        (f"{HERE}:tools", "nowhere.py:tools", "tools: there is no file"),
        (f"{HERE}:tools", "no_such_module:tools", "no_such_module cannot be imported"),
        (":tools", ":FREE", "is a str, and no function"),
        ("to = 1200", "too = 1200", "allowed[1].too: line 22: there is no such key. Did you mean to?"),
        ('"5m"', '"5 min"', 'people["ada"].after: line 31: "5 min" does not fit: How long they take. Did you'),
        ('name = "a refund"', 'nme = "a refund"', "case[1].nme: line 25: there is no such key. Did you mean name?"),
        ("cents = 1200, refunded", "cents = , refunded", "the file: it is not TOML"),
        ('says = "Refunded in_1."', 'strategy = "repeating"', "planner: line 16: exactly one of script"),
        ('"unknown-reported"', '"unknown"', "it is one of done, refused, unknown-reported, blocked, not 'unknown'"),
        ("a refund whose reply is lost", "a refund", "another case of this file has this name"),
        ("script = [ { tool", "strategy = 'repeating'  #", "planner.says"),
        ("[intent]\n", "[intent]\ndeadline = -1\n", "intent.deadline: line 13: -1 does not fit"),
        ("[[allowed]]", '[world]\nmake = "a:b"\n[[allowed]]', "world.tables: a world that a function makes"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_means_nothing_is_refused_with_the_nearest(old, new, said):
    """A wrong key, word, value or name is told with the key, its line where it can be told, and what is near."""
    assert said in refused(TEXT.replace(old, new))


def test_what_is_missing_is_told():
    """A case without a planner, tools or an intent is refused, wherever they could have stood."""
    assert "intent: it is missing: What is wanted, by whom" in refused('name = "a"')
    shared = TEXT.replace(f'tools = "{HERE}:tools"', "")
    assert 'case["a refund"].tools: it is missing, here and at the top of the file' in refused(shared)


def test_every_part_can_stand_in_a_file(tmp_path):
    """World, acts, limits, people, planners, oracle, bad plan, errand and spans all come out as they were written."""
    (tmp_path / "own.py").write_text("def act(world): ...\ndef plan(world): ...\n", encoding="utf-8")
    text = f"""
name = "everything"
tools = "{HERE}:tools"
environment = "staging"
expect = "blocked"
seed = 7
twin = "other"
owner = "billing"
tags = ["money"]
sources = ["billing", "chat"]
forbidden = ["users/**"]
max_steps = 9
kept_for = "2d"
moved = {{ by = "bob", changes = [["merge", "invoices/in_1", {{ refunded = 5 }}]] }}
limits = {{ work = {{ "*" = {{ most = 2 }} }} }}
policy = '''
@id("all")
permit(principal, action, resource);
'''

[world]
kind = "sqlite"
tables = '{{"invoices": {{"in_1": {{"cents": 5, "note": "a"}}}}}}'
hidden = {{ truth = 1 }}
files = {{ "a.txt" = "x" }}
services = {{ billing = ["invoices", "files"] }}
permits = {{ agent = ["billing"] }}

[[world.acts]]
by = "bob"
at = "1h"
does = "own.py:act"

[[world.acts]]
by = "eve"
after_change = 1
changes = [["remove", "invoices/in_1"]]

[intent]
goal = "g"
purpose = "p"
deadline = "15m"
scope = ["invoices"]
done = ["refunded"]
budget = {{ effects = 3, cost = {{ minor = 500, currency = "EUR" }} }}

[planner]
strategy = "repeating"

[oracle]
make = "own.py:plan"

[bad]
script = [ [ {{ tool = "refund", args = '{{"invoice": null}}', cites = ["it_1"], risk = "high" }} ] ]

[errand]
calls = [ {{ tool = "refund" }} ]
tempting = [ {{ tool = "delete" }} ]
elsewhere = {{ staging = "prod" }}
wording = ["note"]

[[people]]
says = "own.py:act"
groups = ["finance"]

[[faults]]
kind = "clock forward"
by = "1h"
nth = 2
"""
    (tmp_path / "all.case.toml").write_text(text, encoding="utf-8")
    (one,) = load(tmp_path / "all.case.toml")
    assert (one.seed, one.max_steps, one.kept_for_ms, one.environment) == (7, 9, 2 * 86_400_000, "staging")
    assert (one.intent.budget.effects, one.intent.budget.cost.minor, one.intent.deadline) == (3, 500, "15m")
    assert one.limits.work["*"].most == 2
    assert (one.faults[0].kind, one.faults[0].by_ms, one.faults[0].nth) == ("clock forward", 3_600_000, 2)
    assert one.planner.errand.tempting[0].tool == "delete"
    assert one.bad.turns[0][0].args == {"invoice": None}
    world = one.world(one.seed)
    try:
        assert (world.kind, world.seed, dict(world.hidden)) == ("sqlite", 7, {"truth": 1})
        assert world.state()["invoices/in_1"] == {"cents": 5, "note": "a"}
        assert [(act.by, act.at_ms, act.after_change) for act in world.acts] == [
            ("bob", 3_600_000, None),
            ("eve", None, 1),
        ]
        one.moved(world)
        assert [entry.by for entry in world.log()] == ["bob", "eve"]  # eve acts right after the first change
        assert "invoices/in_1" not in world.state()
    finally:
        world.close()


def test_a_recorded_planner_answers_from_a_kept_play(tmp_path):
    """A play that was kept as JSON plans a case anew; a file that holds none is refused."""
    from holdfast.harness.play.bundle import bundle, encoded

    (tmp_path / "kept.json").write_bytes(encoded(bundle(play(loads(TEXT)[0]))))
    script = TEXT[TEXT.index("script =") : TEXT.index("[[allowed]]")]
    text = TEXT.replace(script, 'recorded = "kept.json"\n\n')
    one = loads(text, home=tmp_path)[0]
    assert play(one).verdict.word == "pass"
    (tmp_path / "kept.json").write_text("{}", encoding="utf-8")
    with pytest.raises(BadConfig, match="holds no play"):
        loads(text, home=tmp_path)


def test_two_files_of_one_name_are_two_modules(tmp_path):
    """A module named by its path is the one beside the case, also where another folder has one of that name."""
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        source = f"def tools(world):\n    raise LookupError({folder!r})\n"
        (tmp_path / folder / "own.py").write_text(source, encoding="utf-8")
        text = TEXT.replace(f"{HERE}:tools", "own.py:tools")
        one = loads(text, home=tmp_path / folder)[0]
        with pytest.raises(LookupError, match=folder):
            one.tools(None)


def test_the_schema_names_what_the_code_knows():
    """Kinds of faults, planners, ends and worlds in the schema are those that there are; every key is explained."""
    parts = schema()["$defs"]
    assert parts["fault"]["properties"]["kind"]["enum"] == list(KINDS)
    assert parts["planner"]["properties"]["strategy"]["enum"] == list(NINE)
    assert parts["case"]["properties"]["expect"]["enum"] == list(EXPECTATIONS)
    assert parts["world"]["properties"]["kind"]["enum"] == list(WORLDS)
    for name in ("case", "world", "act", "intent", "planner", "errand", "call", "person", "fault", "allow"):
        assert all(says for _, says in keys_of(name)), name


def test_a_principal_is_a_name():
    """Who the run acts for is written as a name, and is agent where nothing is said."""
    assert loads(TEXT)[0].intent.principal == "agent"
    assert not isinstance(loads(TEXT.replace('principal = "agent"', ""))[0].intent.principal, Principal)


def test_the_file_of_the_module_docstring_loads():
    """The example in the module's own docstring is a case."""
    from holdfast.harness.case import load as module

    example = module.__doc__.split("shared.\n\n" if "shared.\n\n" in module.__doc__ else "share.\n\n")[1]
    text = "\n".join(line.removeprefix("    ") for line in example.split("\n\nDecides")[0].splitlines())
    (one,) = loads(text.replace("tools.py:billing", f"{HERE}:tools"), home=Path.cwd())
    assert one.allowed[0].to == 1200
