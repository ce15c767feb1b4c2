"""Exploring as people use it: contracts in, plain data or a page out."""

from __future__ import annotations

import json

import pytest

from holdfast.cli.main import run
from holdfast.harness.explore import library
from holdfast.harness.explore.bounded import play
from holdfast.harness.explore.scenario import Protections
from holdfast.kernel.errors import BadValue
from holdfast.kernel.model import Contract, EffectClass
from holdfast.report.explore import explore_page
from tests.harness.mutants import planted

OWN = Contract(
    name="refund", effect=EffectClass.IRREVERSIBLE, resource="order:{id}", keyed_ms=86_400_000, has_verify=True
)


def test_a_contract_of_ones_own_is_explored_with_its_protections() -> None:
    """The virtual tool promises what the contract does: a key, a verification, and nothing else."""
    data = library.bounded([OWN], crashes=1, faults=0)
    (row,) = data["runs"]
    assert row["scenario"] == "refund/allow"
    assert (data["findings"], row["executed"] > 20) == (0, True)
    virtual = Protections.of(OWN).contract
    assert (virtual.keyed_ms is not None, virtual.has_verify, virtual.has_probe, virtual.fenced) == (
        True,
        True,
        False,
        False,
    )
    json.dumps(data)


@pytest.mark.req("3.5c", mutant="not-found-is-final")
def test_a_violation_is_told_at_once_and_can_be_pasted() -> None:
    """With a defect planted it is heard of when it is found, shrunk; the case executed as it stands breaks the law."""
    told = []
    with planted("not-found-is-final"):
        data = library.bounded(["bare", "probed"], crashes=0, faults=1, told=told.append)
        found = next(found for row in told for found in row["findings"])
        assert found["executions"] <= 200
        code = (
            "from holdfast.harness.explore.bounded import play\nfrom holdfast.harness.explore.scenario import *\n"
            "from holdfast.kernel.amounts import Budget\n" + found["case"]
        )
        exec(compile(code, "case", "exec"), {"play": play})
    assert data["findings"] >= 1
    page = explore_page(data)
    assert page.exit_code == 1
    assert "scenario = " in page.text()
    assert library.bounded(["probed"], crashes=0, faults=1)["findings"] == 0


def test_a_closed_exploration_that_was_stopped_says_so_and_nothing_else() -> None:
    """Not closed is a page of its own: exit code 3, and neither rest nor audit is claimed."""
    page = explore_page(library.closed(["bare"], workers=1, limit=200))
    assert page.exit_code == 3
    assert "not closed" in page.text()
    assert "reachable from every state" not in page.text()


@pytest.mark.parametrize(("tools", "more"), [([], {}), (["nothing"], {}), (["bare"], {"effects": 0})])
def test_what_makes_no_sense_is_refused(tools, more) -> None:
    """No tool, an unknown one, no effect: refused before anything is explored."""
    with pytest.raises(BadValue):
        library.bounded(tools, **more)


def test_the_command_answers_with_data(capsys) -> None:
    """Holdfast explore over a virtual tool: exit code 0, and the counts in one document."""
    assert run(["explore", "--tool", "bare", "--crashes", "1", "--faults", "0", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["data"]["mode"] == "bounded"
    assert told["counts"]["findings"] == 0
    assert told["counts"]["executed"] > 20
