"""W2 in its variants: a yes was given, and then something that it stood on is not so any more.

The target changed, the yes expired, its giver's key was revoked, the policy changed, and two workers wanted to use one
yes. Without holdfast the yes is a flag in a file, and each of these pays; with it each is refused and asked anew, or in
the last paid once.
"""

from __future__ import annotations

import json
import time
from typing import Any

from holdfast.cli.demo.stage import Say, Stage, outcome_line
from holdfast.store import open_store

AMOUNT = 80_00
"""Above what the demo's policy allows without a person."""

BRIEF = 120_00
"""Above what a yes of half an hour is enough for: here it is good for seconds."""

BY_HAND = "by hand, a colleague"


def approval_outlives_its_world(stage: Stage, say: Say) -> list[dict[str, Any]]:
    """W2: five ways in which a yes can be about another world than the one it is used in."""
    stage.holdfast("approver", "add", "dana", "--group", "billing")
    stage.holdfast("approver", "add", "erin", "--group", "billing", "--as", "dana")
    # While the brief yes runs out no worker may run: any of them would use it. The agents without holdfast do not care.
    brief = _asked(stage, "ticket-2b", "in_2b", BRIEF, "dana")
    naive = {name: _naive(stage, f"in_2{name}n", BRIEF if name == "b" else AMOUNT) for name in "abcd"}
    twice = _naive_twice(stage, "in_2en")
    over_s = max(0.0, brief["expires_ms"] / 1000 - time.time() + 0.1)
    time.sleep(over_s)  # It is the passing of time that is shown: there is nothing else to wait for.
    return [
        _target_changed(stage, say, naive["a"]),
        _expired(stage, say, naive["b"], brief),
        _giver_is_gone(stage, say, naive["c"]),
        _policy_changed(stage, say, naive["d"]),
        _used_by_two(stage, say, twice),
    ]


def _target_changed(stage: Stage, say: Say, naive: tuple[str, int]) -> dict[str, Any]:
    """W2: a colleague does by hand what the yes was for."""
    say("  without holdfast")
    say("    … approved is saved in a file; meanwhile a colleague refunds the same 80.00 EUR by hand")
    say(f"    ✗ the agent resumes on its old approval and says {naive[0]!r}: 160.00 EUR went back")
    say("  with holdfast")
    asked = _asked(stage, "ticket-992", "in_2a", AMOUNT, "dana")
    say(f"    … {asked['effect']} waits; dana approves exactly these bytes on exactly this state")
    stage.bank.refund("in_2a", AMOUNT, note=BY_HAND)
    say("    … the same colleague refunds 80.00 EUR by hand")
    return _refused(stage, say, "W2", "an approval outlives its world", "in_2a", asked, naive)


def _expired(stage: Stage, say: Say, naive: tuple[str, int], asked: dict[str, Any]) -> dict[str, Any]:
    """W2b: the yes was given in time and is used after its time."""
    say("W2b  … because its time is over")
    say(f"    ✗ without: the flag in the file has no end; the agent says {naive[0]!r}")
    say("    … with: dana said yes to 120.00 EUR, which the policy lets stand for seconds; they have gone by")
    return _refused(stage, say, "W2b", "an approval is used after its time", "in_2b", asked, naive)


def _giver_is_gone(stage: Stage, say: Say, naive: tuple[str, int]) -> dict[str, Any]:
    """W2c: who said yes may no longer say it when it is used."""
    say("W2c  … because who said yes may not any more")
    say(f"    ✗ without: the flag in the file is nobody's; the agent says {naive[0]!r}")
    asked = _asked(stage, "ticket-2c", "in_2c", AMOUNT, "erin")
    code, _ = stage.holdfast("approver", "revoke", "erin", "--as", "dana", "--reason", "erin has left the company")
    say(f"    … with: erin said yes, then left the company; dana revokes the key (exit {code})")
    return _refused(stage, say, "W2c", "the approver's key was revoked since", "in_2c", asked, naive)


def _policy_changed(stage: Stage, say: Say, naive: tuple[str, int]) -> dict[str, Any]:
    """W2d: the rules changed between the yes and its use."""
    say("W2d  … because the policy is another")
    say(f"    ✗ without: nobody asks the rules again; the agent says {naive[0]!r}")
    asked = _asked(stage, "ticket-2d", "in_2d", AMOUNT, "dana")
    policy = stage.folder / "policy.cedar"
    before = policy.read_text()
    policy.write_text(before.replace('@approvers("billing")', '@approvers("billing")\n@quorum("2")'))
    say("    … with: dana said yes; then the policy is changed: such refunds need two people from now on")
    try:
        return _refused(stage, say, "W2d", "the policy changed since", "in_2d", asked, naive)
    finally:
        policy.write_text(before)


