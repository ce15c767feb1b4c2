"""The planner port: what a planner is shown, and what it may answer. It can only propose.

A planner is given plain data and gives plain data back; it holds no handle on tools, ledger, policy or approvals, and
this module imports none of them. What it says is recorded before it is acted on. A planner that cannot answer raises
:class:`NoAnswer`; whether it is asked once more is decided, bounded and recorded by who drives the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from holdfast.kernel import canon
from holdfast.kernel.errors import HoldfastError

MAX_ANSWER_BYTES = canon.MAX_BYTES - (64 << 10)
"""What one answer may take up in the record; the rest of its entry is for who made it, and how."""


class Proposed(msgspec.Struct, frozen=True):
    """One call as proposed: a tool's name, its arguments, and the items it rests on. Nothing has happened.

    ``unfit`` says why what the planner wrote is no call at all; such a call is recorded, told back, and never proposed.
    ``risk`` (low, medium, high) is the planner's opinion: rules may be stricter by it, never milder.
    """

    tool: str
    args: dict[str, Any] = {}
    cites: tuple[str, ...] = ()
    unfit: str = ""
    risk: str = ""


class Made(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """By what an answer was made: recorded beside it, so that a decision can be looked up years later.

    ``by`` is what was asked for (``openai:gpt-x``), ``model`` what answered. ``prompt``, ``schemas`` and ``shown`` are
    digests of the instructions, of the tools' names, texts and schemas, and of everything that was shown.
    """

    by: str
    model: str = ""
    prompt: str = ""
    prompt_version: str = ""
    schemas: str = ""
    shown: str = ""
    response: str = ""
    finish: str = ""
    streamed: bool = False
    estimated: bool = False  # nobody counted the tokens; rather too many than too few
    input_tokens: int = 0
    output_tokens: int = 0
    price_micro: int = 0  # millionths of a minor unit of ``currency``
    currency: str = ""

    @property
    def tokens(self) -> int:
        """What counts against the run's budget."""
        return self.input_tokens + self.output_tokens


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One planner turn: calls to make, or a final message. ``says`` is unchecked text."""

    calls: tuple[Proposed, ...] = ()
    done: bool = False
    says: str = ""
    made: Made | None = None


class NoAnswer(Exception):  # noqa: N818  # it says what happened
    """The planner gave nothing that can be acted on. ``again`` says whether asking once more can help.

    ``cause`` is one word (rate_limited, overloaded, server_error, dropped, timeout, truncated, empty, declined,
    rejected, unreadable, error); ``retry_after_ms`` is what the other side asked for. ``made`` counts what was used up.
    """

    def __init__(
        self, cause: str, why: str, *, again: bool = True, retry_after_ms: int = 0, made: Made | None = None
    ) -> None:
        """Say why there is no answer."""
        super().__init__(f"{cause}: {why}")
        self.cause = cause
        self.why = why
        self.again = again
        self.retry_after_ms = retry_after_ms
        self.made = made


def unplanned(error: Exception) -> NoAnswer:
    """What a planner raised, as no answer: a bug in it ends neither the process nor the promises of who drives it."""
    if isinstance(error, NoAnswer):
        return error
    return NoAnswer("error", ascii(f"it raised {type(error).__name__}: {error}")[1:-1][:300], again=False)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one proposed call, as the planner is told: a word, the effect, and the value or the reason.

    ``alternatives`` are the rules that permit something of this tool, for a call that was refused; ``item`` is as what
    a read's value may be cited.
    """

    tool: str
    outcome: str
    effect: str = ""
    value: Any = None
    reason: str = ""
    args: dict[str, Any] = {}
    step: int = 0
    alternatives: tuple[str, ...] = ()
    item: str = ""


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A contract as a planner may know it: name, words, schema and how bad a wrong call is. No handle."""

    name: str
    description: str
    effect: str
    schema: dict[str, Any]
    permits: tuple[str, ...] = ()


class Glimpse(msgspec.Struct, frozen=True, kw_only=True):
    """An item of the context ledger as it is shown: where it came from, what kind, how old, and whether it is stale.

    ``unfit`` says why no call may rest on it now: it is stale, another one counts, or two sources differ.
    """

    id: str
    source: str
    kind: str
    age_ms: int
    stale: bool = False
    content: Any = None
    digest: str = ""
    about: str = ""
    unfit: str = ""


class Conflict(msgspec.Struct, frozen=True, kw_only=True):
    """Items that say different things about one thing. ``counts`` is the one whose source comes first; empty: none."""

    about: str
    items: tuple[str, ...]
    sources: tuple[str, ...]
    counts: str = ""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """An effect of this run that has not come to its end: what is known, who moves next and when."""

    effect: str
    tool: str
    args: dict[str, Any]
    state: str
    known: str
    next: str = ""
    since_ms: int = 0


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What a planner sees, built from the store: the intent, the contracts it may use, what became of its calls.

    ``earlier`` counts outcomes that are older than those told here; ``problems`` says why the last answers could not be
    used; ``conflicts`` where items contradict each other, and which of them counts. ``None`` for something left means
    that it is not bounded.
    """

    goal: str
    purpose: str
    step: int
    tools: tuple[str, ...]
    told: tuple[Told, ...] = ()
    items: tuple[Glimpse, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    contracts: tuple[Card, ...] = ()
    open: tuple[Standing, ...] = ()
    problems: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    earlier: int = 0
    environment: str = ""
    scope: tuple[str, ...] = ()
    done_when: tuple[str, ...] = ()
    steps_left: int | None = None
    effects_left: int | None = None
    tokens_left: int | None = None
    cost_left: str | None = None
    time_left_ms: int | None = None


class Planner(Protocol):
    """Anything that turns a view into an answer."""

    async def propose(self, view: View) -> Answer:
        """The next turn; raises :class:`NoAnswer` where there is none."""
        ...


class Scripted:
    """A planner that says what it was told to say, in order, and is done when its script ends."""

    def __init__(self, turns: Iterable[Answer | Proposed], says: str = "done") -> None:
        """``turns`` in order; a single call stands for a turn with that call."""
        self._turns = [t if isinstance(t, Answer) else Answer(calls=(t,)) for t in turns]
        self._says = says

    async def propose(self, view: View) -> Answer:
        """The turn for this step; a resumed run goes on where its record ends."""
        if view.step < len(self._turns):
            return self._turns[view.step]
        return Answer(done=True, says=self._says)


def usable(given: object) -> Answer:
    """The answer, if it is one and can be recorded; raises NoAnswer. A planner in Python may hand over anything."""
    if not isinstance(given, Answer):
        raise NoAnswer("unreadable", f"the planner gave a {type(given).__name__} and no answer")
    made = given.made if isinstance(given.made, Made) else None
    try:
        answer = msgspec.convert(msgspec.to_builtins(given), Answer)
        canon.encode(said(answer), max_bytes=MAX_ANSWER_BYTES)
    except (HoldfastError, msgspec.ValidationError, TypeError, ValueError, RecursionError) as error:
        flaw = error.message if isinstance(error, HoldfastError) else error
        why = str(flaw)[:300].encode("ascii", "backslashreplace").decode()
        raise NoAnswer("unreadable", f"the answer cannot be recorded: {why}", made=made) from None
    if not answer.done and not answer.calls and not answer.says.strip():
        raise NoAnswer("empty", "the answer holds neither a call nor a word", made=answer.made)
    return answer


def said(answer: Answer) -> dict[str, Any]:
    """The body of a ``step`` entry."""
    body: dict[str, Any] = {"says": answer.says} if answer.says else {}
    if answer.done:
        body["done"] = True
    if answer.calls:
        body["calls"] = [_call(call) for call in answer.calls]
    return body


def _call(call: Proposed) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(call)
    for name in ("unfit", "risk"):
        if not body[name]:
            del body[name]
    return body
