"""A life of a play in an interpreter of its own: ``python -m holdfast.harness.death.child FD``.

Reads from its standard input which case of which file it plays and what the lives before it left, and writes its own
notes to the pipe FD. Decides nothing.
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

from holdfast.harness.case.collect import chosen, find
from holdfast.harness.death.ground import Ground
from holdfast.harness.death.life import live


def main() -> None:
    """Have one life."""
    origin, name, seed, folder, told, dies = pickle.load(sys.stdin.buffer)  # noqa: S301  # from who started this
    os.close(0)
    case = chosen(find([origin]), name).case
    live(Ground.there(case, seed, Path(folder)), told, int(sys.argv[1]), dies=dies)


if __name__ == "__main__":
    main()
