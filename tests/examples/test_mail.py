"""The mail example on a real SMTP server in its own process, judged by what lies in the mailboxes."""

from __future__ import annotations

import asyncio
import os
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import holdfast as hf
from examples.mail import tools
from examples.mail.sandbox import Post
from examples.mail.spawn import Mail, running
from holdfast.harness.prove import Verdict, prove

ROOT = Path(__file__).resolve().parents[2]
POLICY = 'permit (principal, action in [Action::"send_mail", Action::"send_outside"], resource);'
ANN, BOB = "ann@example.org", "bob@partner.example"
LIMIT_S = 30.0


@pytest.fixture
def mail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mail]:
    """A mail server with empty mailboxes; the tools point at it."""
    with running(tmp_path / "mail") as server:
        monkeypatch.setenv("MAIL_SERVER", server.address)
        monkeypatch.setenv("MAIL_FOLDER", str(server.folder))
        monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
        yield server


def opened(tmp_path: Path) -> hf.App:
    """An application that may send mail to anybody."""
    return hf.open(f"sqlite:{tmp_path / 'm.db'}", tools=tools.TOOLS, policy=POLICY, environment="prod")


def intent() -> hf.Intent:
    return hf.Intent(goal="tell them", purpose="move-12", principal="p")


def lie(to: str) -> list[str]:
    """The subjects in a mailbox, each as often as it lies there."""
    return sorted(str(message["Subject"]) for message in tools.messages(to))


def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition, with a limit."""
    end = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.02)


def letter(subject: str = "Boxes", text: str = "We move.", greeting: str = "", to: str = ANN) -> hf.Call:
    return tools.send_mail(to=to, subject=subject, text=text, greeting=greeting)


def test_the_walk_runs_and_the_mailbox_holds_what_it_says(tmp_path: Path) -> None:
    """The example program ends well, and each line's count is what lies in the mailbox."""
    env = {**os.environ, "HOLDFAST_STATE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "examples.mail.run"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    said = [tuple(line[60:].split()[:2]) for line in done.stdout.splitlines()]
    assert said == [
        ("sent", "2"),
        ("Verified", "1"),
        ("Verified", "1"),
        ("Verified", "1"),
        ("Failed", "0"),
        ("Verified", "1"),
        ("Committed", "2"),
        ("Refused", "0"),
        ("Unknown", "1"),
        ("Unknown", "1"),
        ("Unknown", "0"),
    ]


async def test_a_message_whose_reply_is_lost_is_found_by_its_message_id(mail: Mail, tmp_path: Path) -> None:
    """Was it sent? The mailbox knows: verified, one copy, and nothing was sent twice."""
    async with opened(tmp_path) as app:
        run = await app.begin(intent())
        mail.goes_wrong("drop-reply")
        out = await run.call(letter())
        view = (await app.store.read(out.effect)).effect
    assert isinstance(out, hf.Verified), out
    assert view is not None
    assert [m["Message-ID"] for m in tools.messages(ANN)] == [tools.message_id(view.key)]
    assert len(view.attempts) == 1


@pytest.mark.parametrize("how", ["refuse-recipient", "defer-recipient", "refuse-message", "defer-message"])
async def test_a_clear_no_is_failed_and_can_be_proposed_again(mail: Mail, tmp_path: Path, how: str) -> None:
    """A 4yz or 5yz answer, to the envelope or to the message, proves that nothing was delivered."""
    async with opened(tmp_path) as app:
        run = await app.begin(intent())
        mail.goes_wrong(how)
        assert isinstance(await run.call(letter()), hf.Failed)
        assert lie(ANN) == []
        assert isinstance(await run.call(letter()), hf.Verified)
    assert lie(ANN) == ["Boxes"]


async def test_absence_is_not_final_while_the_sender_lives(mail: Mail, tmp_path: Path) -> None:
    """The message was lost, too: it stays unknown, is probed, and neither time nor repetition sends it again."""
    async with opened(tmp_path) as app:
        run = await app.begin(intent())
        mail.goes_wrong("drop-message")
        for _ in range(2):
            out = await run.call(letter(), patience="1500ms")
            assert isinstance(out, hf.Unknown), out
        view = (await app.store.read(out.effect)).effect
    assert view is not None
    assert (len(view.attempts), view.probes > 0, lie(ANN)) == (1, True, [])


async def test_a_message_that_is_delivered_late_is_found_late(mail: Mail, tmp_path: Path) -> None:
    """The connection was closed without a word and the message comes a second later: one copy, verified."""
    async with opened(tmp_path) as app:
        run = await app.begin(intent())
        mail.goes_wrong("late")
        out = await run.call(letter())
    assert isinstance(out, hf.Verified), out
    assert lie(ANN) == ["Boxes"]


async def test_what_nobody_can_look_up_is_never_sent_again(mail: Mail, tmp_path: Path) -> None:
    """A mailbox outside the house: a lost reply goes to its owner, and repeating the call sends nothing."""
    async with opened(tmp_path) as app:
        run = await app.begin(intent())
        mail.goes_wrong("drop-reply")
        for _ in range(3):
            out = await run.call(tools.send_outside(to=BOB, subject="Hello", text="x"))
            assert isinstance(out, hf.Unknown), out
            assert out.owner == "postmaster"
    assert lie(BOB) == ["Hello"]


async def test_two_copies_are_never_shown_as_verified(mail: Mail, tmp_path: Path) -> None:
    """The server takes one message and delivers two: the mailbox is counted, and it is said."""
    async with opened(tmp_path) as app:
        run = await app.begin(intent())
        mail.goes_wrong("twice")
        out = await run.call(letter())
    assert isinstance(out, hf.Committed), out
    assert "2 copies" in out.note


async def test_another_greeting_is_the_same_message_and_another_text_is_not(mail: Mail, tmp_path: Path) -> None:
    """Volatile words are kept as first recorded; other words of substance are refused as a reuse of the key."""
    async with opened(tmp_path) as app:
        run = await app.begin(intent())
        first = await run.call(letter(greeting="Dear Ann,"))
        again = await run.call(letter(greeting="Hi!"))
        assert (type(first), again) == (hf.Verified, first)
        with pytest.raises(hf.KeyReused):
            await run.call(letter(text="We do not move."))
    (message,) = tools.messages(ANN)
    assert message.get_content().startswith("Dear Ann,")


async def test_a_line_break_in_a_subject_smuggles_no_header_in(mail: Mail, tmp_path: Path) -> None:
    """What cannot be written as one message is a failure before anything is sent."""
    async with opened(tmp_path) as app:
        run = await app.begin(intent())
        out = await run.call(letter(subject=f"Boxes\r\nBcc: {BOB}"))
    assert isinstance(out, hf.Failed), out
    assert (lie(ANN), lie(BOB)) == ([], [])


async def test_a_server_that_is_not_there_is_a_failure_and_no_doubt(mail: Mail, tmp_path: Path) -> None:
    """Where no connection comes about, nothing left."""
    mail.process.kill()
    mail.process.wait()
    async with opened(tmp_path) as app:
        run = await app.begin(intent())
        assert isinstance(await run.call(letter()), hf.Failed)


WORKER = """
import asyncio, sys
import holdfast as hf
from examples.mail import tools
from examples.mail.sandbox import Post

async def main():
    async with hf.open(sys.argv[1], tools=tools.TOOLS, policy=sys.argv[2], environment="prod") as app:
        run = await app.begin(hf.Intent(goal="tell them", purpose="move-12", principal="p"))
        out = await run.call(tools.send_mail(to="ann@example.org", subject="Boxes", text="We move."), patience="20s")
        print(type(out).__name__)
asyncio.run(main())
"""


@pytest.mark.parametrize("how", ["silent", "late", "drop-reply"])
def test_a_killed_worker_leaves_one_message_whatever_had_become_of_the_first(
    mail: Mail, tmp_path: Path, how: str
) -> None:
    """Killed after it sent: the next worker waits until nothing can land any more, looks, and only then sends anew."""
    env = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "MAIL_LANDS_WITHIN": "2s"}
    command = [sys.executable, "-c", WORKER, f"sqlite:{tmp_path / 'w.db'}", POLICY]
    mail.goes_wrong(how)
    with subprocess.Popen(command, cwd=tmp_path, env=env) as first:
        # The file is taken away when the server has the whole message.
        until(lambda: not (mail.faults / how).exists())
        first.send_signal(signal.SIGKILL)
        assert first.wait(LIMIT_S) == -signal.SIGKILL
    second = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=60)
    assert second.stdout.split() == ["Verified"], second.stderr
    assert lie(ANN) == ["Boxes"]


