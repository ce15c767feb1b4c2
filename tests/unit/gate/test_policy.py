"""Reading a policy: what is refused and where, what a rule carries, what the digest names."""

# ruff: noqa: E501  # Rules are quoted on one line, as they are written.

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.gate import PolicySet
from holdfast.kernel.errors import BadPolicy
from tests.unit.gate.contracts import CONTRACTS, LOOK, REFUND, MadeContract, decide, question

PERMIT = 'permit (principal, action == Action::"refund", resource)'


def refused(policy: str | Path, contracts: tuple[MadeContract, ...] = CONTRACTS) -> BadPolicy:
    """The error that a policy is refused with."""
    with pytest.raises(BadPolicy) as caught:
        PolicySet.load(policy, contracts)
    return caught.value


@pytest.mark.parametrize(
    ("rule", "line", "nearest"),
    [
        (f"{PERMIT}\nwhen {{ context.args.amout < 5 }};", 4, "amount"),
        (f'{PERMIT}\nwhen {{\n  context.environmnt == "prod"\n}};', 5, "environment"),
        (f'{PERMIT} when {{ principal.nmae == "x" }};', 3, "name"),
        (f'{PERMIT} when {{ resource.kin == "x" }};', 3, "kind"),
        ('permit (principal,\n  action == Action::"refnd", resource);', 4, "refund"),
        (f"{PERMIT} when {{ resource is Targt }};", 3, "Target"),
        (f"{PERMIT} when {{ context.args has amuont }};", 3, "amount"),
        (f"{PERMIT} when {{ context.args has customer.idd }};", 3, "id"),
        (f'{PERMIT}\nunless {{ context.effect_class == "irreversable" }};', 4, "irreversible"),
        (f'{PERMIT} when {{ ["reed"].contains(context.effect_class) }};', 3, "read"),
        (f'{PERMIT} when {{ "planer" == principal.kind }};', 3, "planner"),
        (f'{PERMIT} when {{ context.args has method && context.args.method == "crad" }};', 3, "card"),
        (f'@aprovers("finance")\n{PERMIT} when {{ context.approved }};', 3, "approvers"),
    ],
)
def test_misspelt_name_is_refused_with_file_line_and_nearest(
    tmp_path: Path, rule: str, line: int, nearest: str
) -> None:
    """A name or word that nothing can match is an error at its line, with the name that was meant."""
    file = tmp_path / "money.cedar"
    file.write_text(f'// about ; money "\n\n{rule}\n', encoding="utf-8")
    error = refused(file)
    assert (error.file, error.line, error.nearest) == ("money.cedar", line, nearest)


@pytest.mark.parametrize(
    ("rule", "line", "why"),
    [
        (f"{PERMIT} when {{\n 1 + }};", 2, "not Cedar"),
        (f"{PERMIT}\n{PERMIT};", 2, "semicolon"),
        (f'{PERMIT}\n// then\n  @id("b")\n{PERMIT};', 3, "semicolon"),
        (f"{PERMIT}\n", 1, "not Cedar"),
        (f"\n\n{PERMIT} when {{ context.args.amount < 1.5 }};", 3, "not Cedar"),
        ("permit (principal == ?principal, action, resource);", 1, "template"),
        (f'{PERMIT} when {{ context.args.note == "x" }};', 1, "optional"),
        (f'{PERMIT} when {{ context.args.amount == "x" }};', 1, "types"),
        (f'@id("a") {PERMIT};\n@id("a") {PERMIT};', 2, "is taken"),
        (f'@approvers("finance")\n{PERMIT};', 1, "never asks"),
        (f'@quorum("2")\n{PERMIT};', 1, "never asks"),
        (f'@quorum("0") {PERMIT} when {{ context.approved }};', 1, "number of people"),
        (f'@expires("5 minutes") {PERMIT} when {{ context.approved }};', 1, "duration"),
    ],
)
def test_unsound_rule_is_refused_with_line_and_reason(rule: str, line: int, why: str) -> None:
    """A rule that does not parse, type-check or make sense is refused with its line and the reason."""
    error = refused(rule + "\n")
    assert error.line == line
    assert why in error.why


@pytest.mark.req("2.8a", mutant="unsound-rule-loads")
def test_forbid_reading_missing_attribute_is_refused_not_skipped() -> None:
    """A forbid that reads an attribute that does not exist never loads, so it cannot be skipped."""
    permit_all = "permit (principal, action, resource);\n"
    error = refused(permit_all + 'forbid (principal, action == Action::"refund", resource)\n'
                    "when { context.args.amuont > 100 };")  # fmt: skip
    assert (error.line, error.nearest) == (3, "amount")


