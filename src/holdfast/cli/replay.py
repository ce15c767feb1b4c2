"""``holdfast run replay``: a recorded run driven again by the code of today, with nothing that could be reached."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from holdfast.cli.shared import NO_OPTIONS, Misused, Shared, a_run_or_file, reading
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.runtime.record import Record


def replay(
    run: str,
    /,
    *,
    policy: Annotated[Path | None, Parameter(name="--policy")] = None,
    planner: Annotated[str | None, Parameter(name="--planner")] = None,
    base_url: Annotated[str | None, Parameter(name="--base-url")] = None,
    stream: Annotated[bool | None, Parameter(name="--stream", negative="--no-stream")] = None,
    steps: Annotated[int, Parameter(name="--steps")] = 100,
    archive: Annotated[Path | None, Parameter(name="--archive")] = None,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Drive a recorded run again, from its record alone, and say where the code of today first does something else.

    Nothing leaves: no tool is loaded, the planner and the outside are what was recorded. Exit code 1: it diverges.

    Parameters
    ----------
    run
        A run of the store, by any unique beginning of its id; or a bundle file, for which no store is needed.
    policy
        A Cedar file or a directory of them: what this policy would have said to the run's decisions, instead of
        driving it again. Exit code 1: some would change.
    planner
        A model such as openai:NAME, or planner.py:NAME: what this planner does in the recorded world, beside what was
        done. Only the planner is asked anything. Exit code 1: another behaviour.
    base_url
        Where that model is reached, instead of $HOLDFAST_MODEL_BASE_URL.
    stream
        Take its answers as a stream.
    steps
        The most answers to ask it for.
    archive
        Where archives are, for a run whose entries lie in one.
    """
    if policy is not None and planner is not None:
        raise Misused("--policy and --planner ask two questions; ask one")
    if policy is not None:
        return _under(policy, *found(run, archive, shared))
    if planner is not None:
        from holdfast.cli.replanning import Asked, replanned

        asked = Asked(name=planner, base_url=base_url, stream=stream, steps=steps)
        return replanned(*found(run, archive, shared), asked, shared.settings())
    from holdfast.report.replay import replay_page
    from holdfast.runtime.replay.play import play

    record, source = found(run, archive, shared)
    return replay_page(play(record), source)


def _under(policy: Path, record: Record, _source: str) -> Page:
    """The run's decisions under another policy."""
    from holdfast.gate.policy import read
    from holdfast.report.counterfactual import counterfactual_page
    from holdfast.runtime.counterfactual import counterfactual

    sources = read(policy)
    return counterfactual_page(counterfactual(record, sources), str(policy))


def found(run: str, archive: Path | None, shared: Shared) -> tuple[Record, str]:
    """The record of a run, and where it came from: a file of this name is a bundle, anything else is in the store."""
    if Path(run).is_file():
        from holdfast.runtime.bundle import record

        return record(run), f"the bundle {run}"
    from holdfast.runtime.record import record_of

    a_run_or_file(run)
    with reading(shared) as store:
        of = store.find(run, "run")
        row = store.run(of)
        if archive is not None and row is not None and row.archived:
            from holdfast.adapters.archive import record as archived

            return archived(archive, of, store), f"the archive {archive}"
        return record_of(store, of), f"the store {store.path}"
