"""Examples beside a policy: what they say, what differs, what is no call, and the rules that none of them exercises."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from holdfast.cli.main import run
from holdfast.gate import examples as examples_module
from holdfast.gate.examples import files_beside, read
from holdfast.kernel.errors import BadConfig

TOOLS = '''
import holdfast as hf

@hf.tool(effect="irreversible", resource="account:{account}", identity=("account", "amount"), keyed="24h", owner="x",
         no_probe="nobody can be asked", lands_within="1s")
def credit(fx: hf.Fx, *, account: str, amount: int, note: str = "") -> str:
    """Give a credit."""
    return account
'''
POLICY = """
@id("small") permit (principal, action, resource) when { context.args.amount <= 100 };
@id("asks") @approvers("finance") @quorum("2")
permit (principal, action, resource) when { context.args.amount > 100 && context.approved };
@id("grave") forbid (principal, action, resource) when { context has risk && context.risk == "high" };
@id("old") @until("2024-10-03") forbid (principal, action, resource) when { context.environment == "prod" };
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one tool and a policy."""
    name = f"tools_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{name}.py").write_text(TOOLS, encoding="utf-8")
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "main.cedar").write_text(POLICY, encoding="utf-8")
    config = f'store = "sqlite:h.db"\ntools = ["{name}.py:credit"]\npolicy = "policy"\nenvironment = "test"\n'
    (tmp_path / "holdfast.toml").write_text(config, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def example(text: str = "", **said: Any) -> str:
    """One example as TOML, of a small credit that passes unless told otherwise."""
    keys = {"name": "e", "tool": "credit", "args": {"account": "a", "amount": 1}, "expect": "allow"} | said
    return "[[example]]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in keys.items()) + text


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


def put(project: Path, *texts: str, file: str = "examples.toml") -> Path:
    """Write examples beside the policy."""
    path = project / "policy" / file
    path.write_text("\n".join(texts), encoding="utf-8")
    return path


def answered(capsys: pytest.CaptureFixture[str], *command: str) -> tuple[int, Any]:
    """What a command answers as JSON, with its exit code."""
    capsys.readouterr()
    code = run([*command, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_examples_that_hold_pass_and_rules_without_one_are_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every key of an example counts: who, where, when, at what risk; and what is expected beside the answer."""
    put(
        project,
        example(),
        example(name="asks", args={"account": "a", "amount": 500}, expect="ask", rules=["asks"], approvers="finance",
                quorum=2),
        example(name="risk", risk="high", expect="refuse", rules=["grave"]),
        example("on = 2024-10-03\n", name="last day", environment="prod", expect="refuse", rules=["old"]),
        example("on = 2024-10-04\n", name="day after", environment="prod", principal={"name": "b", "kind": "planner"}),
    )  # fmt: skip
    code, said = answered(capsys, "policy", "test")
    assert (code, [one["good"] for one in said["data"]["examples"]]) == (0, [True] * 5)
    assert said["data"]["unexercised"] == []
    put(project, example())
    code, said = answered(capsys, "policy", "test")
    assert (code, said["data"]["unexercised"]) == (0, ["asks", "grave", "old"])


@pytest.mark.req("2.8a", mutant="examples-always-pass")
@pytest.mark.parametrize(
    ("said", "differs"),
    [
        ({"expect": "refuse"}, "the answer is allow, not refuse"),
        ({"args": {"account": "a", "amount": 500}}, "the answer is ask, not allow"),
        ({"rules": ["asks"]}, "it was decided by small, not by asks"),
        ({"args": {"account": "a", "amount": 500}, "expect": "ask", "quorum": 1}, "2 must approve, not 1"),
        (
            {"args": {"account": "a", "amount": 500}, "expect": "ask", "approvers": "legal"},
            "finance is asked, not legal",
        ),
    ],
)
def test_example_that_differs_ends_with_one_and_says_how(
    project: Path, capsys: pytest.CaptureFixture[str], said: dict[str, Any], differs: str
) -> None:
    """The answer, the rules, whom it asks and how many of them are each compared."""
    put(project, example(**said))
    code, found = answered(capsys, "policy", "test")
    assert code == 1
    assert found["data"]["examples"][0]["differs"].startswith(differs)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"tool": "credti", "expect": "refuse"}, "credit"),
        ({"args": {"account": "a", "amuont": 1}, "expect": "refuse"}, "amount"),
        ({"args": {"account": "a"}, "expect": "refuse"}, "amount"),
        ({"rules": ["smal"]}, "did you mean small"),
    ],
)
def test_example_that_is_no_call_is_an_error_and_no_refusal(
    project: Path, capsys: pytest.CaptureFixture[str], said: dict[str, Any], why: str
) -> None:
    """A misspelt tool, argument or rule does not pass as *refuse*: the nearest name is said, and the exit code is 1."""
    put(project, example(**said))
    code, found = answered(capsys, "policy", "test")
    assert code == 1
    assert why in found["data"]["examples"][0]["error"]


