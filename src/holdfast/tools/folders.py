"""Folders at the moment of use: where a path really leads, links followed, and opening it without a link.

Decides for one instant. Promises that a path which led out when it was looked at is refused, whatever links stand on
the way, and that :func:`open_inside` follows none at all, so that nobody can put one there in between. Does NOT
promise that a path still leads to the same place later (open it with :func:`open_inside` for that), nor that a file
inside has no second name outside: hard links cannot be told apart.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, Final

from holdfast.kernel.errors import BadArguments
from holdfast.kernel.model import Bound
from holdfast.tools.bounds import led, not_within, path_problem

_STEP: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OPENINGS: Final = {
    "r": os.O_RDONLY,
    "w": os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
    "x": os.O_WRONLY | os.O_CREAT | os.O_EXCL,
    "a": os.O_WRONLY | os.O_CREAT | os.O_APPEND,
}


def leads_out(bounds: Mapping[str, Bound], args: Mapping[str, Any]) -> str:
    """Why a body must not be entered with these arguments now, in words; empty if every one stays inside."""
    if not bounds:
        return ""
    if out := not_within(bounds, args):
        return "; ".join(out)
    for name, value, bound in led(bounds, args):
        if bound.folder and (why := link_problem(bound.folder, str(value))):
            return f"argument {name} leads out of {bound.folder}: {why}"
    return ""


def link_problem(folder: str, path: str) -> str:
    """Why a plain path does not stay inside its folder once every link is followed, in words; empty if it does."""
    whole = os.path.join(folder, path)  # noqa: PTH118 - one text is compared with another, as the system resolves them.
    try:
        os.stat(whole)  # noqa: PTH116 - only asked for what a loop of links or a closed folder answers.
    except (FileNotFoundError, NotADirectoryError):
        pass  # What is not there yet may be made; where its name leads is still told below.
    except (OSError, ValueError) as error:
        return f"it cannot be followed: {getattr(error, 'strerror', None) or error}"
    home, place = os.path.realpath(folder), os.path.realpath(whole)
    if place != home and os.path.commonpath((home, place)) == home:
        return ""
    return "a link on its way leads elsewhere"


def resolve_inside(folder: str | os.PathLike[str], path: str) -> Path:
    """Where a relative path leads, links followed, if that is inside the folder. Raises BadArguments.

    This is true for the moment. Where somebody else can write into the folder, use :func:`open_inside`.
    """
    if why := path_problem(path) or link_problem(os.fspath(folder), path):
        raise BadArguments(tool="resolve_inside", problems=(f"the path leads out of {folder}: {why}",))
    return Path(os.path.realpath(os.path.join(folder, path)))  # noqa: PTH118 - as in link_problem.


def open_inside(folder: str | os.PathLike[str], path: str, mode: str = "r", *, encoding: str | None = None) -> IO[Any]:
    """Open a file below a folder, following no link on the way, not even one that is put there meanwhile.

    ``mode`` is that of :func:`open` without ``+``. Each folder on the way is opened from the one before (openat(2)
    with O_NOFOLLOW). Raises BadArguments for a path that leads out or meets a link, OSError for what else is in the
    way.
    """
    if why := path_problem(path):
        raise BadArguments(tool="open_inside", problems=(f"the path leads out of {folder}: {why}",))
    kind = mode.replace("b", "").replace("t", "")
    if kind not in _OPENINGS:
        raise ValueError(f"mode {mode!r}: one of r, w, x, a, with b for bytes")
    *folders, name = path.split("/")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for step in folders:
            below = os.open(step, _STEP, dir_fd=at)
            os.close(at)
            at = below
        handle = os.open(name, _OPENINGS[kind] | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=at)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            problem = f"the path leads out of {folder}, or may: a link, or no folder, stands on its way"
            raise BadArguments(tool="open_inside", problems=(problem,)) from None
        raise
    finally:
        os.close(at)
    return os.fdopen(handle, mode, encoding=encoding)
