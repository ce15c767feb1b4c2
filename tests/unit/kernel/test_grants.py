"""What a grant covers and what a narrower one may be: by example, and by any sequence of narrowings over any call."""

from __future__ import annotations

import re
import time
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.kernel.amounts import Budget, money
from holdfast.kernel.documents import Grant
from holdfast.kernel.errors import BadValue
from holdfast.kernel.grants import (
    Facts,
    asked_by,
    checked,
    classes_of,
    compiled,
    covers,
    matches,
    narrow,
    uncovered,
    within,
)
from holdfast.kernel.model import Contract, EffectClass
from holdfast.tools.contract import bind_resource

ALL = ("*",)


def grant(**more: Any) -> Grant:
    """A grant of everything but for what is named."""
    base: dict[str, Any] = {
        "id": "gr_1",
        "holder": "bot",
        "tools": ALL,
        "resources": ALL,
        "environments": ALL,
        "classes": tuple(EffectClass),
    }
    return Grant(**(base | more))


def call(**more: Any) -> Facts:
    """A call of refund on one invoice in production."""
    base: dict[str, Any] = {
        "tool": "refund",
        "resource": "invoice:in_7",
        "environment": "prod",
        "effect_class": "irreversible",
        "tenant": "main",
        "at_ms": 1_000,
    }
    return Facts(**(base | more))


@pytest.mark.parametrize(
    ("pattern", "resource", "covered"),
    [
        ("invoice:in_7", "invoice:in_7", True),
        ("invoice:in_7", "invoice:in_70", False),
        ("invoice:in_*", "invoice:in_70", True),
        ("invoice:*", "invoice:", True),
        ("invoice:*", "account:in_7", False),
        ("invoice:*", "invoice:a:b", False),
        ("repo:acme/*", "repo:acme/web", True),
        ("repo:acme/*", "repo:acme/web%2Fapi", False),
        ("repo:acme/**", "repo:acme/web%2Fapi", True),
        ("repo:*/web", "repo:acme/web", True),
        ("repo:acme/**", "repo:acme%2Fevil/x", False),
        ("file:docs/*", "file:docs%2Fa.txt", True),
        ("file:docs/*", "file:docs%2Fa%2Fb", False),
        ("file:docs/**", "file:docs%2Fa%2Fb", True),
        ("file:docs/**", "file:docs%2F..%2Fetc", False),
        ("file:**", "file:..", False),
        ("file:docs/*", "file:docs%5C..%5Cetc", False),
        ("site:e.com/docs/**", "site:e.com/docs%2Fa", True),
        ("url:https://e.com/**", "url:https%3A%2F%2Fe.com%2Fx", True),
        ("url:https://e.com/**", "url:https%3A%2F%2Fe.com.evil.org%2Fx", False),
        ("name:Zoë", "name:Zo%C3%AB", True),
        ("name:Zo*", "name:Zo%C3%AB", True),
        ("mail:a+b@e.com", "mail:a%2Bb@e.com", True),
        ("mail:.*", "mail:x", False),
        ("x:(a|b)", "x:a", False),
        ("x:[a-z]", "x:q", False),
        ("x:a%2Fb", "x:a%2Fb", True),
        ("x:a%2fb", "x:a%2Fb", True),
        ("x:100%", "x:100%25", True),
        ("**", "anything:at/all", True),
        ("*", "anything:at/all", True),
    ],
)
@pytest.mark.req("2.2b", mutant="star-crosses-slashes")
def test_a_pattern_covers_what_it_says(pattern: str, resource: str, covered: bool) -> None:
    """Literal, one value, anything; a slash inside a value is not one between two; no text is a regular expression."""
    assert matches(pattern, resource) is covered


