"""Grants at the gate: a ruling of the policy, tightened by the grants that a call comes under.

Wraps another gate. What the chain does not cover is refused, saying what would be covered; where a grant asks, an allow
becomes an ask. Nothing is ever loosened: a refusal stays one, a group stays asked, a quorum only grows. A call under no
grant goes to the wrapped gate at once.

Does not judge budgets, expiry at the instant of sending, or revocation: the dispatch commit does
(:mod:`holdfast.kernel.authority`).
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from msgspec.structs import replace

from holdfast.kernel.documents import Grant
from holdfast.kernel.grants import asked_by, facts_of, uncovered
from holdfast.kernel.model import EffectClass
from holdfast.kernel.ports import GatePort, Ruling, Seen

RULE = "builtin:grant"


class Granted:
    """Implements :class:`holdfast.kernel.ports.GatePort` around another gate."""

    def __init__(self, inner: GatePort) -> None:
        """Tighten what this gate says."""
        self.inner = inner

    def rule(self, seen: Seen) -> Coroutine[Any, Any, Ruling]:
        """The ruling under the grants of this effect; that of the wrapped gate where it has none."""
        if seen.effect is not None and seen.effect.grants:
            return self._under_grants(seen)
        return self.inner.rule(seen)

    async def _under_grants(self, seen: Seen) -> Ruling:
        return tightened(await self.inner.rule(seen), seen)

    async def renew(self, environment: str) -> str:
        """As the wrapped gate."""
        return await self.inner.renew(environment)


def tightened(ruling: Ruling, seen: Seen) -> Ruling:
    """A ruling as the grants of the effect leave it: the same, an ask, or a refusal. Pure."""
    view = seen.effect
    assert view is not None
    if ruling.answer not in ("allow", "ask"):
        return ruling
    chain = in_order(view.grants, seen.grants)
    if chain is None:
        there = {grant.id for grant in seen.grants}
        lost = next(name for name in view.grants if name not in there)
        return _refused(ruling, f"the grant {lost} is not recorded, so nothing is covered by it")
    if why := uncovered(chain, facts_of(view, seen.now_ms)):
        return _refused(ruling, why)
    asks = asked_by(chain, view.tool) if view.effect_class is not EffectClass.READ else None
    if asks is None:
        return ruling
    if asks.conflict:
        return _refused(ruling, asks.conflict)
    asked = ruling.answer == "ask"
    if asked and ruling.group and asks.group and ruling.group != asks.group:
        why = f"the policy asks {ruling.group} and a grant asks {asks.group}; one request goes to one group"
        return _refused(ruling, why)
    by = f"asked of {asks.group or 'any approver'} by the grant {', '.join(asks.by)}"
    return replace(
        ruling,
        answer="ask",
        rules=(*ruling.rules, RULE),
        reason=f"{ruling.reason}; {by}" if ruling.reason else by,
        group=(ruling.group if asked else "") or asks.group,
        quorum=max(ruling.quorum if asked else 1, asks.quorum),
    )


def in_order(names: tuple[str, ...], grants: tuple[Grant, ...]) -> tuple[Grant, ...] | None:
    """The grants of these names in their order; None where one of them is missing."""
    by_name = {grant.id: grant for grant in grants}
    found = tuple(by_name[name] for name in names if name in by_name)
    return found if len(found) == len(names) else None


def _refused(ruling: Ruling, why: str) -> Ruling:
    return replace(ruling, answer="refuse", rules=(RULE,), reason=why, group="", quorum=1)
