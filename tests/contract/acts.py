"""What verbs ask a store for, in short: one run, and the changes that carry one effect through its life."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import msgspec

from holdfast.gate.signing import Key, signed
from holdfast.kernel.amounts import Budget
from holdfast.kernel.authority import spelled
from holdfast.kernel.commit import Applied, Change, Note, Verdict
from holdfast.kernel.documents import Approver
from holdfast.kernel.guard import Fact, Guard, Rejected
from holdfast.kernel.life import Draft, Stamp, propose
from holdfast.kernel.model import Approval, Decision, Effect, Principal, Run, State
from holdfast.kernel.statement import answer, content_of

LEASE_MS = 15_000
KEYS: dict[str, Key] = {}


def key(who: str) -> Key:
    """Somebody's key, the same for as long as this process lives."""
    return KEYS.setdefault(who, KEYS.get(who) or Key.make(who))


def person(who: str, **more: Any) -> Approver:
    """Somebody whose key is on record."""
    theirs = more.pop("key", None) or key(who)
    given = {"name": who, "key_id": theirs.key_id, "public_key": theirs.public_key, "by": "carol", "reason": "hired"}
    return Approver(id=spelled(who), **(given | more))


def digest(text: str) -> str:
    """A digest that looks like those of the kernel: 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Acts:
    """The acts of one worker on one run."""

    now_ms: int
    name: str = "1"
    me: str = "worker-1"
    budget: Budget = field(default_factory=Budget)
    grants: tuple[str, ...] = ()
    deadline_ms: int | None = None

    @property
    def run(self) -> Run:
        return Run(
            id="ru_" + digest("run" + self.name)[:20],
            tenant="main",
            environment="test",
            intent="in_" + digest("intent" + self.name)[:20],
            purpose="ticket-" + self.name,
            goal="one refund each",
            principal=Principal(name="alice"),
            budget=self.budget,
            grants=self.grants,
            deadline_ms=self.deadline_ms,
        )

    def begin(self) -> Change:
        note = Note(kind="intent", by="alice", body={"goal": self.run.goal})
        return Change(run=self.run.id, opens=self.run, notes=(note,))

    def id(self, n: int) -> str:
        return "ef_" + digest(f"{self.run.id}/{n}")[:20]

    def resource(self, n: int) -> str:
        return f"order:{self.name}-{n}"

    def body(self, n: int, **more: Any) -> dict[str, Any]:
        said = {
            "tool": "refund",
            "contract": digest("contract"),
            "effect_class": "irreversible",
            "key": digest(f"key {self.run.id}/{n}"),
            "identity": digest(f"identity {self.run.id}/{n}"),
            "generation": 1,
            "args": {
                "order": f"{self.name}-{n}",
                "minor": 500,
                "note": "grüße",
                "lines": [1, 2.5, None, True],
            },
            "args_digest": digest(f"args {n}"),
            "resource": self.resource(n),
        }
        return said | more

    def draft(self, n: int, kind: str, **body: Any) -> Draft:
        return Draft(effect=self.id(n), kind=kind, by=self.me, body=body)

    def propose(self, n: int, **more: Any) -> Change:
        guard = Guard(run_open=self.run.id, absent=(self.id(n),))
        return Change(run=self.run.id, guard=guard, drafts=(self.draft(n, "proposed", **self.body(n, **more)),))

    def admit(self, n: int, **more: Any) -> Change:
        limits = more.pop("limits", ())
        draft = self.draft(n, "admitted", answer="allow", rules=["starter-1"], policy=digest("policy"), **more)
        return self.change(n, draft, states=(State.PROPOSED,), limits=limits)

    def ask(self, n: int, *, expires_in_ms: int = 60_000, **more: Any) -> Change:
        """Raise a request; bob may answer it."""
        asked = Approval(
            id=f"ap_{self.id(n)[3:]}.1",
            effect=self.id(n),
            run=self.run.id,
            digest=digest(f"bytes {n}"),
            nonce="n",
            environment="test",
            generation=1,
            policy=digest("policy"),
            contract=digest("contract"),
            expires_ms=self.now_ms + expires_in_ms,
            proposer="alice",
            **more,
        )
        view = propose(self.run, self.draft(n, "proposed", **self.body(n)), Stamp(self.now_ms))
        asked = msgspec.structs.replace(asked, content=content_of(view, asked))
        draft = self.draft(n, "waiting", answer="ask", approval=asked.id)
        people = (person("bob", groups=(asked.group,) if asked.group else ()),)
        return Change(run=self.run.id, guard=Guard(effect=self.id(n)), drafts=(draft,), asks=(asked,), documents=people)

    def decision(self, n: int, who: str, *, yes: bool = True, **asked: Any) -> Decision:
        """A signed answer to the request of :meth:`ask`."""
        approval = self.ask(n, **asked).asks[0]
        said = Decision(who=who, yes=yes, at_ms=self.now_ms, key_id=key(who).key_id, reason="looked at it")
        return signed(key(who), said, answer(approval, said))

    def grant(self, n: int, who: str = "bob", *, met: bool = True, **asked: Any) -> Change:
        said = msgspec.to_builtins(self.decision(n, who, **asked))
        return self.change(n, self.draft(n, "granted", who=who, quorum_met=met, decision=said))

    def decline(self, n: int, who: str = "bob", **asked: Any) -> Change:
        said = msgspec.to_builtins(self.decision(n, who, yes=False, **asked))
        return self.change(n, self.draft(n, "declined", who=who, reason="no", declined=True, decision=said))

    def admit_asked(self, n: int) -> Change:
        return self.change(n, self.draft(n, "admitted", answer="allow"), states=(State.WAITING,))

    def change(self, n: int, *drafts: Draft, **guard: Any) -> Change:
        return Change(run=self.run.id, guard=Guard(effect=self.id(n), **guard), drafts=drafts)

    def claimed(self, n: int, until_ms: int | None = None) -> Draft:
        until_ms = self.now_ms + LEASE_MS if until_ms is None else until_ms
        return self.draft(n, "claimed", holder=self.me, lease_until_ms=until_ms)

    def dispatched(self, n: int, number: int = 1) -> Draft:
        attempt = {
            "id": f"at_{self.id(n)[3:]}.{number}",
            "number": number,
            "holder": self.me,
            "send_by_ms": self.now_ms + 10_000,
        }
        return self.draft(n, "dispatched", attempt=attempt)

    def claim(self, n: int, until_ms: int | None = None) -> Change:
        return self.change(n, self.claimed(n, until_ms), states=(State.ADMITTED,), resource=self.resource(n))

    def dispatch(self, n: int, token: int, **guard: Any) -> Change:
        return self.change(n, self.dispatched(n), **({"token": token, "holder": self.me, "budget": True} | guard))

    def leave(self, n: int, **guard: Any) -> Change:
        """Claim and dispatch in one, as the engine does."""
        held = {"states": (State.ADMITTED,), "resource": self.resource(n), "budget": True}
        return self.change(n, self.claimed(n), self.dispatched(n), **(held | guard))

    def acknowledge(self, n: int, token: int) -> Change:
        draft = self.draft(n, "committed", value={"id": "rf_1"}, basis="acknowledged")
        reply = {"kind": "ack", "value": {"id": "rf_1"}}
        guard = Guard(effect=self.id(n), token=token)
        return Change(run=self.run.id, guard=guard, drafts=(draft,), reply=reply)

    def verify(self, n: int, token: int) -> Change:
        return self.change(n, self.draft(n, "verified", verified_ms=self.now_ms, basis="read"), token=token)

    def fact(self, scope: str, *, raised: bool = False, value: str = "") -> Change:
        fact = Fact(scope=scope, raised=raised, value=value, by="carol", reason="drill")
        return Change(run="ru_store", facts=(fact,), notes=(Note(kind="fact", by="carol", body={"scope": scope}),))


def applied(verdict: Verdict) -> Effect:
    """The effect after a yes."""
    assert isinstance(verdict, Applied), verdict
    assert verdict.effect is not None
    return verdict.effect


def rejected(verdict: Verdict) -> str:
    """The part that a no names."""
    assert isinstance(verdict, Rejected), verdict
    assert verdict.why
    return verdict.part
