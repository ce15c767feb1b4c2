"""Files in a directory under holdfast: write, move, delete, restore.

`folder.py` makes each change in one step, under a fence, a condition and a key, and knows nothing of holdfast; this
file is the contracts. Read ``write_file`` first. What a change writes *beside* the file (a record, a lock, a backup) is
declared in ``side_effects``, so that a reviewer sees it; the test compares the whole directory with what is declared.

The directory comes from ``FILES_ROOT``.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import partial
from typing import Any, Final

import holdfast as hf
from examples.files.folder import Folder
from examples.files.paths import Refused

BESIDE: Final = (
    ".fences/*.json*",  # the highest token seen for a path, and what was done under the keys of two days
    ".fences/*.lock",  # an empty file that is locked during a change
    ".backups/*",  # what was there before, one file a change
)

file_tool = partial(
    hf.tool,
    keyed="24h",
    fenced=True,
    conditional=True,
    lands_within="5s",
    timeout="5s",
    retry_after="200ms",
    owner="files-oncall",
    acts_with="the user that runs this process",
    enforced_at="holdfast gate, and the lock and fence of each path",
    did_not_happen=(Refused,),
)
"""What the contracts of this file have in common."""


def folder() -> Folder:
    """The directory that is named by the environment."""
    return Folder(os.environ["FILES_ROOT"])


def sha256(text: str) -> str:
    """The digest by which content is compared."""
    return hashlib.sha256(text.encode()).hexdigest()


def now(path: str) -> dict[str, str | None]:
    """What an approval is bound to and a write is conditional on; what leads out of the directory is nothing."""
    try:
        return {"sha256": folder().digest(path)}
    except Refused:
        return {"sha256": None}


def under(fx: hf.Fx) -> dict[str, Any]:
    """What travels with every change: its key, its token, and the content it is for."""
    return {"key": fx.key, "token": fx.token, "expect": json.loads(fx.expect)["sha256"]}


def found(look: hf.Look, path: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    """Raise the fence, then see what the key did: after that a slower sender with a lower token changes nothing."""
    try:
        entry = folder().settle(path, look.key, look.token)
    except Refused as no:
        return hf.CannotTell(str(no))
    return hf.Happened(entry) if entry is not None else hf.Absent(final=True, why=f"the key changed nothing at {path}")


def holds(path: str, digest: str | None) -> hf.Holds | hf.Differs:
    """Whether the directory has this content, or nothing, at a path."""
    is_now = folder().digest(path)
    return hf.Holds({path: digest}) if is_now == digest else hf.Differs(f"{path} is {is_now or 'not there'}")


@file_tool(effect="compensable", resource="file:{path}", identity=("path",), side_effects=BESIDE)
def write_file(fx: hf.Fx, *, path: str, text: str) -> dict[str, Any]:
    """Write a whole text file, new or over exactly the content that was read before; folders must be there."""
    return folder().write(path, text.encode(), **under(fx))


@write_file.state
def _write_state(look: hf.Look, *, path: str) -> dict[str, Any]:
    return now(path)


@write_file.probe
def _write_probe(look: hf.Look, *, path: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    return found(look, path)


@write_file.verify
def _write_verify(look: hf.Look, *, path: str, text: str) -> hf.Holds | hf.Differs:
    return holds(path, sha256(text))


@write_file.list
def _write_list(look: hf.Look) -> list[dict[str, str]]:
    """Every file, with its digest."""
    return [{"path": path, "sha256": digest} for path, digest in folder().listing().items()]


@write_file.undo
def _write_undo(look: hf.Look, *, path: str) -> hf.Call:
    """Bring back what was there; a file that is new is deleted."""
    if not look.value["backup"]:
        return hf.Call("delete_file", {"path": path})
    return hf.Call("restore_file", {"path": path, "backup": look.value["backup"]})


@file_tool(effect="compensable", resource="file:{path}", identity=("path", "target"), side_effects=BESIDE)
def move_file(fx: hf.Fx, *, path: str, target: str) -> dict[str, Any]:
    """Give a file another path in the directory, where no file is yet."""
    return folder().move(path, target, **under(fx))


@move_file.state
def _move_state(look: hf.Look, *, path: str) -> dict[str, Any]:
    return now(path)


@move_file.probe
def _move_probe(look: hf.Look, *, path: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    return found(look, path)


@move_file.verify
def _move_verify(look: hf.Look, *, path: str, target: str) -> hf.Holds | hf.Differs:
    gone = holds(path, None)
    return holds(target, look.value["was"]) if isinstance(gone, hf.Holds) else gone


@move_file.undo
def _move_undo(look: hf.Look, *, path: str, target: str) -> hf.Call:
    return hf.Call("move_file", {"path": target, "target": path})


@file_tool(effect="compensable", resource="file:{path}", identity=("path",), side_effects=BESIDE)
def delete_file(fx: hf.Fx, *, path: str) -> dict[str, Any]:
    """Delete a file if it still is the one that was read; its content stays among the backups."""
    return folder().delete(path, **under(fx))


@delete_file.state
def _delete_state(look: hf.Look, *, path: str) -> dict[str, Any]:
    return now(path)


@delete_file.probe
def _delete_probe(look: hf.Look, *, path: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    return found(look, path)


@delete_file.verify
def _delete_verify(look: hf.Look, *, path: str) -> hf.Holds | hf.Differs:
    return holds(path, None)


@delete_file.undo
def _delete_undo(look: hf.Look, *, path: str) -> hf.Call:
    return hf.Call("restore_file", {"path": path, "backup": look.value["backup"]})


@file_tool(effect="compensable", resource="file:{path}", identity=("path", "backup"), side_effects=BESIDE)
def restore_file(fx: hf.Fx, *, path: str, backup: str) -> dict[str, Any]:
    """Write what a backup of this path holds, over exactly the content that was read before."""
    return folder().write(path, folder().kept(path, backup), **under(fx))


@restore_file.state
def _restore_state(look: hf.Look, *, path: str) -> dict[str, Any]:
    return now(path)


@restore_file.probe
def _restore_probe(look: hf.Look, *, path: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    return found(look, path)


@restore_file.verify
def _restore_verify(look: hf.Look, *, path: str, backup: str) -> hf.Holds | hf.Differs:
    return holds(path, hashlib.sha256(folder().kept(path, backup)).hexdigest())


@restore_file.undo
def _restore_undo(look: hf.Look, *, path: str) -> hf.Call:
    if not look.value["backup"]:
        return hf.Call("delete_file", {"path": path})
    return hf.Call("restore_file", {"path": path, "backup": look.value["backup"]})


TOOLS: list[hf.Tool[..., Any]] = [write_file, move_file, delete_file, restore_file]
