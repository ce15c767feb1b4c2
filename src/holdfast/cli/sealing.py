"""``holdfast evidence seal|checkpoint|key|witness``: the log's checkpoints, the key that signs them, who has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, Misused, Shared, deciding
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.runtime.sealer import Evidence, Sealing
    from holdfast.store import SqliteStore

key = App(name="key", help="The key that signs checkpoints: show it, let another follow.", help_format="plaintext")
witness = App(name="witness", help="Witnesses: who has which checkpoint.", help_format="plaintext")

WAIT_S = 40.0
"""How long a command waits for another process that seals: longer than a lease."""

Key = Annotated[Path | None, Parameter(name="--key")]


@contextmanager
def sealing(shared: Shared, key_file: Path | None = None) -> Iterator[tuple[SqliteStore, Sealing]]:
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
        with waited(begun):
            before, sealed = begun.tree.latest(), begun.seal()
        assert sealed is not None, "nobody else may seal meanwhile"
        begun.tree.troubled("", store.now_ms())
        pushed = begun.push(every=True)
        return sealed_page(sealed, pushed, store.now_ms(), new=before is None or before.size < sealed.size)
