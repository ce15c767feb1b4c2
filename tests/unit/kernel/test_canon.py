"""Canonical bytes: equal to RFC 8785; what two readers may understand differently is refused by its path."""

from __future__ import annotations

import datetime as dt
import enum
import hashlib
import hmac
import json
import math
import os
import random
import struct
from decimal import Decimal
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.kernel import canon
from holdfast.kernel.canon import MAX_DEPTH, MAX_INT
from holdfast.kernel.errors import BadValue, TooLarge

# The campaign of sixty thousand documents is this file with CANON_EXAMPLES=60000.
EXAMPLES = int(os.environ.get("CANON_EXAMPLES", "200"))
MANY = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


class Colour(enum.StrEnum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class OddText(str):
    """Text that is never equal to other text, so a dict can hold the same key twice."""

    __slots__ = ()
    __hash__ = object.__hash__
    __eq__ = object.__eq__


def acceptable(number: float) -> bool:
    """Whether a float has a form that reads back as the same number everywhere."""
    return math.isfinite(number) and not MAX_INT < abs(number) < 1e21


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-MAX_INT, MAX_INT)
    | st.floats().filter(acceptable)
    | st.text()
    | st.text(st.characters(max_codepoint=0x80, exclude_categories=()))
)
KEYS = (
    st.text() | st.text(st.characters(max_codepoint=0x7F)) | st.sampled_from(["\ue000", "\U00010000", "a", "é", "\x7f"])
)


