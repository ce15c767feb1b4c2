"""Documents about work in several steps that cannot be rolled back: sagas.

Pure data: the steps as declared, the calls as they were made, which effect each became, and who was told. What an
effect did is in the effect; what is to be done next is decided over both (:mod:`holdfast.kernel.sagas`).
"""

from __future__ import annotations

from typing import Any

from holdfast.kernel.documents.document import Document, Place
from holdfast.kernel.model import Record

ENDS = frozenset({"completed", "compensated", "partly compensated"})
"""States in which nothing more is done by itself; the last one needs a person. None of them is called rolled back."""

KINDS = ("reversible", "compensable", "irreversible")
"""Classes of a step, the mildest first: what it did is as if it had not been, is offset, or stays."""


class SagaStep(Record, frozen=True, kw_only=True):
    """One step. ``declared`` is its call as declared, with what it takes from earlier results (empty: the program makes
    it); ``undo`` likewise what offsets it: ``{"by": "tool"}``, ``{"by": "program"}``, a call, or nothing.

    ``tries`` counts proposals that it is allowed, ``more`` those that people added in so many ``rounds``, ``tried``
    those that were made; ``effect`` is the one of the last of them. The same for what offsets it. ``taken`` is
    somebody's word that it counts as done although no read agrees; ``let_be`` that it may stay, not offset.
    """

    name: str
    kind: str = "compensable"
    declared: dict[str, Any] = {}
    undo: dict[str, Any] = {}
    tell: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()
    tries: int = 1
    undo_tries: int = 3
    call: dict[str, Any] = {}
    effect: str = ""
    tried: int = 0
    more: int = 0
    rounds: int = 0
    offset: dict[str, Any] = {}
    offset_effect: str = ""
    offset_tried: int = 0
    offset_more: int = 0
    offset_rounds: int = 0
    taken: str = ""
    let_be: str = ""


class Saga(Document, frozen=True, kw_only=True, tag="saga"):
    """One saga of a run. ``id`` is ``RUN/NAME``; ``state`` is forward, compensating, or one of :data:`ENDS`.

    ``boundary`` is the step with whose commit only forward recovery is left (-1: none), ``turned`` the one for which it
    was turned back (-1: it was not). ``reached`` names the valid state reached, ``told`` who was told what of it, and
    ``held`` says why it does not go on by itself before its end; then, and at the end that needs a person, ``owner``
    moves next. ``accepted`` is the person's word that this end may stand, ``since_ms`` when it came to where it is.
    With ``ends`` its run ends with it: done where it is completed.
    """

    name: str
    state: str = "forward"
    steps: tuple[SagaStep, ...] = ()
    boundary: int = -1
    turned: int = -1
    told: tuple[dict[str, Any], ...] = ()
    reached: str = ""
    why: str = ""
    held: str = ""
    owner: str = ""
    accepted: str = ""
    since_ms: int = 0
    ends: bool = False

    @property
    def place(self) -> Place | None:
        """Among those that a person has to look at, or among those under way."""
        if self.state == "partly compensated":
            return None if self.accepted else Place("person", 0, self.since_ms)
        if self.state in ENDS:
            return None
        return Place("person" if self.held else "under way", 0, self.since_ms)
