"""Defects of grants: narrowing that widens or is forgotten, a chain whose end alone counts, a gate that passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from holdfast import desk
from holdfast.effect import admit, settle
from holdfast.kernel import authority, grants
from holdfast.kernel import commit as commits
from holdfast.kernel.documents import Grant
from holdfast.runtime import grants as held
from holdfast.runtime import view
from holdfast.runtime.run import RunHandle

Put = Callable[[Any, str, Any], None]


def _uncovered_passes(put: Put) -> None:
    """No facet is compared with the call."""
    put(grants, "covers", lambda grant, facts: "")


def _leaf_only(put: Put) -> None:
    """Only the last grant of a chain is asked."""
    honest = grants.uncovered
    put(grants, "uncovered", lambda chain, facts: honest(chain[-1:], facts))


def _widens(put: Put) -> None:
    """A narrower grant gets what it asks for, whatever its parent holds."""

    def narrow(parent: Grant, **less: Any) -> Grant:
        return replace(parent, **({"asks": (), "quorum": 1, "group": ""} | less), parent=parent.id)

    put(grants, "narrow", narrow)
    put(grants, "within", lambda child, parent: True)


def _star_crosses(put: Put) -> None:
    """One star goes on over an encoded slash."""
    put(grants, "_in_one", lambda unit: unit in grants._KEPT or len(unit) == 3)


def _never_asks(put: Put) -> None:
    """What a grant asks for is not asked."""
    put(grants, "asked_by", lambda chain, tool: None)


def _forgotten(put: Put) -> None:
    """A proposal leaves out the grants of the narrowed handle it was made through."""
    honest = admit.first_record

    def first_record(secret: Any, contract: Any, proposal: Any, *rest: Any) -> dict[str, Any]:
        return honest(secret, contract, replace(proposal, grants=()), *rest)

    put(admit, "first_record", first_record)


def _child_forgets(put: Put) -> None:
    """What a body calls comes under the grants of the run alone."""
    honest = desk.Desk._child

    async def child(self: Any, request: Any, call: Any) -> Any:
        class Bare(RunHandle):
            def __init__(self, of: Any, run: Any, narrowed: tuple[str, ...] = ()) -> None:
                super().__init__(of, run)

        was, desk.RunHandle = desk.RunHandle, Bare  # type: ignore[misc]
        try:
            return await honest(self, request, call)
        finally:
            desk.RunHandle = was  # type: ignore[misc]

    put(desk.Desk, "_child", child)


def _generation_forgets(put: Put) -> None:
    """The next generation comes under the grants of the run alone."""
    honest = settle._next_generation

    def next_generation(*given: Any) -> Any:
        body = honest(*given)
        return {k: v for k, v in body.items() if k != "grants"} if body is not None else None

    put(settle, "_next_generation", next_generation)


def _sub_run_forgets(put: Put) -> None:
    """A run begun under another comes under nothing."""

    async def terms(self: Any, intent: Any, under: Any) -> Any:
        return (), None

    put(desk.Desk, "terms", terms)


def _ancestors_free(put: Put) -> None:
    """Only the last grant of a chain is debited."""
    honest = commits._account

    def account(view: Any, rows: Any, move: Any) -> None:
        honest(replace(view, grants=view.grants[-1:]), rows, move)

    put(commits, "_account", account)


def _not_raised(put: Put) -> None:
    """A revocation is written down and does not count."""
    honest = held.Fact
    put(held, "Fact", lambda **parts: honest(**(parts | {"raised": False, "scope": parts["scope"] + ":noted"})))


def _answer_forgets(put: Put) -> None:
    """A recorded answer may be carried out under whatever its next driver holds."""
    put(view.Turn, "wider_under", lambda self, grants: "")


def _stopped_unseen(put: Put) -> None:
    """The commit does not look at the run that gave a grant on."""
    put(authority, "_stopped", lambda run, rows: "")


PLANT: dict[str, Callable[[Put], None]] = {
    "grant-uncovered-passes": _uncovered_passes,
    "grant-leaf-only": _leaf_only,
    "narrowing-widens": _widens,
    "star-crosses-slashes": _star_crosses,
    "grant-never-asks": _never_asks,
    "narrowing-forgotten": _forgotten,
    "child-forgets-grants": _child_forgets,
    "generation-forgets-grants": _generation_forgets,
    "sub-run-forgets-grants": _sub_run_forgets,
    "stopped-above-unseen": _stopped_unseen,
    "answer-forgets-grants": _answer_forgets,
    "ancestors-not-debited": _ancestors_free,
    "revocation-not-raised": _not_raised,
}
