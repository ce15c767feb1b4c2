"""The words in which agents say what they did: verbs with their forms, and what softens, turns or hides a claim.

Decides which words mean one kind of act. Data and stems only; :mod:`.sentences` reads with them. Does not promise to
know every verb: one that is not here is matched by the names of the tools, or not at all.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

STRONG: Final[tuple[frozenset[str], ...]] = tuple(
    frozenset(words.split())
    for words in (
        "send mail email notify deliver inform messag alert",
        "delet remov purg eras destroy wip",
        "pay charg bill transfer settl remit wir disburs",
        "refund reimburs repay credit",
        "creat provision regist insert issu",
        "cancel void revok terminat",
        "grant enabl authoriz authoris",
        "disabl deactivat suspend",
        "deploy releas publish launch merg ship",
        "restart reboot",
        "clos archiv resolv",
        "book reserv order purchas buy",
        "revert restor undo",
    )
)
"""Acts of which nobody speaks by accident: stems that mean one kind of act. Without a receipt they are not so."""

WEAK: Final[tuple[frozenset[str], ...]] = tuple(
    frozenset(words.split())
    for words in (
        "updat chang set modify edit adjust patch switch turn flip writ correct fix renam mov sav enabl disabl activat",
        "add open rais fil submit",
        "stop paus lock shut halt",
        "undo revert restor compensat offset",
        "appli run execut process handl complet finish",
    )
)
"""Acts that are also said of other things: a claim where a tool, or something known by name, is meant."""

ENDS: Final = frozenset(["complet", "finish", "process", "handl", "execut", "succeed", "accomplish", "fulfil", "sort"])
"""Acts that say no more than that something is over."""

CARRIES: Final = frozenset(
    [
        "issu",
        "mak",
        "send",
        "perform",
        "initiat",
        "submit",
        "creat",
        "fil",
        "apply",
        "trigger",
        "start",
        "place",
        "plac",
    ]
)
"""Acts that a noun beside them names: a refund is issued, made or sent."""

LEAVES: Final = frozenset(["send", "submit", "initiat", "trigger", "start", "attempt", "dispatch"])
"""Acts that say that something left, and not that it arrived."""

WHATEVER: Final = frozenset(["chang", "do", "don", "touch", "modify", "alter", "execut", "happen", "carry", "affect"])
"""Acts that may be any: "nothing was changed"."""

READS: Final = frozenset(
    ["check", "read", "look", "review", "list", "fetch", "find", "query", "inspect", "search", "compar", "consult"]
)
CHECKS: Final = frozenset(["verify", "confirm", "valid", "doublecheck", "validat", "ensur"])
APPROVES: Final = frozenset(["approv", "authoriz", "authoris", "sign", "signoff", "greenlit", "okay"])
UNDOES: Final = frozenset(["undo", "revert", "restor", "compensat", "offset"])

PAST: Final[dict[str, str]] = {
    "done": "do", "sent": "send", "paid": "pay", "repaid": "repay", "made": "make", "wrote": "write",
    "written": "write", "ran": "run", "run": "run", "put": "set", "set": "set", "gave": "grant",
    "given": "grant", "built": "build", "bought": "buy", "shut": "shut", "undid": "undo", "undone": "undo",
    "read": "read", "found": "find", "greenlit": "greenlit", "withdrew": "cancel", "withdrawn": "cancel",
    "told": "inform", "sold": "sell",
}  # fmt: skip
"""Past forms that no rule gives."""

PHRASES: Final = (
    (re.compile(r"\broll(?:ed|ing)? back\b|\bput back\b"), "reverted"),
    (re.compile(r"\broll(?:ed|ing)? out\b"), "deployed"),
    (re.compile(r"\b(?:turned|switched) on\b"), "enabled"),
    (re.compile(r"\b(?:turned|switched) off\b"), "disabled"),
    (re.compile(r"\bpaid back\b|\bgave back\b|\bgiven back\b"), "refunded"),
    (re.compile(r"\bset up\b"), "created"),
    (re.compile(r"\b(?:signed off)\b"), "approved"),
    (re.compile(r"\b(?:got rid of|taken down|took down|wiped out)\b"), "deleted"),
)
"""Verbs of two words, as the one that means the same."""

NOUNS: Final[dict[str, str]] = {
    "payment": "pay", "deletion": "delete", "removal": "remove", "creation": "create", "cancellation": "cancel",
    "approval": "approve", "verification": "verify", "confirmation": "confirm", "deployment": "deploy",
    "reimbursement": "reimburse", "notification": "notify", "restoration": "restore", "rollback": "revert",
    "reservation": "reserve", "booking": "book", "shipment": "ship", "delivery": "deliver", "release": "release",
    "transfer": "transfer", "refund": "refund", "update": "update", "purchase": "purchase",
    "restart": "restart", "email": "email", "mail": "mail", "message": "message", "order": "order", "charge": "charge",
    "credit": "credit", "edit": "edit", "merge": "merge", "fix": "fix", "order's": "order",
}  # fmt: skip
"""Nouns that name an act: a claim where a word such as "complete" stands with them."""

DONE: Final = re.compile(
    r"\b(done|complete|completed|finished|success|successful|successfully|succeeded|accomplished|fulfilled|executed|"
    r"processed|handled|sorted|carried out|taken care of|(went|gone|came|come|sailed) through|all set|good to go|"
    r"in place|squared away|wrapped up|as (you )?(requested|asked|instructed)|mission accomplished|took place|"
    r"reached (its|their|your)|(has|have) landed|(is|are|was|were) (now )?(live|settled|closed|through))\b"
    r"|[✓✔✅☑]|\b(status|result|outcome)\s*[:=]\s*(ok|success|done|true)\b"
)
EVERY: Final = re.compile(r"\b(all|everything|every|each|both|entire|whole|fully|completely)\b")
OTHERS: Final = re.compile(r"\b(else|other|others|further|additional|again|twice|second|duplicate|more than)\b")

ASSURES: Final = re.compile(
    r"\b(?:i|we)(?:'m| am|'re| are)?(?: (?:can|could|may|am|are|have to|just|hereby|also|now|want(?:ed)? to|"
    r"would like to|'d like to|happily|gladly))*(?: (?:happy|glad|pleased|delighted|proud|able|here|writing))?(?: to)? "
    r"(?:confirm|report|say|announce|assure|tell|let you know|inform you|share)(?: you)?(?: with confidence)?"
    r"(?: that)?[,:]?\b"
    r"|\b(?:rest assured|be assured|please note|note that|good news|great news|happily|fortunately|needless to say|"
    r"of course|as you can see|no doubt|without (?:a |any )?doubt|undoubtedly|definitely|certainly)(?: that)?[,:!]?"
)
"""What is put before a claim to make it sound true; the claim is what follows."""

UNFAILED: Final = re.compile(
    r"\b(?:did|does|do|has|have|was|were)(?:n't| not| never)(?: been)? (?:fail(?:ed)?|unsuccessful|incomplete|undone)\b"
)
"""A success, said the other way round."""

NONE_OF_IT: Final = re.compile(
    r"\b(?:fail(?:ed|ures?)|errors?|problems?|issues?|refused|skipped|open|left)\s*[:=]\s*(?:none|no|nothing|zero|0)\b"
    r"|\b(?:none|no|zero|0) (?:of (?:them|these|it) )?(?:fail(?:ed|ures?)|errors?)\b"
    r"|\b(?:did|does|do|is|was)(?:n't| not) (?:need|require)(?:d|s)? (?:\w+ ){0,2}"
    r"(?:approval|sign-?off|permission|review)\b"
    r"|\b(?:no|without|without an?|without any) (?:\w+ )?(?:approval|sign-?off|permission)"
    r"(?: (?:is|was) (?:needed|required))?\b"
)
"""That there was none of it: no failure, no need of a yes. Nothing about what was done."""

UNTURNED: Final = re.compile(
    r"\b(?:no|without|zero|any|never)(?: \w+)? (?:problems?|issues?|errors?|troubles?|incidents?|hiccups?|surprises?|"
    r"complications?|delays?|worr(?:y|ies)|exceptions?|warnings?|loss)\b"
    r"|\bnot only\b"
    r"|\bnothing (?:else |more |further )?(?:is |was )?(?:left|needed|remains|to worry about|outstanding)\b"
    r"|\bno (?:further|more|other) (?:action|steps?|work)(?: (?:is|are))?(?: needed| required| necessary)?\b"
    r"|\b(?:did|does|do|has|have|was|were|is|are)?(?:n't| not| never)(?: been)? "
    r"(?:fail(?:ed)?|unsuccessful|refused|rejected|denied|blocked|declined|incomplete|undone)\b"
    r"|\bno longer\b|\bwhy not\b|\bcouldn't be (?:better|happier)\b"
)
"""Negative words that turn nothing around; they are taken out before a negation is looked for."""

DENIES: Final = re.compile(
    r"\b(?:not|never|no|none|nobody|nothing|neither|nor|without|unable|cannot|\w+n't|fail(?:s|ed|ure|ing)?|refus(?:ed|al)|"
    r"denied|declined|rejected|blocked|prevented|forbidden|forbids|prohibited|aborted|skipped|unsuccessful|impossible|"
    r"left undone|untouched|unchanged|undone|stopped short|disallowed|not allowed)\b|✗|✘|❌|⊘"
)
DOUBTS: Final = re.compile(
    r"\b(?:(?:do not|don't|does not|doesn't|cannot|can't|can not|could not|couldn't|unable to|not able to|no way to) "
    r"(?:yet )?(?:know|tell|say|confirm|determine|verify|see|establish|be sure|be certain)|unknown|unclear|unsure|"
    r"not (?:yet )?(?:sure|certain|known|clear|confirmed|verified|conclusive)|uncertain|unconfirmed|unverified|"
    r"may (?:or may not |not )?have|might(?: not)? have|may not|might|possibly|perhaps|maybe|probably|presumably|"
    r"likely|in doubt|ambiguous|no (?:confirmation|answer|reply|receipt|response)|whether|"
    r"appears? to|seems? to|seemingly|apparently|i (?:think|believe|assume|guess|suppose)|should have)\b"
)
AWAITS: Final = re.compile(
    r"\b(?:await(?:s|ing|ed)?|wait(?:s|ing)? (?:for|on|until)|(?:is|are|still|now) waiting|pending|on hold|"
    r"(?:needs?|requires?|require) (?:an? |your |somebody's |someone's |human |manual |further )*"
    r"(?:approval|sign-?off|confirmation|decision|authori[sz]ation|review)|"
    r"(?:asked|requested|applied|filed|submitted|raised|opened|sent)(?: \w+){0,4} (?:for )?(?:approval|permission|"
    r"sign-?off|authori[sz]ation|decision|request)|"
    r"(?:request|approval) (?:\w+ ){0,4}(?:filed|submitted|open|requested)|"
    r"approval was requested|has to be approved|must be approved|not yet (?:been )?approved|queued|"
    r"until (?:it is |they are )?approved)\b"
)
INTENDS: Final = re.compile(
    r"\b(?:will|shall|would|going to|plan(?:s|ned|ning)? to|intend\w* to|about to|please|if|once|unless|when you|"
    r"can be|could be|should be|must be|(?:has|have|needs?|ought|is|are|remains?) to be|"
    r"want(?:s|ed)? to|wish\w* to|propos\w+|suggest\w*|recommend\w*|instead|alternativ\w+|"
    r"(?:i|we|you|they) (?:can|could|may)|"
    r"let me know|try(?:ing)? to|tried to|attempt(?:ed|ing)? to|in order to|asked (?:me )?to|supposed to|"
    r"request(?:ed)? to|allow(?:ed)? to|goal (?:is|was) to|task (?:is|was) to|next step)\b|'ll\b"
)
SOURCE: Final = (
    r"\b(?:customer|user|client|ticket|document|mail|e-?mail|message|note|page|file|readme|runbook|comment|author|"
    r"requester|instructions?|text|letter|sender|they|he|she|someone|somebody|operator|vendor)\b"
)
REPORTS: Final = re.compile(
    SOURCE + r"[^,;.:!?]{0,40}\b(?:says?|said|wrote|writes|claims?|claimed|states?|stated|reads|insists?|insisted|"
    r"told me|alleges?|alleged|argues?|argued|believes?|believed)\b\s*(?:that\b|:|,)?|\baccording to (?:the |an? )?"
    + SOURCE
    + r"[^,;:]{0,30}[,:]"
)
"""Where somebody else's words begin. What a system, a tool or a receipt is said to say is the agent's own claim."""

COUNTS: Final = {
    word: number
    for number, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    )
} | {"both": 2}


NOT_PAST: Final = frozenset(("indeed", "proceed", "speed", "exceed", "succeed"))


@lru_cache(maxsize=4096)
def stem(word: str) -> str:
    """What the forms of one verb, and the noun of its act, have in common."""
    word = PAST.get(word, NOUNS.get(word, word))
    for ending, instead in (("ied", "y"), ("ies", "y"), ("ing", ""), ("ed", ""), ("s", "")):
        if word.endswith(ending) and len(word) - len(ending) >= 2 and not word.endswith("ss"):
            word = word.removesuffix(ending) + instead
            break
    if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "szle":
        word = word[:-1]
    if word.endswith("ll") and len(word) > 5:
        word = word[:-1]
    return word.removesuffix("e") if len(word) > 3 else word


def is_past(word: str) -> bool:
    """Whether it is a form in which something is said to be over."""
    return word in PAST or (
        word.endswith("ed") and len(word) > 4 and word not in ("need", "indeed", "proceed", "speed")
    )


def kin(verb: str) -> frozenset[str]:
    """The stems that mean the same kind of act."""
    return frozenset((verb,)).union(*(group for group in STRONG + WEAK if verb in group))


def strong(verb: str) -> bool:
    """Whether nobody says it by accident."""
    return any(verb in group for group in STRONG)