@given(st.text(min_size=1, max_size=20), st.text(max_size=20))
def test_a_value_given_literally_covers_that_value_and_no_other(one: str, other: str) -> None:
    """Written as the arguments are, a pattern without a wildcard is exactly the name that binding makes of them."""
    contract = Contract(name="t", effect=EffectClass.READ, resource="thing:{value}")
    mine, others = (bind_resource(contract, {"value": value}) for value in (one, other))
    try:
        compiled(f"thing:{one}")
    except BadValue:
        return
    if "*" in one or "%" in one:  # these are the pattern's own: written in their encoded form
        assert matches(f"thing:{quote(one, safe='')}", mine)
        return
    assert matches(f"thing:{one}", mine)
    assert matches(f"thing:{one}", others) is (mine == others)


@given(
    st.lists(st.sampled_from(["a", "b", "/", "%2F", ":", ".", "*", "**"]), min_size=1, max_size=7),
    st.lists(st.sampled_from(["a", "b", "/", "%2F", ":", "%3A", ".", "%41"]), max_size=8),
)
@settings(max_examples=400)
def test_matching_is_what_the_same_regular_expression_says(parts: list[str], name: list[str]) -> None:
    """The matcher without backtracking agrees with a naive translation, wherever a pattern is one at all."""
    pattern, resource = "".join(parts), "".join(name)
    try:
        units = compiled(pattern)
    except BadValue:
        return
    if pattern == "*":
        return
    spelled = {"*": r"(?:[A-Za-z0-9_.@-]|%(?!2F|5C)[0-9A-F]{2})*", "**": r"(?:%[0-9A-F]{2}|.)*"}
    wild = any(unit in spelled for unit in units)
    regex = "".join(
        spelled.get(u) or (rf"(?:{re.escape(u)}|%{ord(u):02X}(?!.*{re.escape(u)}))" if u in "/:" else re.escape(u))
        for u in units
    )
    climbs = ".." in re.split(r"/|:|%2F", resource)
    expected = re.fullmatch(regex, resource, re.DOTALL) is not None and not (wild and climbs)
    assert matches(pattern, resource) is expected


def test_a_hostile_name_is_answered_at_once() -> None:
    """Names and patterns that make a backtracking matcher take for ever take no time worth measuring."""
    before = time.process_time()
    for number in range(20):
        assert not matches("x:" + "**a" * 60, f"x:{number}" + "a" * 900 + "!")
        assert not matches("x:**", "x:" + "a" * 1_000_000)
    assert time.process_time() - before < 5


@pytest.mark.parametrize(
    "pattern", ["", "a\nb", "x:***", "e\u0301", "file:../x", "file:a/..", "x" * 300, "file:a%2F..%2Fb", "x:..*"]
)
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    """Empty, unprintable, unclear, not in NFC, climbing or endless: said where the grant is given."""
    with pytest.raises(BadValue, match=r"grant\.resources"):
        checked(grant(resources=(pattern,)))


@pytest.mark.parametrize(
    ("less", "asked", "says"),
    [
        ({"tools": ("look",)}, {}, "it covers the tool look"),
        ({"tools": ()}, {}, "it covers no tool at all"),
        ({"resources": ("invoice:in_8", "invoice:x*")}, {}, "it covers the resource invoice:in_8, invoice:x*"),
        ({"environments": ("staging",)}, {}, "it covers the environment staging"),
        ({"classes": (EffectClass.READ,)}, {}, "it covers the effect class read"),
        ({"expires_ms": 900}, {}, "expired 100 ms ago"),
        ({}, {"tenant": "other"}, "is of the tenant main, not of other"),
    ],
)
@pytest.mark.req("2.2b", mutant="grant-uncovered-passes")
def test_each_facet_refuses_and_says_what_would_be_covered(
    less: dict[str, Any], asked: dict[str, Any], says: str
) -> None:
    """A reason names the facet, what was asked for, and what there is."""
    assert covers(grant(), call()) == ""
    assert says in covers(grant(**less), call(**asked))


