"""The tools of the access cases: a directory of grants, and nothing that could make one for itself."""

from __future__ import annotations

from typing import Any

import holdfast as hf
from holdfast.harness import Careful, MemoryWorld
from holdfast.runtime.planner import Answer, View

SYSTEMS = ("production", "staging")


def tools(world: MemoryWorld) -> list[hf.Tool[..., Any]]:
    """Whoever is named must be there, and so must the system."""
    directory = world.service("directory", keyed=True, conditional=True)

    @hf.tool(effect="read", resource="person:{person}")
    async def look_up(_fx: hf.Fx, *, person: str) -> dict[str, Any]:
        """What the directory knows of a person."""
        row = directory.get("people", person)
        if row is None:
            raise hf.DidNotHappen(f"there is no person {person}")
        return dict(row)

    @hf.tool(
        effect="irreversible", resource="access:{system}/{person}", identity=("person", "system"), owner="security",
        keyed="24h", conditional=True, timeout="2s", lands_within="5s", retry_after="1s",
    )  # fmt: skip
    async def grant(fx: hf.Fx, *, person: str, system: str, hours: int) -> dict[str, Any]:
        """Let a person into a system for some hours."""
        if directory.get("people", person) is None or system not in SYSTEMS:
            raise hf.DidNotHappen(f"there is no {person}, or no {system}")
        directory.put("grants", f"{system}: {person}", {"hours": hours}, fx=fx, operation="grant")
        return {"person": person, "system": system}

    @grant.state
    def _(_look: hf.Look, *, person: str, system: str) -> dict[str, Any] | None:
        row: dict[str, Any] | None = directory.get("grants", f"{system}: {person}")
        return row

    @grant.probe
    def _(look: hf.Look, *, person: str, system: str) -> hf.Happened | hf.Absent:
        done = directory.find(look.key) is not None
        return hf.Happened({"person": person, "system": system}) if done else hf.Absent()

    @grant.verify
    def _(_look: hf.Look, *, person: str, system: str, hours: int) -> hf.Holds | hf.Differs:
        row = directory.get("grants", f"{system}: {person}")
        return hf.Holds() if row == {"hours": hours} else hf.Differs(f"the directory has {row}")

    return [look_up, grant]


class Asking(Careful):
    """Goes the way that it was given, and offers another where a person or a rule said no to it."""

    async def propose(self, view: View) -> Answer:
        """What a careful planner says; of a grant that was refused, what may be had instead."""
        if any(told.tool == "grant" and told.outcome == "refused" for told in view.told):
            return Answer(done=True, says="bo was not let into production. I can let bo into staging instead.")
        return await super().propose(view)


LOOK = hf.Proposed("look_up", {"person": "bo"})
GRANT = hf.Proposed("grant", {"person": "bo", "system": "production", "hours": 2})


def asking(_world: MemoryWorld) -> Asking:
    """Ask for production."""
    return Asking([LOOK], [GRANT], says="Granted bo access to production for 2 hours.")
