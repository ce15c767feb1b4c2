"""Integrity errors: holdfast stops, because going on would be guessing.

Decides what is said when the store, the evidence, the clock or the engine itself cannot be trusted. Promises
that nothing is dispatched after one of these was raised for a store. Does NOT repair anything.
"""

# The names say what happened (KeyReused, StoreFull); a suffix on each would say it twice.
# ruff: noqa: N818

from __future__ import annotations

from holdfast.kernel.errors.wording import HoldfastError


class IntegrityError(HoldfastError):
    """Holdfast cannot keep its promises and stops dispatching rather than guess."""

    next_command = "holdfast status"


class StoreFailed(IntegrityError):
    """A write or sync did not go through; the writer stopped for good."""

    code = "HF-I01-store-failed"
    what_happened = "Store {store} stopped writing: {why}."
    what_is_known = "Everything acknowledged before is on disk; no effect was dispatched on the writes in doubt."
    what_is_not_known = "Whether the last, unacknowledged records reached the disk is not known."
    what_to_do = "Mend the disk, then start anew: recovery reads what is really there."
    store: str
    why: str


class StoreAway(StoreFailed):
    """The server that keeps the store is not there, or the way to it is cut; it may be back in a moment."""

    code = "HF-I15-store-away"
    what_happened = "The server of store {store} is not there: {why}."
    what_is_known = "Everything acknowledged before is on its disk; no effect was dispatched on the writes in doubt."
    what_is_not_known = "Whether the last, unacknowledged records reached the server is not known."
    what_to_do = "Bring the server or the way to it back: workers wait for it and go on with what is really there."


class StoreFull(IntegrityError):
    """No room is left for the store."""

    code = "HF-I02-store-full"
    what_happened = "Store {store} has no room left on its disk."
    what_is_known = "The batch was rolled back whole; nothing was dispatched on it; earlier records are intact."
    what_to_do = "Free space on that disk, then start anew."
    store: str


class StoreReadOnly(IntegrityError):
    """The store cannot be written to."""

    code = "HF-I03-store-read-only"
    what_happened = "Store {store} cannot be written to: this user, or this role, has no right to."
    what_is_known = "Nothing was recorded and nothing was dispatched; reading works."
    what_to_do = "Give this user the right to write the file and its directory, or this role those of a worker."
    store: str


class StoreCorrupt(IntegrityError):
    """The store's bytes are damaged."""

    code = "HF-I04-store-corrupt"
    what_happened = "Store {store} is damaged: {where}."
    what_is_known = "Nothing is dispatched from it."
    what_is_not_known = "Which records are lost is not known until the evidence is verified."
    what_to_do = "Keep a copy as it is; then verify it, or restore a backup (which dispatches nothing at first)."
    next_command = "holdfast evidence verify"
    store: str
    where: str


class SchemaFromFuture(IntegrityError):
    """The store was written by a newer holdfast."""

    code = "HF-I05-schema-from-future"
    what_happened = "Store {store} has schema {found}; this version knows schemas up to {known}."
    what_is_known = "It was not opened and nothing in it was changed."
    what_to_do = "Use the newer version that wrote it."
    next_command = "pip install --upgrade holdfast"
    store: str
    found: int
    known: int


class MigrationChanged(IntegrityError):
    """A migration that was already applied has other text now."""

    code = "HF-I06-migration-changed"
    what_happened = "Migration {number} of store {store} differs from the one that was applied."
    what_is_known = "The store was not opened and nothing in it was changed."
    what_to_do = "Install an unmodified release; an applied migration is never edited."
    next_command = "pip install --force-reinstall holdfast"
    store: str
    number: int


class StoreRestored(IntegrityError):
    """The store is behind, or a copy of, what was last seen; it opens restored."""

    code = "HF-I07-store-restored"
    what_happened = "Store {store} opens restored: {why}."
    what_is_known = "Nothing is dispatched until it is reconciled and a named human releases it."
    what_is_not_known = "What left after the point it was restored to is not known."
    what_to_do = "Reconcile the open effects, then release the store."
    next_command = 'holdfast store release --as NAME --reason "what was reconciled"'
    store: str
    why: str


class StoreMoved(IntegrityError):
    """The store goes on elsewhere; this one takes nothing more."""

    code = "HF-I14-store-moved"
    what_happened = "Store {store} was moved and goes on as {to}."
    what_is_known = "Nothing was recorded here and nothing is dispatched from here any more; reading works."
    what_is_not_known = "What this process sent and had not recorded is known to the outside alone: it is asked there."
    what_to_do = "Open the store at its new place; copy it once more to the same place where that has no store yet."
    next_command = "holdfast store show"
    store: str
    to: str


class StoreBusy(IntegrityError):
    """Somebody else holds the store's write lock for too long."""

    code = "HF-I08-store-busy"
    what_happened = "Store {store} is held by {holder}; waited {waited_ms}."
    what_is_known = "Nothing was recorded by this call and nothing was dispatched."
    what_to_do = "Find out what that holder is doing; do not delete lock files."
    store: str
    holder: str
    waited_ms: int


class ChainBroken(IntegrityError):
    """An entry does not follow from the one before it: the log was changed, cut or reordered."""

    code = "HF-I09-chain-broken"
    what_happened = (
        "The evidence of run {run} breaks at entry {seq}{pos_maybe}: {field} is {found}, expected {expected}."
    )
    what_is_known = "Entries before {seq} verify."
    what_is_not_known = "What entry {seq} and all later ones really said is not known."
    what_to_do = "Keep the file as it is; compare it with a published head or a backup."
    next_command = "holdfast evidence show {run}"
    run: str
    seq: int
    field: str
    expected: str
    found: str
    pos: int = 0


class IllegalTransition(IntegrityError):
    """The store refused a change of state that the state table does not have."""

    code = "HF-I10-illegal-transition"
    what_happened = "Effect {effect} may not go from {from_state} to {to_state}."
    what_is_known = "The store refused it; effect {effect} is still {from_state}."
    what_to_do = "Report it: either the engine or somebody with access to the store is at fault."
    next_command = "holdfast effect show {effect}"
    effect: str
    from_state: str
    to_state: str


class ClockJumped(IntegrityError):
    """The clock moved so far that leases, approvals and deadlines cannot be judged."""

    code = "HF-I11-clock-jumped"
    what_happened = "The clock of store {store} jumped by {by_ms}."
    what_is_known = "Nothing is dispatched; the store's time never goes back."
    what_is_not_known = "Which of the two times is right is not known."
    what_to_do = "Set the machine's clock right; then a named person ends the doubt."
    next_command = 'holdfast store clock --as NAME --reason "…"'
    store: str
    by_ms: int


class IdentitySecretMissing(IntegrityError):
    """The secret that keys are minted with is gone; new keys would not match the recorded ones."""

    code = "HF-I12-identity-secret-missing"
    what_happened = "The identity secret of store {store} is missing: {why}."
    what_is_known = "Recorded keys are intact; nothing is dispatched, since a new secret would mint other keys."
    what_to_do = "Restore the secret from backup; never make a new one for this store."
    store: str
    why: str


class OurBug(IntegrityError):
    """Holdfast found itself in a state it had ruled out."""

    code = "HF-I13-our-bug"
    exit_code = 70
    what_happened = "Holdfast is at fault in {where}: {what}."
    what_is_known = "It stopped here; what was recorded before is intact."
    what_is_not_known = "Effects that had left and are not settled may be unknown."
    what_to_do = "Report it with the output of this command."
    where: str
    what: str
