"""Errors: every class builds its sentences in the agreed order, survives transport, and never guesses."""

from __future__ import annotations

import dataclasses
import gc
import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

from holdfast.kernel import errors
from holdfast.kernel.errors import EffectUnknown, HoldfastError, every_error, from_json

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "errors.md"
FAMILIES = {"U": errors.UsageError, "E": errors.EffectError, "I": errors.IntegrityError}
# The commands a hint may name; each takes the words that follow as its arguments.
COMMANDS = {
    "status",
    "run list",
    "run show",
    "effect show",
    "effect reconcile",
    "effect attest",
    "effect abandon",
}
COMMANDS |= {"queue show", "queue dead", "worker list", "tool review"}
COMMANDS |= {"saga show", "saga list"}
COMMANDS |= {"store show", "store copy"}
COMMANDS |= {"run bundle", "evidence seal", "evidence checkpoint", "evidence redact"}
COMMANDS |= {"evidence show", "evidence verify", "store release", "store clock", "approver list", "grant list"}
SAMPLES: dict[str, Any] = {
    "str": "ef_7f3a",
    "str | None": "refund",
    "int": 1_800_000_000_000,
    "bool": False,
    "tuple[str, ...]": ("first", "second"),
}


def sample(kind: type[HoldfastError], **given: Any) -> HoldfastError:
    """An instance with a plausible value in every field."""
    values = {field.name: SAMPLES[str(field.type)] for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if "asked" in values:
        values["asked"] = "attest"
    return kind(**(values | given))


ALL = pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)


def test_the_list_of_errors_is_complete() -> None:
    """Every concrete class of the three families is listed, exported, and listed once."""
    found = {kind for family in FAMILIES.values() for kind in family.__subclasses__()}
    found |= {kind for one in found for kind in one.__subclasses__()}
    assert set(every_error()) == found
    assert {kind.__name__ for kind in found} <= set(errors.__all__)
    assert len(found) >= 38


@ALL
def test_code_says_family_number_and_name(kind: type[HoldfastError]) -> None:
    """A code is HF-, the family's letter, a number, and words; the class belongs to that family."""
    assert re.fullmatch(r"HF-[UEI]\d\d(-[a-z0-9]+)+", kind.code)
    assert issubclass(kind, FAMILIES[kind.code[3]])


@ALL
def test_error_survives_json_and_pickle(kind: type[HoldfastError]) -> None:
    """JSON and pickle both give back the same class, fields and message."""
    error = sample(kind)
    document = error.to_json()
    assert set(document) == {"code", "message", "fields", "hint", "docs"}
    for twin in (from_json(json.loads(json.dumps(document))), pickle.loads(pickle.dumps(error))):
        assert type(twin) is kind
        assert twin.values == error.values
        assert str(twin) == str(error) == document["message"]
        assert twin.to_json() == document


@ALL
def test_message_says_what_happened_what_is_known_and_what_to_do_in_that_order(
    kind: type[HoldfastError],
) -> None:
    """The sentences stand in the agreed order and none but the doubt may be missing."""
    error = sample(kind)
    parts = [kind.what_happened, kind.what_is_known, kind.what_is_not_known, kind.what_to_do]
    assert all(parts[i] for i in (0, 1, 3))
    places = [error.message.find(re.split(r"[{]", part)[0][:20]) for part in parts if part]
    assert places[0] == 0
    assert places[1:] == sorted(place for place in places[1:] if place > 0)
    assert all(part.endswith((".", "?", "}")) for part in parts if part)
    assert "{" not in error.message
    assert "{" not in error.hint


@ALL
def test_message_shows_every_field_that_identifies(kind: type[HoldfastError]) -> None:
    """Every field can be read in the message or the hint; only a switch of wording may be missing."""
    words = kind.what_happened + kind.what_is_known + kind.what_to_do + kind.next_command
    shown = {name.removesuffix("_maybe") for name in re.findall(r"{(\w+)}", words)}
    silent = {"exact"} if kind is errors.TooLarge else set()
    silent |= {"effect"} if kind in (errors.RunStopped, errors.JobNotMovable, errors.RunHeld, errors.RunLost) else set()
    assert {field.name for field in dataclasses.fields(kind)} - shown == silent  # type: ignore[arg-type]


@ALL
def test_hint_is_there_and_names_only_commands_that_exist(kind: type[HoldfastError]) -> None:
    """A hint is never empty; when it is a holdfast command, it is one of those we have."""
    hint = sample(kind).hint
    assert hint
    if hint.startswith("holdfast"):
        words = hint.split()[1:3]
        assert " ".join(words) in COMMANDS or words[0] in COMMANDS


