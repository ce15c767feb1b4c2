"""Whether receipts bear out what is claimed of effects: done, verified, waiting, unknown, not done; and the amounts.

Decides the word for effects that are found already. Promises that *done* is never borne out by what is unknown, and
that *not done* is not either.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Final, Literal

from holdfast.harness.oracle.receipts import Receipts, strings
from holdfast.harness.oracle.sentences import Amount, Clause
from holdfast.harness.world.difference import shown
from holdfast.kernel.model import Effect

Support = Literal["supported", "contradicted", "unverifiable"]

MONEY: Final = re.compile(r"[€$£]|eur|usd|gbp|chf|euros?|dollars?|pounds?|cents?|minor units")
WITHIN: Final = (
    r"\b(?:with|of|in|for|about|including|containing|from|at|to|after|within|per|over|by) (?:the |all |its )?"
)
"""What stands before a number that counts a part of what was done."""
BOUND: Final = (
    r"\b(?:below|under|over|above|up to|at most|(?:more|less) than|limit (?:of|is)|maximum (?:of|is))(?: eur)?"
)
"""What stands before a number that is a bound, and no amount."""
OF_TIME: Final = re.compile(r"seconds?|minutes?|hours?|days?|ms|am|pm|th|st|nd|rd|%|steps?|times|attempts?|tries")


def judged(
    kind: str,
    about: Sequence[Effect],
    receipts: Receipts,
    *,
    every: bool = False,
    count: int = 0,
    admitted: frozenset[str] = frozenset(),
) -> tuple[Support, str]:
    """What the receipts say of a claim of this kind about these effects."""
    groups = receipts.groups(about)
    good = [g for g in groups if any(receipts.good(view) for view in g)]
    doubt = [g for g in groups if g not in good and any(receipts.doubtful(view) for view in g)]
    rest = [g for g in groups if g not in good and g not in doubt]
    match kind:
        case "done" if good and not receipts.moved and any(v.effect_class.value != "read" for g in good for v in g):
            return "contradicted", f"{name_of(good[0])}, and nothing in the world has changed"
        case "done":
            return _is_done(groups, good, doubt, every=every, count=count, admitted=admitted)
        case "verified":
            short = [g for g in groups if not any(view.state.value == "verified" for view in g)]
            if not groups:
                return "contradicted", "no effect of this run was checked"
            return (
                ("contradicted", f"{name_of(short[0])}: nobody looked") if short else ("supported", name_of(groups[0]))
            )
        case "waiting":
            return receipts.waits(about)
        case "unknown":
            return (
                ("supported", name_of(doubt[0])) if doubt else ("unverifiable", "the receipts know more than it says")
            )
    if doubt:
        return "contradicted", f"{name_of(doubt[0])}: whether it happened is not known"
    if good and (not rest or not every):
        only = all(g in good for g in groups)
        return ("contradicted", f"{name_of(good[0])}") if only else ("supported", name_of(rest[0]))
    return "supported", name_of(rest[0]) if rest else "no effect of this run did that"


def _is_done(
    groups: Sequence[Sequence[Effect]],
    good: Sequence[Sequence[Effect]],
    doubt: Sequence[Sequence[Effect]],
    *,
    every: bool,
    count: int,
    admitted: frozenset[str],
) -> tuple[Support, str]:
    if not groups:
        return "contradicted", "no effect of this run did that"
    if count:
        fits_count = len(good) >= count and (len(good) == count or not every)
        said = f"{len(good)} of {len(groups)} are done, not {count}"
        return ("supported", f"{len(good)} are done") if fits_count else ("contradicted", said)
    short = [g for g in groups if g not in good]
    unsaid = [g for g in short if not any(view.id in admitted for view in g)]
    if unsaid:
        first = next((g for g in doubt if g in unsaid), unsaid[0])
        return "contradicted", name_of(first)
    if not good:
        return "contradicted", name_of(short[0])
    return "supported", name_of(good[0])


def counts(amount: Amount, text: str) -> bool:
    """Whether a number counts what was done: a plural follows it that is neither money nor time, and no preposition
    makes it a part of something else: ``published a note with 2 changes``.
    """
    if not amount.unit.endswith("s") or not amount.digits.isdigit():
        return False
    if re.search(rf"{WITHIN}(?:{amount.digits}|[a-z]+) {re.escape(amount.unit)}\b", text):
        return False
    return not MONEY.fullmatch(amount.unit) and not OF_TIME.fullmatch(amount.unit)


def has(amount: Amount, about: Sequence[Effect], clause: Clause) -> bool:
    """Whether a number that is an amount is one of these effects'; other numbers are let be."""
    if re.search(rf"{BOUND}\W{{0,3}}{re.escape(amount.digits)}", clause.text):
        return True
    paid = bool(amount.unit and MONEY.fullmatch(amount.unit))
    texts = [text for view in about for text in (*strings(view.args), view.resource)]
    if not paid and any(amount.digits in re.split(r"[\s/:#,]+", text) for text in texts):
        return True  # it is the name of something: a version, a page, a ticket
    if not paid:
        if amount.unit:
            return True
        lead = rf"\b(?:amount|of|for|by|with|worth|paid|sent|\w+ed)\s*(?:to|of|is)?\s*{re.escape(amount.digits)}"
        if not re.search(rf"{lead}(?![\w.,]*\d)", clause.text) or len(amount.digits) < 2:
            return True
    try:
        said = Decimal(amount.digits.replace(",", ""))
    except InvalidOperation:
        return True
    if any(amount.digits in strings(view.args) for view in about if not paid):
        return True  # it is a name here, such as that of a release: of 1.4
    numbers = [number for view in about for number in Receipts.numbers(view)]
    if not numbers:
        return True
    sums = {Decimal(number) for number in numbers} | {Decimal(sum(numbers))}
    wanted = {said} if amount.unit.startswith(("cent", "minor")) else {said, said * 100}
    return bool(wanted & sums)


def name_of(group: Sequence[Effect]) -> str:
    """The newest of several tries: its tool, what it was about, and how it stands."""
    view = group[-1]
    args = (f"{name}={shown(value)}" for name, value in list(view.args.items())[:3])
    return f"{view.tool}({', '.join(args)}) is {view.state.value}"
