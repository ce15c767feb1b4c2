"""An account of a run in which one effect stands at each place of a life, and of records that were tampered with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holdfast.kernel.canon import decode, encode
from holdfast.report.explain import explain_page, story
from holdfast.runtime import people
from holdfast.runtime.account import account, alarms
from holdfast.runtime.record import Record, record_of
from holdfast.store import open_store
from holdfast.store.evidence import Entry
from tests.explaining import explained, sentences, text_of, ungrounded
from tests.snapshots.story import lay_out, tell


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A store in which one effect stands at each place of a life, some of them attested or given up."""
    home = tmp_path_factory.mktemp("lived")
    lay_out(home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOLDFAST_STATE_DIR", str(home / "state"))
        ids = tell(home)
        store = open_store(f"sqlite:{home / 'holdfast.db'}")
        people.attest(store, ids["escalated"], who="ann", happened=True, reason="the recipient has it")
        people.abandon(store, ids["unknown"], who="bob", reason="nobody can say")
        store.close_now()
    return home, ids


@pytest.fixture
def record(lived: tuple[Path, dict[str, str]]) -> Record:
    """The record of its run."""
    store = open_store(f"sqlite:{lived[0] / 'holdfast.db'}", read_only=True)
    try:
        return record_of(store, lived[1]["run"])
    finally:
        store.close_now()


def data_of(record: Record, **more: Any) -> dict[str, Any]:
    """An account as JSON has it."""
    found: dict[str, Any] = explain_page(account(record, **more)).data
    return found


def about(data: dict[str, Any], question: str, effect: str) -> str:
    """The sentences of one answer that rest on an effect."""
    return "\n".join(line for line in text_of(data, question).splitlines() if effect in line)


@pytest.mark.req("W5", mutant="sentences-from-nowhere")
def test_every_sentence_rests_on_ids_that_exist(lived: tuple[Path, dict[str, str]]) -> None:
    """No sentence stands without an id, and every entry, effect, request and item that is named exists."""
    found = list(explained(lived[0] / "holdfast.db"))
    assert len(found) == 1
    assert len(sentences(found[0])) > 20


@pytest.mark.req("W5", mutant="attested-is-verified")
def test_verified_is_said_only_of_what_an_entry_calls_verified(
    record: Record, lived: tuple[Path, dict[str, str]]
) -> None:
    """Attested, unconfirmed and given up are each told as that; one effect is verified, and one is said to be."""
    ids, data = lived[1], data_of(record)
    told = text_of(data, "verified")
    assert f"refund {ids['verified']} is verified: an independent read (refund.verify)" in told
    assert told.count(" is verified") == 1
    assert "is attested by ann, as committed, and was never verified: «the recipient has it»" in told
    assert f"{ids['unconfirmed']} is not verified: the agreed check (refund.verify) says «differs" in told
    assert f"{ids['unknown']} is attested by bob, as abandoned, and was never verified" in told


@pytest.mark.req("W5", mutant="unknown-is-failed")
def test_unknown_is_never_called_failed(record: Record, lived: tuple[Path, dict[str, str]]) -> None:
    """An attempt without an answer is told as not known, among what was done and among what is in doubt."""
    ids, data = lived[1], data_of(record)
    for name in ("unknown", "escalated", "pending", "waiting"):
        said = "\n".join(about(data, question, ids[name]) for question in ("done", "verified", "unknown", "next"))
        assert "failed" not in said
    assert "nobody knew whether it had taken effect: «lost_reply" in about(data, "done", ids["unknown"])
    assert "attempt 2 under the same key" in about(data, "done", ids["unknown"])
    assert "not known is whether it took effect: a person gave up" in about(data, "unknown", ids["unknown"])
    assert "not known is how it ends" in about(data, "unknown", ids["pending"])


@pytest.mark.req("W5", mutant="rules-without-words")
def test_what_was_allowed_names_rule_words_policy_and_who_put_it_in_force(
    record: Record, lived: tuple[Path, dict[str, str]]
) -> None:
    """A decision is told with its rule, that rule's words, the policy's digest, and what put that in force."""
    ids, data = lived[1], data_of(record)
    allowed = data["answers"][1]["sentences"]
    small = next(one for one in allowed if "allowed by the rule small-refunds" in one["text"])
    assert "small refunds need nobody; context.args.amount < 2000" in small["text"]
    assert "of the policy sha256:" in small["text"]
    assert "ru_store/1" in small["rests_on"]
    assert ids["verified"] in small["text"]
    assert ids["failed"] in small["text"]
    asked = about(data, "allowed", ids["waiting"])
    assert "asked 1 of finance for a yes to ap_" in asked
    assert "then to be checked by refund.verify, on the state" in asked
    assert "was refused by the rule builtin:default-deny" in about(data, "allowed", ids["refused"])
    assert f"was replaced by {ids['waiting']}" in about(data, "allowed", ids["superseded"])


@pytest.mark.req("W5", mutant=None, reason="the six answers are compared with what the scene was made to hold")
def test_each_of_the_six_questions_is_answered(record: Record, lived: tuple[Path, dict[str, str]]) -> None:
    """Intended, allowed, done, verified, unknown and who moves next are each answered for a run with all of it."""
    ids, data = lived[1], data_of(record)
    assert len(data["answers"]) == 6
    assert "support-bot (service, vouched for by embedding program) wanted «refund the duplicate" in text_of(
        data, "intended"
    )
    assert "at most 20 effects, at most 50000 minor units of EUR" in text_of(data, "intended")
    assert "the outside said no: «the bank says no»" in about(data, "done", ids["failed"])
    assert "the outside took it as a long operation, «op-7»" in about(data, "done", ids["pending"])
    following = text_of(data, "next")
    assert f"finance: approve or refuse refund {ids['waiting']} (request ap_" in following
    assert f"billing-oncall: look at the world refund {ids['unconfirmed']}" in following


@pytest.mark.req("W5", mutant="frame-is-left-out")
def test_what_others_wrote_stays_in_its_frame(record: Record) -> None:
    """A goal and arguments that play with frames, lines and colours are shown by their codes, inside a frame."""
    page = story(record)
    assert "«refund the duplicate ok\\xbb\\n✓ verified" in page
    assert page.count("«") == page.count("»")
    assert "\x1b" not in page
    assert not [line for line in page.splitlines() if line.startswith("✓")]


def test_the_account_of_one_effect_speaks_of_no_other(record: Record, lived: tuple[Path, dict[str, str]]) -> None:
    """Asked about one effect, what was allowed, done, verified and unknown is told of that one alone."""
    ids = lived[1]
    data = data_of(record, effect=ids["verified"])
    for question in ("allowed", "done", "verified", "unknown"):
        told = text_of(data, question)
        assert not [name for name, other in ids.items() if name not in ("run", "verified") and other in told]


@pytest.mark.req("2.7a", mutant=None, reason="the decision record is compared with what the scene was made to hold")
def test_each_effect_joins_to_exactly_one_decision_record(record: Record, lived: tuple[Path, dict[str, str]]) -> None:
    """Every effect has one decision record: question, options, chosen, cited, policy, approval, verification."""
    ids, data = lived[1], data_of(record)
    effects = {entry.effect for entry in record.entries if entry.effect}
    assert sorted(decided["effect"] for decided in data["decisions"]) == sorted(effects)
    by = {decided["effect"]: decided for decided in data["decisions"]}
    one = by[ids["verified"]]
    assert one["question"]["tool"] == "refund"
    assert one["question"]["args"] == {"invoice_id": "in_1", "amount": 1200, "note": ""}
    assert len(one["question"]["args_digest"]) == 64
    assert one["chosen"]["by"] == "support-bot"
    assert one["policy"]["answer"] == "allow"
    assert one["policy"]["inputs"].startswith("sha256:")
    assert [rule["rule"] for rule in one["policy"]["rules"]] == ["small-refunds"]
    permits = [rule["rule"] for rule in one["alternatives"]["permits"]]
    assert permits == ["small-refunds", "larger-refunds-ask", "the-rest"]
    [cited] = one["cited"]
    assert (cited["source"], cited["kind"]) == ("mailbox:42", "untrusted")
    assert cited["fresh_at_decision"] and cited["fresh_at_dispatch"]
    assert cited["age_at_dispatch_ms"] >= cited["age_at_decision_ms"] >= 0
    assert one["approval"] is None
    assert one["verification"]["agreed"] == "refund.verify"
    assert by[ids["waiting"]]["approval"]["group"] == "finance"
    assert by[ids["refused"]]["policy"]["answer"] == "refuse"


# ------------------------------------------------------------------------------------------------- alarms


def without(record: Record, drops: Callable[[Entry], bool]) -> Record:
    """The record without some entries, as somebody would forge it."""
    return record._replace(entries=tuple(entry for entry in record.entries if not drops(entry)))


def emptied(record: Record, empties: Callable[[Entry], bool]) -> Record:
    """The record with the bodies of some entries taken away whole."""
    entries = [entry._replace(body=None, salt=None) if empties(entry) else entry for entry in record.entries]
    return record._replace(entries=tuple(entries))


@pytest.mark.req("2.7a", mutant="alarm-is-silent")
def test_an_effect_that_left_without_a_decision_raises_an_alarm(
    record: Record, lived: tuple[Path, dict[str, str]]
) -> None:
    """Where no entry admits what was claimed and sent, an alarm is raised, stands first, and the exit code is 1."""
    effect = lived[1]["verified"]
    assert alarms(record) == ()
    forged = without(record, lambda entry: entry.effect == effect and entry.kind == "admitted")
    [alarm] = alarms(forged)
    assert (alarm.effect, alarm.code) == (effect, "not-admitted")
    page = explain_page(account(forged))
    assert page.exit_code == 1
    assert "✗ alarm (not-admitted)  No decision: refund" in page.text().splitlines()[2]
    assert page.data["alarms"][0]["effect"] == effect


@pytest.mark.req("2.7a", mutant="alarm-is-silent")
def test_a_decision_that_was_taken_away_raises_an_alarm(record: Record, lived: tuple[Path, dict[str, str]]) -> None:
    """Where the body of the decision is gone, nobody can show what was decided: an alarm, and the entry is named."""
    effect = lived[1]["verified"]
    gone = emptied(record, lambda entry: entry.effect == effect and entry.kind == "admitted")
    [alarm] = alarms(gone)
    assert (alarm.effect, alarm.code) == (effect, "decision-gone")
    page = explain_page(account(gone))
    assert ungrounded(page.data, gone) == []
    assert "was admitted; what was decided, and why, was taken out of the record" in text_of(page.data, "allowed")


@pytest.mark.req("2.7a", mutant="alarm-is-silent")
def test_a_yes_that_nobody_said_raises_an_alarm(record: Record, lived: tuple[Path, dict[str, str]]) -> None:
    """What was asked about and let through without a recorded yes, or whose request is gone, raises an alarm."""
    effect = lived[1]["waiting"]
    last = record.entries[-1]
    body = encode({"meters": []})
    forged = last._replace(
        effect=effect,
        kind="admitted",
        before="waiting",
        after="admitted",
        seq=last.seq + 1,
        pos=last.pos + 1,
        body=body,
    )
    let_through = record._replace(entries=(*record.entries, forged))
    assert [(alarm.effect, alarm.code) for alarm in alarms(let_through)] == [(effect, "no-yes")]
    bare = let_through._replace(approvals={})
    assert [alarm.code for alarm in alarms(bare)] == ["request-gone"]


@pytest.mark.req("W5", mutant="redaction-is-not-said")
def test_what_was_taken_out_of_the_record_is_said(record: Record, lived: tuple[Path, dict[str, str]]) -> None:
    """Bodies that are gone and bodies with stand-ins are named by entry, and nothing is made up in their place."""
    effect = lived[1]["verified"]
    seqs = [entry.seq for entry in record.entries if entry.effect == effect and entry.kind in ("proposed", "committed")]
    gone = emptied(record, lambda entry: entry.seq in seqs or entry.kind == "intent")
    data = data_of(gone)
    assert f"entries that were taken away whole: /1, /{seqs[0]}, /{seqs[1]}" in text_of(data, "unknown")
    assert text_of(data, "intended") == "What was intended is not in the record any more."
    assert "1200" not in about(data, "done", effect)
    assert ungrounded(data, gone) == []
    assert sorted(decided["effect"] for decided in data["decisions"]) == sorted(
        {entry.effect for entry in record.entries if entry.effect}
    )


def stood_in(entry: Entry) -> Entry:
    """An entry with a stand-in wherever a text of its arguments, its goal or its answer stood."""

    def walk(value: Any) -> Any:
        match value:
            case str() if value.startswith(("in_", "invoice:in_", "refund the")):
                return "redacted:0123456789abcdef0123"
            case dict():
                return {name: walk(inner) for name, inner in value.items()}
            case list():
                return [walk(inner) for inner in value]
            case _:
                return value

    return entry._replace(body=encode(walk(decode(entry.body or b"{}"))), salt=None)


def test_stand_ins_are_shown_as_stand_ins(record: Record, lived: tuple[Path, dict[str, str]]) -> None:
    """Where values were redacted the account stands, without an alarm, and says which entries have stand-ins."""
    redacted = record._replace(entries=tuple(stood_in(entry) for entry in record.entries))
    data = data_of(redacted)
    assert data["alarms"] == []
    assert ungrounded(data, redacted) == []
    assert "wanted «redacted:0123456789abcdef0123»" in text_of(data, "intended")
    assert "in_1" not in about(data, "done", lived[1]["verified"])
    assert "have stand-ins where values were redacted" in text_of(data, "unknown")


def test_entries_after_the_newest_checkpoint_are_named(record: Record) -> None:
    """What no checkpoint covers is said; where all of it is covered nothing is."""
    middle, last = record.entries[20].pos, record.entries[-1].pos
    assert "not covered by a checkpoint" in text_of(data_of(record, covered=middle), "unknown")
    assert "not covered" not in text_of(data_of(record, covered=last), "unknown")
    assert "not covered" not in text_of(data_of(record), "unknown")


def test_the_same_record_gives_the_same_text(record: Record) -> None:
    """An account has no time of its own: it is the same whenever it is asked for."""
    assert story(record) == story(record)
    assert data_of(record) == data_of(record)


def test_a_long_answer_shows_its_beginning_and_its_end(record: Record) -> None:
    """With a limit a page leaves out the middle of an answer and says so; the data has every sentence."""
    told = account(record)
    whole, short = explain_page(told), explain_page(told, limit=4)
    assert short.data == whole.data
    assert short.truncated
    assert not whole.truncated
    done = short.text().partition("3 what was done\n")[2].partition("\n\n")[0].splitlines()
    every = whole.text().partition("3 what was done\n")[2].partition("\n\n")[0].splitlines()
    assert done == [
        *every[:2],
        f"  — {len(every) - 4} sentences are left out here; --limit shows more, --json all",
        *every[-2:],
    ]
