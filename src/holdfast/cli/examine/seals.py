"""How the log is sealed: the key, the newest checkpoint, what is not covered, and what witnesses hold.

Decides what of it somebody should know. Promises to read only: a key is opened and signs nothing, no witness is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from holdfast.cli.config import Settings
from holdfast.report.doctor import Finding, broken, doubtful, fine, skipped
from holdfast.report.sealing import sentence, standing
from holdfast.report.text import escaped, framed, span

if TYPE_CHECKING:
    from holdfast.store import Store

LATE = 30
"""Entries that are unsealed for more than so many of the intervals that were asked for are worth a word."""


def key(settings: Settings) -> Iterator[Finding]:
    """Whether the key file is there, sound, and its owner's alone."""
    how = settings.evidence
    if how is None:
        yield skipped("log-key", "sealing", f"{escaped(settings.named)} names no key: the log is not sealed by itself")
        return
    if how.key_file is None:
        yield skipped("log-key", "sealing", "the key is held by a command, which is not started here")
        return
    from holdfast.gate.signing import Key
    from holdfast.kernel.errors import BadConfig

    try:
        Key.load("log", how.key_file)
    except BadConfig as error:
        yield broken(
            "log-key", "sealing", escaped(str(error.values["why"])),
            why="Nothing is sealed with it, and whoever else has it can sign another log in this one's name.",
            to_do="Put the key back, readable by its owner alone; if others had it: holdfast evidence key rotate.",
        )  # fmt: skip
    else:
        yield fine("log-key", "sealing", f"{escaped(str(how.key_file))}: its owner's alone")


def seals(store: Store, settings: Settings) -> Iterator[Finding]:
    """What is sealed and what is not, and what witnesses hold."""
    now_ms, how = store.now_ms(), standing(store.tree(), store.pushes())
    for one in how.forks:
        yield broken(
            "log-forked", "sealing", f"{escaped(one.name)}: {escaped(one.trouble)}",
            why="Two different logs were signed with this log's key: a backup or a copy went on beside this one, "
            "entries were taken away, or somebody else has the key.",
            to_do="Keep both notes (holdfast evidence show ru_store), find out which of them is true, and then verify "
            "each store against them: holdfast evidence verify --head.",
            witness=one.name,
        )  # fmt: skip
    if how.trouble:
        yield doubtful(
            "not-sealed", "sealing", f"the newest {how.unsealed} entries could not be sealed: {framed(how.trouble)}",
            why="What no checkpoint covers can be replaced without anybody noticing.",
            to_do="Mend what is named, then: holdfast evidence seal",
        )  # fmt: skip
    for one in how.witnesses:
        if one.trouble and not one.fork:
            yield doubtful(
                "witness-not-told", "sealing",
                f"{escaped(one.name)} has {one.size} entries, and nothing newer for "
                f"{span(max(0, now_ms - one.trouble_ms))}: {framed(one.trouble)}",
                why="What it does not have can be taken back.", to_do="holdfast evidence witness push",
                witness=one.name,
            )  # fmt: skip
    every_ms = settings.evidence.every_ms if settings.evidence is not None else 0
    late = every_ms and how.unsealed and now_ms - how.unsealed_since_ms > LATE * every_ms
    if how.trouble:
        return
    if late:
        yield doubtful(
            "sealed-late", "sealing", f"sealed: {sentence(how, now_ms)}",
            why="Nothing seals while nothing runs; what no checkpoint covers can be replaced without anybody noticing.",
            to_do="holdfast evidence seal",
        )  # fmt: skip
    elif how.sealed is None:
        yield skipped("sealed", "sealing", "nothing is sealed yet: holdfast evidence seal")
    else:
        yield fine("sealed", "sealing", f"sealed: {sentence(how, now_ms)}", size=how.sealed.size)
