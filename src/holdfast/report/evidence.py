"""The evidence as a page: entries as recorded, and what a verification covered and did not cover."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple, Protocol

from holdfast.report.page import Page, Span
from holdfast.report.text import JsonText, escaped, framed, framed_json, iso, when


class Line(NamedTuple):
    """One entry to show; ``body`` is its canonical JSON, None where it was redacted."""

    run: str
    seq: int
    effect: str
    kind: str
    before: str
    after: str
    at_ms: int
    by: str
    token: int
    hash: str
    body: str | None


class Covered(NamedTuple):
    """What a check covered. ``heads`` are those that somebody gave, ``newest`` the hash to write down now.

    ``size`` and ``root`` (hex) are the tree's, 0 where only one run was looked at; ``sealed`` entries of it are under
    ``checkpoints`` signed by ``keys``. ``held`` are verifier keys that were brought.
    """

    runs: int
    entries: int
    bodies: int
    redacted: int
    effects: int = 0
    not_folded: int = 0
    archived: int = 0
    elsewhere: int = 0
    remembered: bool = False
    size: int = 0
    root: str = ""
    sealed: int = 0
    checkpoints: int = 0
    keys: tuple[str, ...] = ()
    held: tuple[str, ...] = ()
    heads: tuple[str, ...] = ()
    newest: str = ""


def evidence_page(of: str, lines: list[Line], *, limit: int, full: bool, archive: str = "") -> Page:
    """The entries of a run or an effect, in order; bodies clipped unless ``full``. ``archive``: where they lie."""
    shown = lines[:limit]
    page = Page(data=[_line(entry) for entry in shown], counts={"entries": len(shown)}, truncated=len(lines) > limit)
    page.head(f"evidence of {escaped(of)}")
    if archive:
        page.fact("archive", f"its entries lie in {escaped(archive)}")
    for entry in shown:
        move = f"{entry.before or '—'} → {entry.after}" if entry.after else "—"
        token = f"  token {entry.token}" if entry.token else ""
        about = f"  {entry.effect}" if entry.effect and entry.effect != of else ""
        page.line(
            Span(f"  {entry.seq:>5}  {when(entry.at_ms)}  ", "quiet"),
            f"{escaped(entry.kind):<12} {move:<24} by {escaped(entry.by)}{token}{about}  {entry.hash[:16]}",
        )
        body = (
            "(redacted; its commitment stands)"
            if entry.body is None
            else framed_json(JsonText(entry.body), 1 << 30 if full else 240)
        )
        page.line(Span(" " * 9), body)
    if page.truncated:
        page.line(Span(f"— only the first {limit} are shown; --limit shows more", "quiet"))
    elif not shown:
        where = ": --archive DIRECTORY reads them there" if archive else ""
        page.line(Span(f"— no entry here{where}" if archive else "— no entry", "quiet"))
    return page


def _line(entry: Line) -> dict[str, Any]:
    return {**entry._asdict(), "at": iso(entry.at_ms)}


def verified_page(of: str, covered: Covered) -> Page:
    """What was checked, what was not, and the head to write down."""
    page = Page(
        data={"intact": True, "of": of, **covered._asdict()},
        counts={"entries": covered.entries, "runs": covered.runs},
    )
    page.head(f"evidence of {escaped(of)}  ", Span("✓ intact", "good"))
    _checked(page, covered)
    page.facts("not checked", _not_checked(covered))
    if covered.newest:
        page.fact("head now", covered.newest)
    if covered.size:
        page.fact("", f"{covered.size}:{_base64(covered.root)}, all {covered.size} entries")
    if covered.newest:
        page.fact("", "write it down elsewhere: evidence verify --head HEAD proves later that nothing before it went")
    return page


def _base64(root: str) -> str:
    return base64.b64encode(bytes.fromhex(root)).decode()


def _checked(page: Page, covered: Covered) -> None:
    page.fact(
        "checked",
        f"{covered.entries} entries in {covered.runs} chain(s), each hash over its entry and the one before",
    )
    page.fact("", f"{covered.bodies} bodies against their commitments")
    if covered.redacted:
        page.fact("", f"{covered.redacted} redacted bodies against the entries that say what is left of them")
    if covered.sealed:
        page.fact(
            "", f"{covered.checkpoints} checkpoint(s) over entries 1 to {covered.sealed}, their roots and signatures"
        )
        page.facts("signed by", [escaped(key) for key in covered.keys])
        page.fact(
            "", "the keys you hold lead to them" if covered.held else "keys as the store names them; --key brings yours"
        )
    if covered.effects:
        page.fact("", f"{covered.effects} effects equal the fold of their entries")
    if covered.size:
        page.fact("", "runs, requests with their answers, documents, meters, facts and leases are as entries say")
    for head in covered.heads:
        page.fact("", f"the head you gave is in it: {escaped(head)}")


def _not_checked(covered: Covered) -> list[str]:
    """Never leave the reader to believe more than was looked at."""
    missing: list[str] = []
    if covered.size > covered.sealed:
        behind = covered.size - covered.sealed
        many = f"the last {behind} of {covered.size} entries" if covered.sealed else f"{covered.size} entries"
        why = (
            "they came after the last checkpoint"
            if covered.sealed
            else "there is no checkpoint; evidence seal makes one"
        )
        missing.append(f"{many} are not covered by a signature: {why}")
    if covered.redacted:
        missing.append(f"what {covered.redacted} redacted bodies said before: only their commitments are left")
    if covered.elsewhere:
        missing.append(f"{covered.elsewhere} entries of {covered.archived} archived run(s): their leaf hashes alone")
    if covered.not_folded:
        missing.append(f"{covered.not_folded} effects whose entries are partly redacted")
    if not covered.remembered and not covered.heads:
        missing.append("whether entries were cut off at the end: no head was remembered outside; give --head")
    elif not covered.heads:
        missing.append("entries cut off after the last one this machine remembers; give --head for another witness")
    if covered.size:
        missing.append("windows of limits, whether a lease is missing, answers under keys that were replaced since")
    else:
        missing.append("rows beside the entries: evidence verify without an id compares them")
    missing.append("whether the outside did what the entries say: that is what verify and the outside's books are for")
    missing.append("who wrote it: an entry is chained and sealed with all others, not signed by its author")
    return missing


class Lost(Protocol):
    """A store that does not extend a head: see :class:`holdfast.cli.witnessed.Parted`."""

    @property
    def why(self) -> str:
        """rollback, fork or key."""
        ...

    @property
    def head(self) -> Any:
        """The head: given, size, root."""
        ...

    @property
    def here(self) -> str:
        """What the store has in its place."""
        ...

    @property
    def first(self) -> int:
        """The first entry that may differ."""
        ...

    @property
    def last(self) -> int:
        """The last entry of which one before or at it differs."""
        ...

    @property
    def said(self) -> str:
        """What is wrong with a note or a key."""
        ...


def parted_page(of: str, lost: Lost, checkpoints: list[int]) -> Page:
    """The store is shorter than a head, has other entries under it, or the head is nobody's whose key counts."""
    data = {
        "intact": False, "of": of, "field": "head", "why": lost.why, "expected": lost.head.given, "found": lost.here,
        "first": lost.first, "last": lost.last, "checkpoints": checkpoints,
    }  # fmt: skip
    page = Page(data=data, exit_code=1)
    page.head(f"evidence of {escaped(of)}  ", Span("✗ broken", "bad"))
    page.fact("head", framed(lost.head.given))
    if lost.why == "rollback":
        page.fact(
            "where", f"rolled back: the head counts {lost.head.size} entries, the store is at {escaped(lost.here)}"
        )
        page.fact("known", "what is there verifies by itself, and is less than was there once")
        page.fact("not known", "what the missing entries said, and whether what is there is the beginning of them")
    elif lost.why == "fork":
        page.fact("where", f"forked: at {lost.head.size} entries the store has another root, {escaped(lost.here)}")
        page.fact("known", f"the first entry that differs is one of {lost.first} to {lost.last}")
        if checkpoints:
            sizes = ", ".join(str(size) for size in checkpoints)
            page.fact("", f"this store's checkpoints in there: {sizes}; compare them with those of the other copy")
        page.fact("not known", "which of the two is the record, and what the other one says")
    else:
        page.fact("where", escaped(lost.said))
        page.fact("known", "the store verifies by itself")
        page.fact("not known", "whether it is the log that the head is of")
    page.fact("next", "keep the file as it is; compare it with a backup, and with who has the other head")
    return page


