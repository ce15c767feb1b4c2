"""Usage errors: the calling code or the configuration is wrong.

Decides what a developer reads. Promises that nothing was sent because of the thing refused (for values, which
may be a tool's reply, only that they were not recorded). Does NOT judge effects: see `effect` for those.
"""

# The names say what happened (KeyReused, StoreFull); a suffix on each would say it twice.
# ruff: noqa: N818

from __future__ import annotations

from holdfast.kernel.errors.wording import HoldfastError


class UsageError(HoldfastError):
    """The calling code or the configuration is wrong; nothing was sent because of it."""

    exit_code = 2
    what_is_known = "Nothing was changed and nothing was sent."


class BadValue(UsageError):
    """A value cannot be taken in exactly, so it is not taken in at all."""

    code = "HF-U01-bad-value"
    what_happened = "The value at {path} ({value_type}) was not accepted: {why}."
    # The value may be what a tool returned, so it must not say that nothing was sent.
    what_is_known = "It was not recorded, neither whole nor in part."
    what_to_do = "Change that value where it is made."
    next_command = "give {path} as plain JSON: text, true/false, null, or an integer within ±9007199254740991"
    path: str
    why: str
    value_type: str


class TooLarge(UsageError):
    """Something is bigger than its limit. `size_bytes` is a lower bound when `exact` is false."""

    code = "HF-U02-too-large"
    what_happened = "The {what} takes {bound}{size_bytes} bytes; the limit is {limit_bytes} bytes."
    what_is_known = "It was not recorded, neither whole nor in part."
    what_to_do = "Store the large part elsewhere and pass its address and digest."
    next_command = "pass at most {limit_bytes} bytes as {what}"
    what: str
    size_bytes: int
    limit_bytes: int
    exact: bool = True

    def _words(self) -> dict[str, str]:
        return {**super()._words(), "bound": "" if self.exact else "at least "}


class BadContract(UsageError):
    """A tool's contract is incomplete or contradicts itself; the tool was not registered."""

    code = "HF-U03-bad-contract"
    what_happened = "Tool {tool} was not registered: missing: {missing}; problems: {problems}."
    what_to_do = "Declare what is missing in @hf.tool(...) or hf.Contract(...)."
    next_command = "correct the contract of {tool}: {wrong}"
    tool: str
    missing: tuple[str, ...]
    problems: tuple[str, ...] = ()

    def _words(self) -> dict[str, str]:
        words = super()._words()
        parts = (f"add {words['missing']}" if self.missing else "", words["problems"] if self.problems else "")
        wrong = "; ".join(part for part in parts if part)
        return {**words, "wrong": wrong} if self.missing else {**words, "missing": "nothing", "wrong": wrong}


class UnknownTool(UsageError):
    """A call names a tool that is not registered."""

    code = "HF-U04-unknown-tool"
    what_happened = "No tool named {tool} is registered.{nearest_maybe} Registered: {known}."
    what_to_do = "Correct the name, or register the tool."
    next_command = "name one of: {known}"
    tool: str
    nearest: str | None
    known: tuple[str, ...]


class BadArguments(UsageError):
    """The arguments of a call do not fit the tool's schema."""

    code = "HF-U05-bad-arguments"
    what_happened = "The call of {tool} was not accepted as proposed: {problems}."
    what_to_do = "Correct these arguments."
    next_command = "call {tool} with arguments that fit its schema: {problems}"
    tool: str
    problems: tuple[str, ...]


class BadConfig(UsageError):
    """A configuration file has a key or a value that means nothing."""

    code = "HF-U06-bad-config"
    what_happened = "{file} was not accepted: {key}: {why}.{nearest_maybe}"
    what_to_do = "Correct that key."
    next_command = "edit {key} in {file}"
    file: str
    key: str
    nearest: str | None
    why: str


class BadPolicy(UsageError):
    """The policy does not parse or does not fit the schema; such a policy allows nothing."""

    code = "HF-U07-bad-policy"
    what_happened = "The policy {file}, line {line}, was not accepted: {why}.{nearest_maybe}"
    what_is_known = "Nothing was allowed by it and nothing was sent."
    what_to_do = "Correct that line; until then nothing is dispatched."
    next_command = "edit {file} at line {line}"
    file: str
    line: int
    why: str
    nearest: str | None


class UnknownId(UsageError):
    """No record of that kind begins with the given id."""

    code = "HF-U08-unknown-id"
    what_happened = "No {kind} in this store has an id that begins with {given}."
    what_to_do = "Check the id and the store."
    next_command = "holdfast status"
    given: str
    kind: str