def documents(scalars: st.SearchStrategy[Any], keys: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Nested plain JSON data."""
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=6) | st.dictionaries(keys, inner, max_size=8),
        max_leaves=20,
    )


# The first half can take the fast way throughout, the second has floats and keys of every kind.
DOCUMENTS = documents(
    st.none() | st.booleans() | st.integers(-MAX_INT, MAX_INT) | st.text(max_size=12),
    st.text(st.characters(max_codepoint=0x7F), max_size=8),
) | documents(SCALARS, KEYS)


def refused(value: Any) -> BadValue:
    """The error that encoding, and freezing, this value raises."""
    with pytest.raises(BadValue) as by_freeze:
        canon.freeze(value)
    with pytest.raises(BadValue) as by_encode:
        canon.encode(value)
    assert str(by_freeze.value) == str(by_encode.value)
    return by_encode.value


def unread(text: str | bytes) -> BadValue:
    """The error that decoding this text raises."""
    with pytest.raises(BadValue) as caught:
        canon.decode(text)
    return caught.value


# --- the bytes ------------------------------------------------------------------------------------


@MANY
@given(DOCUMENTS)
def test_bytes_equal_the_reference_implementation(value: Any) -> None:
    """Both ways of encoding give the bytes of the reference implementation of RFC 8785."""
    assert canon.encode(value) == rfc8785.dumps(value)


@MANY
@given(DOCUMENTS)
def test_what_was_written_reads_back_equal_and_writes_the_same_again(value: Any) -> None:
    """Decoding canonical bytes gives an equal value, whose bytes are the same."""
    data = canon.encode(value)
    again = canon.decode(data)
    assert again == value
    assert canon.encode(again) == data
    assert canon.decode(data.decode()) == again


@MANY
@given(DOCUMENTS, st.randoms())
def test_order_in_memory_does_not_matter(value: Any, dice: random.Random) -> None:
    """Shuffling the keys of every object leaves the bytes as they are."""

    def shuffled(item: Any) -> Any:
        if isinstance(item, dict):
            pairs = [(key, shuffled(member)) for key, member in item.items()]
            dice.shuffle(pairs)
            return dict(pairs)
        return [shuffled(member) for member in item] if isinstance(item, list) else item

    assert canon.encode(shuffled(value)) == canon.encode(value)


@MANY
@given(DOCUMENTS)
def test_lenient_json_of_a_document_decodes_to_the_same_value(value: Any) -> None:
    """Other spellings of the same document (spaces, escapes, order) are read as that document."""
    assert canon.decode(json.dumps(value, indent=1)) == value
    assert canon.encode(canon.decode(json.dumps(value))) == canon.encode(value)


def test_every_character_is_written_as_the_reference_writes_it() -> None:
    """Control characters, DEL, solidus, quotes and all planes: value and key agree with the reference."""
    for start in range(0, 0x110000, 0x400):
        text = "".join(chr(c) for c in range(start, start + 0x400) if not 0xD800 <= c < 0xE000)
        assert canon.encode({text: text}) == rfc8785.dumps({text: text})
    for c in range(0x800):
        assert canon.encode([chr(c), {chr(c): 1}]) == rfc8785.dumps([chr(c), {chr(c): 1}])


def test_keys_are_ordered_by_utf16_code_units() -> None:
    """The example of RFC 8785 section 3.2.3, where code points would give another order."""
    value = {"\u20ac": 1, "\r": 2, "\ufb33": 3, "1": 4, "\U0001f600": 5, "\x80": 6, "\xf6": 7}
    assert list(json.loads(canon.encode(value)).values()) == [2, 4, 6, 7, 1, 5, 3]


@pytest.mark.parametrize(
    ("bits", "written"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
    ],
)
def test_floats_are_written_as_the_rfc_shows(bits: str, written: str) -> None:
    """The number samples of RFC 8785 appendix B that are not refused."""
    (number,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canon.encode(number).decode() == written


@pytest.mark.parametrize("number", [0, 1, -1, MAX_INT, -MAX_INT, 10**15])
def test_integers_up_to_the_limit_are_exact(number: int) -> None:
    """The whole range that every JSON reader keeps exactly is accepted."""
    assert canon.decode(canon.encode({"n": [number]})) == {"n": [number]}


def test_plain_subclasses_are_written_as_what_they_are() -> None:
    """Enum members and tuples become plain text, numbers and lists."""
    value = {Colour.RED: (Colour.RED, Level.HIGH)}
    assert canon.encode(value) == b'{"red":["red",3]}'
    frozen = canon.freeze(value)
    assert [type(item) for item in (frozen, *frozen, *frozen.values(), *frozen["red"])] == [
        dict,
        str,
        list,
        str,
        int,
    ]


def test_fast_way_is_taken_exactly_where_it_is_right() -> None:
    """The scan lets plain data through and stops at whatever the fast encoder would write otherwise."""
    plain = {"a": [1, -MAX_INT, "é", None, True, ("x", {})], "\x7f": {"b": {}}}
    assert canon._room_left(plain, 0, 1000) == 1000 - 11
    for other in (1.0, {"é": 1}, 2**53, Colour.RED, {"b"}, b"b", {1: 1}, {Colour.RED: 1}):
        assert canon._room_left(other, 0, 1000) == -1
        assert canon._room_left({"a": [other]}, 0, 1000) == -1


# --- what is refused on the way out ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "path", "value_type", "words"),
    [
        ({"note": [1, 2, 3, math.nan]}, "$.note[3]", "float", "NaN"),
        ({"a": {"b": math.inf}}, "$.a.b", "float", "Infinity"),
        ([-math.inf], "$[0]", "float", "Infinity"),
        ({"amount": 2**53}, "$.amount", "int", "9007199254740991"),
        ({"amount": -(2**53)}, "$.amount", "int", "pass it as text"),
        (10**400, "$", "int", "2^53-1"),
        ([1e17], "$[0]", "float", "2^53-1"),
        ({"s": "\ud800"}, "$.s", "str", "lone surrogate"),
        ({"é": ["ok", "\udfff"]}, '$["\\u00e9"][1]', "str", "lone surrogate"),
        ({"\udc00": 1}, '$["\\udc00"]', "key", "lone surrogate"),
        ({"a": {1: 2}}, "$.a[1]", "int", "key must be text"),
        ({None: 2}, '$["None"]', "NoneType", "key must be text"),
        ({"a b": b"raw"}, '$["a b"]', "bytes", "no JSON form"),
        ([dt.date(2026, 1, 2)], "$[0]", "date", "no JSON form"),
        ({"tags": {"x"}}, "$.tags", "set", "no JSON form"),
        ([Decimal("1.5")], "$[0]", "Decimal", "no JSON form"),
        ([[object()]], "$[0][0]", "object", "no JSON form"),
        (msgspec.UNSET, "$", "UnsetType", "no JSON form"),
        ({OddText("a"): 1, OddText("a"): 2}, "$.a", "key", "appears twice"),
    ],
)
def test_refused_value_is_named_by_its_path(value: Any, path: str, value_type: str, words: str) -> None:
    """The error names the place, the type and the reason."""
    error = refused(value)
    assert (error.path, error.value_type) == (path, value_type)
    assert words in error.why
    assert error.message.startswith(f"The value at {path} ({value_type}) was not accepted: ")


@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"k": v}, lambda v: (v,)], ids=["list", "dict", "tuple"])
@pytest.mark.parametrize("leaf", [None, 1.5], ids=["fast", "careful"])
def test_depth_is_bounded_alike_on_both_ways(wrap: Any, leaf: Any) -> None:
    """Sixty-four levels are accepted, sixty-five refused."""
    value = leaf
    for _ in range(MAX_DEPTH):
        value = wrap(value)
    data = canon.encode(value)
    assert canon.encode(canon.decode(data)) == data
    assert "deeper than 64" in refused(wrap(value)).why


def test_value_that_contains_itself_is_refused() -> None:
    """A cycle is found by its depth."""
    value: list[Any] = [1]
    value.append(value)
    assert "deeper than 64" in refused(value).why


def test_value_that_unfolds_without_end_is_refused_by_size() -> None:
    """Sixty levels of two references each would be 2^60 members; counting stops at the limit."""
    value: list[Any] = [1]
    for _ in range(60):
        value = [value, value]
    with pytest.raises(TooLarge) as caught:
        canon.encode(value)
    assert caught.value.exact is False
    assert "at least" in caught.value.message


@pytest.mark.parametrize("extra", [{}, {"é": 1.5}], ids=["fast", "careful"])
def test_ten_megabyte_argument_is_refused_with_size_and_limit(extra: dict[str, Any]) -> None:
    """The error says how large the value is and how large it may be."""
    value = {"note": "x" * 10_000_000, **extra}
    size = len(rfc8785.dumps(value))
    for refusing in (canon.encode, canon.freeze):
        with pytest.raises(TooLarge) as caught:
            refusing(value)
        assert (caught.value.size_bytes, caught.value.limit_bytes, caught.value.exact) == (
            size,
            1 << 20,
            True,
        )
        assert str(size) in caught.value.message
        assert "1048576" in caught.value.message


def test_size_limit_is_the_callers_and_exact() -> None:
    """A value of exactly the limit passes; one byte more does not, on the way out as on the way in."""
    assert canon.encode("x" * 8, max_bytes=10) == b'"xxxxxxxx"'
    assert canon.decode('"xxxxxxxx"', max_bytes=10) == "x" * 8
    for refusing in (
        lambda: canon.encode("x" * 9, max_bytes=10),
        lambda: canon.decode('"xxxxxxxxx"', max_bytes=10),
    ):
        with pytest.raises(TooLarge) as caught:
            refusing()
        assert (caught.value.size_bytes, caught.value.limit_bytes) == (11, 10)


# --- what is refused on the way in ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ('{"a":1,"a":1}', "$.a", "appears twice"),
        ('{"a":[0,{"b c":1,"x":2,"b c":3}]}', '$.a[1]["b c"]', "appears twice"),
        ('{"a":1,"\\u0061":2,"a":3}', "$.a", "appears twice"),
        ("[NaN]", "$[0]", "NaN"),
        ('{"n":[1,-Infinity]}', "$.n[1]", "Infinity"),
        ("[1e400]", "$[0]", "Infinity"),
        ('{"id":9007199254740992}', "$.id", "2^53-1"),
        ('{"id":-9007199254740992}', "$.id", "2^53-1"),
        ('{"id":' + "9" * 5000 + "}", "$.id", "2^53-1"),
        ('["\\ud800"]', "$[0]", "lone surrogate"),
        ('{"\\udc00":1}', '$["\\udc00"]', "lone surrogate"),
        ("[" * 65 + "]" * 65, "$" + "[0]" * 64, "deeper than 64"),
        ("[" * 200_000, "$", "deeper than 64"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "$", "deeper than 64"),
        ("", "$", "not JSON"),
        ("[1,]", "$", "line 1, column"),
        ("{'a':1}", "$", "not JSON"),
        ("[1] 2", "$", "not JSON"),
        ("\ufeff1", "$", "not JSON"),
        ('"\x01"', "$", "not JSON"),
        (b"\xff", "$", "not UTF-8 at byte 0"),
        (b'"\xed\xa0\x80"', "$", "not UTF-8 at byte 1"),
        ('"\ud800"', "$", "not UTF-8 at byte 1"),
        ("[]".encode("utf-16"), "$", "not UTF-8"),
    ],
)
def test_text_that_two_readers_understand_differently_is_refused(text: str | bytes, path: str, words: str) -> None:
    """The error names the place where there is one, and the reason."""
    error = unread(text)
    assert error.path == path
    assert words in error.why


def test_ten_megabyte_document_is_refused_before_it_is_parsed() -> None:
    """Even broken text of ten megabytes is refused for its size."""
    with pytest.raises(TooLarge) as caught:
        canon.decode("[" * 10_000_000)
    assert caught.value.size_bytes == 10_000_000


@MANY
@given(st.text(st.sampled_from('{}[]:,"\\ud800aN1.5e-9 '), max_size=40) | st.binary(max_size=30))
def test_any_text_is_read_or_refused_and_nothing_else(text: str | bytes) -> None:
    """Whatever comes in, the answer is a value that can be written again or an error with a code."""
    try:
        value = canon.decode(text)
    except BadValue:
        return
    assert canon.decode(canon.encode(value)) == value


@MANY
@given(DOCUMENTS, st.sampled_from(["a", "é", "k\n"]), SCALARS, SCALARS)
def test_duplicate_key_is_found_wherever_it_stands(value: Any, key: str, one: Any, two: Any) -> None:
    """A key that comes twice is refused beside any other content, in canonical spelling or not."""
    name = json.dumps(key, ensure_ascii=False)
    pair = f"{{{name}:{json.dumps(one)},{name}:{json.dumps(two)}}}"
    error = unread(f"[{json.dumps(value)},{pair}]")
    assert "appears twice" in error.why
    assert error.path.startswith("$[1]")


# --- freezing -------------------------------------------------------------------------------------


@MANY
@given(DOCUMENTS)
def test_frozen_copy_is_what_the_store_would_give_back(value: Any) -> None:
    """A frozen value equals the original and is, type by type, what its canonical bytes decode to."""
    frozen = canon.freeze(value)
    assert frozen == value
    assert repr(frozen) == repr(canon.decode(canon.encode(value)))


def test_frozen_copy_does_not_follow_later_changes() -> None:
    """Changing what was handed in, at any depth, leaves the frozen copy alone, and the other way round."""
    value = {"lines": [{"sku": "a", "n": 1}], "ship": {"to": ["x"]}}
    frozen = canon.freeze(value)
    value["lines"][0]["n"] = 9999  # type: ignore[index]
    value["ship"]["to"].append("mallory")  # type: ignore[index]
    assert frozen == {"lines": [{"sku": "a", "n": 1}], "ship": {"to": ["x"]}}
    frozen["lines"].clear()
    assert len(value["lines"]) == 1


# --- digests --------------------------------------------------------------------------------------


def test_digest_and_leaf_follow_their_standards() -> None:
    """SHA-256 of the empty string, and the empty leaf of RFC 6962, as published."""
    assert canon.digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert canon.leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert canon.leaf_hash(b"L123456").hex() == "395aa064aa4c29f7010acfe3f25db9485bbd4b91897b6ad7ad547639252b4d56"


def test_keyed_digest_depends_on_secret_label_and_data() -> None:
    """Any other secret, label or data gives another digest, also where label and data are joined alike."""
    base = canon.keyed(b"s" * 32, "key", b"data")
    assert base == hmac.new(b"s" * 32, b"holdfast\0key\0data", hashlib.sha256).hexdigest()
    others = {
        canon.keyed(b"t" * 32, "key", b"data"),
        canon.keyed(b"s" * 32, "arguments", b"data"),
        canon.keyed(b"s" * 32, "keyd", b"ata"),
        canon.keyed(b"s" * 32, "ke", b"ydata"),
    }
    assert len(others - {base}) == 4


@pytest.mark.parametrize(("secret", "label"), [(b"", "key"), (b"s", ""), (b"s", "a\0b")])
def test_keyed_digest_refuses_what_would_not_separate(secret: bytes, label: str) -> None:
    """No secret, no label, or a label that could be split in two ways stops the program."""
    with pytest.raises(AssertionError):
        canon.keyed(secret, label, b"data")


def test_commitment_separates_salt_and_body_and_wants_a_long_salt() -> None:
    """Moving a byte from salt to body changes the commitment; a salt that hides nothing is refused."""
    assert canon.commitment(b"a" * 17, b"b") != canon.commitment(b"a" * 16, b"ab")
    assert canon.commitment(b"a" * 16, b"b") != canon.commitment(b"c" * 16, b"b")
    assert len(canon.commitment(b"a" * 16, b"b")) == 32
    with pytest.raises(AssertionError):
        canon.commitment(b"a" * 15, b"b")


def test_short_digest_is_the_same_with_and_without_prefix() -> None:
    """People see twelve digits of the digest itself, never of its name."""
    full = canon.digest(b"x")
    assert canon.short(full) == canon.short(full.removeprefix("sha256:")) == full[7:19]
