"""``holdfast evidence redact``: take values out of the record, everywhere."""

from __future__ import annotations

import sys
from typing import Annotated, Any

from cyclopts import Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Misused, Reason, Shared, deciding, reading, vouched
from holdfast.report.page import Page

STORE_RUN = "ru_store"
KeyFile = Annotated[str, Parameter(name="--key")]
Arguments = Annotated[tuple[str, ...], Parameter(name="--argument", negative="")]
Values = Annotated[tuple[str, ...], Parameter(name="--value", negative="", allow_leading_hyphen=True)]


def redact(
    of: str,
    /,
    *,
    argument: Arguments = (),
    value: Values = (),
    as_: As = "",
    key: KeyFile = "",
    reason: Reason = "",
    dry_run: Annotated[bool, Parameter(name="--dry-run", negative="")] = False,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Take values out of the record, wherever in the store they are; a stand-in is left in each place.

    Keys, identities and hashes stay, so a redelivered message still finds its effect. Where approvers are registered it
    is signed with your key.

    Parameters
    ----------
    of
        A run or an effect that the values are known from; any unique beginning of the id.
    argument
        An argument of it whose value goes; may be given several times.
    value
        A text that goes; - reads texts from the standard input, one a line, so that none is in your shell's history.
    as_
        Your name.
    key
        Your key's file [default: your name in the keys folder].
    reason
        Why, for whoever asks later.
    dry_run
        Show what would change, and change nothing.
    """
    from holdfast.report.redact import redacted_page
    from holdfast.runtime.redact import Wanted, take_out

    texts = [text for given in value for text in (_lines() if given == "-" else [given])]
    if not argument and not texts:
        raise Misused("name what is to go: --argument NAME, or --value TEXT")
    if not as_ and not dry_run:
        raise Misused("say who takes it out, and why: --as NAME --reason TEXT; --dry-run shows what would change")
    with reading(shared) if dry_run else deciding(shared) as store:
        found = of if of == STORE_RUN else _found(store, of)
        wanted = Wanted(found, argument, tuple(texts), reason)
        if dry_run:
            return redacted_page(take_out(store, wanted, dry=True))
        return redacted_page(take_out(store, wanted, **_person(shared, store, as_, key)))


def _lines() -> list[str]:
    return [line.rstrip("\n") for line in sys.stdin if line.strip()]


def _found(store: Any, given: str) -> str:
    """The run or the effect; of a request its effect."""
    found = str(store.find(given))
    approval = store.approval(found) if found.startswith("ap_") else None
    return approval.effect if approval is not None else found


def _person(shared: Shared, store: Any, who: str, key: str) -> dict[str, Any]:
    """Who does this: their key where approvers are registered, else their name and who typed it."""
    if store.documents("approver"):
        from holdfast.cli.approver import signer_of

        return {"key": signer_of(shared, who, key), "who": who}
    return {"who": who, "vouched_by": vouched()}
