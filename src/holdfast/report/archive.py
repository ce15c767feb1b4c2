"""What was archived, or would be, and what the check of an archive covered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from holdfast.report.page import Page, Span
from holdfast.report.text import escaped, iso, when

STAYS = {
    "open": "not ended: open or blocked",
    "moving": "an effect of it is still to be moved or settled",
    "approval": "a request of it is open, or a yes in an emergency was not reviewed",
    "drift": "a drift of it is open",
    "rested on": "an effect that is still to be moved rests on it",
    "young": "its last entry is not before that day",
    "unsealed": "no signed checkpoint covers all of it: holdfast evidence seal",
}
"""Why a run stays in the store."""


def archived_page(done: Mapping[str, Any], before_ms: int, *, dry_run: bool) -> Page:
    """What went, where it is, what stays here of it, and why the rest stays."""
    went, left = done["runs"], sum(done["stay"].values())
    page = Page(
        data={**done, "before": iso(before_ms), "dry_run": dry_run},
        counts={"runs": went, "entries": done["entries"], "stay": left},
        exit_code=0 if went else 1,
    )
    sign = Span("— nothing went", "quiet") if not went else Span("✓ archived", "good")
    page.head(f"runs before {when(before_ms)}  ", Span("… would go", "still") if dry_run and went else sign)
    page.fact("runs", f"{went} with {done['entries']} entries and {done['effects']} effects")
    page.facts("stay", [f"{count} — {STAYS.get(name, name)}" for name, count in done["stay"].items()])
    page.fact("sealed", f"{done['size']} entries are under the newest checkpoint")
    if done["archive"]:
        page.fact("archive", escaped(done["path"]))
        page.fact("", f"SHA-256 of its manifest {done['digest']}, in entry {done['at_pos']} of the log")
        page.fact("left here", "the rows of the runs, a tombstone for each effect, the leaf hash of each entry")
        page.fact("", "keeping the archive is yours: nothing here can say any more what is in it")
        page.fact("size", _size(done))
        page.fact("next", f"holdfast evidence verify {escaped(done['path'])}")
    return page


def _size(done: Mapping[str, Any]) -> str:
    if done["not_shrunk"]:
        why = escaped(done["not_shrunk"])
        return f"the file keeps its size for now, and the room in it is used again ({why})"
    freed = done["before_bytes"] - done["after_bytes"]
    return f"{done['before_bytes']} bytes before, {done['after_bytes']} now: {freed} given back"


def checked_page(path: str, found: Sequence[Mapping[str, Any]]) -> Page:
    """What the check of one archive or several covered, and what it did not. Exit code 3: no key that was brought."""
    vouched = all(one["signed"] for one in found)
    entries, runs = sum(one["entries"] for one in found), sum(one["runs"] for one in found)
    page = Page(
        data={"intact": True, "of": path, "archives": list(found), "vouched": vouched},
        counts={"archives": len(found), "runs": runs, "entries": entries},
        exit_code=0 if vouched else 3,
    )
    sign = Span("✓ intact", "good") if vouched else Span("? intact, and no key that you hold vouches for it", "doubt")
    page.head(f"archive {escaped(path)}  ", sign)
    for one in found:
        page.fact("archive", f"{escaped(one['archive'])}: {one['runs']} runs of store {escaped(one['store'])}")
        page.fact("checked", "each file against the manifest, byte by byte")
        page.fact("", f"{one['entries']} entries in {one['runs'] + 1} chains, the store's own among them")
        page.fact("", f"{one['bodies']} bodies against their commitments")
        page.fact("", f"each chain's end is under the checkpoint of {one['size']} entries")
        page.fact("", f"{one['effects']} effects, {one['approvals']} requests, {one['documents']} documents as said")
        own = f"{', '.join(one['own'])}, which only the archive itself names"
        page.fact("signed by", ", ".join(one["signed"]) or own)
        page.facts("not checked", _not_checked(one))
        page.fact("known as", one["digest"])
    return page


def _not_checked(one: Mapping[str, Any]) -> list[str]:
    missing: list[str] = []
    if one["redacted"]:
        missing.append(f"what {one['redacted']} redacted bodies said before: only their commitments are left")
    if one["after"]:
        missing.append(
            f"{one['after']} entries of the store's own run came after the checkpoint: only its chain binds them"
        )
    if one["late"]:
        missing.append(
            f"{one['late']} redacted bodies and documents rest on those, and anybody can have put them there"
        )
    elif not one["signed"]:
        missing.append("whether the key is the log's: --key brings the one you hold")
    missing.append("whether it is the archive that the store names: evidence verify --archive, with the store")
    return missing


def elsewhere_page(run: str, archive: str, entries: int, head: str) -> Page:
    """A run whose entries are not in the store was not checked. Exit code 3."""
    data = {"intact": None, "of": run, "archive": archive, "entries": entries, "head": head}
    page = Page(data=data, counts={"entries": 0}, exit_code=3)
    page.head(f"evidence of {escaped(run)}  ", Span("? not checked here", "doubt"))
    page.fact("archive", f"its {entries} entries lie in {escaped(archive)}; its head is {escaped(head)}")
    page.fact("next", f"holdfast evidence verify {escaped(run)} --archive DIRECTORY")
    return page


def at_page(page: Page, found: Mapping[str, Any]) -> Page:
    """The page of a store's check, with what of its archives was checked beside it."""
    data: dict[str, Any] = page.data
    data |= found
    for one in found["archives"]:
        page.fact("archive", f"{escaped(one['archive'])}: {one['entries']} entries, as the store's leaf hashes say")
    for one in found["missing"]:
        what = f"{one['entries']} entries of {one['runs']} run(s)"
        page.fact("not checked", f"{what} in archive {escaped(one['archive'])}, which is not at hand")
    return page