@pytest.mark.req("2.2b", mutant="grant-leaf-only")
def test_a_wider_grant_in_a_chain_widens_nothing() -> None:
    """However it came there, a child that claims more than its parent covers only what both do."""
    chain = (grant(tools=("look",)), grant(id="gr_2", parent="gr_1"))
    assert "it covers the tool look" in uncovered(chain, call())
    assert uncovered(chain, call(tool="look")) == ""


def test_asks_accumulate_and_the_larger_quorum_counts() -> None:
    """The group is that of whichever grant names one, and two groups are a conflict."""
    chain = (grant(asks=("refund",), group="ops"), grant(id="gr_2", asks=ALL, quorum=3), grant(id="gr_3"))
    found = asked_by(chain, "refund")
    assert found is not None
    assert (found.group, found.quorum, found.by, found.conflict) == ("ops", 3, ("gr_1", "gr_2"), "")
    assert asked_by((grant(asks=("other",)),), "refund") is None
    both = asked_by((*chain, grant(asks=ALL, group="billing")), "refund")
    assert both is not None
    assert "billing and ops" in both.conflict


@pytest.mark.parametrize(
    ("parent", "less", "part"),
    [
        ({"tools": ("a",)}, {"tools": ("a", "b")}, "tools"),
        ({"tools": ("a",)}, {"tools": ALL}, "tools"),
        ({"resources": ("x:a/*",)}, {"resources": ("x:a/**",)}, "resources"),
        ({"resources": ("x:a/*",)}, {"resources": ("x:*",)}, "resources"),
        ({"resources": ("x:a",)}, {"resources": ALL}, "resources"),
        ({"resources": ()}, {"resources": ("x:a",)}, "resources"),
        ({"environments": ("dev",)}, {"environments": ("prod",)}, "environments"),
        ({"classes": (EffectClass.READ,)}, {"classes": tuple(EffectClass)}, "classes"),
        ({"budget": Budget(effects=1)}, {"budget": Budget(effects=2)}, "budget.effects"),
        ({"budget": Budget(cost=money(10, "EUR"))}, {"budget": Budget(cost=money(11, "EUR"))}, "budget.cost"),
        ({"budget": Budget(cost=money(10, "EUR"))}, {"budget": Budget(cost=money(1, "USD"))}, "budget.cost"),
        ({}, {"tenant": "other"}, "tenant"),
    ],
)
@pytest.mark.req("2.1c", mutant="narrowing-widens")
def test_a_visible_widening_is_refused_by_its_part(parent: dict[str, Any], less: dict[str, Any], part: str) -> None:
    """What a child asks for beyond its parent is an error that names the facet, not a silent cut."""
    with pytest.raises(BadValue, match=re.escape(f"grant.{part}")):
        narrow(grant(**parent), **less)


def test_a_narrower_grant_ends_with_its_parent_and_keeps_what_is_not_named() -> None:
    """Expiry is the earlier of the two; facets that are not named are the parent's."""
    parent = grant(tools=("a", "b"), expires_ms=500, budget=Budget(effects=3))
    child = narrow(parent, tools=("a",), expires_ms=900, id="gr_2")
    assert (child.parent, child.expires_ms, child.budget, child.tools) == ("gr_1", 500, Budget(effects=3), ("a",))
    assert narrow(parent, expires_ms=400).expires_ms == 400


@pytest.mark.parametrize(
    "wrong",
    [
        {"tools": ("ref*",)},
        {"tools": ("",)},
        {"holder": " "},
        {"quorum": 0},
        {"budget": Budget(steps=3)},
        {"budget": Budget(tokens=3)},
        {"group": "ops"},
        {"quorum": 2},
        {"asks": ("a\nb",), "group": "ops"},
    ],
)
def test_a_grant_that_says_nothing_clear_is_refused(wrong: dict[str, Any]) -> None:
    """A name with a wildcard, nobody as holder, a quorum of none, a group that is asked for nothing."""
    with pytest.raises(BadValue):
        checked(grant(**wrong))


