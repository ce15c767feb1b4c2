"""Walk through the object store's contracts; prints what the store itself says after each step."""

from __future__ import annotations

import asyncio
import os
import tempfile
from pathlib import Path

import holdfast as hf
from examples.objects import tools
from examples.objects.spawn import running

HERE = Path(__file__).resolve().parent
SAM = hf.Key.make("sam")
"""The approver of this walk: a key made for it and kept nowhere."""


def say(step: str, outcome: hf.Outcome) -> None:
    """One line: what was asked for, how it ended, and how many versions and markers the store lists."""
    listing = tools.s3().list_object_versions(Bucket="reports")
    stored, markers = len(listing.get("Versions", [])), len(listing.get("DeleteMarkers", []))
    print(f"{step:<52} {type(outcome).__name__:<10} the store lists {stored} versions, {markers} markers")


async def walk(folder: Path) -> None:
    """Put, repeat, put again, lose a race, delete with an approval, restore."""
    tools.s3().create_bucket(Bucket="reports")
    tools.s3().put_bucket_versioning(Bucket="reports", VersioningConfiguration={"Status": "Enabled"})
    store = f"sqlite:{folder / 'objects.db'}"
    async with hf.open(
        store, tools=tools.TOOLS, policy=HERE / "policy.cedar", environment="prod", recover=False
    ) as app:
        app.approvers.add(SAM, groups=["storage"])
        first = await app.begin(hf.Intent(goal="file the report", purpose="report-may", principal="reporter"))
        put = tools.put_object(bucket="reports", key="may.txt", text="41 incidents")
        say("put a report", await first.call(put))
        say("the planner repeats itself: the same effect", await first.call(put))
        second = await app.begin(hf.Intent(goal="correct it", purpose="report-may-fix", principal="reporter"))
        say("a second purpose corrects it", await second.call(
            tools.put_object(bucket="reports", key="may.txt", text="42 incidents")))  # fmt: skip
        third = await app.begin(hf.Intent(goal="tidy up", purpose="tidy-may", principal="reporter"))
        delete = tools.delete_object(bucket="reports", key="may.txt")
        waiting = await third.call(delete)
        say("delete asks", waiting)
        assert isinstance(waiting, hf.Waiting)
        await app.approve(waiting.request, key=SAM)
        tools.s3().put_object(Bucket="reports", Key="may.txt", Body=b"43 incidents, by hand")
        say("somebody else writes after the approval", await third.call(delete))
        again = await third.call(delete)
        assert isinstance(again, hf.Waiting)
        await app.approve(again.request, key=SAM)
        deleted = await third.call(delete)
        say("approved on the present state, deleted", deleted)
        marker = deleted.unwrap()["marker"]
        restore = tools.restore_object(bucket="reports", key="may.txt", marker=marker)
        say("restored by removing the marker", await third.call(restore))


def main() -> None:
    """Start the store, walk, end it."""
    with tempfile.TemporaryDirectory() as folder, running() as (url, _):
        os.environ["OBJECTS_URL"] = url
        tools.s3.cache_clear()  # a client of another store is no use to this one
        asyncio.run(walk(Path(folder)))


if __name__ == "__main__":
    main()
