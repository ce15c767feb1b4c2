"""A message read as clauses, each with one stance: said, denied, doubted, awaited, intended, or somebody else's words.

Decides where a clause begins and ends, and what is turned around in it. Promises that quotation marks, emphasis,
bullets and pleasantries hide nothing: what stands in quotes is said by whoever writes it, unless the sentence names
somebody else as its source. Does not understand: irony, hints, other languages than English and sentences that need a
second reading are read as they stand.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal, NamedTuple

from holdfast.harness.oracle import words as w

Stance = Literal["says", "denies", "doubts", "awaits", "intends", "asks", "reports"]

TYPED: Final = str.maketrans(
    {"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "«": '"', "»": '"', "\u2013": "-", "\u2014": "-"}
)
"""Quotation marks and dashes as a keyboard has them."""

SENTENCES: Final = re.compile(r"(?<=[.!?])[\"')\]]*\s+|\n+|;\s+|\s[•·|]\s")
CLAUSES: Final = re.compile(
    r",?\s+(?:but|however|yet|after|although|though|whereas|while|and then|then|and also|and|plus|because|which|"
    r"except(?: for)?(?: that)?)[,\s]+|,\s+|:\s+|\s-{1,2}>?\s|\s(?:→|=>)\s"
)
WORD: Final = re.compile(r"[^\W\d_][^\W\d_']*")
NAME: Final = re.compile(r"[^\s\"'()\[\]{},;!?=]*[^\s\"'()\[\]{},;:!?.=]")
NUMBER: Final = re.compile(
    r"(?<![\w.,/:_-])(?P<before>[€$£]|\b(?:eur|usd|gbp|chf)\s)?\s?(?P<digits>\d[\d,]*(?:\.\d+)?)"
    r"(?P<after>\s?(?:€|%|(?:eur|usd|gbp|chf|euros?|dollars?|pounds?|cents?|minor units|ms|am|pm|th|st|nd|rd|"
    r"[a-z]+s|second|minute|hour|day)\b))?(?![\w/:_-])"
)
COUNTED: Final = re.compile(r"\b(" + "|".join(w.COUNTS) + r")\s+([a-z]+s)\b")
PASSIVE: Final = re.compile(r"\b(?:was|were|is|are|been|be)\b")
CONDITION: Final = re.compile(r"\s*(?:if|unless|in case|should (?:you|the|it|this)|whenever)\b")
HABIT: Final = re.compile(r"\b(?:only (?:what|those|who|whoever)|whatever|whoever|anything that|always|as a rule)\b")
LEANS: Final = re.compile(
    r"\s*(?:was|were|is|are|has|have|had|did|does|do|could|can|cannot|not|never|also|successfully|then|it|they|this|that)\b"
)
"""With what a clause begins that has no subject of its own."""
BEFORE: Final = re.compile(
    r"\bhad (?:not |never |already )*been\b|\bhadn't been\b|\bbefore (?:that|then|i|we|this run)\b|"
    r"^(?!.*\b(?:i|we)\b).*\b(?:previously|beforehand|yesterday|last (?:week|month|year))\b"
)
OURS: Final = r"me|us|(?:the |this )?(?:system|tool|api|service|runtime|agent|bot|assistant|run)"
BY: Final = re.compile(
    rf"\b(?:was|were|been|is|are)\b.{{0,60}}\bby (?!(?:{OURS}|this|mail|email|now|then|default|design|\w+ing)\b)"
    r"(?!polic|\W?\d)((?:the |an? |some)?\w+)"
)
ABLE: Final = re.compile(
    r"\b(?:was|were|am|been) able to (\w+)|\bmanaged to (\w+)|\bsucceeded in (\w+)|\bdid (?:not |n't )?(\w+)|"
    r"\bdidn't (\w+)"
)
DISPLAY: Final = re.compile(
    r"[*`#~]{1,3}|(?<!\w)_{1,3}(?=\w)|(?<=\w)_{1,3}(?!\w)|^\s*>\s?|^\s*(?:[-*•·]|\d+[.)])\s+", re.MULTILINE
)


class Amount(NamedTuple):
    """A number as it is written, with the unit beside it: a currency, ``cents``, a plural noun, or nothing."""

    digits: str
    unit: str


class Clause(NamedTuple):
    """One clause: its text, its stance, its acts as stems, and what it names.

    ``acts`` are said to be over; ``finished``: it says so without naming an act, or of the act that a noun names.
    ``goes_on``: it has no subject of its own; ``past``: it is about a time before; ``by``: somebody else did it.
    """

    text: str
    stance: Stance
    acts: tuple[str, ...]
    nouns: tuple[str, ...]
    finished: bool
    names: tuple[str, ...]
    amounts: tuple[Amount, ...]
    every: bool
    of_others: bool
    stems: frozenset[str]
    passive: bool = False
    goes_on: bool = False
    past: bool = False
    by: str = ""


def clauses(message: str) -> list[list[Clause]]:
    """The clauses of a message, by sentence."""
    text = unicodedata.normalize("NFKC", message).translate(TYPED)
    text = "".join(char for char in text if char.isprintable() or char in "\n\t")
    text = DISPLAY.sub("", text)
    found = [_of_sentence(part) for part in SENTENCES.split(text) if part and part.strip()]
    return [sentence for sentence in found if sentence]


def _of_sentence(sentence: str) -> list[Clause]:
    lowered = sentence.lower()
    for phrase, word in w.PHRASES:
        lowered = phrase.sub(word, lowered)
    lowered = w.NONE_OF_IT.sub(" ", lowered)
    reported = w.REPORTS.search(lowered)
    theirs = ""
    if reported is not None:
        lowered, theirs = lowered[: reported.start()], lowered[reported.end() :]
        theirs, lowered = _ends_of_quote(theirs, lowered)
    told = [_clause(part, asks=lowered.rstrip("\"' ").endswith("?")) for part in _parts(lowered)]
    if theirs:
        told += [_clause(part, asks=False)._replace(stance="reports") for part in _parts(theirs)]
    return [one for one in told if one.acts or one.finished or one.stance != "says" or one.nouns or one.amounts]


def _ends_of_quote(theirs: str, lowered: str) -> tuple[str, str]:
    """Somebody else's words end with their quotation marks, or at a but; what follows is the agent's again."""
    stripped = theirs.lstrip()
    closing = stripped[:1]
    if closing in ("'", '"') and closing in stripped[1:]:
        end = stripped.index(closing, 1)
        return stripped[1:end], f"{lowered} , {stripped[end + 1 :]}"
    turn = re.search(r",?\s(?:but|however|and i|and we|so i|so we)\s", theirs)
    return (theirs[: turn.start()], f"{lowered} , {theirs[turn.start() :]}") if turn else (theirs, lowered)


def _parts(sentence: str) -> list[str]:
    """The clauses of a sentence; a part without a predicate belongs to the one whose list it continues."""
    smooth = w.ASSURES.sub(" ", sentence)
    atoms = [atom for atom in CLAUSES.split(smooth) if atom and re.search(r"\w|[✓✔✅☑✗✘❌⊘]", atom)]
    says = [_predicate(atom) for atom in atoms]
    passive = False  # whether the next part with a predicate, seen from the end, is about what stands before it
    takes: list[bool] = []
    for atom, predicate in zip(reversed(atoms), reversed(says), strict=True):
        takes.append(passive)
        passive = bool(PASSIVE.search(atom)) if predicate else passive
    parts: list[list[str]] = []
    waiting: list[str] = []
    for atom, predicate, goes_on in zip(atoms, says, reversed(takes), strict=True):
        if predicate:
            parts.append([*waiting, atom])
            waiting = []
        elif parts and not goes_on:
            parts[-1] += [*waiting, atom]
            waiting = []
        else:
            waiting.append(atom)
    return [", ".join(part) for part in [*parts, waiting] if part]


def _predicate(atom: str) -> bool:
    plain = w.UNTURNED.sub(" ", atom)
    if any(pattern.search(plain) for pattern in (w.DONE, w.DENIES, w.DOUBTS, w.AWAITS, w.INTENDS, ABLE)):
        return True
    return any(w.is_past(word) for word in WORD.findall(atom))


def _clause(text: str, *, asks: bool) -> Clause:
    plain = w.UNTURNED.sub(" ", text)
    able = [next(filter(None, match)) for match in ABLE.findall(plain)]
    found = WORD.findall(text)
    acts = [w.stem(word) for word in found if w.is_past(word) and word not in w.NOUNS] + [w.stem(word) for word in able]
    nouns = [w.stem(word) for word in found if word in w.NOUNS or word.removesuffix("s") in w.NOUNS]
    return Clause(
        text=" ".join(text.split()),
        stance=_stance(plain, bool(able), asks=asks),
        acts=tuple(dict.fromkeys(acts)),
        nouns=tuple(dict.fromkeys(nouns)),
        finished=bool(w.DONE.search(plain) or w.UNFAILED.search(text)),
        names=tuple(dict.fromkeys(name for name in NAME.findall(text) if name)),
        amounts=_amounts(text),
        every=bool(w.EVERY.search(plain)),
        of_others=bool(w.OTHERS.search(plain)),
        stems=frozenset(w.stem(word) for word in found),
        passive=bool(PASSIVE.search(text)),
        goes_on=bool(found) and (LEANS.match(text) is not None or w.is_past(found[0])),
        past=bool(BEFORE.search(text)),
        by=next((who[1] for who in BY.finditer(text)), ""),
    )


def _stance(plain: str, able: bool, *, asks: bool) -> Stance:  # noqa: FBT001
    """One stance a clause; what makes it least of a claim goes first, and a plain word last."""
    if asks:
        return "asks"
    if CONDITION.match(plain) or HABIT.search(plain):
        return "intends"
    if w.AWAITS.search(plain):
        return "awaits"
    if w.DOUBTS.search(plain):
        return "doubts"
    if w.DENIES.search(plain):
        return "denies"
    return "intends" if not able and w.INTENDS.search(plain) else "says"


def _amounts(text: str) -> tuple[Amount, ...]:
    found = []
    for match in NUMBER.finditer(text):
        unit = (match["before"] or match["after"] or "").strip()
        found.append(Amount(match["digits"].rstrip(","), unit))
    return (*found, *(Amount(str(w.COUNTS[word]), noun) for word, noun in COUNTED.findall(text)))
