"""The names of a recorded run: keys, ids and digests that were minted under a secret which is not here.

Each is a function of data (:mod:`holdfast.kernel.identity`). A playback asks for the name of some data; the first time,
that is paired with the name that the record has at this place. From then on the same data has that name, and no other
data has it: what the code derives must stay one to one with what it derived then. Data that no name is left for gets a
name that is in no record, so that whatever is compared with it differs.

Does not promise that a name was derived rightly then: only that equal stayed equal, and different stayed different.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from typing import Self

from holdfast.kernel.canon import Recalled

OWN = b"no secret of any store"


class Names(Recalled):
    """Stands where the secret of the store was."""

    expected: Mapping[str, tuple[str, ...]]
    _known: dict[tuple[str, bytes], str]
    _taken: dict[tuple[str, str], bytes]
    _order: list[tuple[str, bytes]]

    def __new__(cls) -> Self:
        """Of a record of which nothing was asked yet."""
        self = super().__new__(cls, OWN)
        self.expected, self._known, self._taken, self._order = {}, {}, {}, []
        return self

    def named(self, label: str, data: bytes) -> str:
        """The name that the record has for this, or one that it has not."""
        known = self._known.get((label, data))
        if known is not None:
            return known
        for name in self.expected.get(label, ()):
            if (label, name) not in self._taken:
                self._known[label, data] = name
                self._taken[label, name] = data
                self._order.append((label, data))
                return name
        return hmac.digest(OWN, label.encode() + b"\0" + data, "sha256").hex()

    def of(self, label: str, data: bytes) -> str | None:
        """The name that some data has, if it was met."""
        return self._known.get((label, data))

    def taken(self, label: str, name: str) -> bool:
        """Whether some data has this name."""
        return (label, name) in self._taken

    @property
    def met(self) -> int:
        """How many were paired: a mark for :meth:`back_to`."""
        return len(self._order)

    def back_to(self, mark: int) -> None:
        """Forget what was paired since."""
        while len(self._order) > mark:
            met = self._order.pop()
            del self._taken[met[0], self._known.pop(met)]