def test_the_server_keeps_to_the_order_of_smtp_and_delivers_what_was_sent(mail: Mail) -> None:
    """Another client than ours is told its mistakes, and dots, long lines and two recipients arrive as they were."""
    text = "\r\n".join([".", "..two", "x" * 900, "end"])
    with smtplib.SMTP(*mail.address.split(":")) as client:
        assert client.docmd("DATA")[0] == 503
        assert client.docmd("RCPT", "TO:<ann@example.org>")[0] == 503
        assert client.docmd("MAIL", "FROM:nobody")[0] == 501
        assert client.docmd("NONSENSE")[0] == 500
        refused = client.sendmail(
            "x@example.org", [ANN, "cy@elsewhere.example", "di@example.org"], f"Subject: s\n\n{text}"
        )
        assert list(refused) == ["cy@elsewhere.example"]
    for to in (ANN, "di@example.org"):
        (message,) = tools.messages(to)
        assert message.get_content().splitlines() == text.split("\r\n")


def test_a_message_cut_off_in_the_middle_is_not_delivered(mail: Mail) -> None:
    """What ends before its dot is dropped (RFC 5321 §4.1.1.4)."""

    async def cut() -> None:
        reader, writer = await asyncio.open_connection(*mail.address.split(":"))
        for line in ("MAIL FROM:<x@example.org>", f"RCPT TO:<{ANN}>", "DATA"):
            await reader.readline()
            writer.write(f"{line}\r\n".encode())
        await reader.readline()
        writer.write(b"Subject: half\r\n\r\nhal")
        await writer.drain()
        writer.close()

    asyncio.run(cut())
    with smtplib.SMTP(*mail.address.split(":")) as client:
        client.sendmail("x@example.org", [ANN], "Subject: whole\n\nwhole")
    assert lie(ANN) == ["whole"]


@pytest.mark.slow
@pytest.mark.req("2.2d", mutant=None, reason="lying bodies are tried in tests/harness/test_prove_lies.py")
@pytest.mark.parametrize("tool", ["send_mail", "send_outside"])
async def test_the_contracts_are_proved_whole_in_their_sandbox(tool: str) -> None:
    """They claim little, and all of it is true."""
    proof = await prove(tool, Post(tool), tools.TOOLS)
    left = {f.check: f.evidence for f in proof.findings if f.verdict is not Verdict.PROVED}
    assert proof.verdict is Verdict.PROVED, left
