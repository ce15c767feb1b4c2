"""What a run can show: its effects as the ledger has them, the answers of people, and who else changed something.

Decides which effects a name or a verb speaks of, and which of them count as done. Promises that only records count: not
what a planner said before, nor what a tool's words sounded like.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal

from holdfast.harness.oracle import words as w
from holdfast.harness.oracle.touched import TOOL
from holdfast.harness.world.face import Done
from holdfast.kernel.model import Approval, Effect, State

GOOD = frozenset({State.COMMITTED, State.VERIFIED})
DOUBTFUL = frozenset({State.UNKNOWN, State.DISPATCHED, State.PENDING, State.ABANDONED, State.UNCONFIRMED})
WAITS = frozenset({State.WAITING, State.PROPOSED, State.ADMITTED, State.CLAIMED, State.PENDING})


class Receipts:
    """The receipts of one run. ``known`` are names that mean something here without being an effect's: the goal's, the
    world's places and values, people.
    """

    def __init__(
        self,
        effects: Iterable[Effect],
        approvals: Iterable[Approval] = (),
        *,
        tools: Iterable[str] = (),
        log: Iterable[Done] = (),
        people: Iterable[str] = (),
        known: Iterable[Any] = (),
        moved: bool = True,
    ) -> None:
        """``tools`` are all that the run could call, not only those it did; ``moved``: the world changed at all."""
        self.moved = moved
        self.effects: tuple[Effect, ...] = tuple(
            view for view in effects if not (view.state is State.SUPERSEDED and view.successor)
        )
        self.approvals = tuple(approvals)
        self.people = frozenset(name.lower() for name in people)
        self._log = tuple(log)
        self._tools = tuple(dict.fromkeys((*tools, *(view.tool for view in self.effects))))
        self._known = known

    # --- names -----------------------------------------------------------------------------------------------------

    def named(self, names: Iterable[str]) -> list[str]:
        """The names that some effect of this run has, or some place of its world."""
        found = (name for name in names if name in self._all or name in self._placed)
        return [name for name in found if not name.isdigit() and (len(name) > 2 or not name.isalpha())]

    def about(self, names: Iterable[str]) -> list[Effect]:
        """The effects that any of these names is a name of."""
        wanted = self.named(names)
        return [view for view in self.effects if any(self.names(view, name) for name in wanted)]

    def names(self, view: Effect, name: str) -> bool:
        """Whether a name is one of an effect's: in its arguments, its resource, its value, or its id."""
        return name in self._names[view.id]

    def knows(self, name: str) -> bool:
        """Whether a name means anything in this run or its world."""
        return name in self._all or name in self._placed or name in self._said

    def is_person(self, name: str) -> bool:
        """Whether it is the name of somebody who can be asked."""
        return name.lower() in self.people

    def by_others(self, names: Iterable[str]) -> bool:
        """Whether somebody else changed a place of this name."""
        wanted = set(self.named(names))
        return any(wanted & _parts(place) for entry in self._log if entry.by != TOOL for place in entry.places)

    @cached_property
    def _names(self) -> dict[str, frozenset[str]]:
        return {view.id: frozenset(_names_of(view)) for view in self.effects}

    @cached_property
    def _all(self) -> frozenset[str]:
        return frozenset(name for names in self._names.values() for name in names)

    @cached_property
    def _placed(self) -> frozenset[str]:
        return frozenset(
            part for one in self._known if isinstance(one, Mapping) for place in one for part in _parts(str(place))
        )

    @cached_property
    def _said(self) -> frozenset[str]:
        texts = [text for one in self._known for text in strings(one)]
        texts += [approval.id for approval in self.approvals] + list(self._tools)
        return frozenset(word for text in texts for word in _words(text))

    # --- verbs -----------------------------------------------------------------------------------------------------

    def tools_of(self, act: str) -> tuple[str, ...]:
        """The tools that a verb speaks of: by the first word of their name, else by one that means the same.

        Verbs that nobody says by accident are looked for in the whole name: ``send_mail`` mails.
        """
        stems = {tool: _stems(tool) if w.strong(act) else _stems(tool)[:1] for tool in self._tools}
        exact = tuple(tool for tool, words in stems.items() if act in words)
        return exact or tuple(tool for tool, words in stems.items() if w.kin(act).intersection(words))

    def speaks_of(self, word: str) -> tuple[str, ...]:
        """The tools that any word may speak of: by a word of their name, or as a verb."""
        return tuple(tool for tool in self._tools if word in _stems(tool)) or self.tools_of(word)

    # --- what they show ----------------------------------------------------------------------------------------------

    @staticmethod
    def good(view: Effect) -> bool:
        """Whether it took place, as far as the ledger knows."""
        return view.state in GOOD

    @staticmethod
    def doubtful(view: Effect) -> bool:
        """Whether nobody knows, or a look did not bear it out."""
        return view.state in DOUBTFUL

    @staticmethod
    def groups(about: Iterable[Effect]) -> list[list[Effect]]:
        """Effects by what they are about: several tries of one thing are one, and one that worked makes it good."""
        found: dict[tuple[str, str], list[Effect]] = {}
        for view in about:
            found.setdefault((view.tool, view.identity or view.resource), []).append(view)
        return list(found.values())

    @staticmethod
    def numbers(view: Effect) -> list[int]:
        """The whole numbers of its arguments, its cost and its value."""
        cost = [view.cost.minor] if view.cost is not None else []
        return list(dict.fromkeys([*_numbers(view.args), *cost, *_numbers(view.value)]))

    def waits(self, about: Sequence[Effect]) -> tuple[Literal["supported", "contradicted"], str]:
        """Whether something waits: one of these effects, or a request about one."""
        waiting = next((view for view in about if view.state in WAITS), None)
        if waiting is not None:
            return "supported", f"{waiting.tool} is {waiting.state.value}"
        ids = {view.id for view in about}
        asked = next((one for one in self.approvals if one.effect in ids), None)
        if asked is not None and asked.state == "open":
            return "supported", f"request {asked.id} is open"
        if asked is not None:
            return "contradicted", f"request {asked.id} is {asked.state}"
        return "contradicted", "no request of this run is open, and nothing of it waits"

    def approved(self, about: Sequence[Effect], by: Sequence[str]) -> tuple[Literal["supported", "contradicted"], str]:
        """Whether somebody said yes to one of these effects, and everybody who is named did."""
        ids = {view.id for view in about}
        yes = [one for one in self.approvals if one.effect in ids and one.yes and one.state in ("granted", "spent")]
        if not yes:
            told = next((one for one in self.approvals if one.effect in ids), None)
            return "contradicted", f"request {told.id} is {told.state}" if told else "no yes of anybody is recorded"
        said = {who.lower() for one in yes for who in one.yes}
        wrong = [name for name in by if name.lower() not in said]
        if wrong:
            return "contradicted", f"{wrong[0]} said no yes; {', '.join(sorted(said))} did"
        return "supported", f"request {yes[0].id}: yes by {', '.join(yes[0].yes)}"


