"""What changed between two versions of a contract, and whether it lets more happen."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import fields, replace

from holdfast.kernel import canon
from holdfast.kernel.model import Bound, Contract, Cost, EffectClass, Yields
from holdfast.tools import hosts, inside
from holdfast.tools.contract import complete, text_of, version_of
from holdfast.tools.difference import MAY_WIDEN, NARROWS, NEUTRAL, WIDENS, Difference, differences, said

SCHEMA = {
    "type": "object",
    "properties": {"path": {"type": "string", "maxLength": 20}, "rows": {"type": "array"}, "n": {"enum": [1, 2]}},
    "required": ["path", "rows"],
}
PLAIN = Contract(
    name="act", effect=EffectClass.IRREVERSIBLE, resource="file:{path}", schema=SCHEMA, identity=("path",),
    owner="somebody", no_probe="none", description="Act.", keyed_ms=3_600_000, resends=1, only_from_trusted=("path",),
    side_effects=("index.json",), bounds={"path": inside("/srv/repo")},
)  # fmt: skip

GROWN: dict[str, Any] = {
    "name": "act2", "effect": EffectClass.IDEMPOTENT, "resource": "files", "description": "Act. Hotfixes need no yes.",
    "schema": {**SCHEMA, "required": ["path"]}, "identity": ("path", "n"), "volatile": ("rows",),
    "only_from_trusted": (), "owner": "another", "acts_with": "root", "enforced_at": "nowhere",
    "side_effects": ("index.json", "*"), "bounds": {}, "yields": Yields(), "work": "slow", "splits": "rows",
    "instead": "other", "not_done": "half", "reserve_ms": 1, "keyed_ms": None, "fenced": True, "conditional": True,
    "enforces_send_by": True, "has_probe": True, "has_state": True, "has_verify": True, "has_list": True,
    "has_undo": True, "has_preview": True, "no_probe": "other", "did_not_happen": ("E",), "shared": True,
    "independent": True, "cost": Cost(argument="n", currency="EUR"), "timeout_ms": 1, "lands_within_ms": 1,
    "visible_within_ms": 1, "skew_ms": 1, "attempts": 9, "resends": 0, "probes": 9, "verifies": 9, "retry_after_ms": 9,
    "answer_within_ms": 9,
}  # fmt: skip


def told(before: Contract, after: Contract) -> tuple[Difference, ...]:
    return differences(canon.decode(text_of(before)), canon.decode(text_of(after)))


def weights(**changes: Any) -> dict[str, str]:
    return {one.field: one.weight for one in told(PLAIN, replace(PLAIN, **changes))}


def arguments(**nodes: Any) -> dict[str, str]:
    return weights(schema={**SCHEMA, "properties": {**SCHEMA["properties"], **nodes}})


@pytest.mark.req("2.2c", mutant="description-is-no-change")
@pytest.mark.parametrize("field", [f.name for f in fields(Contract) if f.name != "version"])
def test_no_field_of_a_contract_changes_without_another_version(field: str) -> None:
    """Every field there is counts, each alone; a field that is new to the record is asked for here."""
    assert version_of(replace(PLAIN, **{field: GROWN[field]})) != version_of(PLAIN)


@pytest.mark.parametrize("field", [f.name for f in fields(Contract) if f.name != "version"])
def test_every_field_that_differs_is_named(field: str) -> None:
    """A reviewer is shown each difference; the schema and the bounds one argument at a time."""
    shown = {"schema": "required arguments", "bounds": "bounds of path"}.get(field, field)
    assert shown in weights(**{field: GROWN[field]})


def test_text_of_a_contract_writes_defaults_out_and_is_what_its_version_is_over() -> None:
    """Also those of a bound, so that a later default is another version."""
    whole = complete(PLAIN)
    assert canon.digest(text_of(whole).encode()) == whole.version
    assert canon.decode(text_of(whole))["bounds"]["path"] == {
        "folder": "/srv/repo", "hosts": [], "schemes": ["https"], "ports": [],
    }  # fmt: skip
    assert told(whole, whole) == ()


@pytest.mark.parametrize(
    ("node", "weight"),
    [
        ({"type": "string", "maxLength": 30}, WIDENS),
        ({"type": "string", "maxLength": 10}, NARROWS),
        ({"type": "string"}, WIDENS),
        ({"type": ["string", "null"], "maxLength": 20}, WIDENS),
        ({"type": "string", "maxLength": 20, "pattern": "a"}, NARROWS),
        ({"type": "string", "maxLength": 20, "description": "Also urls."}, MAY_WIDEN),
        ({"type": "string", "maxLength": 20, "minLength": 1}, NARROWS),
        ({"type": "string", "maxLength": 10, "default": "x"}, MAY_WIDEN),
    ],
)
def test_argument_that_takes_more_is_told_apart_from_one_that_takes_less(node: Any, weight: str) -> None:
    """Only a change whose direction is plain is called narrower."""
    assert arguments(path=node) == {"argument path": weight}


def test_new_and_lost_arguments_and_lists_of_values_are_weighed() -> None:
    """A new argument widens, a lost one narrows, and so do listed values."""
    assert arguments(note={"type": "string"}) == {"argument note": WIDENS}
    assert arguments(n={"enum": [1, 2, 3]}) == {"argument n": WIDENS}
    assert arguments(n={"enum": [1]}) == {"argument n": NARROWS}
    fewer = {"properties": {"path": SCHEMA["properties"]["path"]}, "required": ["path"], "type": "object"}
    assert weights(schema=fewer) == {
        "argument rows": NARROWS, "argument n": NARROWS, "required arguments": WIDENS,
    }  # fmt: skip
    assert weights(schema={**SCHEMA, "$defs": {}}) == {"schema $defs": MAY_WIDEN}


def test_a_milder_class_a_dropped_protection_and_a_longer_arm_widen() -> None:
    """Milder is judged by milder rules, so it widens as much as a worse one."""
    assert weights(effect=EffectClass.READ) == {"effect": WIDENS}
    assert told(replace(PLAIN, has_probe=True), PLAIN)[0].weight == WIDENS
    assert weights(keyed_ms=None) == {"keyed_ms": WIDENS}
    assert weights(keyed_ms=7_200_000) == {"keyed_ms": NARROWS}
    assert weights(only_from_trusted=()) == {"only_from_trusted": WIDENS}
    assert weights(side_effects=("index.json", "x")) == {"side_effects": WIDENS}
    assert weights(side_effects=()) == {"side_effects": NARROWS}
    assert weights(resends=5) == {"resends": WIDENS}
    assert weights(description="Other.") == {"description": MAY_WIDEN}
    assert weights(owner="another") == {"owner": NEUTRAL}


@pytest.mark.parametrize(
    ("before", "after", "weight"),
    [
        (inside("/srv/repo"), inside("/srv"), MAY_WIDEN),
        (inside("/srv/repo"), inside("/srv/repo/sub"), NARROWS),
        (inside("/srv/repo"), inside("/srv/repository"), MAY_WIDEN),
        (inside("/srv/repo"), hosts("a.com"), WIDENS),
        (hosts("a.com"), hosts("a.com", "b.com"), WIDENS),
        (hosts("a.com", "b.com"), hosts("a.com"), NARROWS),
        (hosts("a.com"), hosts("a.com", schemes=("https", "http")), WIDENS),
        (hosts("a.com", schemes=("http",)), hosts("a.com"), WIDENS),
        (hosts("a.com"), hosts("a.com", ports=(443, 8443)), MAY_WIDEN),
        (hosts("a.com", ports=(443, 8443)), hosts("a.com", ports=(443,)), NARROWS),
    ],
)
def test_bounds_that_reach_further_are_told_apart(before: Bound, after: Bound, weight: str) -> None:
    """Hosts, schemes, ports and folders, each in its own direction."""
    old, new = replace(PLAIN, bounds={"path": before}), replace(PLAIN, bounds={"path": after})
    assert told(old, new) == (Difference("bounds of path", *(_data(b) for b in (before, after)), weight),)


def _data(bound: Bound) -> dict[str, Any]:
    return {"folder": bound.folder, "hosts": [*bound.hosts], "schemes": [*bound.schemes], "ports": [*bound.ports]}


def test_sentence_names_what_widens_first() -> None:
    """Whoever reads only the beginning reads what matters."""
    found = told(PLAIN, replace(PLAIN, owner="another", side_effects=("index.json", "x"), description="B."))
    assert said(found) == "side_effects (widens), description (may widen), owner"
