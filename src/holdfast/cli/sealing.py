"""``holdfast evidence seal|checkpoint|key|witness``: the log's checkpoints, the key that signs them, who has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Misused, Reason, Shared, deciding, reading, vouched
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.gate.signing import Signer
    from holdfast.kernel.checkpoint import Checkpoint
    from holdfast.runtime.sealer import Evidence, Sealing
    from holdfast.store import Store

key = App(name="key", help="The key that signs checkpoints: show it, let another follow.", help_format="plaintext")
witness = App(name="witness", help="Witnesses: who has which checkpoint.", help_format="plaintext")

WAIT_S = 40.0
"""How long a command waits for another process that seals: longer than a lease."""

Key = Annotated[Path | None, Parameter(name="--key")]


@contextmanager
def sealing(shared: Shared, key_file: Path | None = None) -> Iterator[tuple[Store, Sealing]]:
    """The store and its sealer, in this thread. Raises Misused where nobody said which key signs."""
    from holdfast.runtime.peers import my_name
    from holdfast.runtime.sealer import Sealing as Begun

    how = _how(shared, key_file)
    with deciding(shared) as store:
        begun = Begun(store, how, my_name())
        try:
            yield store, begun
        finally:
            begun.close()


def _how(shared: Shared, key_file: Path | None) -> Evidence:
    from holdfast.runtime.sealer import Evidence as How

    settings = shared.settings()
    if key_file is not None:
        witnesses = settings.evidence.witnesses if settings.evidence is not None else ()
        return How(key=key_file.absolute(), witnesses=witnesses, home=settings.home)
    if settings.evidence is None:
        raise Misused(f"no key is named that signs checkpoints: [evidence] key in {settings.named}, or --key FILE")
    return settings.evidence


@contextmanager
def waited(begun: Sealing) -> Iterator[None]:
    """Not while another process seals: its lease ends, or it hands it back."""
    import time

    until = time.monotonic() + WAIT_S
    while (token := begun.take()) is None:
        if time.monotonic() > until:
            raise Misused(f"another process seals for more than {WAIT_S:g} s: {begun.tree.sealer().holder}")
        time.sleep(0.05)  # a lease has no queue to stand in; it is handed back soon
    try:
        yield
    finally:
        begun.tree.hand_back(token)


def seal(*, key_file: Key = None, shared: Shared = NO_OPTIONS) -> Page:
    """Sign a checkpoint of everything that is on disk now, and hand it to the witnesses.

    The first sealing registers the key. Exit code 1: it is sealed, and a witness did not take it.

    Parameters
    ----------
    key_file
        The key file to sign with, instead of the one in holdfast.toml.
    """
    from holdfast.report.sealing import sealed_page

    with sealing(shared, key_file) as (store, begun):
        begun.released()
        if key_file is not None:
            begun.usable()  # whoever tries a key is told of it, also where there is nothing to sign
        with waited(begun):
            before, sealed = begun.tree.latest(), begun.seal()
        assert sealed is not None, "nobody else may seal meanwhile"
        begun.tree.troubled("", store.now_ms())
        pushed = begun.push(every=True)
        return sealed_page(sealed, pushed, store.now_ms(), new=before is None or before.size < sealed.size)


def checkpoint(
    *,
    size: Annotated[int | None, Parameter(name="--size")] = None,
    all_: Annotated[bool, Parameter(name="--all", negative="")] = False,
    consistency: Annotated[Path | None, Parameter(name="--consistency")] = None,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Print the newest checkpoint exactly as it was signed, with the signatures of witnesses after ours.

    Parameters
    ----------
    size
        The one over exactly so many entries.
    all_
        Every checkpoint, oldest first, each with an empty line after it.
    consistency
        A checkpoint that somebody kept: print the proof that this log extends it, as JSON. Exit code 1: it does not.
    """
    from holdfast.report.sealing import consistency_page, notes_page

    if (size is not None) + all_ + (consistency is not None) > 1:
        raise Misused("name one of --size, --all and --consistency")
    with reading(shared) as store:
        tree, pushes = store.tree(), store.pushes()
        newest = tree.latest()
        if newest is None:
            raise Misused("nothing is sealed yet: holdfast evidence seal")
        if consistency is not None:
            return consistency_page(tree, _note_in(store, consistency), newest)
        found = tree.checkpoints() if all_ else [tree.at(size) if size is not None else newest]
        shown = [one for one in found if one is not None]
        if not shown:
            raise Misused(f"no checkpoint is over exactly {size} entries; see them with --all")
        return notes_page([(one, one.note + pushes.lines(one.size)) for one in shown])


