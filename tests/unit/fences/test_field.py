"""The HTTP fields of an attempt: what a client sends, what a service reads, and what its answer proves."""

from __future__ import annotations

import email.message

import pytest

import holdfast as hf
from holdfast.fences import FENCE_TOKEN, Stale, headers, offered, raise_if_stale


def test_an_attempt_travels_with_key_token_and_send_by() -> None:
    """The three fields, and the trace of whoever traces; what is not there is not sent."""
    fx = hf.Fx(key="k", token=7, send_by_ms=1_800_000_000_000, trace="00-a-b-01")
    assert headers(fx) == {
        "Idempotency-Key": "k",
        "Fence-Token": "7",
        "Send-By": "1800000000000",
        "traceparent": "00-a-b-01",
    }
    assert headers(hf.Fx()) == {"Fence-Token": "0"}


@pytest.mark.parametrize(
    "fields", [{"fence-token": "7"}, [(b"Fence-Token", b" 7 ")], [("x", "1"), ("FENCE-TOKEN", "7")]]
)
def test_a_token_is_read_from_any_servers_fields(fields: object) -> None:
    """Names of fields know no case; pairs of bytes or text, or a mapping."""
    assert offered(fields) == 7


def test_fields_of_the_standard_library_that_are_no_mapping_are_read() -> None:
    """What http.client gives has items() and is no Mapping; a field that came twice is seen twice."""
    fields = email.message.Message()
    fields["fence-token"] = "9"
    with pytest.raises(Stale):
        raise_if_stale("r", 7, 412, fields)
    fields["Fence-Token"] = "10"
    with pytest.raises(ValueError, match="2 times"):
        offered(fields)


def test_a_request_without_a_token_has_none() -> None:
    """None is not zero: the service decides what it means."""
    assert offered({"Other": "7"}) is None


@pytest.mark.parametrize(
    "value", ["", "-1", "+7", "7.0", "1e3", "7, 8", "\N{ARABIC-INDIC DIGIT SEVEN}", "9223372036854775808", "9" * 5000]
)
def test_what_is_no_token_is_refused_and_not_guessed(value: str) -> None:
    """Signs, fractions, lists, foreign digits and numbers that no store gives are a 400."""
    with pytest.raises(ValueError, match=FENCE_TOKEN):
        offered({FENCE_TOKEN: value})


def test_two_tokens_are_none() -> None:
    """Whoever adds a second field does not get to choose which one counts."""
    with pytest.raises(ValueError, match="2 times"):
        offered([(FENCE_TOKEN, "7"), (FENCE_TOKEN, "8")])


@pytest.mark.req("1.4b", mutant="fence-any-412-is-stale")
def test_only_a_fence_that_says_so_proves_that_nothing_was_done() -> None:
    """A 412 with a higher token is the fence; one without, or another status, is another matter."""
    with pytest.raises(Stale):
        raise_if_stale("r", 7, 412, {FENCE_TOKEN: "9"})
    silent = [(412, {}), (412, {FENCE_TOKEN: "7"}), (412, {FENCE_TOKEN: "x"}), (409, {FENCE_TOKEN: "9"}), (200, {})]
    assert [raise_if_stale("r", 7, status, fields) for status, fields in silent] == [None] * 5
