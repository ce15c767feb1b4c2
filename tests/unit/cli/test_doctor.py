"""``holdfast doctor``: each finding, by really causing it, and what it must never do: change or hide something."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

import holdfast as hf
from holdfast.cli import doctor as module
from holdfast.cli.config import load, load_tools
from holdfast.cli.examine import access, disk, machine, record, rules
from holdfast.cli.main import run
from holdfast.cli.shared import Shared
from holdfast.report.doctor import Finding, Mark
from holdfast.runtime.people import halt
from holdfast.store import migrate, open_store
from holdfast.store.clock import boot_ms, wall_ms
from tests.snapshots.story import lay_out, tell

ROOT = Path(__file__).parents[3]
PLACE = {"disk-is-memory", "disk-sync-is-nothing", "disk-over-network", "disk-full"}
"""What may be true of the place that the tests run in."""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A new project with one credit booked, and a state directory of its own."""
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    home = tmp_path / "project"
    monkeypatch.setattr(record, "LOOK_EVERY_S", 0.002)
    monkeypatch.setenv("LEDGER", str(home / "var" / "ledger.jsonl"))
    assert run(["init", str(home)]) == 0
    monkeypatch.chdir(home)
    book()
    assert run(["evidence", "seal"]) == 0
    yield home
    forget()


def forget() -> None:
    """Modules of one test's project are no modules of the next one's."""
    for name in ("ledger", "tools", "holdfast_tools_tools", "holdfast_tools_shop"):
        sys.modules.pop(name, None)


def book() -> None:
    """One credit by the project's own tool."""
    settings = load()
    tools = load_tools(settings)
    with hf.open(settings.store, tools=tools, policy=settings.policy) as app:
        intent = hf.Intent(goal="credit acme", purpose="ticket-1", principal="test", deadline="1h")
        assert isinstance(app.begin(intent).call(tools[0](account="acme", amount=1200)), hf.Verified)