class AmbiguousId(UsageError):
    """A shortened id fits more than one record."""

    code = "HF-U09-ambiguous-id"
    what_happened = "{given} fits more than one record: {matches}."
    what_to_do = "Give more characters of the one that is meant."
    next_command = "use one of: {matches}"
    given: str
    matches: tuple[str, ...]


class SealRefused(UsageError):
    """The application was not sealed for production."""

    code = "HF-U10-seal-refused"
    what_happened = "The application was not sealed: {problems}."
    what_is_known = "It keeps running unsealed, without the production guarantees."
    what_to_do = "Mend each point, then call app.seal() anew."
    next_command = "mend before app.seal(): {problems}"
    problems: tuple[str, ...]


class AlreadyOpen(UsageError):
    """Something that may be opened once is opened a second time."""

    code = "HF-U11-already-open"
    what_happened = "{what} is open already and was not opened a second time."
    what_to_do = "Use the one that is open, or close it first."
    next_command = "open it once: async with hf.open(...) as app"
    what: str


class NotOpen(UsageError):
    """Something is used before it was opened or after it was closed."""

    code = "HF-U12-not-open"
    what_happened = "{what} is not open: it was closed, or never opened."
    what_to_do = "Use it inside the block that opens it."
    next_command = "use it inside: async with hf.open(...) as app"
    what: str


class BadPurpose(UsageError):
    """A purpose must be a short, stable name given by the principal, not by planner or client text."""

    code = "HF-U13-bad-purpose"
    what_happened = "The purpose {purpose} was not accepted: {why}."
    what_to_do = "Name the reason for the work, such as the ticket or the order it serves."
    next_command = 'hf.Intent(purpose="ticket-991", ...)'
    purpose: str
    why: str


class IntentDiffers(UsageError):
    """A known purpose was begun again with other terms; one purpose has one intent."""

    code = "HF-U14-intent-differs"
    what_happened = "An intent with the purpose {purpose} exists and differs in: {field_names}."
    what_is_known = "The recorded intent stands unchanged; nothing was sent."
    what_to_do = "Begin it with the recorded terms, or choose a new purpose for new work."
    next_command = "holdfast run list"
    purpose: str
    field_names: tuple[str, ...]


class ApproversUnchanged(UsageError):
    """Who may decide was not changed: nobody who may do that asked for it, or the change contradicts what is there."""

    code = "HF-U15-approvers-unchanged"
    exit_code = 5
    what_happened = "The approver {name} was not {asked}: {why}."
    what_is_known = "The approvers of this store are as they were."
    what_to_do = "Let somebody who is registered in the group admins do it, with their key."
    next_command = "holdfast approver list"
    name: str
    asked: str
    why: str


class BadItem(UsageError):
    """Something seen was not recorded as an item: its kind is none, or a memory is without source, owner or expiry."""

    code = "HF-U16-bad-item"
    what_happened = "What was seen in {source} was not recorded as an item: {why}.{nearest_maybe}"
    what_to_do = "Say what kind of item it is, and for a memory also where it comes from, who owns it, and until when."
    next_command = 'run.saw({source}, content, kind="observed", ...)'
    source: str
    why: str
    nearest: str | None


class UnknownItem(UsageError):
    """A call cites something that is not an item of its run."""

    code = "HF-U17-unknown-item"
    what_happened = "The call of {tool} was not proposed: it cites {item}, which is not an item of run {run}."
    what_to_do = "Cite what this run has seen: an item of run.saw(...), or what a read of this run gave."
    next_command = "holdfast run show {run}"
    tool: str
    item: str
    run: str


class NotGranted(UsageError):
    """A grant gives nothing here: it is not recorded, not this principal's, revoked, or over."""

    code = "HF-U20-not-granted"
    exit_code = 5
    what_happened = "The grant {grant} was not used: {why}."
    what_to_do = "Have a person give a grant that covers this work, or begin it under one that is good."
    next_command = "holdfast grant list"
    grant: str
    why: str


class IntentTurnedAway(UsageError):
    """A submitted intent was not accepted: there is no room for its run on these terms, or at all."""

    code = "HF-U22-intent-turned-away"
    exit_code = 5
    what_happened = "The intent {purpose} was answered with {answer} ({answer_code}): {why}."
    what_is_known = "No run was begun for it, and nothing was sent."
    what_to_do = "Submit what the answer proposes, come again when it says, or let another run end first."
    next_command = "holdfast run list"
    purpose: str
    answer: str
    answer_code: str
    why: str


