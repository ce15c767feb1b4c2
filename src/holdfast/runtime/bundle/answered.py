"""Judges what people said in a bundle: each answer is the one that an entry records, signed by the key on record.

Promises that a yes which nobody signed, that was for other arguments, or that was too few, is found. Cannot tell
whether a key was good at that time where its holder was given another one since, and says so.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from holdfast.gate.signing import good
from holdfast.kernel.authority import spelled
from holdfast.kernel.canon import decode
from holdfast.kernel.documents import Approver
from holdfast.kernel.model import Approval, Decision, Effect
from holdfast.kernel.statement import answer, content_of
from holdfast.runtime.bundle import lines
from holdfast.runtime.bundle.findings import Checked
from holdfast.runtime.bundle.packing import SIGNATURE, answers, pem_of
from holdfast.runtime.bundle.reading import Bundle
from holdfast.runtime.bundle.told import FORGED, Step


class Asked(NamedTuple):
    """What the entries say of one request: the answers in order, whether one was the last that was needed."""

    said: list[Decision]
    met: list[bool]


class Answers:
    """Follows the entries of a run, and then compares its requests with what they said."""

    def __init__(self, bundle: Bundle, found: Checked) -> None:
        """Before the first entry."""
        self._bundle = bundle
        self._found = found
        self._asked: dict[str, Asked] = {}
        self._views: dict[str, Effect] = {}
        self._bodies_gone = False

    def step(self, step: Step) -> None:
        """One entry more."""
        view, entry = step.after, step.entry
        if view is None:
            self._bodies_gone |= bool(entry.effect)
            return
        self._views[view.id] = view
        self._bodies_gone |= not entry.salt
        if not view.approval:
            return
        asked = self._asked.setdefault(view.approval, Asked([], []))
        if entry.kind in ("granted", "declined") and entry.body is not None:
            body = decode(entry.body)
            try:
                said = msgspec.convert(body.get("decision", {}), Decision)
            except FORGED as error:
                self._found.fault(lines.BODIES, step.line, "decision", "an answer", str(error))
                return
            asked.said.append(replace(said, at_ms=entry.at_ms))
            asked.met.append(bool(body.get("quorum_met")))
        if entry.kind == "dispatched":
            self._dispatched(step, view)

    def _dispatched(self, step: Step, view: Effect) -> None:
        """What is sent under a request was said yes to by enough people, in time."""
        approval = self._bundle.record.approvals.get(view.approval)
        if approval is None:
            self._found.fault(lines.APPROVALS, 0, view.approval, f"the request that {view.id} was sent under", "none")
            return
        said = self._asked[approval.id].said
        people = {spelled(one.who) for one in said if one.yes} - {spelled(approval.proposer)}
        alone = any(one.yes and one.break_glass for one in said)
        if len(people) < approval.quorum and not (alone and people):
            wanted = f"{approval.quorum} people who say yes to {approval.id}"
            self._found.fault(lines.ENTRIES, step.line, "dispatched", wanted, len(people))
        if step.entry.at_ms > approval.expires_ms:
            wanted = f"before {approval.id} ends at {approval.expires_ms}"
            self._found.fault(lines.ENTRIES, step.line, "at_ms", wanted, step.entry.at_ms)

    def compare(self) -> None:
        """Every request is as the entries say, and every answer to it is signed."""
        record, found = self._bundle.record, self._found
        expected: set[str] = set()
        signatures = 0
        for line, key in enumerate(sorted(record.approvals), 1):
            approval = record.approvals[key]
            asked = self._asked.get(key)
            if asked is None and not self._bodies_gone:
                found.fault(lines.APPROVALS, line, key, "an effect that asked for it", "none")
            elif asked is not None and not self._bodies_gone:
                self._request(line, approval, asked)
            for name, given, person in answers(record, approval):
                if SIGNATURE.fullmatch(given.signature):
                    expected |= {f"{name}.statement", f"{name}.sig"}
                    expected |= {f"{name}.pem"} if person is not None else set()
                signatures += self._signed(line, approval, name, given, person)
        for name in sorted(found_ for found_ in self._bundle.files if found_.startswith("approvals/")):
            if name not in expected:
                found.fault(name, 0, "file", "an answer in approvals.jsonl that it belongs to", "none")
        if self._bodies_gone and record.approvals:
            found.not_checked.append("requests against entries of which values were redacted")
        found.holds.append(f"{len(record.approvals)} requests are as entries say; {signatures} answers are signed")

    def _request(self, line: int, approval: Approval, asked: Asked) -> None:
        found, view = self._found, self._views.get(approval.effect)
        if view is None:
            found.fault(lines.APPROVALS, line, "effect", "an effect of this run", approval.effect)
            return
        if list(approval.decisions) != asked.said:
            found.fault(lines.APPROVALS, line, "decisions", asked.said or "none", approval.decisions or "none")
        spent = bool(view.attempts) and view.approval == approval.id
        if spent != (approval.state == "spent") or (approval.state == "granted" and not any(asked.met)):
            found.fault(lines.APPROVALS, line, "state", "spent" if spent else "not spent, or open", approval.state)
        if approval.content and (content := content_of(view, approval)) != approval.content:
            found.fault(lines.APPROVALS, line, "content", content, approval.content)

    def _signed(self, line: int, approval: Approval, name: str, given: Decision, person: Approver | None) -> int:
        """One answer: the bytes that were signed, the signature, and the key. How many could be checked."""
        files, found = self._bundle.files, self._found
        if not SIGNATURE.fullmatch(given.signature):
            if not self._bodies_gone:
                found.fault(lines.APPROVALS, line, "signature", "128 hexadecimal digits", given.signature)
            found.not_checked.append(f"the answer of {given.who} on {approval.id}: it was redacted, with its signature")
            return 0
        message = answer(approval, given)
        if files.get(f"{name}.statement") != message:
            found.fault(f"{name}.statement", 0, "bytes", f"the answer of {given.who} in line {line}", "something else")
        signature = files.get(f"{name}.sig", b"")
        if signature.hex() != given.signature:
            found.fault(f"{name}.sig", 0, "signature", given.signature, signature.hex())
        if person is None:
            found.not_checked.append(
                f"the signature of {given.who} on {approval.id}: its key is not on record any more"
            )
            return 0
        if files.get(f"{name}.pem") != pem_of(person.public_key):
            found.fault(f"{name}.pem", 0, "key", f"the key of {person.name}, {person.key_id}", "another, or no file")
        if not good(person.public_key, message, given.signature):
            found.fault(lines.APPROVALS, line, "signature", f"signed by {person.name}, key {person.key_id}", "not so")
        return 1