def examined(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Exit code and the findings by id, as a machine gets them."""
    forget()
    capsys.readouterr()
    code = run(["doctor", *words, "--json"])
    data = json.loads(capsys.readouterr().out)["data"]
    found = {one["id"]: one for one in data["findings"]}
    broken = [one for one in data["findings"] if one["sign"] == "broken"]
    assert code == (1 if broken else 0)
    assert data["healthy"] is (code == 0)
    return code, found


def wrong(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What is wrong, by id, the machine's own state left out."""
    own = PLACE | {"clock-not-kept", "disk-low", "disk-in-a-layer"}
    return {id_: one["sign"] for id_, one in found.items() if one["sign"] in ("broken", "doubtful") and id_ not in own}


def edit(path: Path, old: str, new: str) -> None:
    """Change a text that is there once."""
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def sql(path: Path, *statements: str) -> None:
    """Write to the file as any other program could."""
    db = apsw.Connection(str(path))
    for statement in statements:
        db.execute(statement)
    db.close()


# ----------------------------------------------------------------------------------------- nothing is wrong


def test_nothing_is_found_wrong_in_a_working_project(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A project that works has no finding of its own, and every part was looked at."""
    _, found = examined(capsys)
    assert wrong(found) == {}
    parts = {one["about"] for one in found.values()}
    assert parts == {
        "config", "python", "libraries", "clock", "disk", "access", "tools", "policy", "store", "evidence", "sealing",
        "ports",
    }  # fmt: skip
    assert not [one for one in found.values() if one["sign"] == "not looked at"]


def test_doctor_changes_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every file of the project has the same bytes afterwards, and none was added."""
    (home / "var" / "holdfast.db-shm").unlink(missing_ok=True)  # the shared index of locks, made by whoever opens

    def tree() -> dict[str, bytes]:
        files = (path for path in home.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return {str(path): path.read_bytes() for path in files if path.suffix != ".db-shm"}

    before = tree()
    examined(capsys)
    assert {name: data for name, data in tree().items() if data or not name.endswith("-wal")} == {
        name: data for name, data in before.items() if data or not name.endswith("-wal")
    }


def test_page_says_what_is_wrong_first_with_why_and_what_to_do(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A person reads the broken thing first; no symbol stands without its word."""
    (home / "holdfast.toml").chmod(0o666)
    assert run(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("✗ broken  rules-open-to-others"))
    assert [line.split()[0] for line in lines[at + 1 : at + 4]] == ["what", "why", "to"]
    assert "chmod" in lines[at + 3]
    assert at < next(i for i, line in enumerate(lines) if line.startswith("  ✓ fine"))


def test_a_command_line_that_makes_no_sense_is_usage(home: Path) -> None:
    """An option that there is not ends with 2, whatever is wrong here."""
    assert run(["doctor", "--nonsense"]) == 2


# ------------------------------------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("text", "finding"),
    [
        (b'polici = "x"', "config-broken"),
        (b"store = \n", "config-broken"),
        (b'store = "\xff"', "config-"),
    ],
    ids=["a key that means nothing", "no TOML", "no text"],
)
def test_a_configuration_that_cannot_be_used_is_a_finding(
    home: Path, capsys: pytest.CaptureFixture[str], text: bytes, finding: str
) -> None:
    """The rest is looked at all the same: the machine, and the store that is named."""
    (home / "holdfast.toml").write_bytes(text)
    code, found = examined(capsys, "--store", "sqlite:var/holdfast.db")
    assert code == 1
    assert [id_ for id_ in found if id_.startswith(finding)]
    assert found["store-mode"]["sign"] == "fine"
    _, found = examined(capsys)
    assert "clock" in found


def test_a_missing_configuration_is_a_finding(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One that was named and is not there is broken; an empty directory is only told apart."""
    code, found = examined(capsys, "--config", str(tmp_path / "none.toml"))
    assert (code, found["config-broken"]["facts"]["why"]) == (1, "there is no such file")
    (tmp_path / "empty").mkdir()
    os.chdir(tmp_path / "empty")
    _, found = examined(capsys)
    assert wrong(found) == {"no-project": "doubtful"}


@pytest.mark.parametrize(
    ("module_name", "extra", "text"),
    [
        ("psycopg", "postgres", 'store = "postgresql://localhost/x"'),
        ("pydantic_ai", "models", ""),
        ("moto", "examples", 'tools = ["mine.py:x"]'),
    ],
)
def test_an_extra_that_the_configuration_uses_is_named(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    module_name: str, extra: str, text: str,
) -> None:  # fmt: skip
    """A store on PostgreSQL, a run file with a model, a tool that imports what an extra brings."""
    monkeypatch.setitem(sys.modules, module_name, None)  # what is None here cannot be imported
    if text:
        (home / "holdfast.toml").write_text(text)
    else:
        (home / "run.toml").write_text('[intent]\ngoal = "g"\n[model]\nname = "openai:x"\n')
    (home / "mine.py").write_text(f"import {module_name}\n")
    _, found = examined(capsys)
    assert found["extra-missing"]["facts"] == {"module": module_name, "extra": extra}
    assert f"holdfast[{extra}]" in found["extra-missing"]["to_do"]


def test_every_module_of_an_extra_is_in_the_extra_that_is_named() -> None:
    """The table that messages use agrees with what the package declares."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name, extra in rules.EXTRAS.items():
        assert any(name.partition("_")[0] in need for need in declared[extra]), name


# ------------------------------------------------------------------------------------------------- machine


def installed(folder: Path, name: str, version: str, *needs: str) -> None:
    """A distribution as pip leaves it, as far as its metadata goes."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir(parents=True)
    lines = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {need}" for need in needs)]
    (info / "METADATA").write_text("Metadata-Version: 2.1\n" + "\n".join(lines) + "\n")


def test_libraries_that_are_missing_or_too_old_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed metadata is compared with what this version asks for; extras do not count."""
    installed(tmp_path, "apsw", "3.9.2")
    installed(tmp_path, "holdfast", "0.1.0", "apsw>=3.54", "nowhere-to-be-found>=1.2", 'absent>=1; extra == "x"')
    monkeypatch.syspath_prepend(str(tmp_path))
    found = list(machine.libraries())
    assert [(one.id, one.facts["library"], one.facts["found"]) for one in found] == [
        ("library-too-old", "apsw", "3.9.2"),
        ("library-missing", "nowhere-to-be-found", ""),
    ]
    assert {one.mark for one in found} == {Mark.BROKEN}


def test_a_python_or_system_that_was_not_tried_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older Python is broken, another system a doubt."""
    assert [one.mark for one in machine.python()] == [Mark.FINE]
    monkeypatch.setattr(machine.platform, "system", lambda: "Darwin")
    assert [one.id for one in machine.python()] == ["system-not-tried"]
    monkeypatch.setattr(machine, "LEAST_PYTHON", (4, 0))
    assert [one.id for one in machine.python()] == ["python-too-old"]


def looked(home: Path, wall: Callable[[], int]) -> dict[str, Finding]:
    """What the doctor finds under another wall clock."""
    forget()
    return {one.id: one for one in module.examined(load(), wall=wall, boot=boot_ms)}


def test_a_wall_clock_behind_the_store_is_found(home: Path) -> None:
    """Far behind what the store has seen nothing is dispatched; a little behind is only told."""
    assert looked(home, lambda: wall_ms() - 3_600_000)["clock-behind-store"].mark is Mark.BROKEN
    assert looked(home, lambda: wall_ms() - 300_000)["clock-behind-store"].mark is Mark.DOUBTFUL
    assert looked(home, wall_ms)["clock"].mark is Mark.FINE


def test_a_wall_clock_that_is_set_meanwhile_is_found(home: Path) -> None:
    """A step against the time since boot between the first look and the last."""
    steps = iter([0])
    found = looked(home, lambda: wall_ms() + next(steps, 60_000))
    assert found["clock-stepped"].mark is Mark.BROKEN
    assert abs(found["clock-stepped"].facts["moved_ms"] - 60_000) < 1_000


def test_a_clock_that_nothing_keeps_is_told() -> None:
    """What the kernel says about its clock is passed on as a doubt, and silence as nothing."""
    clock = machine.ClockLook(wall_ms, boot_ms)
    assert [one.id for one in clock.findings(None, kept=False)] == ["clock-not-kept", "clock"]
    assert [one.id for one in clock.findings(None, kept=None)] == ["clock"]
    assert machine.clock_kept() in (True, False, None)


# ---------------------------------------------------------------------------------------------------- disk


def test_a_store_in_memory_is_found() -> None:
    """A directory that is memory: what lies there is gone after a reboot."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        (found,) = disk.kind(Path(folder))
    assert (found.id, found.mark, found.facts["file_system"]) == ("disk-is-memory", Mark.BROKEN, "tmpfs")


MOUNTS = """22 1 8:1 / / rw - ext4 /dev/sda1 rw
30 22 0:41 / /srv/shared\\040data rw shared:1 - nfs4 host:/x rw
31 22 0:42 / /srv rw - overlay overlay rw
"""


@pytest.mark.parametrize(
    ("place", "name", "finding"),
    [
        ("/srv/shared data/a", "nfs4", "disk-over-network"),
        ("/srv/shared", "overlay", "disk-in-a-layer"),
        ("/srvx", "ext4", "disk-kind"),
    ],
)
def test_the_innermost_mount_decides(monkeypatch: pytest.MonkeyPatch, place: str, name: str, finding: str) -> None:
    """Mount points are compared by whole names, with blanks as the kernel writes them."""
    assert disk.file_system(Path(place), MOUNTS)[0] == name
    there = disk.file_system(Path(place), MOUNTS)
    monkeypatch.setattr(disk, "file_system", lambda _: there)
    assert [one.id for one in disk.kind(Path(place))] == [finding]


def test_a_sync_that_is_left_out_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What eatmydata and a careless mount do: the call returns and nothing was written."""
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    (found,) = disk.sync(tmp_path)
    assert (found.id, found.mark) == ("disk-sync-is-nothing", Mark.BROKEN)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_or_nearly_so_is_found(tmp_path: Path) -> None:
    """Room is judged by what this user may use."""
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    assert [one.id for one in disk.space(tmp_path, least=2 * free)] == ["disk-full"]
    assert [one.id for one in disk.space(tmp_path, least=0, low=2 * free)] == ["disk-low"]
    assert [one.id for one in disk.space(tmp_path, least=0, low=0)] == ["disk-space"]


def test_a_log_that_a_reader_keeps_from_being_copied_back_is_found(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A read transaction that never ends lets the write-ahead log grow."""
    path = home / "var" / "holdfast.db"
    reader, writer = apsw.Connection(str(path)), apsw.Connection(str(path))
    try:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM entry").fetchall()
        for n in range(disk.LARGE_LOG_BYTES // 1_000_000 + 1):
            writer.execute("INSERT INTO word (text) VALUES (?)", (f"{n}" + "x" * 1_000_000,))
        _, found = examined(capsys)
    finally:
        reader.close()
        writer.close()
    assert wrong(found) == {"log-not-copied-back": "doubtful"}


def test_a_directory_in_which_no_store_can_be_made_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """How a store opens there is tried on a scratch one, which is taken away again."""
    assert [one.facts for one in disk.as_opened(tmp_path)] == [{"journal_mode": "wal", "synchronous": 2}]
    assert list(tmp_path.iterdir()) == []
    (found,) = disk.as_opened(tmp_path / "none")
    assert (found.id, found.mark) == ("store-as-opened", Mark.SKIPPED)
    monkeypatch.setattr("holdfast.store.opening.CACHE_KB", 1)  # only to prove that the real opening is used
    monkeypatch.setattr("holdfast.store.opening._use_log", lambda db, busy_ms: db.pragma("journal_mode", "MEMORY"))
    assert [one.id for one in disk.as_opened(tmp_path)] == ["store-not-durable"]


# -------------------------------------------------------------------------------------------------- access


@contextlib.contextmanager
def open_place() -> Iterator[Path]:
    """A directory that others can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def test_a_store_that_others_can_read_is_found() -> None:
    """Mode 0644 where others get through; behind a closed directory it is a doubt; 0600 is fine."""
    with open_place() as place:
        path = place / "holdfast.db"
        open_store(path, state_dir=place / "state").close_now()
        assert [one.id for one in access.store_files(path)] == ["store-access"]
        path.chmod(0o644)
        (found,) = access.store_files(path)
        assert (found.id, found.mark, found.facts["mode"]) == ("store-open-to-others", Mark.BROKEN, "0644")
        place.chmod(0o700)
        assert [one.mark for one in access.store_files(path)] == [Mark.DOUBTFUL]


@pytest.mark.parametrize(
    ("name", "mode", "finding"),
    [
        ("var", 0o777, {"directory-open-to-others": "broken"}),
        ("var", 0o1777, {}),
        ("../state", 0o777, {"directory-open-to-others": "broken"}),
        ("../state/*.head", 0o666, {"head-open-to-others": "broken"}),
        ("holdfast.toml", 0o666, {"rules-open-to-others": "broken"}),
        ("tools.py", 0o602, {"rules-open-to-others": "broken"}),
        ("policy/main.cedar", 0o646, {"rules-open-to-others": "broken"}),
        ("run.toml", 0o644, {}),
    ],
)
def test_what_others_may_change_is_found(
    home: Path, capsys: pytest.CaptureFixture[str], name: str, mode: int, finding: dict[str, str]
) -> None:
    """Directories, the remembered head, configuration, tools and policy, by their permission bits."""
    (path,) = home.glob(name) if "*" not in name else (home.parent / "state").glob("*.head")
    path.chmod(mode)
    _, found = examined(capsys)
    assert wrong(found) == finding


def test_a_state_directory_that_is_a_file_is_found(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing can be remembered in a file."""
    shutil.rmtree(home.parent / "state")
    (home.parent / "state").write_text("")
    _, found = examined(capsys)
    assert wrong(found) == {"directory-is-none": "broken", "head-not-remembered": "doubtful"}


def as_somebody_else(look: Callable[[], dict[str, str]]) -> dict[str, str]:
    """What a user without rights finds: a child of this process that gave them up, with all modules at hand."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setresuid(65534, 65534, 65534)
            os.write(writer, json.dumps(look()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return json.loads(told)


def test_what_this_user_may_not_read_or_write_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration and a store without rights, a directory that cannot be written: said, and the rest looked at."""
    with open_place() as place:
        monkeypatch.setenv("HOLDFAST_STATE_DIR", str(place / "state"))
        path = place / "holdfast.db"
        open_store(path, state_dir=place / "state").close_now()
        (place / "holdfast.toml").write_text('store = "sqlite:holdfast.db"\n')

        def look() -> dict[str, str]:
            settings, found = module.configured(Shared(config=str(place)))
            found += module.examined(settings, wall=wall_ms, boot=boot_ms)
            return {one.id: str(one.mark) for one in found if one.mark is Mark.BROKEN and one.id not in PLACE}

        path.chmod(0o644)
        place.chmod(0o555)
        assert as_somebody_else(look).keys() >= {"store-open-to-others", "store-read-only", "directory-not-writable"}
        path.chmod(0o000)
        assert as_somebody_else(look).keys() >= {"store-unreadable", "store-cannot-be-opened"}
        (place / "holdfast.toml").chmod(0o000)
        assert as_somebody_else(look) == {"config-unreadable": "broken"}
        place.chmod(0o755)


# --------------------------------------------------------------------------------------------------- store


def test_a_store_that_is_not_there_yet_is_no_fault(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is made by the first worker, and the doctor does not make it."""
    shutil.rmtree(home / "var")
    _, found = examined(capsys)
    assert wrong(found) == {}
    assert found["store"]["sign"] == "not looked at"
    assert not (home / "var").exists()


def zero_page(path: Path) -> None:
    """A page in the middle of the file, gone."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2 // 4096 * 4096)
        file.write(b"\0" * 4096)


DAMAGE: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no store at all": (lambda p: p.write_bytes(b"not a store, " * 999), "store-cannot-be-opened", "HF-I04"),
    "another program's file": (
        lambda p: (p.unlink(), sql(p, "CREATE TABLE mine (a)")), "store-cannot-be-opened", "HF-I04"),
    "a directory": (lambda p: (p.unlink(), p.mkdir()), "store-cannot-be-opened", "HF-I"),
    "a page that is gone": (zero_page, "store-damaged", ""),
    "a schema of the future": (
        lambda p: sql(p, "PRAGMA user_version = 99"), "store-cannot-be-opened", "HF-I05"),
    "a migration that was edited": (
        lambda p: sql(p, "DROP TRIGGER migration_stays", "UPDATE migration SET sha256 = 'x' WHERE number = 1"),
        "store-cannot-be-opened", "HF-I06"),
    "a changed body": (
        lambda p: sql(p, "DROP TRIGGER entry_body_stays",
                      "UPDATE entry_body SET body = CAST(replace(body, '1200', '9200') AS BLOB)"),
        "evidence-broken", "HF-I09"),
    "an entry that was cut off": (
        lambda p: sql(p, "DROP TRIGGER entry_is_kept", "DELETE FROM entry WHERE pos = (SELECT max(pos) FROM entry)"),
        "evidence-broken", "HF-I09"),
    "a secret that is none": (
        lambda p: sql(p, "DROP TRIGGER meta_rises", "UPDATE meta SET identity_secret = zeroblob(32)"),
        "identity-secret-empty", ""),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_of_the_store_is_found(home: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """What is wrong with the file is named, and the rest is looked at all the same."""
    damage, finding, code = DAMAGE[name]
    path = home / "var" / "holdfast.db"
    sql(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    for tail in ("-wal", "-shm"):
        Path(f"{path}{tail}").unlink(missing_ok=True)
    damage(path)
    _, found = examined(capsys)
    assert found[finding]["sign"] == "broken"
    assert found[finding]["facts"].get("code", "").startswith(code)
    assert found["tools"]["sign"] == "fine"
    ended = [one for id_, one in found.items() if id_.endswith("-ended")]
    # A page that is gone is met by whoever reads the records; it is said as damage, never as a fault of ours.
    assert all(one["facts"]["code"] == "HF-I04-store-corrupt" for one in ended), ended


def test_an_old_schema_and_a_changed_journal_are_told(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store from before the newest migration, and one that another program switched from its log."""
    sql(home / "var" / "holdfast.db", "PRAGMA journal_mode = DELETE")
    assert wrong(examined(capsys)[1]) == {"journal-changed": "doubtful"}
    steps = migrate.migrations()
    later = steps[-1]._replace(number=len(steps) + 1, name="later", text="CREATE TABLE later (a)")
    monkeypatch.setattr(migrate, "migrations", lambda: (*steps, later))
    found = examined(capsys)[1]
    assert found["schema-old"]["facts"] == {"found": len(steps), "known": len(steps) + 1}


def test_a_file_too_large_to_look_at_whole_is_said_so(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was not looked at is never shown as fine."""
    monkeypatch.setattr(record, "WHOLE_BYTES", 10)
    assert [one.mark for one in record.pages(home / "var" / "holdfast.db")] == [Mark.SKIPPED]


def test_a_copy_in_the_place_of_the_store_is_found(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It opens restored: another file under the same name."""
    path = home / "var" / "holdfast.db"
    shutil.copy(path, home / "copy.db")  # made while the first still has its inode
    (home / "copy.db").rename(path)
    _, found = examined(capsys)
    assert wrong(found) == {"store-restored": "broken"}


def test_a_head_that_nobody_remembers_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without the remembered head a cut-off tail is not seen."""
    shutil.rmtree(home.parent / "state")
    assert wrong(examined(capsys)[1]) == {"head-not-remembered": "doubtful"}


def test_a_halt_is_told(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Somebody stopped everything: who reads the page learns it."""
    store = open_store(home / "var" / "holdfast.db")
    halt(store, "store", who="ann", reason="look into it")
    store.close_now()
    assert wrong(examined(capsys)[1]) == {"halted": "doubtful"}


def test_a_write_lock_that_is_kept_is_found_with_its_holder(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A transaction that somebody leaves open keeps everybody else from recording."""
    db = apsw.Connection(str(home / "var" / "holdfast.db"))
    try:
        db.execute("BEGIN IMMEDIATE")
        _, found = examined(capsys)
    finally:
        db.close()
    assert found["lock-held"]["facts"] == {"holder": f"process {os.getpid()}"}


def test_a_busy_writer_is_not_taken_for_one_that_keeps_the_lock(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lock is held at every look, and the log moves between them: somebody works."""
    path = home / "var" / "holdfast.db"
    db = apsw.Connection(str(path))

    def work(_: float) -> None:
        db.execute("COMMIT")
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO word (text) VALUES (hex(randomblob(8)))")

    try:
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO word (text) VALUES ('first')")
        monkeypatch.setattr(record.time, "sleep", work)
        assert [one.id for one in record.lock(path)] == ["lock"]
    finally:
        db.close()


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A store with an effect at each place of a life, some of them open."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))
    lay_out(tmp_path)
    tell(tmp_path)
    yield tmp_path
    forget()


def test_open_effects_that_nobody_takes_up_are_told(story: Path) -> None:
    """A day later: what a worker should have moved is overdue; what waits for a person is not."""
    found = looked(story, lambda: wall_ms() + 86_400_000)
    assert found["effects-overdue"].mark is Mark.DOUBTFUL
    assert "open-effects" in looked(story, wall_ms)


def test_an_open_effect_without_an_owner_is_broken(story: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Law L13: each says who moves next, how and when; a record that does not is named."""
    with contextlib.closing(open_store(story / "holdfast.db", read_only=True).reading._db) as db:
        rows = db.execute("SELECT n, view FROM effect_view").fetchall()
    n, view = next((n, json.loads(view)) for n, view in rows if json.loads(view)["state"] == "unknown")
    changed = json.dumps({name: value for name, value in view.items() if name != "owner"}).replace("'", "''")
    sql(story / "holdfast.db", f"UPDATE effect_view SET view = CAST('{changed}' AS BLOB) WHERE n = {n}")
    _, found = examined(capsys)
    assert found["effect-is-nobodys"]["facts"]["effects"] == [view["id"]]
    assert found["effect-is-nobodys"]["sign"] == "broken"


def test_open_effects_of_a_tool_or_environment_that_is_not_named_are_told(
    story: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody with this configuration could look them up."""
    edit(story / "holdfast.toml", 'environment = "test"', 'environment = "prod"')
    edit(story / "holdfast.toml", "shop.py:TOOLS", "shop.py:refund")
    edit(story / "policy.cedar", 'context.tool != "refund"', 'context.tool == "refund"')
    _, found = examined(capsys)
    assert found["tool-of-open-effect-gone"]["facts"]["tools"]
    assert found["other-environment"]["facts"] == {"environments": ["test"]}


# -------------------------------------------------------------------------------------------- tools, policy


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("import holdfast as hf", "import holdfast as hf\n1 +", "SyntaxError"),
        ("import holdfast as hf", "import no_such_module_at_all", "no_such_module_at_all"),
        ("import holdfast as hf", "import holdfast as hf\nraise SystemExit(3)", "SystemExit"),
        ('    owner="support-oncall",', "", "owner"),
        ("def credit(fx", "def debit(fx", "names no tool"),
    ],
    ids=["syntax", "import", "exit", "contract", "name"],
)
def test_tools_that_a_worker_could_not_start_with_are_found(
    home: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, says: str
) -> None:
    """Whatever a tool's module does while it is imported ends in a finding."""
    path = home / "tools.py"
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("@credit")))
    text = path.read_text()
    at = next(line for line in text.splitlines() if line.startswith(old) or old in line)
    edit(path, at, at.replace(old, new) if new or old != at else "")
    _, found = examined(capsys)
    assert found["tools-broken"]["sign"] == "broken"
    assert says in json.dumps(found["tools-broken"])


def test_what_a_tools_module_prints_does_not_spoil_the_answer(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output holds one document, whoever prints while it is made."""
    edit(home / "tools.py", "import holdfast as hf", "import holdfast as hf\nprint('hello')")
    _, found = examined(capsys)
    assert found["tools"]["sign"] == "fine"


def test_a_policy_that_does_not_load_is_found(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its line and the nearest name."""
    path = home / "policy" / "main.cedar"
    path.write_text(path.read_text().replace("context.args.amount", "context.args.amuont"))
    _, found = examined(capsys)
    assert found["policy-broken"]["facts"]["code"] == "HF-U07-bad-policy"
    assert "amount" in found["policy-broken"]["what"]


def test_a_tool_that_no_rule_speaks_of_and_rules_not_in_force_are_told(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The policy was changed since a worker had it: it is not in force, and the tool would always be refused."""
    path = home / "policy" / "main.cedar"
    path.write_text(path.read_text().replace('action == Action::"credit"', 'action == Action::"debit"'))
    tools = home / "tools.py"
    tools.write_text(tools.read_text() + DEBIT)
    edit(home / "holdfast.toml", '["tools.py:credit"]', '["tools.py:credit", "tools.py:debit"]')
    path.write_text(path.read_text().replace("context.args.amount", "context.args.amount"))
    _, found = examined(capsys)
    assert wrong(found) == {"tool-without-rule": "doubtful", "not-in-force": "doubtful"}
    assert found["not-in-force"]["facts"] == {"scopes": ["policy:dev"]}


DEBIT = '''

@hf.tool(effect="read", resource="account:{account}")
def debit(fx: hf.Fx, *, account: str, amount: int) -> int:
    """Read."""
    return amount
'''


def test_a_variable_that_is_asked_for_and_not_set_is_told(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """``os.environ["NAME"]`` in a tool and ``key_env`` in a run file; what has a default is not asked for."""
    monkeypatch.delenv("BANK_TOKEN", raising=False)
    monkeypatch.delenv("MODEL_KEY", raising=False)
    edit(home / "tools.py", "import ledger", "import os\n\nimport ledger\n\n\ndef token():\n    return TOKEN\n")
    edit(home / "tools.py", "return TOKEN", 'return os.environ["BANK_TOKEN"] + os.environ.get("NOT_ASKED", "")')
    (home / "run.toml").write_text('[intent]\ngoal = "g"\n[model]\nname = "openai:x"\nkey_env = "MODEL_KEY"\n')
    files = rules.tool_files(load())
    assert {one.facts["variable"] for one in rules.variables(files)} == {"BANK_TOKEN", "MODEL_KEY"}
    assert wrong(examined(capsys)[1])["variable-missing"] == "doubtful"
    assert [one.id for one in rules.variables(files, {"BANK_TOKEN": "x", "MODEL_KEY": "y"})] == ["variables"]


# ------------------------------------------------------------------------------------------------ the rest


def test_a_look_that_cannot_end_is_a_finding_and_hides_no_other(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong while one thing is looked at, the rest is looked at."""

    def newest(_: object) -> Iterator[Finding]:
        raise RuntimeError("nobody thought of this \x1b[31m")
        yield

    newest.__module__ = record.__name__
    monkeypatch.setattr(record, "newest", newest)
    _, found = examined(capsys)
    assert wrong(found) == {"record-newest-ended": "broken"}
    assert "\\x1b" in found["record-newest-ended"]["what"]
    assert found["open-effects"]["sign"] == "fine"