def test_attribute_of_one_tool_only_is_refused_where_the_rule_applies_to_all() -> None:
    """A rule for every tool may use an argument that only some have, once it asks `has`."""
    other = MadeContract(name="ping", effect="read", schema={"type": "object", "properties": {}})
    rule = "forbid (principal, action, resource) when {{ {} context.args.amount > 5 }};\n"
    assert "not found" in refused(rule.format(""), (REFUND, other)).why
    PolicySet.load(rule.format("context.args has amount &&"), (REFUND, other))


@pytest.mark.parametrize("given", ["", "no-such.cedar", "bad\0name"])
def test_policy_that_cannot_be_read_is_refused(given: str) -> None:
    """A path that leads nowhere is an error and never an empty policy."""
    assert refused(given).line == 0


def test_directory_without_policy_files_is_refused(tmp_path: Path) -> None:
    """An empty directory is more likely a mistake than a wish to refuse everything."""
    assert "no *.cedar file" in refused(tmp_path).why


def test_bytes_that_are_not_text_are_refused_with_their_line(tmp_path: Path) -> None:
    """A file that is not UTF-8 names the line of the first bad byte."""
    (tmp_path / "a.cedar").write_bytes(b"// one\n// \xff\n")
    assert refused(tmp_path).line == 2


def test_misspelt_file_name_gets_the_nearest(tmp_path: Path) -> None:
    """A wrong file name is answered with the file beside it."""
    (tmp_path / "money.cedar").write_text(PERMIT + ";", encoding="utf-8")
    assert refused(tmp_path / "mony.cedar").nearest == "money.cedar"


def test_directory_is_read_in_order_of_name_and_only_policy_files(tmp_path: Path) -> None:
    """All *.cedar files count, by name; a rule without @id is named by file and line."""
    (tmp_path / "b.cedar").write_text(f'@id("second") {PERMIT};', encoding="utf-8")
    (tmp_path / "a.cedar").write_text(f"\n{PERMIT};", encoding="utf-8")
    (tmp_path / "notes.txt").write_text("permit everything", encoding="utf-8")
    assert list(PolicySet.load(tmp_path, CONTRACTS).rules) == ["a.cedar:2", "second"]


def test_rule_carries_its_annotations() -> None:
    """What the author said about a rule arrives in it, with units."""
    text = f'@id("big") @reason("money leaves") @approvers("finance") @quorum("2") @expires("30m") @x_owner("me")\n{PERMIT}'
    rule = PolicySet.load(text + " when { context.approved };", CONTRACTS).rules["big"]
    assert (rule.reason, rule.approver_group, rule.quorum, rule.expires_ms) == (
        "money leaves",
        "finance",
        2,
        1_800_000,
    )
    assert rule.asks


def test_digest_moves_with_any_byte_name_or_schema(tmp_path: Path) -> None:
    """The digest names the bytes, the file names and the schema, not the folder or the order of contracts."""

    def digest(name: str, text: str, *contracts: MadeContract) -> str:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        (folder / name).write_text(text, encoding="utf-8")
        return PolicySet.load(folder, contracts).digest

    first = digest("a.cedar", PERMIT + ";", REFUND, LOOK)
    assert first == digest("a.cedar", PERMIT + ";", LOOK, REFUND)
    others = {
        digest("b.cedar", PERMIT + ";", REFUND, LOOK),
        digest("a.cedar", PERMIT + "; ", REFUND, LOOK),
        digest("a.cedar", PERMIT + ";", REFUND),
    }
    assert len(others | {first}) == 4


def test_digest_does_not_confuse_names_with_contents(tmp_path: Path) -> None:
    """Moving a byte between two files gives another digest: each part is hashed after its length."""
    digests = set()
    for parts in (("// ab\n", "// c\n"), ("// a\n", "// bc\n"), ("// ab\n// c\n", "\n")):
        for name, text in zip(("a.cedar", "b.cedar"), parts, strict=True):
            (tmp_path / name).write_text(text, encoding="utf-8")
        digests.add(PolicySet.load(tmp_path, CONTRACTS).digest)
    assert len(digests) == 3


def test_comment_only_policy_loads_and_refuses_everything() -> None:
    """No rule is a sound policy: it permits nothing."""
    assert decide("// nothing yet", question("look")).answer == "refuse"


def test_semicolons_in_strings_and_comments_do_not_cut_a_rule() -> None:
    """Rules are cut at their own semicolons only."""
    text = f'// a; "b\n{PERMIT} when {{ context.purpose == "x;y\\"//z" }}; // tail;\n@id("two") {PERMIT};'
    rules = PolicySet.load(text, CONTRACTS).rules.values()
    assert [(rule.id, rule.line) for rule in rules] == [("<text>:2", 2), ("two", 3)]


def test_starter_policy_loads_for_any_contracts_and_every_rule_says_why() -> None:
    """The shipped policy fits every set of contracts, and each of its rules has a name and a reason."""
    for contracts in ((), (LOOK,), CONTRACTS):
        rules = PolicySet.starter(contracts).rules.values()
        assert rules
        assert all(rule.reason and not rule.id.startswith("starter.cedar:") for rule in rules)