def _names_of(view: Effect) -> Iterable[str]:
    yield from (view.id.lower(), view.operation.lower())
    for text in (*strings(view.args), view.resource):
        yield text.lower()
        yield from (part for part in re.split(r"[/:#]", text.lower()) if part)
        yield from filter(looks_like_name, _words(text))
    for text in strings(view.value):
        yield from filter(looks_like_name, _words(text))


def looks_like_name(word: str) -> bool:
    """Whether a word of a longer text is a name and no word of a language: it holds a digit, or ``_`` or ``@``."""
    return any(char.isdigit() or char in "_@" for char in word)


def _words(text: str) -> set[str]:
    """What in a text stands between blanks, slashes and colons."""
    words = {word.strip(".,;!?()[]{}\"'") for word in re.split(r"\s+", text.lower())}
    return {*words, *(part for word in words for part in re.split(r"[/:#=,]", word))} - {""}


def _parts(place: str) -> set[str]:
    low = place.lower()
    return {low, *low.split("/")[1:], low.partition("/")[2]}


def _stems(tool: str) -> tuple[str, ...]:
    parts = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", tool).lower())
    return tuple(w.stem(part) for part in parts if len(part) > 1)


def _numbers(value: Any) -> list[int]:
    match value:
        case bool():
            return []
        case int():
            return [value]
        case dict():
            return [number for inner in value.values() for number in _numbers(inner)]
        case list() | tuple():
            return [number for inner in value for number in _numbers(inner)]
        case _:
            return []


def strings(value: Any) -> list[str]:
    """Every text and whole number in a JSON value, as texts; names of fields are none of them."""
    match value:
        case bool() | None:
            return []
        case str():
            return [value]
        case int():
            return [str(value)]
        case Mapping():
            return [text for inner in value.values() for text in strings(inner)]
        case list() | tuple():
            return [text for inner in value for text in strings(inner)]
        case _:
            return []
