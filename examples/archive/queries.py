"""Ask DuckDB about archived effects: how many by tool, state and day, or the one with a key.

    python examples/archive/queries.py ARCHIVES [--key KEY]

Reads the files of `holdfast evidence archive` (docs/guides/archive.md) and nothing else: no store, no holdfast.
Needs the package `duckdb`. What it shows was not verified; `holdfast evidence verify ARCHIVES` does that.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import duckdb

BY_DAY = """
    SELECT strftime(proposed_at, '%Y-%m-%d') AS day, tool, state, count(*) AS effects
    FROM read_parquet(?) GROUP BY ALL ORDER BY ALL
"""

BY_KEY = """
    SELECT effects.id, effects.tool, effects.state, effects.args, effects.value, runs.goal,
           (SELECT max(entries.at) FROM read_parquet(?) AS entries WHERE entries.effect = effects.id) AS last_entry
    FROM read_parquet(?) AS effects JOIN read_parquet(?) AS runs ON runs.id = effects.run
    WHERE effects.key = ?
"""


def files(archives: Path, name: str) -> str:
    """The files of one kind: of the archive that this is, or of every archive in this directory."""
    one = archives / name
    return str(one if one.is_file() else archives / "*" / name)


def by_day(archives: Path) -> list[tuple[Any, ...]]:
    """(day, tool, state, how many), by day."""
    return duckdb.execute(BY_DAY, [files(archives, "effects.parquet")]).fetchall()


def by_key(archives: Path, key: str) -> list[tuple[Any, ...]]:
    """(id, tool, state, arguments, value, the goal of its run, its last entry) of the effect with this key."""
    where = [files(archives, name) for name in ("entries.parquet", "effects.parquet", "runs.parquet")]
    return duckdb.execute(BY_KEY, [*where, key]).fetchall()


def main() -> int:
    """Print what was asked for. Exit code 1: nothing is there."""
    asked = argparse.ArgumentParser(description="Ask DuckDB about archived effects.")
    asked.add_argument("archives", type=Path, help="an archive, or the directory with all of them")
    asked.add_argument("--key", help="the idempotency key of one effect")
    given = asked.parse_args()
    rows = by_key(given.archives, given.key) if given.key else by_day(given.archives)
    for row in rows:
        print("  ".join(str(part) for part in row))
    return 0 if rows else 1


if __name__ == "__main__":
    raise SystemExit(main())
