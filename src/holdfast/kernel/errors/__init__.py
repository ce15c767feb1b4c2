"""The errors of holdfast, by who must act: usage (fix code), effect (an operator), integrity (we stop).

Decides which names are public. Promises that `every_error()` is complete and that `from_json` rebuilds what
`to_json` described. Does NOT hold any wording itself: see the three family modules and `wording`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from holdfast.kernel.errors.effect import (
    ApprovalInvalid,
    ApproverIsProposer,
    EffectDeferred,
    EffectError,
    EffectFailed,
    EffectRefused,
    EffectUnknown,
    EffectWaiting,
    JobNotMovable,
    KeyReused,
    NotAllowedNow,
    NotAnApprover,
    ReasonMissing,
    RunHeld,
    RunLost,
    RunStopped,
    TakenBack,
    VersionMissing,
)
from holdfast.kernel.errors.integrity import (
    ChainBroken,
    ClockJumped,
    IdentitySecretMissing,
    IllegalTransition,
    IntegrityError,
    MigrationChanged,
    OurBug,
    SchemaFromFuture,
    StoreAway,
    StoreBusy,
    StoreCorrupt,
    StoreFailed,
    StoreFull,
    StoreMoved,
    StoreReadOnly,
    StoreRestored,
)
from holdfast.kernel.errors.usage import (
    AlreadyOpen,
    AmbiguousId,
    ApproversUnchanged,
    BadArguments,
    BadBundle,
    BadCheckpoint,
    BadConfig,
    BadContract,
    BadItem,
    BadPolicy,
    BadPurpose,
    BadSaga,
    BadValue,
    ExtraMissing,
    IntentDiffers,
    IntentTurnedAway,
    NotArchived,
    NotCopied,
    NotGranted,
    NotOpen,
    NotRedacted,
    NotReplayable,
    NotSealed,
    SagaDiffers,
    SagaNotAtHand,
    SealRefused,
    TooLarge,
    UnknownId,
    UnknownItem,
    UnknownTool,
    UsageError,
)
from holdfast.kernel.errors.wording import BY_CODE, HoldfastError

__all__ = [
    "AlreadyOpen",
    "AmbiguousId",
    "ApprovalInvalid",
    "ApproverIsProposer",
    "ApproversUnchanged",
    "BadArguments",
    "BadBundle",
    "BadCheckpoint",
    "BadConfig",
    "BadContract",
    "BadItem",
    "BadPolicy",
    "BadPurpose",
    "BadSaga",
    "BadValue",
    "ChainBroken",
    "ClockJumped",
    "EffectDeferred",
    "EffectError",
    "EffectFailed",
    "EffectRefused",
    "EffectUnknown",
    "EffectWaiting",
    "ExtraMissing",
    "HoldfastError",
    "IdentitySecretMissing",
    "IllegalTransition",
    "IntegrityError",
    "IntentDiffers",
    "IntentTurnedAway",
    "JobNotMovable",
    "KeyReused",
    "MigrationChanged",
    "NotAllowedNow",
    "NotAnApprover",
    "NotArchived",
    "NotCopied",
    "NotGranted",
    "NotOpen",
    "NotRedacted",
    "NotReplayable",
    "NotSealed",
    "OurBug",
    "ReasonMissing",
    "RunHeld",
    "RunLost",
    "RunStopped",
    "SagaDiffers",
    "SagaNotAtHand",
    "SchemaFromFuture",
    "SealRefused",
    "StoreAway",
    "StoreBusy",
    "StoreCorrupt",
    "StoreFailed",
    "StoreFull",
    "StoreMoved",
    "StoreReadOnly",
    "StoreRestored",
    "TakenBack",
    "TooLarge",
    "UnknownId",
    "UnknownItem",
    "UnknownTool",
    "UsageError",
    "VersionMissing",
    "every_error",
    "from_json",
]


def every_error() -> tuple[type[HoldfastError], ...]:
    """All concrete classes, ordered by code."""
    return tuple(BY_CODE[code] for code in sorted(BY_CODE))


def from_json(document: Mapping[str, Any]) -> HoldfastError:
    """Rebuild the error that `to_json` described. Raises BadValue for a code this version does not know."""
    code = document.get("code")
    kind = BY_CODE.get(code) if isinstance(code, str) else None
    if kind is None:
        raise BadValue(path="$.code", why="no error has this code", value_type=type(code).__name__)
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in document["fields"].items()})
