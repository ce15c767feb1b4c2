"""What a body says besides a plain value: it did not happen, and batches with one outcome per item.

Decides how an honest *no* is told apart from a doubt: only by `DidNotHappen`, or by an error class that the
tool declared. Promises nothing about what other exceptions mean; they are doubts. (The third thing a body can
say, `Accepted(operation)`, is a record of `holdfast.kernel.answers` and is returned as it is.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.kernel.answers import Ack, Answer, Doubt, Items, Refusal
from holdfast.tools.plain import as_plain, as_text, to_builtins


class DidNotHappen(Exception):  # noqa: N818 - it states a fact about the outside; it is no defect of the body.
    """Raised by a body that has proof that nothing changed outside: a declined card, a refused precondition.

    Not for a timeout, a lost connection or an answer that could not be read: those prove nothing.
    """

    def __init__(self, why: str = "the outside said no") -> None:
        super().__init__(why)
        self.why = why


def batch(outcomes: Mapping[str, Any]) -> Items:
    """One outcome per item, to be returned by a body that changes several things at once.

    `hf.batch({"a": {"id": 1}, "b": hf.DidNotHappen("closed"), "c": TimeoutError()})`: a `DidNotHappen` is a
    refusal, any other exception a doubt, an answer record is kept, everything else is acknowledged as the
    value.
    """
    return Items(tuple((str(name), to_builtins(_item(outcome))) for name, outcome in outcomes.items()))


def _item(outcome: Any) -> Answer:
    if isinstance(outcome, DidNotHappen):
        return Refusal(as_text(outcome.why))
    if isinstance(outcome, BaseException):
        return Doubt("error", f"{type(outcome).__name__}: {as_text(outcome)}")
    return outcome if isinstance(outcome, Ack | Refusal | Doubt) else Ack(as_plain(outcome))
