"""Effect errors: one effect needs an operator's decision.

Decides what an operator reads at three in the morning. Promises to carry the effect's id and to say apart
what is known and what is not; an unknown outcome is never worded as anything else. Does NOT decide the
outcome: these are raised from records that exist already.
"""

# The names say what happened (KeyReused, StoreFull); a suffix on each would say it twice.
# ruff: noqa: N818

from __future__ import annotations

from holdfast.kernel.errors.wording import HoldfastError


class EffectError(HoldfastError):
    """One effect needs a decision. Its id is empty only where a run stopped before any."""

    what_to_do = "Look at the effect before deciding."
    next_command = "holdfast effect show {effect}"
    effect: str


class KeyReused(EffectError):
    """The same identity came with other material arguments after the first was dispatched."""

    code = "HF-E01-key-reused"
    exit_code = 5
    what_happened = "{tool} was called with the identity of effect {effect} but with other arguments."
    what_is_known = (
        "Effect {effect} is {state}; its recorded arguments are {recorded_digest}, the offered ones are "
        "{offered_digest}; nothing was sent for this call."
    )
    what_to_do = "If this is a second, separate piece of work, ask for it with a new purpose or again=reason."
    tool: str
    recorded_digest: str
    offered_digest: str
    state: str


class EffectRefused(EffectError):
    """Policy, grant, approval, budget, deadline or admission said no."""

    code = "HF-E02-effect-refused"
    exit_code = 5
    what_happened = "Effect {effect} was refused: {reason} (rules: {rules})."
    what_is_known = "It was not sent."
    what_to_do = "Change the call, or have the rule changed by whoever owns it."
    reason: str
    rules: tuple[str, ...]


class EffectUnknown(EffectError):
    """The effect left, and whether it took place is not known."""

    code = "HF-E03-effect-unknown"
    exit_code = 3
    what_happened = "Effect {effect} was dispatched and its outcome is unknown: {cause}."
    what_is_known = "It is on record as dispatched, counts as spent, and is owned by {owner}."
    what_is_not_known = "Whether the outside was changed is not known."
    what_to_do = "Do not propose it anew; reconcile it, or have a named human attest it with a reason."
    next_command = "holdfast effect reconcile {effect}"
    cause: str
    owner: str


class EffectFailed(EffectError):
    """It is proved that the effect did not take place."""

    code = "HF-E04-effect-failed"
    exit_code = 1
    what_happened = "Effect {effect} did not take place: {why}."
    what_is_known = "This is proved; the outside was not changed by it."
    what_to_do = "If it is still wanted, propose it anew; it is decided afresh as the next generation."
    why: str


class EffectWaiting(EffectError):
    """The effect waits for a human or for a long operation outside."""

    code = "HF-E05-effect-waiting"
    exit_code = 4
    what_happened = "Effect {effect} waits for {for_what} (request {request}) until {until_ms}."
    what_is_known = "The request is on record."
    what_is_not_known = "How it will end is not known yet."
    what_to_do = "The next move belongs to {for_what}."
    request: str
    for_what: str
    until_ms: int


class EffectDeferred(EffectError):
    """Admission scheduled the effect for later."""

    code = "HF-E06-effect-deferred"
    exit_code = 4
    what_happened = "Effect {effect} was deferred: {why}; it is not before {until_ms}."
    what_is_known = "It was not sent; its budget is reserved."
    what_to_do = "Leave it: a worker takes it up at that time."
    why: str
    until_ms: int


class RunStopped(EffectError):
    """The run was stopped, halted, or ran past its deadline or budget."""

    code = "HF-E07-run-stopped"
    exit_code = 5
    what_happened = "Run {run} is stopped: {reason}."
    what_is_known = "Nothing is dispatched in it after the stop; effects that had left before are reconciled."
    what_to_do = "See what had left before the stop."
    next_command = "holdfast run show {run}"
    effect: str = ""
    run: str
    reason: str


class ApproverIsProposer(EffectError):
    """Nobody approves what they proposed."""

    code = "HF-E08-approver-is-proposer"
    exit_code = 5
    what_happened = "{name} may not approve effect {effect}: {name} proposed it."
    what_is_known = "The request is still open; nothing was sent."
    what_to_do = "Another person approves or refuses it."
    name: str