class BadCheckpoint(UsageError):
    """A text is no checkpoint, no signature line or no verifier key."""

    code = "HF-U23-bad-checkpoint"
    what_happened = "What was given as a checkpoint or a key was not used: {why} (line {line})."
    what_is_known = "Nothing was verified with it, and nothing was changed."
    what_to_do = (
        "Give it as it was published, unchanged: a note of three lines and its signatures, or a key on one line."
    )
    next_command = "holdfast evidence checkpoint"
    why: str
    line: int


class BadBundle(UsageError):
    """A file is no bundle of a run, or not one that can be read within its bounds."""

    code = "HF-U24-bad-bundle"
    exit_code = 1
    what_happened = "The bundle {file} was not read: {why} ({where})."
    what_is_known = "Nothing of it was believed, nothing was written, and nothing was sent."
    what_to_do = "Ask whoever gave it to you for the file as it was made, and compare the two byte by byte."
    next_command = "holdfast run bundle RUN --output FILE"
    file: str
    where: str
    why: str


class NotRedacted(UsageError):
    """Something was not taken out of the record."""

    code = "HF-U25-not-redacted"
    what_happened = "Nothing was redacted in {what}: {why}."
    what_to_do = "Settle what is open first, and name what is to go exactly as it is recorded."
    next_command = "holdfast evidence redact {what} --dry-run"
    what: str
    why: str


class NotArchived(UsageError):
    """Runs were not moved out of the store."""

    code = "HF-U26-not-archived"
    what_happened = "Nothing was archived to {where}: {why}."
    what_is_known = "The store is as it was before."
    what_to_do = "Seal what is to be archived, and name a directory that can be written."
    next_command = "holdfast evidence seal"
    where: str
    why: str


class NotCopied(UsageError):
    """A store was not copied to another place."""

    code = "HF-U30-not-copied"
    what_happened = "Store {store} was not copied to {to}: {why}."
    what_is_known = "Nothing was left at the new place, and the store itself is as it was before."
    what_to_do = "Take away what stands in the way, then copy it."
    next_command = "holdfast store copy --help"
    store: str
    to: str
    why: str


class NotReplayable(UsageError):
    """A run cannot be driven again from what is at hand."""

    code = "HF-U27-not-replayable"
    what_happened = "Run {run} was not replayed: {why}."
    what_is_known = "Nothing was sent, and nothing was changed."
    what_to_do = "Take it from a bundle, or from the archive that holds all of it: --archive DIRECTORY."
    next_command = "holdfast evidence show {run}"
    run: str
    why: str


class NotSealed(UsageError):
    """The newest entries were not sealed: the key is not the registered one, or its signer did not sign."""

    code = "HF-U28-not-sealed"
    what_happened = "The log of store {store} was not sealed: {why}."
    what_is_known = "Nothing is lost: the entries are on disk, and the next sealing covers them."
    what_to_do = "Put the registered key, or its signer, in its place; then seal."
    next_command = "holdfast evidence seal"
    store: str
    why: str


class ExtraMissing(UsageError):
    """What was asked for rests on a library that only an extra of holdfast brings."""

    code = "HF-U29-extra-missing"
    what_happened = "{what} needs {module}, which is not installed."
    what_to_do = "Install holdfast[{extra}] into the environment that holdfast runs in."
    next_command = "pip install 'holdfast[{extra}]'"
    what: str
    extra: str
    module: str


class BadSaga(UsageError):
    """A saga as declared cannot be carried out."""

    code = "HF-U40-bad-saga"
    what_happened = "The saga {saga} was not begun: {problems}."
    what_to_do = "Declare its steps so that each may be undone up to the boundary, and is what its tool allows."
    next_command = "correct the saga {saga}: {problems}"
    saga: str
    problems: tuple[str, ...]


class SagaDiffers(UsageError):
    """A saga of this name is recorded in the run, and what is offered now is another one."""

    code = "HF-U41-saga-differs"
    what_happened = "The saga {saga} is recorded in run {run}, and what was given now differs: {differences}."
    what_is_known = "The recorded saga stands unchanged; nothing was sent for this one."
    what_to_do = "Go on with the steps that are recorded, or give new work a name of its own."
    next_command = "holdfast saga show {run}/{saga}"
    saga: str
    run: str
    differences: tuple[str, ...]


class SagaNotAtHand(UsageError):
    """A saga is not recorded, is not where a person may do what was asked, or needs the program that made it."""

    code = "HF-U42-saga-not-at-hand"
    what_happened = "Nothing was done with the saga {saga}: {why}."
    what_to_do = "Look at the saga; what may be done with it stands there."
    next_command = "holdfast saga list"
    saga: str
    why: str
