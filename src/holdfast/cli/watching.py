"""A run as it goes: the same facts as lines in a pipe, or as a view that is redrawn on a terminal.

Reads what is on disk, again and again; takes no lock and changes nothing. Promises that every entry is shown once, in
order, and that it ends when the run has ended or rests. Does not promise to see a state that lasted shorter than a look
in the redrawn view; the lines show every one.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TextIO

import msgspec

from holdfast.cli import printing
from holdfast.kernel.documents import AnyDocument, Saga
from holdfast.kernel.due import is_open
from holdfast.kernel.errors import UnknownId
from holdfast.kernel.model import Effect, Run
from holdfast.report.drift import unfinished
from holdfast.report.lists import run_sign
from holdfast.report.page import Page, counted
from holdfast.report.run import run_code, run_page, used
from holdfast.report.story import Line, Told, story
from holdfast.report.text import escaped, framed, seen_from
from holdfast.runtime.drift.records import live_of
from holdfast.store.evidence import Entry

LOOK_EVERY_S = 0.2
EVERYTHING = 1_000_000
SHOWN_LINES = 12
RESTS = frozenset({"blocked", "waiting"})


class Books(Protocol):
    """What is read of a store."""

    def run(self, run: str) -> Run | None:
        """One run."""
        ...

    def effects(self, run: str | None = None, *, limit: int = 1_000) -> list[Effect]:
        """Its effects."""
        ...

    def entries(self, of: str, limit: int = ..., after: int = ...) -> Sequence[Entry]:
        """Its entries on disk after a sequence number."""
        ...

    def documents(self, kind: str, run: str = "", limit: int = 10_000) -> list[AnyDocument]:
        """Its documents of a kind."""
        ...

    def document(self, kind: str, key: str) -> AnyDocument | None:
        """One document."""
        ...

    def now_ms(self) -> int:
        """The store's time."""
        ...


def told_of(entries: Sequence[Entry]) -> list[Told]:
    """Entries as the story reads them."""
    return [
        Told(e.seq, e.kind, e.at_ms, e.by, e.effect, e.after, msgspec.json.decode(e.body) if e.body else None)
        for e in entries
    ]


def page_of(store: Books, run: str, *, limit: int) -> Page:
    """The page of a run with its story."""
    row = store.run(run)
    if row is None:
        raise UnknownId(given=run, kind="run")
    about = [e for e in store.entries(run) if not e.effect]
    views, told = store.effects(run=run, limit=EVERYTHING), told_of(about)
    sagas = [d for d in store.documents("saga", run) if isinstance(d, Saga)]
    page = run_page(row, views, store.now_ms(), limit=limit, entries=told, sagas=sagas)
    return unfinished(page, live_of(store, [view.id for view in views]), store.now_ms())


class Watch:
    """What was shown of a run so far."""

    def __init__(self, store: Books, run: str) -> None:
        """Nothing yet."""
        self._store, self._run = store, run
        self._seen = 0
        self._steps = 0
        self.last = ""

    def news(self) -> list[Line]:
        """Lines for what is new on disk."""
        fresh = told_of(self._store.entries(self._run, EVERYTHING, self._seen))
        if not fresh:
            return []
        self._seen = fresh[-1].seq
        own = [entry.kind for entry in fresh if not entry.effect and entry.kind not in ("item", "told")]
        self.last = own[-1] if own else self.last
        lines = story(fresh, moves=True, first_step=self._steps)
        self._steps += sum(entry.kind == "step" for entry in fresh)
        return lines

    def rests(self, row: Run, views: list[Effect], *, follow: bool) -> bool:
        """Whether there is nothing more to wait for."""
        if row.state != "open":
            return True
        moving = any(is_open(view) and view.owner in ("", "runtime") and not view.escalated for view in views)
        return self.last in RESTS and not moving and not follow


def watched(store: Books, run: str, *, follow: bool, as_json: bool) -> Page | int:
    """Watch until the run ends or rests; with ``as_json`` only the last page is printed, as one document."""
    with contextlib.ExitStack() as stack:
        redraw = stack.enter_context(screen(sys.stdout)) if sys.stdout.isatty() and not as_json else None
        watch, recent = Watch(store, run), list[Line]()
        while True:
            row = store.run(run)
            if row is None:
                raise UnknownId(given=run, kind="run")
            views, news = store.effects(run=run, limit=EVERYTHING), watch.news()
            recent = [*recent, *news][-SHOWN_LINES:]
            if redraw is not None:
                redraw(standing(row, views, store.now_ms()) + recent)
            elif not as_json:
                printing.put_lines(news, sys.stdout)
            if watch.rests(row, views, follow=follow):
                break
            time.sleep(LOOK_EVERY_S)  # the file is read, not waited on: another process writes it
    if as_json:
        return page_of(store, run, limit=EVERYTHING)
    if redraw is None:
        printing.put_lines(standing(row, views, store.now_ms()), sys.stdout)
    return run_code(row, views)


@contextlib.contextmanager
def screen(to: TextIO) -> Iterator[Callable[[list[Line]], None]]:
    """A place on a terminal that is drawn anew with each call, and left as it was drawn last."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    coloured = printing.in_colour(to)
    console = Console(file=to, highlight=False, markup=False, emoji=False, no_color=not coloured)
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:

        def redraw(lines: list[Line]) -> None:
            # Text pieces are taken as they are: nothing in them is read as markup.
            rows = [Text.assemble(*((s.text, printing.ROLES.get(s.role, "")) for s in line)) for line in lines]
            live.update(Text("\n").join(rows), refresh=True)

        yield redraw


def standing(row: Run, views: list[Effect], now_ms: int) -> list[Line]:
    """The present of a run in a few lines: state, effects by state, what is waited for, what is used."""
    states: dict[str, int] = {}
    for view in views:
        states[view.state.value] = states.get(view.state.value, 0) + 1
    page = Page(data=None)
    page.head(f"run {row.id}  ", run_sign(row))
    page.fact("goal", framed(row.goal))
    page.fact("effects", "  ".join(counted(states)) or "— none")
    waiting = [v for v in views if is_open(v) and v.next]
    page.facts("waits for", [f"{escaped(v.owner)}: {escaped(v.next)} {v.id}" for v in waiting[:SHOWN_LINES]])
    page.fact("used", ", ".join(used(row)))
    if row.deadline_ms is not None:
        page.fact("deadline", seen_from(row.deadline_ms, now_ms))
    if row.reason:
        page.fact("reason", framed(row.reason))
    return page.lines