def test_classes_are_named_or_all() -> None:
    """A star is all of them; a word that is none is refused with the words that are."""
    assert classes_of(["*"]) == tuple(EffectClass)
    assert classes_of(["irreversible", "read"]) == (EffectClass.READ, EffectClass.IRREVERSIBLE)
    with pytest.raises(BadValue, match="compensable"):
        classes_of(["reversible"])


# -- any sequence of narrowings, any call ---------------------------------------------------------------

NAMES = ("a", "b", "c")
PIECES = st.sampled_from(["a", "b", "/", ":", "*", "**", "%2F", "é", "."])
PATTERNS = st.one_of(
    st.just("*"),
    st.sampled_from(["x:a", "x:*", "x:a/*", "x:a/**", "**", "y:**", "x:a/b", "x:*/b"]),
    st.lists(PIECES, min_size=1, max_size=5).map("".join),
)
RESOURCES = st.one_of(
    st.sampled_from(["x:a", "x:a/b", "x:a%2Fb", "x:b", "y:a/b/c", "x:a/..", "x:a%2F..%2Fb", ""]),
    st.lists(st.sampled_from(["x:", "a", "b", "/", ":", "%2F", "%C3%A9", ".", "%3A"]), max_size=6).map("".join),
)
WORDS = st.one_of(st.just(ALL), st.lists(st.sampled_from(NAMES), max_size=3, unique=True).map(tuple))
FACETS = st.fixed_dictionaries(
    {},
    optional={
        "tools": WORDS,
        "environments": WORDS,
        "resources": st.lists(PATTERNS, max_size=3).map(tuple),
        "classes": st.lists(st.sampled_from(list(EffectClass)), max_size=4, unique=True).map(tuple),
        "expires_ms": st.integers(1, 10),
        "budget": st.builds(Budget, effects=st.one_of(st.none(), st.integers(0, 3))),
        "asks": WORDS,
    },
)
CALLS = st.builds(
    Facts,
    tool=st.sampled_from(NAMES),
    resource=RESOURCES,
    environment=st.sampled_from(NAMES),
    effect_class=st.sampled_from([c.value for c in EffectClass]),
    tenant=st.sampled_from(["main", "main", "other"]),
    at_ms=st.integers(0, 12),
)


@pytest.mark.req("2.1c", "2.2b", mutant="narrowing-widens")
@given(FACETS, st.lists(FACETS, max_size=5), st.lists(CALLS, min_size=1, max_size=20))
@settings(max_examples=600, suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_no_sequence_of_narrowings_allows_what_a_parent_refused(
    root: dict[str, Any], narrowings: list[dict[str, Any]], calls: list[Facts]
) -> None:
    """Each grant by itself, and the chain as a whole, refuses whatever any grant above it refused."""
    try:
        chain = [checked(grant(**root))]
    except BadValue:
        return
    for number, less in enumerate(narrowings):
        try:
            chain.append(narrow(chain[-1], **less, id=f"gr_{number + 2}"))
        except BadValue:
            continue
    for facts in calls:
        refused = [bool(covers(one, facts)) for one in chain]
        assert refused == sorted(refused), (chain, facts)
        assert bool(uncovered(chain, facts)) is any(refused)
        demand = [asked_by(chain[: length + 1], facts.tool) for length in range(len(chain))]
        quorums = [asks.quorum if asks is not None else 0 for asks in demand]
        assert quorums == sorted(quorums)
    budgets = [one.budget.effects if one.budget.effects is not None else 99 for one in chain]
    assert budgets == sorted(budgets, reverse=True)


@pytest.mark.req("2.1c", mutant="narrowing-widens")
@given(PATTERNS, PATTERNS, st.lists(RESOURCES, min_size=1, max_size=30))
@settings(max_examples=600, deadline=None)
def test_a_pattern_within_another_covers_nothing_more(child: str, parent: str, names: list[str]) -> None:
    """What is called contained is contained, on every name that is tried."""
    try:
        contained = within(child, parent)
    except BadValue:
        return
    if contained:
        for name in names:
            assert not matches(child, name) or matches(parent, name), (child, parent, name)
