"""``holdfast run``: start, resume, cancel, list, show, watch."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import App, Parameter

from holdfast.cli.shared import NO_OPTIONS, As, Limit, Misused, Reason, Shared, deciding, reading, vouched
from holdfast.report.page import Page

app = App(name="run", help="Runs: what was wanted, what became of it.", help_format="plaintext")
app.command(
    "holdfast.cli.explain:explain", name="explain", help="What was intended, allowed, done, verified, is unknown."
)

app.command("holdfast.cli.replay:replay", name="replay", help="Drive a recorded run again; nothing leaves.")
app.command("holdfast.cli.bundle:bundle", name="bundle", help="Write a run with all its proofs into one file.")

Model = Annotated[str | None, Parameter(name="--model")]
BaseUrl = Annotated[str | None, Parameter(name="--base-url")]
Stream = Annotated[bool | None, Parameter(name="--stream", negative="--no-stream")]
Steps = Annotated[int, Parameter(name="--max-steps")]


@app.command
async def start(
    file: str,
    /,
    *,
    model: Model = None,
    base_url: BaseUrl = None,
    stream: Stream = None,
    purpose: Annotated[str | None, Parameter(name="--purpose")] = None,
    max_steps: Steps = 100,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Begin the intent of a run file, or go on with it, and let a model plan until it rests.

    FILE says what is wanted, with which tools, under which policy. A purpose that is known already is gone on with. The
    model's key comes from the environment. Exit code 0: done; 1: blocked; 3: something is in doubt; 4: it waits.

    Parameters
    ----------
    model
        openai:NAME, anthropic:NAME or openai-compatible:NAME, instead of the one in the file.
    base_url
        Where the model is reached, instead of the file's or $HOLDFAST_MODEL_BASE_URL.
    stream
        Take answers as a stream; nothing of one is used before it is complete.
    purpose
        Which piece of work this is, instead of the file's.
    max_steps
        The most answers to ask for this time.
    """
    from holdfast.cli.driving import Wanted, begun
    from holdfast.cli.runfile import read

    found = read(file, shared.config, shared.store, purpose=purpose)
    if found.intent is None:
        raise Misused(f"{file} has no [intent]")
    wanted = Wanted(found.settings, found.model, model, base_url, stream, max_steps, as_json=shared.json)
    return await begun(wanted, found.intent, found.items)


@app.command
async def resume(
    run: str,
    /,
    *,
    file: Annotated[str | None, Parameter(name="--file")] = None,
    model: Model = None,
    base_url: BaseUrl = None,
    stream: Stream = None,
    max_steps: Steps = 100,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Go on with a run where its record ends, in this process, under this model.

    What a dead worker left open is taken up first, then the recorded answer that was not carried out to its end; only
    then is the model asked. Tools and policy come from the run file, or from holdfast.toml.

    Parameters
    ----------
    file
        The run file, for its tools, policy and model; its intent is not begun anew.
    model
        openai:NAME, anthropic:NAME or openai-compatible:NAME; it need not be the one that began.
    base_url
        Where the model is reached, instead of the file's or $HOLDFAST_MODEL_BASE_URL.
    stream
        Take answers as a stream; nothing of one is used before it is complete.
    max_steps
        The most answers to ask for this time.
    """
    from holdfast.cli.driving import Wanted, resumed
    from holdfast.cli.runfile import read

    found = read(file, shared.config, shared.store) if file else None
    settings = found.settings if found is not None else shared.settings()
    spec = found.model if found is not None else None
    return await resumed(Wanted(settings, spec, model, base_url, stream, max_steps, as_json=shared.json), run)


@app.command
def cancel(run: str, /, *, who: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """End a run: nothing is dispatched under it from here on; what has left is still reconciled.

    Parameters
    ----------
    who
        The person who decides.
    reason
        Why; it is recorded.
    """
    from holdfast.runtime.cancel import cancel as cancelled

    with deciding(shared) as store:
        row = cancelled(store, store.find(run, "run"), who=who, vouched_by=vouched(), reason=reason)
        page = _page(store, row.id)
        page.exit_code = 0  # it was ended, as was asked
        return page


@app.command
def extend(run: str, deadline: str, /, *, who: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Set the deadline of a run anew, later or earlier. It is recorded with what it was before.

    Parameters
    ----------
    deadline
        From now on, such as 15m or 1h30m.
    who
        The person who decides.
    reason
        Why; it is recorded.
    """
    from holdfast.runtime.deadlines import extending, record

    with deciding(shared) as store:
        full, now_ms = store.find(run, "run"), store.now_ms()
        record(store, extending(store.run(full), full, deadline, who, vouched(), reason, now_ms))
        return _page(store, full)


@app.command
def unblock(run: str, /, *, who: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Let a run that was stopped go on: what was counted against it is counted anew. Then: holdfast run resume.

    It may go on past the effect it was stopped for, if that is an expired approval or a failed verification; it is
    never done with it. An unknown is attested or abandoned instead.

    Parameters
    ----------
    who
        The person who decides.
    reason
        Why; it is recorded.
    """
    from holdfast.cli.watching import told_of
    from holdfast.report.stop import last_stop
    from holdfast.runtime.deadlines import record, unblocking

    with deciding(shared) as store:
        full = store.find(run, "run")
        stop = last_stop(told_of([e for e in store.entries(full) if not e.effect]))
        effect = str(stop.get("effect", "")) if stop is not None else ""
        record(store, unblocking(store.run(full), full, who, vouched(), reason, effect))
        return _page(store, full)


def _page(store: Any, run: str) -> Page:
    from holdfast.cli.watching import page_of

    return page_of(store, run, limit=200)


@app.command(name="list")
def list_(*, limit: Limit = 50, shared: Shared = NO_OPTIONS) -> Page:
    """The newest runs first."""
    from holdfast.report.lists import run_list

    with reading(shared) as store:
        return run_list(store.runs(limit + 1), limit=limit)


@app.command
def show(run: str, /, *, limit: Limit = 200, shared: Shared = NO_OPTIONS) -> Page:
    """One run: its intent, what it used, its effects, and its story step by step.

    Exit code 3: something in it is in doubt; 4: something waits for a human; 5: it was stopped.
    """
    from holdfast.cli.watching import page_of

    with reading(shared) as store:
        return page_of(store, store.find(run, "run"), limit=limit)


@app.command
def watch(
    run: str,
    /,
    *,
    follow: Annotated[bool, Parameter(name="--follow", negative="")] = False,
    shared: Shared = NO_OPTIONS,
) -> Page | int:
    """A run as it goes: steps, effects by state, what is waited for, budget.

    On a terminal the view is redrawn; in a pipe each new entry is a line. It ends, with the code of run show, when the
    run has ended or rests.

    Parameters
    ----------
    follow
        Go on while the run rests; it ends only when the run does.
    """
    from holdfast.cli.watching import watched

    with reading(shared) as store:
        return watched(store, store.find(run, "run"), follow=follow, as_json=shared.json)
