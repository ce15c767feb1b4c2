"""A file with a token beside it: a stale writer is refused under a lock, and content is replaced in one step.

    settings = fences.File("/srv/app/settings.json")

    def write_settings(fx: hf.Fx, *, text: str) -> dict[str, int]:
        return settings.write(fx.token, text.encode())

    @write_settings.probe
    def _probe(look: hf.Look) -> ...:
        return settings.found(look)

Beside ``NAME`` lie ``.NAME.fence`` (the door, as JSON), ``.NAME.lock`` (empty) and, while a write is under way,
``.NAME.TOKEN.new``. Declare them as `side_effects`. A write goes: lock; compare the token; stage the new content and
sync it; write the token and the announcement, and sync them; rename the staged file over the old one. The staged file
is gone exactly when the rename was made, so whoever comes after a kill knows which it was.

Promises: a lower token changes nothing; readers see the old content or the new, whole; killed or cut off from power at
any step, the file is one of the two, and :meth:`File.found` says which attempt wrote.

Does not promise anything against a writer that does not use this class: **all writers must**. The lock is advisory and
holds on one host (see `sidecar`). Removing the files beside it opens the door again. The file is replaced, not
rewritten: it keeps its permissions and gets the writer's user; other hard links keep the old content; a link in its
place is refused.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast.fences import sidecar
from holdfast.fences.door import Door, checked
from holdfast.fences.sidecar import Held, Record
from holdfast.kernel.answers import Found
from holdfast.tools.fx import Look
from holdfast.tools.signals import DidNotHappen


class File:
    """One file behind a door, of which its folder must be there. All writers are processes of one user.

    `wait_s`: how long a lock is waited for before it is refused with nothing done; `mode`: permissions of a new file.
    """

    def __init__(self, path: str | os.PathLike[str], *, wait_s: float = 5.0, mode: int = 0o644) -> None:
        self.path = Path(path)
        self._wait_s = wait_s
        self._mode = mode

    @property
    def beside(self) -> tuple[str, ...]:
        """The names of what is written beside it, as patterns for `side_effects`."""
        return (self._beside("fence*").name, self._beside("lock").name, self._beside("*.new").name)

    def write(self, token: int, data: bytes) -> dict[str, int]:
        """Put these bytes in place. Raises Stale (nothing was written), or DidNotHappen for a lock that is kept."""
        checked(token)
        with self._held() as held:
            held.record.door.refuse(str(self.path), token)
            mode = self._mode_now()
            staged = self._staged(token)
            for left in self.path.parent.glob(f".{glob.escape(self.path.name)}.*.new"):
                left.unlink()  # Staged by somebody who died before announcing it.
            sidecar.put(staged, data, mode)
            # From here on the rename may be made: the door is shut on lower tokens before it, and stays shut.
            held.save(Record(door=held.record.door.raised(token), writing=token))
            sidecar.move(staged, self.path)
            self._settle(held)
        return {"token": token}

    def shut(self, token: int) -> Door:
        """From now on lower tokens are refused, durably. Raises Stale where a higher one was seen."""
        checked(token)
        with self._held() as held:
            held.record.door.refuse(str(self.path), token)
            held.save(Record(door=held.record.door.raised(token)))
            return held.record.door

    def found(self, look: Look) -> Found:
        """For a probe: shut the door on whoever was sent before, then say what they did."""
        with self._held() as held:
            if look.token > held.record.door.highest:
                held.save(Record(door=held.record.door.raised(checked(look.token))))
            return held.record.door.found(str(self.path), look)

    def door(self) -> Door:
        """The door as it is now."""
        with self._held() as held:
            return held.record.door

    @contextmanager
    def _held(self) -> Iterator[Held]:
        with sidecar.held(self._beside("fence"), self._beside("lock"), wait_s=self._wait_s) as held:
            self._settle(held)
            yield held

    def _settle(self, held: Held) -> None:
        """Find out what an announced write came to. A staged file that is gone has been moved into place."""
        token = held.record.writing
        if not token:
            return
        staged = self._staged(token)
        if os.path.lexists(staged):
            held.save(Record(door=held.record.door))
            with suppress(FileNotFoundError):
                staged.unlink()
        else:
            # The rename may have been made and not yet be on disk: it is, before anybody is told of it.
            sidecar.sync(self.path.parent)
            held.save(Record(door=held.record.door.wrote(token)))

    def _mode_now(self) -> int:
        """The permissions of the file that is there. Raises DidNotHappen where it is a link, or no file at all."""
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            return self._mode
        if not stat.S_ISREG(mode):
            raise DidNotHappen(f"{self.path} is no plain file; nothing was written")
        return stat.S_IMODE(mode)

    def _staged(self, token: int) -> Path:
        return self._beside(f"{token}.new")

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(f".{self.path.name}.{suffix}")
