"""The message that said 2 PM: an assistant writes when a meeting is, and the calendar says otherwise.

    python -m examples.stories.two_oclock note|calendar

*note*: it rests on a summary from the day before; the calendar, which counts more, is not read until afterwards.
*calendar*: it rests on the calendar itself, as that was; then somebody moves the meeting, and the calendar says so. In
both a second letter on what no longer counts is refused. The calendar is a file that others write, and the letters go
to a real SMTP server.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import holdfast as hf
from examples.mail.spawn import Mail, running
from examples.mail.tools import send_mail

POLICY = """
@id("look") @reason("looking changes nothing")
permit (principal, action == Action::"when_is", resource);

@id("our-house") @reason("letters within the house need nobody")
permit (principal, action == Action::"send_mail", resource) when { context.args.to like "*@example.org" };
"""
SOURCES = ["calendar", "notes"]
"""Of two sources that differ, the calendar counts."""

MEETING = "planning"
ANN, BOB = "ann@example.org", "bob@example.org"
DAY_MS = 24 * 3600 * 1000


@hf.tool(
    effect="read",
    resource="meeting:{meeting}",
    owner="office",
    yields=hf.yields("authoritative", source="calendar", about="meeting:{meeting}", fresh_for="15m"),
)
def when_is(fx: hf.Fx, *, meeting: str) -> str:
    """When a meeting is, as the calendar has it now."""
    return (Path(os.environ["CALENDAR_FOLDER"]) / f"{meeting}.txt").read_text(encoding="utf-8")


class Assistant:
    """Says what it believes, learns afterwards what the calendar has, goes on as before, and is content with itself."""

    def __init__(self, note: str, rests_on: str, notice: Callable[[], Awaitable[None]]) -> None:
        """``note`` is the item of its summary; ``notice``: somebody moves the meeting, and the calendar says so."""
        self._note, self._rests_on, self._notice = note, rests_on, notice

    async def propose(self, view: hf.View) -> hf.Answer:
        """One turn."""
        read = [item.id for item in view.items if item.source == "calendar"]
        sent = [told for told in view.told if told.tool == "send_mail"]
        looks = not read and (sent or self._rests_on == "calendar")
        if looks:
            return hf.Answer(calls=(hf.Proposed("when_is", {"meeting": MEETING}),))
        believed = read[0] if self._rests_on == "calendar" else self._note
        if not sent:
            return hf.Answer(calls=(self._letter(ANN, believed),), says="The meeting is at 2 PM.")
        if len(sent) == 1:
            if self._rests_on == "calendar":
                await self._notice()
            return hf.Answer(calls=(self._letter(BOB, believed),))
        return hf.Answer(done=True, says="Everybody was told when the meeting is.")

    def _letter(self, to: str, item: str) -> hf.Proposed:
        said = {"to": to, "subject": "Planning", "text": "The meeting is at 2 PM."}
        return hf.Proposed("send_mail", said, cites=(item,))


async def tell(folder: Path, mail: Mail, *, rests_on: str) -> str:
    """Live the story in ``folder``; the run's id. ``rests_on``: *note* or *calendar*."""
    calendar = folder / f"{MEETING}.txt"
    calendar.write_text("2 PM" if rests_on == "calendar" else "4 PM", encoding="utf-8")
    os.environ["CALENDAR_FOLDER"] = str(folder)
    os.environ["MAIL_SERVER"], os.environ["MAIL_FOLDER"] = mail.address, str(mail.folder)
    store, tools = f"sqlite:{folder / 'story.db'}", [send_mail, when_is]
    async with hf.open(store, tools=tools, policy=POLICY, environment="office", sources=SOURCES) as app:
        intent = hf.Intent(
            goal="tell Ann and Bob when the planning meeting is",
            purpose=f"planning told, {rests_on}",
            principal=hf.Principal(name="office-assistant"),
            done=["both know the hour that the calendar has"],
            deadline="30m",
        )
        run = await app.begin(intent)
        yesterday_ms = time.time_ns() // 1_000_000 - DAY_MS
        about = {"about": f"meeting:{MEETING}", "as_of_ms": yesterday_ms, "keep": True}
        note = await run.saw("notes", "planning is at 2 PM", kind="cached summary", **about)

        async def notice() -> None:
            calendar.write_text("4 PM", encoding="utf-8")  # somebody else
            where = {"about": f"meeting:{MEETING}", "keep": True}
            await run.saw("calendar", "4 PM", kind="authoritative", **where)

        await run.drive(Assistant(note.id, rests_on, notice))
        return run.id


def main() -> None:
    """Live one of the two, and let the record tell it."""
    from holdfast.report.explain import story
    from holdfast.runtime.record import record_of
    from holdfast.store import open_store

    rests_on = sys.argv[1]
    with tempfile.TemporaryDirectory() as place, running(place) as mail:
        run = asyncio.run(tell(Path(place), mail, rests_on=rests_on))
        store = open_store(f"sqlite:{place}/story.db", read_only=True)
        print(story(record_of(store, run)))
        store.close_now()


if __name__ == "__main__":
    main()
