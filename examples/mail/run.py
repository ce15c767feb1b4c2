"""Walk through the mail contracts; after each step prints what lies in the mailbox."""

from __future__ import annotations

import asyncio
import os
import smtplib
import tempfile
from pathlib import Path

import holdfast as hf
from examples.mail import tools
from examples.mail.spawn import Mail, running

HERE = Path(__file__).resolve().parent


def say(step: str, ended: str, to: str, subject: str) -> None:
    """One line: what was asked for, how it ended, and how many copies are in the mailbox."""
    count = sum(message["Subject"] == subject for message in tools.messages(to))
    print(f"{step:<60} {ended:<10} {count} in the mailbox")


def plain_loop(to: str, subject: str) -> str:
    """What most programs do: on an error, send it again."""
    for _ in range(3):
        try:
            message = tools.written("no key", to, subject, "The door code is 4711.", "")
            tools.submit(message, to, timeout_s=5)
        except (smtplib.SMTPException, OSError):
            continue
        return "sent"
    return "gave up"


async def walk(folder: Path, mail: Mail) -> None:
    """A plain loop first; then the same and worse under contracts."""
    ann, bob, everybody = "ann@example.org", "bob@partner.example", "all@example.org"
    mail.goes_wrong("drop-reply")
    say("without holdfast: the reply is lost, the loop sends again", plain_loop(ann, "Code"), ann, "Code")
    store = f"sqlite:{folder / 'mail.db'}"
    async with hf.open(store, tools=tools.TOOLS, policy=HERE / "policy.cedar", environment="prod") as app:
        run = await app.begin(hf.Intent(goal="tell everybody", purpose="move-12", principal="office-agent"))

        async def send(step: str, tool: str, to: str, subject: str, greeting: str = "") -> None:
            args = {"to": to, "subject": subject, "text": "We move on Friday.", "greeting": greeting}
            out = await run.call(hf.Call(tool, args), patience="3s")
            say(step, type(out).__name__, to, subject)

        await send("a message", "send_mail", ann, "We move", "Dear Ann,")
        await send("the planner repeats it in other words", "send_mail", ann, "We move", "Hi Ann!")
        mail.goes_wrong("drop-reply")
        await send("the reply is lost: found by its Message-ID", "send_mail", ann, "Boxes")
        mail.goes_wrong("defer-message")
        await send("the server answers 451: nothing was delivered", "send_mail", ann, "Keys")
        await send("the planner proposes it again: the next generation", "send_mail", ann, "Keys")
        mail.goes_wrong("twice")
        await send("the server delivers two copies: not shown as verified", "send_mail", ann, "Plants")
        await send("everybody at once", "send_mail", everybody, "We move")
        mail.goes_wrong("drop-reply")
        await send("a mailbox that nobody of us can read: not known", "send_outside", bob, "New address")
        await send("proposed again: still not known, still not sent again", "send_outside", bob, "New address")
        mail.goes_wrong("drop-message")
        await send("silence, and nothing arrives: not known, not sent again", "send_mail", ann, "Lunch")


def main() -> None:
    """Start the mail server, walk, end it."""
    with tempfile.TemporaryDirectory() as folder, running(folder) as mail:
        os.environ["MAIL_SERVER"], os.environ["MAIL_FOLDER"] = mail.address, str(mail.folder)
        asyncio.run(walk(Path(folder), mail))


if __name__ == "__main__":
    main()