def cut_page(of: str, *, name: str, head: str, newest: str) -> Page:
    """A head that somebody remembers is not in the record: entries were cut off, or it is another record."""
    data = {"intact": False, "of": of, "field": "head", "expected": head, "found": newest}
    page = Page(data=data, exit_code=1)
    page.head(f"evidence of {escaped(of)}  ", Span("✗ broken", "bad"))
    page.fact("where", f"at its end: {name} is not in it")
    page.fact("expected", framed(head))
    page.fact("found", f"{framed(newest)}, the newest entry there is")
    page.fact("known", "what is there verifies by itself")
    page.fact("not known", "what the entries said that were cut off, if this is the same record")
    page.fact("next", "keep the file as it is; compare it with a backup")
    return page


def broken_page(of: str, *, run: str, seq: int, field: str, expected: str, found: str, pos: int = 0) -> Page:
    """Where the evidence breaks: the entry and the field."""
    page = Page(
        data={
            "intact": False,
            "of": of,
            "run": run,
            "entry": seq,
            "position": pos,
            "field": field,
            "expected": expected,
            "found": found,
        },
        exit_code=1,
    )
    page.head(f"evidence of {escaped(of)}  ", Span("✗ broken", "bad"))
    at = f" (position {pos})" if pos else ""
    page.fact("where", f"run {escaped(run)}, entry {seq}{at}, field {escaped(field)}")
    page.fact("expected", framed(expected))
    page.fact("found", framed(found))
    known, doubt = _around(run, seq, pos)
    page.fact("known", known)
    page.fact("not known", doubt)
    page.fact("next", "keep the file as it is; compare it with a backup or a head that was written down")
    return page


def _around(run: str, seq: int, pos: int) -> tuple[str, str]:
    """What a break says of everything else."""
    if run == "the whole store":
        return (
            "what was looked at before fits together; no single entry is named by this",
            "which of the entries up to there are as they were written",
        )
    if pos:
        return (
            f"all {pos - 1} entries before it in the store verify" if pos > 1 else "it is the first entry of the store",
            f"what entry {seq} of {escaped(run)} and all entries after it really said: they were not looked at",
        )
    return (
        f"entries of {escaped(run)} before {seq} verify" if seq > 1 else "no entry of this run verifies",
        f"what entry {seq} and all later ones of this run really said; runs after it were not looked at",
    )
