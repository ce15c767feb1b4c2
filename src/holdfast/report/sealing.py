"""How a store's log is sealed: the newest checkpoint, what is not covered yet, the key, and what witnesses have."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from holdfast.gate.logkey import endorsed, verifier
from holdfast.kernel.checkpoint import Checkpoint, read
from holdfast.kernel.documents import LogKey
from holdfast.kernel.merkle import proves_consistency
from holdfast.report.page import Page, Span
from holdfast.report.text import escaped, framed, iso, span
from holdfast.store.pushes import Pushed, Pushes
from holdfast.store.tree import Sealed, Tree


def sealed_data(sealed: Sealed) -> dict[str, Any]:
    """A checkpoint as a machine gets it."""
    return {
        "origin": read(sealed.note).origin, "size": sealed.size, "root": sealed.root.hex(), "at": iso(sealed.at_ms),
        "note": sealed.note,
    }  # fmt: skip


def pushed_data(pushed: Pushed) -> dict[str, Any]:
    """What a witness has, as a machine gets it."""
    return {**pushed._asdict(), "at": iso(pushed.at_ms)}


def sealed_page(sealed: Sealed, pushed: list[Pushed], now_ms: int, *, new: bool) -> Page:
    """What was sealed, and who has it."""
    late = [one for one in pushed if one.size < sealed.size or one.trouble]
    page = Page(
        data={"new": new, "checkpoint": sealed_data(sealed), "witnesses": [pushed_data(one) for one in pushed]},
        counts={"entries": sealed.size},
        exit_code=1 if late else 0,
    )
    what = "✓ sealed" if new else "✓ sealed already"
    page.head("log  ", Span(what, "good"), Span(f"  {sealed.size} entries, root {sealed.root.hex()}"))
    for one in pushed:
        witness_line(page, one, sealed.size, now_ms)
    if not pushed:
        page.fact("witnesses", "none: whoever can write the store can take its checkpoints back, too")
    return page


def witness_line(page: Page, pushed: Pushed, newest: int, now_ms: int) -> None:
    """One witness: what it has, since when, and what is in the way."""
    if pushed.fork:
        page.fact("✗ FORK", Span(f"{escaped(pushed.name)}: {escaped(pushed.trouble)}", "bad"))
        return
    has = f"has {pushed.size} of {newest} entries" if pushed.size else "has nothing yet"
    since = f", told {span(max(0, now_ms - pushed.at_ms))} ago" if pushed.size else ""
    sign = Span("✓ ", "good") if pushed.size >= newest and not pushed.trouble else Span("… ", "still")
    page.fact("witness", sign, Span(f"{escaped(pushed.name)}  {has}{since}"))
    if pushed.trouble:
        page.fact("", f"did not take the newest: {framed(pushed.trouble)}")


def notes_page(notes: Sequence[tuple[Sealed, str]]) -> Page:
    """Checkpoints exactly as they were signed; of several, each with an empty line after it."""
    page = Page(
        data={"checkpoints": [sealed_data(sealed) | {"note": note} for sealed, note in notes]},
        counts={"checkpoints": len(notes)},
    )
    for _, note in notes:
        for line in note.removesuffix("\n").split("\n"):
            page.line(line)
        if len(notes) > 1:
            page.gap()
    return page


def consistency_page(tree: Tree, old: Checkpoint, newest: Sealed) -> Page:
    """The proof that the newest checkpoint extends one that somebody kept, or that it does not."""
    proof: list[bytes] = []
    if old.size > newest.size:
        why = f"it counts {old.size} entries, and this log has {newest.size} sealed: something was taken away"
    else:
        proof = tree.consistency(old.size, newest.size) if old.size else []
        holds = proves_consistency(old.size, newest.size, old.root, newest.root, proof) if old.size else True
        why = "" if holds else f"this log has another root over {old.size} entries: it was changed, or forked"
    data = {
        "extends": not why, "why": why, "old": {"size": old.size, "root": _base64(old.root)},
        "new": {"size": newest.size, "root": _base64(newest.root), "note": newest.note},
        "proof": [_base64(part) for part in proof] if not why else [],
    }  # fmt: skip
    page = Page(data=data, exit_code=1 if why else 0)
    for line in json.dumps(data, ensure_ascii=True, indent=2).split("\n"):
        page.line(line)
    return page


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def key_data(key: LogKey) -> dict[str, Any]:
    """A log key as a machine gets it."""
    return {
        "verifier_key": verifier(key).text, "key_id": key.id, "public_key": key.public_key, "since": iso(key.since_ms),
        "until": iso(key.until_ms), "previous": key.previous, "endorsed": key.endorsed, "by": key.by,
        "reason": key.reason,
    }  # fmt: skip


def keys_page(keys: Sequence[LogKey], waits: str = "") -> Page:
    """Every key of the log, the oldest first; ``waits`` is the one that the first sealing registers."""
    page = Page(data={"keys": [key_data(key) for key in keys], "waits": waits}, counts={"keys": len(keys)})
    before: LogKey | None = None
    for key in keys:
        sign = Span("— followed", "quiet") if key.until_ms else Span("✓ in use", "good")
        page.head(verifier(key).text, Span("  "), sign)
        page.fact("key id", key.id)
        page.fact("since", f"{iso(key.since_ms)} by {escaped(key.by)}: {framed(key.reason)}")
        if before is not None:
            vouched = endorsed(before, key)
            said = Span(f"✓ by {before.id}", "good") if vouched else Span(f"✗ not by {before.id}", "bad")
            page.fact("endorsed", said)
            page.exit_code = page.exit_code or int(not vouched)
        before = key
    if waits:
        page.head(waits, Span("  … not registered yet: the first sealing does", "still"))
    return page


def rotated_page(key: LogKey, file: str, kept: str, by_command: str) -> Page:
    """Which key signs from here on, and where the old one lies."""
    page = Page(data={"key": key_data(key), "file": file, "kept": kept})
    page.head("log key  ", Span("✓ followed", "good"), Span(f"  {verifier(key).text}"))
    page.fact("endorsed", f"by {key.previous}, the one before: whoever holds that one follows to this one")
    if kept:
        page.fact("old key", f"kept as {escaped(kept)}; nothing is signed with it any more")
    if by_command:
        page.fact("next", "name the command and its public key in holdfast.toml: [evidence] signer, public_key")
    return page


def witnesses_page(newest: Sealed | None, named: Sequence[str], known: Sequence[Pushed], now_ms: int) -> Page:
    """Each witness that is named or ever was."""
    have = {one.name: one for one in known}
    shown = [have.get(name, Pushed(name)) for name in named]
    shown += [one for one in known if one.name not in named]
    size = newest.size if newest is not None else 0
    late = [one for one in shown if one.name in named and (one.size < size or one.trouble)]
    page = Page(
        data={"newest": size, "witnesses": [pushed_data(one) | {"named": one.name in named} for one in shown]},
        counts={"witnesses": len(shown)},
        exit_code=1 if late or any(one.fork for one in shown) else 0,
    )
    page.head(f"log  {size} entries sealed" if newest is not None else "log  — nothing is sealed yet")
    for one in shown:
        witness_line(page, one, size, now_ms)
    if not shown:
        page.fact("witnesses", "none is named: [evidence] witnesses in holdfast.toml")
    return page


class Standing(NamedTuple):
    """How it stands with sealing, for ``holdfast status`` and ``holdfast doctor``."""

    sealed: Sealed | None
    entries: int
    unsealed_since_ms: int
    trouble: str
    witnesses: tuple[Pushed, ...]
    wanted: bool = False

    @property
    def unsealed(self) -> int:
        """How many entries no checkpoint covers."""
        return self.entries - (self.sealed.size if self.sealed is not None else 0)

    @property
    def forks(self) -> tuple[Pushed, ...]:
        """Witnesses that hold what this log does not extend."""
        return tuple(one for one in self.witnesses if one.fork)


def standing(tree: Tree, pushes: Pushes, *, wanted: bool = False) -> Standing:
    """As the store says it now; ``wanted``: the configuration names a key."""
    return Standing(tree.latest(), tree.size(), tree.unsealed_since(), tree.trouble()[0], tuple(pushes.all()), wanted)


def standing_data(how: Standing, now_ms: int) -> dict[str, Any]:
    """The same for machines."""
    sealed = how.sealed
    return {
        "sealed": sealed.size if sealed is not None else 0,
        "sealed_ms_ago": now_ms - sealed.at_ms if sealed is not None else None,
        "unsealed": how.unsealed,
        "unsealed_for_ms": max(0, now_ms - how.unsealed_since_ms) if how.unsealed_since_ms else 0,
        "trouble": how.trouble,
        "forks": [one.name for one in how.forks],
        "witnesses": [pushed_data(one) for one in how.witnesses],
    }


def sentence(how: Standing, now_ms: int) -> str:
    """How much is sealed, since when, and how much is not."""
    if how.sealed is None:
        return f"never; {how.entries} entries are not"
    said = f"{how.sealed.size} entries, {span(max(0, now_ms - how.sealed.at_ms))} ago"
    if how.unsealed:
        said += f"; {how.unsealed} not yet, for {span(max(0, now_ms - how.unsealed_since_ms))}"
    return said


def standing_lines(page: Page, how: Standing, now_ms: int) -> None:
    """The line of the status page, more where something is in the way; nothing where nobody ever asked for sealing."""
    page.data["sealing"] = standing_data(how, now_ms)
    if how.sealed is None and not how.trouble and not how.wanted:
        return
    page.fact("sealed", sentence(how, now_ms))
    if how.trouble:
        page.fact("", Span(f"not sealed: {escaped(how.trouble)}", "bad"))
    for one in how.witnesses:
        if one.trouble or one.fork:
            witness_line(page, one, how.sealed.size if how.sealed is not None else 0, now_ms)
    if how.forks:
        page.exit_code = max(page.exit_code, 3)
