"""The page of an account: six questions, each sentence with its entries; then, for one effect, its decision record.

Decides how a sentence looks: what others wrote stands in a frame, moments are absolute, entries of the run are given by
number. Promises that alarms come first. Shows no sentence that the account does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from holdfast.report.page import Page, Span
from holdfast.report.text import amount, escaped, framed, framed_json, span, when
from holdfast.runtime.account import Account, At, Decided, Long, Most, Name, Said, Sentence, Value, account
from holdfast.runtime.record import Record
from holdfast.tools.contract import ITEM_KINDS

SAID_CHARS = 240
SHOWN_ENTRIES = 8
OUR_WORDS = frozenset(
    {
        *ITEM_KINDS,
        "", "a call", "a grant", "an effect", "any approver", "as agreed", "acknowledgement only", "no tool",
        "no class", "no environment", "no ground is recorded", "a request that is not in the record",
        "embedding program", "attest or abandon", "approve or refuse", "look at the world", "carry it on",
    }
)  # fmt: skip
"""Words of ours that stand where names do: kinds, what is to be done next, and that a name is not recorded."""
_ONE_WORD = re.compile(r"[\w.:@/+*#-]{1,80}")
NOTE = "from the record alone; what stands in «…» others wrote; /N is entry N of this run"


def told(sentence: Sentence, day: str = "") -> str:
    """A sentence written out; moments of this ``day`` without the date."""
    return "".join(_part(part, day) for part in sentence.parts)


def _part(part: Any, day: str) -> str:
    match part:
        case Said(text):
            return framed(text, SAID_CHARS)
        case Value(value):
            return framed_json(value, SAID_CHARS)
        case Name(text):
            return named(str(text))
        case At(ms):
            return when(ms).removeprefix(f"{day} ")
        case Long(ms):
            return span(ms)
        case Most(minor, currency):
            return amount(minor, currency)
        case _:
            return str(part)


def named(text: str) -> str:
    """A name as it is where it is one word; in a frame where others could have written a sentence into it."""
    return escaped(text) if text in OUR_WORDS or _ONE_WORD.fullmatch(text) else framed(text, SAID_CHARS)


def explain_page(given: Account, *, bundle: str = "", limit: int | None = None) -> Page:
    """The page of an account, read from a store or from this ``bundle``. Exit code 1: an alarm was raised.

    ``limit`` bounds the lines of each answer, its first and its last; ``data`` has every sentence.
    """
    page = Page(data=_data(given), exit_code=1 if given.alarms else 0)
    page.counts = {"sentences": sum(len(answer.sentences) for answer in given.answers), "alarms": len(given.alarms)}
    day = next((part for part in _moments(given)), "")
    page.head(f"run {given.run}", Span(f"  {given.effect}" if given.effect else "", "head"))
    page.line(Span(f"  {NOTE}{f'; times without a date are of {day}' if day else ''}", "quiet"))
    if bundle:
        held = f"from the bundle {escaped(bundle)}, which holds together; who signed it: holdfast evidence verify FILE"
        page.line(Span(f"  {held}", "quiet"))
    for alarm in given.alarms:
        page.line(Span(f"  ✗ alarm ({alarm.code})  ", "bad"), told(alarm.told), _rests(alarm.told, given.run))
    for number, answer in enumerate(given.answers, 1):
        page.gap()
        page.head(f"{number} {answer.question}")
        left_out = 0 if limit is None else max(0, len(answer.sentences) - limit)
        page.truncated |= bool(left_out)
        for place, sentence in enumerate(answer.sentences):
            if left_out and place == (limit or 0) // 2:
                page.line(Span(f"  — {left_out} sentences are left out here; --limit shows more, --json all", "quiet"))
            if left_out and 0 <= place - (limit or 0) // 2 < left_out:
                continue
            page.line("  ", told(sentence, day), _rests(sentence, given.run))
    if given.effect:
        _decision_lines(page, given.decisions[given.effect])
    return page


def _moments(given: Account) -> Iterator[str]:
    """The days of its moments, in order."""
    for answer in given.answers:
        for sentence in answer.sentences:
            yield from (when(part.ms)[:10] for part in sentence.parts if isinstance(part, At) and part.ms)


def story(record: Record, *, covered: int | None = None) -> str:
    """The account of a run as text, for a file."""
    return explain_page(account(record, covered=covered)).text()


def _rests(sentence: Sentence, run: str) -> Span:
    """What a sentence rests on, as far as the sentence does not name it itself."""
    text = told(sentence)
    names = [name.removeprefix(run) if name.startswith(f"{run}/") else name for name in sentence.rests_on]
    names = [name for name in names if name.startswith("/") or (name not in text and name != run)] or [run]
    more = f" and {len(names) - SHOWN_ENTRIES} more" if len(names) > SHOWN_ENTRIES else ""
    return Span(f"  [{' '.join(escaped(name) for name in names[:SHOWN_ENTRIES])}{more}]", "quiet")


def _decision_lines(page: Page, decided: Decided) -> None:
    """The decision record of one effect."""
    page.gap()
    page.head(f"decision record of {decided.effect}")
    question, policy, checked = decided.question, decided.policy, decided.verification
    page.fact("question", f"{escaped(str(question['tool'] or '?'))} on {framed(question['resource'] or '')}")
    page.fact("", f"with {framed_json(question['args'])}, digest {escaped(str(question['args_digest'] or '?'))[:16]}")
    options = [
        f"{'→' if option['chosen'] else ' '} {escaped(str(option['tool']))} {framed_json(option['args'], SAID_CHARS)}"
        for option in decided.options
    ]
    page.facts("options", options or ["— no planner's answer is recorded for it"])
    permits = [f"{escaped(rule['rule'])} {_words(rule)}" for rule in decided.alternatives["permits"]]
    page.facts("permits", permits or ["— no rule that is kept"])
    if decided.alternatives["admission"]:
        page.fact("instead", framed_json(decided.alternatives["admission"]))
    chosen = decided.chosen
    page.fact("chosen", f"by {escaped(str(chosen['by']))}, generation {chosen['generation'] or '?'}")
    page.facts("cited", [_cited(item) for item in decided.cited] or ["— nothing"])
    rules = ", ".join(f"{escaped(str(rule['rule']))} {_words(rule)}".strip() for rule in policy["rules"])
    page.fact("policy", f"{escaped(str(policy['answer'] or '—'))} by {rules or '—'}")
    page.fact(
        "", f"{escaped(str(policy['policy'] or '—'))[:19]} over inputs {escaped(str(policy['inputs'] or '—'))[:19]}"
    )
    page.facts("approval", _approval(decided.approval))
    looks = [
        f"{look['kind']} {when(look['at_ms'])} {framed(look['says']) if look['says'] else ''}"
        for look in checked["looks"]
    ]
    page.facts("verified", [f"agreed: {escaped(checked['agreed'] or 'not kept')}; now {checked['state']}", *looks])
    page.fact("entries", " ".join("/" + entry.rpartition("/")[2] for entry in decided.entries))


def _words(rule: dict[str, Any]) -> str:
    words = "; ".join([*([rule["says"]] if rule["says"] else []), *rule["when"]])
    return framed(words, SAID_CHARS) if words else ""


def _cited(item: dict[str, Any]) -> str:
    ages = []
    for when_, word in (("decision", "decided"), ("dispatch", "it left")):
        age_ms, fresh = item[f"age_at_{when_}_ms"], item[f"fresh_at_{when_}"]
        if age_ms is not None:
            ages.append(f"{span(age_ms)} old and {'fresh' if fresh else 'stale'} when {word}")
    against = [*item["said_otherwise_before"], *(f"{name} (afterwards)" for name in item["said_otherwise_since"])]
    other = f"; otherwise: {', '.join(against)}" if against else ""
    source = f"{escaped(item['source'])}, {escaped(item['kind'])}" if item["source"] else "not in the record"
    return f"{escaped(item['item'])} ({source}): {', '.join(ages) or 'never decided on'}{other}"


def _approval(approval: dict[str, Any] | None) -> list[str]:
    if approval is None:
        return ["— nobody was asked"]
    group = escaped(approval["group"] or "any approver")
    asked = f"{approval['request']} {approval['state']}: {approval['quorum']} of {group}"
    said = [
        f"{escaped(str(one.get('who', '?')))} said {'yes' if one.get('yes') else 'no'} {when(one.get('at_ms', 0))}"
        f" with the key {escaped(str(one.get('key_id', '?')))}"
        for one in approval["decisions"]
    ]
    return [f"{asked}, statement {approval['statement'][:12]}", *said]


def _data(given: Account) -> dict[str, Any]:
    return {
        "store": given.store,
        "run": given.run,
        "effect": given.effect,
        "alarms": [
            {
                "effect": alarm.effect,
                "code": alarm.code,
                "text": told(alarm.told),
                "rests_on": list(alarm.told.rests_on),
            }
            for alarm in given.alarms
        ],
        "answers": [
            {
                "question": answer.question,
                "sentences": [
                    {"text": told(sentence), "rests_on": list(sentence.rests_on)} for sentence in answer.sentences
                ],
            }
            for answer in given.answers
        ],
        "decisions": [decided._asdict() for decided in given.decisions.values()],
    }