def _note_in(store: Store, file: Path) -> Checkpoint:
    """The checkpoint in a file, or the last of several; of this log. Raises BadCheckpoint, Misused."""
    from holdfast.gate.logkey import every, origin, verifier
    from holdfast.gate.notes import signed_by
    from holdfast.kernel.checkpoint import MAX_BYTES, read
    from holdfast.kernel.errors import BadCheckpoint
    from holdfast.runtime.witness.files import newest

    try:
        with file.open("rb") as opened:
            opened.seek(max(0, file.stat().st_size - MAX_BYTES))
            text = opened.read(MAX_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise Misused(f"{file} cannot be read: {error.strerror}") from None
    found = read(newest(text, origin(store)) or text)
    if found.origin != origin(store):
        raise BadCheckpoint(why=f"it is of the log {found.origin}, and this is {origin(store)}", line=1)
    if not any(signed_by(found, verifier(key)) for key in every(store)):
        raise BadCheckpoint(why="no key of this log signed it", line=5)
    return found


@key.command
def show(*, key_file: Key = None, shared: Shared = NO_OPTIONS) -> Page:
    """Print the verifier keys: what somebody else needs to check this log's checkpoints.

    Parameters
    ----------
    key_file
        The key file to show while none is registered, instead of the one in holdfast.toml.
    """
    from holdfast.gate.logkey import every, origin
    from holdfast.gate.notes import verifier_of
    from holdfast.report.sealing import keys_page

    with reading(shared) as store:
        keys = every(store)
        if keys:
            return keys_page(keys)
        return keys_page((), waits=verifier_of(_how(shared, key_file).opened(origin(store))).text)


@key.command
def rotate(
    *,
    as_: As,
    reason: Reason,
    key_file: Key = None,
    signer: Annotated[str | None, Parameter(name="--new-signer")] = None,
    public_key: Annotated[str | None, Parameter(name="--new-public")] = None,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Let a new key follow the one in use, which endorses it; checkpoints from here on are signed by the new one.

    A key file is replaced by the new key, and the old one is kept beside it under its id.

    Parameters
    ----------
    as_
        Your name. It is recorded as vouched for by the operating-system user who types this.
    reason
        Why the key is changed.
    key_file
        The key file in use, instead of the one in holdfast.toml.
    signer
        A command that holds the new key; holdfast.toml is to name it from then on.
    public_key
        Its public key: hexadecimal, a file, or a verifier key.
    """
    from holdfast.gate.logkey import origin
    from holdfast.gate.signer import NEXT, Command, put_away
    from holdfast.gate.signing import Key as KeyFile
    from holdfast.report.sealing import rotated_page

    if not as_.strip() or not reason.strip():
        raise Misused("a rotation needs a name and a reason: why the key is changed")
    if (signer is None) != (public_key is None):
        raise Misused("--new-signer and --new-public belong together")
    how = _how(shared, key_file)
    file = how.key_file
    if signer is None and file is None:
        raise Misused("the key in use is held by a command: name the next one with --new-signer and --new-public")
    with sealing(shared, key_file) as (store, begun):
        name, beside = origin(store), None
        if signer is not None and public_key is not None:
            new: Signer = Command(name, signer, public_key)
        else:
            assert file is not None, "asked above"
            how.opened(name, _registered(store))  # one that was cut short is brought to its end first
            beside = file.with_name(file.name + NEXT)
            beside.unlink(missing_ok=True)  # of a rotation that never came to be recorded
            made = KeyFile.make(name)
            made.save(beside)
            new = made
        followed = begun.rotate(new, by=as_, reason=f"{reason} ({vouched()})")
        kept = None
        if beside is not None and file is not None:
            kept = put_away(file, KeyFile.load(name, file))
            beside.replace(file)
        begun.seal()
        return rotated_page(followed, str(file or ""), str(kept or ""), by_command=signer or "")


def _registered(store: Store) -> str:
    from holdfast.gate.logkey import current

    known = current(store)
    return known.id if known is not None else ""


@witness.default
def witnesses(*, shared: Shared = NO_OPTIONS) -> Page:
    """Each witness: which checkpoint it has, since when, and what is in the way. Exit code 1: one lacks the newest."""
    from holdfast.report.sealing import witnesses_page

    settings = shared.settings()
    with reading(shared) as store:
        named = [one.name for one in settings.evidence.told()] if settings.evidence is not None else []
        return witnesses_page(store.tree().latest(), named, store.pushes().all(), store.now_ms())


@witness.command
def push(*, shared: Shared = NO_OPTIONS) -> Page:
    """Hand the newest checkpoint to every witness that lacks it, now. Exit code 1: one did not take it."""
    from holdfast.report.sealing import witnesses_page

    with sealing(shared) as (store, begun):
        begun.released()
        pushed = begun.push(every=True)
        return witnesses_page(begun.tree.latest(), [one.name for one in pushed], pushed, store.now_ms())