def _used_by_two(stage: Stage, say: Say, naive: tuple[str, int]) -> dict[str, Any]:
    """W2e: two workers find one yes at the same time."""
    say("W2e  … because somebody else has used it")
    said, without = naive
    say(f"    ✗ without: two workers have the approved job, and both say {said!r}: {without} refunds")
    asked = _asked(stage, "ticket-2e", "in_2e", AMOUNT, "dana")
    workers = [stage.start("agent.py", "ticket-2e", "in_2e", str(AMOUNT)) for _ in range(2)]
    outcomes = [json.loads(stage.ended(worker)) for worker in workers]
    books = stage.changes("in_2e")
    view = stage.effect(asked["effect"])
    say(f"    … with: one yes, two workers at once; they say {' and '.join(sorted(o['outcome'] for o in outcomes))}")
    say(f"    ✓ {view['id']} is {view['state']}; the bank's books: {len(books)} refund")
    ok = without == 2 and len(books) == 1 and view["state"] == "verified"
    return {
        "id": "W2e",
        "title": "one approval, two workers",
        "without": {"outside_changes": without, "said": said},
        "with": {
            "outside_changes": len(books),
            "state": view["state"],
            "said": outcomes[0]["outcome"],
            "effect": view["id"],
        },
        "verdict": "pass" if ok else "fail",
    }


def _job(invoice: str, amount: int) -> str:
    return json.dumps({"invoice_id": invoice, "amount": amount, "approved": True, "done": False})


def _naive_twice(stage: Stage, invoice: str) -> tuple[str, int]:
    """A queue delivers one approved job to two workers without holdfast."""
    stage.bank.add_invoice(invoice, 200_00)
    workers = []
    for name in ("job-a.json", "job-b.json"):
        (stage.folder / name).write_text(_job(invoice, AMOUNT))
        workers.append(stage.start("naive.py", name))
    said = [stage.ended(worker) for worker in workers]
    return said[0], len(stage.changes(invoice))


def _naive(stage: Stage, invoice: str, amount: int) -> tuple[str, int]:
    """The agent without holdfast goes on with a job whose file says approved; what it says, and what it changed."""
    stage.bank.add_invoice(invoice, 200_00)
    if invoice == "in_2an":
        stage.bank.refund(invoice, amount, note=BY_HAND)
    (stage.folder / "job.json").write_text(_job(invoice, amount))
    said = stage.run("naive.py", "job.json")
    return said, len([change for change in stage.changes(invoice) if change["note"] != BY_HAND])


def _asked(stage: Stage, purpose: str, invoice: str, amount: int, who: str) -> dict[str, Any]:
    """The agent proposes a refund that a person is asked for, ends, and that person says yes."""
    stage.bank.add_invoice(invoice, 200_00)
    asked = stage.agent(purpose, invoice, amount)
    code, said = stage.holdfast("approve", asked["request"], "--as", who)
    if code != 0:
        raise RuntimeError(f"the yes was not taken: {said}")
    store = open_store(f"sqlite:{stage.folder / 'holdfast.db'}", read_only=True)
    try:
        approval = store.approval(asked["request"])
        assert approval is not None
        return {**asked, "purpose": purpose, "amount": amount, "expires_ms": approval.expires_ms}
    finally:
        store.close_now()


def _refused(
    stage: Stage, say: Say, name: str, title: str, invoice: str, asked: dict[str, Any], naive: tuple[str, int]
) -> dict[str, Any]:
    """The agent goes on with its yes: it must be refused, nothing must have left, and a new request must be there."""
    outcome = stage.agent(asked["purpose"], invoice, asked["amount"])
    view = stage.effect(asked["effect"])
    successor = stage.effect(view["successor"]) if view["successor"] else {"id": "", "state": "none"}
    books = [change for change in stage.changes(invoice) if change["note"] != BY_HAND]
    say(f"    ⊘ {outcome_line(view)}")
    say(f"    … a new proposal was raised: {successor['id']} is {successor['state']}")
    say(f"    ✓ the bank's books: {len(books)} refunds by the agent")
    said, without = naive
    ok = without == 1 and not books and view["state"] == "refused" and successor["state"] == "waiting"
    return {
        "id": name,
        "title": title,
        "without": {"outside_changes": without, "said": said},
        "with": {
            "outside_changes": len(books),
            "state": view["state"],
            "said": outcome["outcome"],
            "reason": view["reason"],
            "effect": view["id"],
            "successor": successor["id"],
        },
        "verdict": "pass" if ok else "fail",
    }