class NotAnApprover(EffectError):
    """Who says it is not registered to say it: an unknown name, another key, a key that ended, another group."""

    code = "HF-E12-not-an-approver"
    exit_code = 5
    what_happened = "{name} may not decide on {effect}: {why}."
    what_is_known = "Nothing was changed and nothing was sent."
    what_to_do = "Somebody who is registered for it decides, or an approver registers {name}."
    next_command = "holdfast approver list"
    name: str
    why: str


class ApprovalInvalid(EffectError):
    """An approval does not hold for exactly these bytes, on this state, at this time."""

    code = "HF-E09-approval-invalid"
    exit_code = 5
    what_happened = "Approval {approval} does not hold for effect {effect}: {why}."
    what_is_known = "This answer changed nothing; what the effect did or did not do is on its own page."
    what_to_do = "Look at what the effect is now; if it is still wanted, let it be asked for anew."
    approval: str
    why: str


class NotAllowedNow(EffectError):
    """The state the effect is in does not allow what was asked."""

    code = "HF-E10-not-allowed-now"
    exit_code = 5
    what_happened = "Effect {effect} is {state}; {asked} is not allowed in that state."
    what_is_known = "Nothing was changed. Allowed now: {allowed}."
    state: str
    asked: str
    allowed: tuple[str, ...]


class ReasonMissing(EffectError):
    """A human decision about an effect needs a reason that the record can carry."""

    code = "HF-E11-reason-missing"
    exit_code = 2
    what_happened = "{asked} of effect {effect} was not taken: it needs a reason."
    what_is_known = "Nothing was changed."
    what_to_do = "Say why, in words somebody can check later."
    next_command = 'the same command with --as NAME --reason "what you saw, and where"'
    asked: str


class JobNotMovable(EffectError):
    """The state a queued run's job is in does not allow what was asked."""

    code = "HF-E13-job-not-movable"
    exit_code = 5
    what_happened = "The job of run {run} is {state}; {asked} is not possible in that state."
    what_is_known = "Nothing was changed."
    what_to_do = "Look at the job before deciding."
    next_command = "holdfast queue show {run}"
    effect: str = ""
    run: str
    state: str
    asked: str


class RunLost(EffectError):
    """This process does not drive the run any more: another took it over, or its lease ran out."""

    code = "HF-E20-run-lost"
    exit_code = 3
    what_happened = "This process does not drive run {run} any more: {why}."
    what_is_known = "Nothing more of it is dispatched from here; what had left is still recorded as it comes in."
    what_to_do = "Leave it to whoever drives it now."
    next_command = "holdfast worker list"
    effect: str = ""
    run: str
    why: str


class RunHeld(EffectError):
    """A run is driven by another worker that is there, or its job is one that nobody may drive now."""

    code = "HF-E21-run-held"
    exit_code = 4
    what_happened = "Run {run} is not driven here: {why}."
    what_is_known = "Nothing was asked of a planner and nothing was sent from here."
    what_to_do = "Wait for the worker that has it, or look at what it waits for."
    next_command = "holdfast worker list"
    effect: str = ""
    run: str
    why: str


class VersionMissing(EffectError):
    """This process lacks the version of a tool that is in force; another worker may have it."""

    code = "HF-E22-version-missing"
    exit_code = 4
    what_happened = (
        "Effect {effect} of run {run} was not decided here: this process lacks the version of {tool} that is in force."
    )
    what_is_known = "Nothing was refused and nothing was sent: {why}."
    what_to_do = "Start a worker with the version in force, or review the one that this process has."
    next_command = "holdfast tool review {tool}"
    run: str
    tool: str
    why: str


class TakenBack(EffectError):
    """What this worker had recorded for the moment did not stand when it was committed."""

    code = "HF-E23-taken-back"
    what_happened = "What was recorded of {effect} in run {run} did not stand when it was committed: {why}."
    what_is_known = "Nothing of that is on record, and nothing was sent because of it."
    what_is_not_known = "Where it stands now is not said here: others moved it, or what it rests on."
    what_to_do = "Look at where it stands, and go on from there."
    next_command = "holdfast effect show {effect}"
    run: str
    why: str