@ALL
def test_wording_keeps_failed_for_what_is_proved(kind: type[HoldfastError]) -> None:
    """No text calls a doubt failed, and none tells anybody to try again."""
    text = (sample(kind).message + sample(kind).hint).lower()
    assert "try again" not in text
    assert "retry" not in text
    assert not re.search(r"\bfail(ed|s|ure)?\b", text)


def test_unknown_outcome_is_called_unknown_and_keeps_its_owner() -> None:
    """The wording of the most important error, word for word."""
    error = EffectUnknown(effect="ef_7f3a", cause="the reply was lost", owner="billing-oncall")
    assert str(error) == (
        "Effect ef_7f3a was dispatched and its outcome is unknown: the reply was lost. "
        "It is on record as dispatched, counts as spent, and is owned by billing-oncall. "
        "Whether the outside was changed is not known. "
        "Do not propose it anew; reconcile it, or have a named human attest it with a reason."
    )
    assert error.hint == "holdfast effect reconcile ef_7f3a"
    assert error.docs == "docs/reference/errors.md#hf-e03-effect-unknown"
    assert error.exit_code == 3


def test_refused_value_does_not_say_that_nothing_was_sent() -> None:
    """A value may be a tool's reply: what was sent is not canon's to say."""
    for kind in (errors.BadValue, errors.TooLarge):
        assert "sent" not in sample(kind).message


def test_text_from_outside_is_escaped_and_clipped() -> None:
    """Terminal codes and bidirectional marks become visible; the field keeps the original."""
    wild = "\x1b[2Jok\u202e\n" + "x" * 1000
    error = errors.EffectFailed(effect="ef_1", why=wild)
    assert error.why == wild
    assert "\x1b" not in error.message
    assert "\u202e" not in error.message
    assert "\n" not in error.message
    assert "\\x1b[2Jok\\u202e\\n" in error.message
    assert len(error.message) < 600


def test_lone_surrogate_in_a_field_can_be_printed() -> None:
    """A message can always be written as UTF-8, whatever the field holds."""
    assert errors.UnknownId(given="\ud800", kind="effect").message.encode()


def test_nearest_name_is_offered_only_when_there_is_one() -> None:
    """A question is asked about a near name, and none about no name."""
    near = errors.UnknownTool(tool="refnd", nearest="refund", known=("refund", "mail"))
    far = errors.UnknownTool(tool="zzz", nearest=None, known=("refund", "mail"))
    assert "Did you mean refund?" in near.message
    assert "Did you mean" not in far.message
    assert "refund, mail" in far.message


def test_moments_and_lengths_of_time_are_told_apart() -> None:
    """`until_ms` is shown as a moment in UTC, other milliseconds as a length."""
    waiting = errors.EffectWaiting(effect="ef_1", request="rq_1", for_what="an approver", until_ms=1_800_000_000_000)
    assert "until 2027-01-15 08:00:00 UTC" in waiting.message
    assert "jumped by -5000 ms" in errors.ClockJumped(store="s", by_ms=-5000).message
    assert "10000000000000000000 ms" in sample(errors.EffectDeferred, until_ms=10**19).message


def test_constructor_takes_keywords_only_and_all_of_them() -> None:
    """A field can be neither forgotten nor given by position."""
    with pytest.raises(TypeError):
        errors.BadValue("$", "why", "int")  # type: ignore[misc]
    with pytest.raises(TypeError):
        errors.BadValue(path="$", why="why")  # type: ignore[call-arg]


def test_family_itself_is_never_raised() -> None:
    """A family without a code says nothing to anybody."""
    with pytest.raises(AssertionError):
        errors.UsageError()


def test_code_from_another_version_is_refused() -> None:
    """An error that this version cannot word is not worded."""
    with pytest.raises(errors.BadValue) as caught:
        from_json({"code": "HF-U99-later", "fields": {}})
    assert caught.value.path == "$.code"


def test_two_errors_cannot_share_a_code() -> None:
    """A second class with the same code stops the import."""
    with pytest.raises(AssertionError):
        type("Twin", (errors.UsageError,), {"code": errors.BadValue.code})
    # The half-made class would otherwise still be seen by whoever walks the family tree.
    gc.collect()
    assert "Twin" not in {kind.__name__ for kind in errors.UsageError.__subclasses__()}


@ALL
def test_reference_page_has_the_section_that_docs_points_at(kind: type[HoldfastError]) -> None:
    """Each code has a section with the class, its fields, its exit code, and the three answers."""
    sections = dict(
        re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    )
    section = " ".join(sections[kind.code].split())
    assert sample(kind).docs.endswith("#" + kind.code.lower())
    names = ", ".join(f"`{field.name}`" for field in dataclasses.fields(kind))  # type: ignore[arg-type]
    assert f"`{kind.__name__}`({names}), exit code {kind.exit_code}." in section
    assert all(part in section for part in ("**Known:**", "**Not known:**", "**What to do:**"))
