"""``holdfast demo``: the headline failures without holdfast and with it, on real processes, judged by the outside.

No network beyond loopback, no key, no container, no database to install. Leaves a folder whose store the printed
commands inspect.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from holdfast.cli.demo.stage import staged
from holdfast.cli.demo.stories import (
    changed_log,
    confident_over_a_wrong_world,
    killed_after_paying,
)
from holdfast.cli.demo.stories_approval import approval_outlives_its_world
from holdfast.cli.demo.stories_context import resumes_from_old_context
from holdfast.cli.envelope import print_data

SHOW = 64


def demo(
    *,
    json: Annotated[bool, Parameter(negative="", help="One JSON envelope instead of the story.")] = False,
    folder: Annotated[Path, Parameter(help="Where the demo plays; made anew each time.")] = Path("holdfast-demo"),
) -> int:
    """Show what goes wrong without holdfast and what happens with it; exit 0 only if every story passes."""
    started = time.monotonic()
    folder = folder.resolve()
    # The demo's remembered head stays in its own folder, for this process too.
    os.environ["HOLDFAST_STATE_DIR"] = str(folder / "state")
    out = sys.stderr if json else sys.stdout

    def say(line: str) -> None:
        print(line, file=out, flush=True)

    with staged(folder) as stage:
        say("A payment service runs in a process of its own, with its own books. The planner is a script.\n")
        say("W1  the worker is killed after the money left")
        first = killed_after_paying(stage, say)
        say("\nW2  an approval outlives its world")
        second = approval_outlives_its_world(stage, say)
        say("\nW3  an agent resumes from old context")
        third = resumes_from_old_context(stage, say)
        say("\nW4  a confident done over a wrong world")
        fourth = confident_over_a_wrong_world(stage, say)
        say("\nThe log  one byte is changed")
        tamper = changed_log(stage, say)
    stories = [first, *second, *third, fourth]
    data = {
        "stories": stories,
        "tamper": tamper,
        "folder": str(folder),
        "seconds": round(time.monotonic() - started, 1),
    }
    ok = all(s["verdict"] == "pass" for s in stories) and tamper["detected"]
    if json:
        print_data(data, counts={"stories": len(stories)})
    else:
        _summary(data, say)
    return 0 if ok else 1


def _summary(data: dict[str, Any], say: Any) -> None:
    say("\n" + "─" * SHOW)
    say(f"{'story':<44}{'without':>9}{'with':>6}  verdict")
    for story in data["stories"]:
        without, with_it = story["without"]["outside_changes"], story["with"]["outside_changes"]
        symbol = "✓" if story["verdict"] == "pass" else "✗"
        say(f"{story['id']:<4}{story['title']:<40}{without:>9}{with_it:>6}  {symbol} {story['verdict']}")
    say("refunds by the agent, counted in the bank's own books; wanted were 1 in W1, W2e and W3b and 0 in the others,")
    say("and in W4 none was made: there it counts who said done")
    found = "✓ found" if data["tamper"]["detected"] else "✗ not found"
    say(f"one changed byte of the log: {found}, entry {data['tamper']['entry']}")
    effect = data["stories"][0]["with"]["effect"]
    say(f"\nLook for yourself ({data['seconds']} s so far):")
    say(f"  cd {data['folder']} && export HOLDFAST_STATE_DIR=$PWD/state")
    if shutil.which("holdfast") is None:
        say(f"  export PATH={Path(sys.executable).parent}:$PATH")
    for command, shows in (
        (f"effect show {effect}", "its life: what was known when, and how it was proved"),
        ("run list", "what was intended"),
        ("approval list", "who is waited for"),
        ("evidence verify", "the log, checked"),
        ("evidence verify --store sqlite:tampered.db", "the changed one"),
        ("effect list --store sqlite:confident.db", "what became of the confident one"),
    ):
        say(f"  holdfast {command:<44} {shows}")
