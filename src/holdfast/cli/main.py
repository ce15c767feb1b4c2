"""The command line's root: every noun, one way to run a command, one way to end.

Promises: exit codes as documented (0 true, 1 false, 2 usage, 3 unknown, 4 waiting for a human, 5 refused, 70
our bug), one document with ``--json`` whatever happens, and no traceback unless HOLDFAST_TRACEBACK=1. Modules
of a noun are imported when it is used, so that ``--help`` answers at once.
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cyclopts import App, CycloptsError

from holdfast.cli import printing
from holdfast.cli.shared import Misused
from holdfast.kernel.errors import HoldfastError, OurBug
from holdfast.report.page import Page

app = App(
    name="holdfast",
    help="Effects that are written down first, never guessed, checked in the world and provable afterwards.",
    help_format="plaintext",
    version_flags=["--version"],
    help_epilogue="Exit codes: 0 true or done · 1 false or broken · 2 usage · 3 unknown · "
    "4 waiting for a human · 5 refused · 70 our bug. Any unique beginning of an id is accepted.",
)

NOUNS = {
    "demo": ("holdfast.cli.demo:demo", "See it fail without holdfast and hold with it; no network, no key."),
    "init": ("holdfast.cli.init:init", "Make a small project that runs and passes at once."),
    "doctor": ("holdfast.cli.doctor:doctor", "Find and explain what is wrong here."),
    "status": ("holdfast.cli.status:status", "How the store stands and what needs somebody."),
    "run": ("holdfast.cli.run:app", "Runs: what was wanted, what became of it."),
    "effect": ("holdfast.cli.effect:app", "Effects: how each stands, and what a person may decide."),
    "work": ("holdfast.cli.work:work", "Claim queued runs and drive them, beside any number of others."),
    "worker": ("holdfast.cli.worker:app", "Workers: who holds what, until when, and what each lacks."),
    "queue": ("holdfast.cli.queue:app", "Queued runs: what waits for a worker, and what none could finish."),
    "submit": ("holdfast.cli.submit:submit", "Ask for runs that workers drive."),
    "schedule": ("holdfast.cli.schedule:app", "Schedules: intents that are submitted by the calendar."),
    "approval": ("holdfast.cli.approval:app", "Requests: what waits for whom."),
    "approve": ("holdfast.cli.approval:approve", "Say yes to exactly what a request shows."),
    "refuse": ("holdfast.cli.approval:refuse", "Say no to a request, with a reason."),
    "approver": ("holdfast.cli.approver:app", "Approvers: who may decide requests, under which key."),
    "grant": ("holdfast.cli.grant:app", "Grants: what a principal may do at most."),
    "halt": ("holdfast.cli.halt:app", "Halts: nothing leaves for what is halted, until somebody lifts it."),
    "tool": ("holdfast.cli.tool:app", "Tools: what each declares, and what of it is proved."),
    "policy": ("holdfast.cli.policy:app", "Policy: what may happen, why, and from when on."),
    "case": ("holdfast.cli.case:app", "Cases: what each tests, and if it tells right from wrong."),
    "shrink": ("holdfast.cli.shrink:shrink", "Make a failing play small, as a case to paste."),
    "bisect": ("holdfast.cli.bisect:bisect", "Find the first commit at which a case fails."),
    "regress": ("holdfast.cli.regress:app", "Kept failures: keep one, play them, retire one."),
    "test": ("holdfast.cli.test:app", "Play cases and judge what became of the world."),
    "explore": ("holdfast.cli.explore:explore", "Try every schedule of what contracts promise: which law breaks?"),
    "drift": ("holdfast.cli.drift:app", "Drifts: what differs outside from what was recorded."),
    "saga": ("holdfast.cli.saga:app", "Sagas: how far each came, what stands, and who moves next."),
    "evidence": ("holdfast.cli.evidence:app", "The record itself: show it, verify it."),
    "store": ("holdfast.cli.store:app", "The store: show it, release it, accept its clock, move it, roles."),
}

WITH_VALUE = frozenset({"--store", "--config", "-C"})

for _name, (_where, _help) in NOUNS.items():
    app.command(_where, name=_name, help=_help)


def version() -> str:
    """The version, without importing the rest."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("holdfast")
    except PackageNotFoundError:
        from holdfast import __version__

        return __version__


app.version = version


def run(argv: Sequence[str]) -> int:
    """Run one command line and give its exit code. Everything is printed; nothing is raised."""
    as_json = "--json" in argv[: argv.index("--")] if "--" in argv else "--json" in argv
    try:
        tokens = in_place(argv)
        command, bound, _ = app.parse_args(tokens, print_error=False, exit_on_error=False)
        came = command(*bound.args, **bound.kwargs)
        if inspect.iscoroutine(came):
            import asyncio

            came = asyncio.run(came)
    except (CycloptsError, Misused) as error:
        return printing.usage(str(error), as_json=as_json, hint=help_of(argv))
    except HoldfastError as error:
        _trace()
        return printing.refusal(error, as_json=as_json)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0  # the reader of a help page went away
    except Exception as error:  # noqa: BLE001  # whatever else it is, it is ours, and it is said so.
        _trace()
        if isinstance(error, PermissionError) and error.filename is not None:
            why = f"this user may not reach {error.filename}: {error.strerror}; run it as the user whose it is"
            return printing.usage(why, as_json=as_json, hint="holdfast doctor")
        return printing.refusal(our_bug(error), as_json=as_json)
    if isinstance(came, Page):
        return printing.answer(came, as_json=as_json)
    return came if isinstance(came, int) else 0


def in_place(argv: Sequence[str]) -> list[str]:
    """Options given before the noun stand where each command expects them: ``holdfast --store X status``."""
    at = 0
    while at < len(argv) and (argv[at] == "--json" or argv[at].partition("=")[0] in WITH_VALUE):
        at += 2 if argv[at] in WITH_VALUE else 1
    leading, rest = list(argv[:at]), list(argv[at:])
    end = rest.index("--") if "--" in rest else len(rest)
    return [*rest[:end], *leading, *rest[end:]] if rest else list(argv)


def help_of(argv: Sequence[str]) -> str:
    """What shows what the command takes that was typed, as far as it is one."""
    try:
        chain = app.parse_commands(in_place(argv))[0]
    except CycloptsError:
        chain = ()
    return " ".join(("holdfast", *chain, "--help"))


def our_bug(error: Exception) -> OurBug:
    """Something that no command expects, with the innermost place of ours."""
    import traceback

    frames = [f for f in traceback.extract_tb(error.__traceback__) if "holdfast" in f.filename]
    where = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "the command line"
    return OurBug(where=where, what=f"{type(error).__name__}: {error}")


def _trace() -> None:
    if os.environ.get("HOLDFAST_TRACEBACK") == "1":
        import traceback

        traceback.print_exc()


def main() -> NoReturn:
    """What the installed ``holdfast`` runs."""
    code = run(sys.argv[1:])
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away; Python would complain once more while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


if __name__ == "__main__":
    main()