@pytest.mark.parametrize(
    ("text", "why", "near"),
    [
        (example(expcet="allow"), "no such key", "expect"),
        (example(expect="alow"), "it is one of allow, ask, refuse", "allow"),
        (example(risk="hgih"), "it is one of low, medium, high", "high"),
        (example(quorum=2), "are of a call that is asked", None),
        (example(principal={"name": "a", "kind": "robot"}), "its kind is one of", None),
        (example(principal={"name": "a", "group": ["x"]}), "and no group", None),
        (example() + example(), "another example has this name", None),
        ('[[examples]]\nname = "x"\n', "holds [[example]] tables only", "example"),
        ("example = 3\n", "holds [[example]] tables only", "example"),
        ("[[example]\n", "cannot be read as TOML", None),
        ('[[example]]\nname = "x"\n', "tool", None),
        (example(args=[1]), "args", None),
    ],
)
def test_file_of_examples_that_means_nothing_is_refused(tmp_path: Path, text: str, why: str, near: str | None) -> None:
    """The file, the example and the key are named, and the nearest one that exists."""
    file = tmp_path / "examples.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadConfig) as caught:
        read(file)
    assert why in f"{caught.value.key} {caught.value.why}"
    assert caught.value.nearest == near


def test_examples_are_found_beside_a_file_and_in_a_directory(tmp_path: Path) -> None:
    """A directory's are all; a file has its own and the common ones; nothing is taken from another file's."""
    for name in ("a.cedar", "b.cedar", "a.examples.toml", "b.examples.toml", "examples.toml", "other.toml"):
        (tmp_path / name).write_text("", encoding="utf-8")
    assert [p.name for p in files_beside(tmp_path)] == ["a.examples.toml", "b.examples.toml", "examples.toml"]
    assert [p.name for p in files_beside(tmp_path / "a.cedar")] == ["a.examples.toml", "examples.toml"]
    assert files_beside(None) == []
    assert examples_module.ENDING == "examples.toml"


def test_explain_says_the_rules_their_conditions_and_what_would_be_allowed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The answer is the exit code; each rule is there with what holds of it and what does not."""
    code, said = answered(capsys, "policy", "explain", "credit", "--args", '{"account": "a", "amount": 500}')
    seen = {one["id"]: one for one in said["data"]["seen"]}
    assert (code, said["data"]["answer"], said["data"]["quorum"]) == (4, "ask", 2)
    assert seen["asks"]["decided"]
    assert seen["small"]["lacks"] == ["context.args.amount <= 100"]
    assert "it ended with 2024-10-03" in seen["old"]["absent"]
    at_risk = ("--args", '{"account": "a", "amount": 5}', "--risk", "high")
    code, said = answered(capsys, "policy", "explain", "credit", *at_risk)
    assert (code, said["data"]["rules"]) == (5, ["grave"])


def test_check_says_file_line_and_nearest_and_show_says_who_is_asked(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sound policy ends with 0 and its digest; an unknown name with 2, where it stands, and what exists."""
    code, said = answered(capsys, "policy", "check")
    assert (code, len(said["data"]["rules"])) == (0, 4)
    code, shown = answered(capsys, "policy", "show", "credit")
    asks = next(rule for rule in shown["data"]["tools"]["credit"] if rule["id"] == "asks")
    assert (asks["approvers"], asks["quorum"], asks["reads"]) == (
        "finance", 2, ["context.approved", "context.args.amount"],
    )  # fmt: skip
    assert shown["data"]["digest"] == said["data"]["digest"]
    (project / "policy" / "main.cedar").write_text(POLICY.replace("args.amount > 100", "args.amuont > 100"), "utf-8")
    code, said = answered(capsys, "policy", "check")
    assert code == 2
    fields = said["error"]["fields"]
    assert (fields["file"], fields["line"], fields["nearest"]) == ("main.cedar", 4, "amount")
