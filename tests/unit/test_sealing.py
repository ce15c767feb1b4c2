"""Sealing: every gap keeps production away, and the profile is what is found, not what is claimed."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import holdfast as hf
from holdfast import sealing
from holdfast.gate.signing import Key
from holdfast.kernel.commit import STORE_RUN_ID
from holdfast.kernel.errors import SealRefused
from holdfast.runtime import review

ALLOW = '@id("all") permit (principal, action, resource);'
ASK = '@id("ask") @approvers("finance") @quorum("2") permit (principal, action, resource) when { context.approved };'
OTHER = "nobody"  # every system has this user, and no test runs as it


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of ours below the system's own folder for temporary files, which everybody can look into."""
    home = Path(tempfile.mkdtemp(prefix="holdfast-seal-"))
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(home / "state"))
    monkeypatch.setenv("HOLDFAST_KEYS", str(home / "keys"))
    yield home
    shutil.rmtree(home)


def ship(**changes: Any) -> hf.Tool[..., Any]:
    declared: dict[str, Any] = {
        "effect": "irreversible", "resource": "order:{order}", "identity": ("order",), "owner": "logistics",
        "no_probe": "none",
    }  # fmt: skip

    async def ship(fx: hf.Fx, *, order: str) -> None:
        """Ship an order."""

    return hf.tool(**declared | changes)(ship)


class Sealing:
    """An application that is complete, and what sealing it answers."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.policy: Path | str = home / "policy.cedar"
        Path(self.policy).write_text(ALLOW)
        Path(self.policy).chmod(0o600)

    async def __call__(
        self, *tools: hf.Tool[..., Any], accept: bool = True, prepare: Any = None, seal: Any = (), **more: Any
    ) -> Any:
        """Seal what is opened with these; a tuple of problems, or the remarks as a list."""
        tools = tools or (ship(),)
        url = f"sqlite:{self.home / 'h.db'}"
        async with hf.open(url, tools=tools, policy=self.policy, recover=False, **more) as app:
            if accept:
                for contract in app.registry.contracts.values():
                    review.accept(
                        app.store, contract.name, contract.version, expected=contract.version, who="dana",
                        reason="read it", evidence={},
                    )  # fmt: skip
            if prepare is not None:
                prepare(app)
            try:
                return list(app.seal(*seal[:1], **(seal[1] if len(seal) > 1 else {})))
            except SealRefused as refused:
                return refused.problems
            finally:
                self.notes = [e.kind for e in app.store.entries(STORE_RUN_ID)]


@pytest.fixture
def sealed(home: Path) -> Sealing:
    return Sealing(home)


async def test_complete_application_is_sealed_and_the_record_says_under_which_profile(sealed: Sealing) -> None:
    """Nothing is in the way; that no examples stand beside the policy is only remarked."""
    (remark,) = await sealed()
    assert "no examples stand beside the policy" in remark
    assert "sealed" in sealed.notes
    (sealed.home / "policy.examples.toml").write_text("")
    assert await sealed() == []


@pytest.mark.req("2.2a", mutant="seal-closes-over-anything")
async def test_every_gap_is_named_at_once_and_nothing_is_sealed(sealed: Sealing) -> None:
    """A tool without a rule, a contract that nobody accepted, and contracts that were put in force unseen."""
    sealed.policy = 'permit (principal, action == Action::"pack", resource);'
    found = await sealed(ship(), ship(name="pack"), accept=False, accept_contracts=True)
    assert isinstance(found, tuple)
    for wanted in (
        "accept_contracts",
        "no rule speaks of ship",
        "nobody has accepted the contract of ship: holdfast tool review ship",
        "nobody has accepted the contract of pack",
    ):
        assert any(wanted in problem for problem in found), wanted
    assert "sealed" not in sealed.notes


@pytest.mark.req("2.2c", mutant="seal-closes-over-anything")
async def test_changed_contract_that_waits_for_a_review_is_not_sealed(sealed: Sealing) -> None:
    """Accepted once is not accepted for ever: it is this version or none."""
    assert isinstance(await sealed(), list)
    found = await sealed(ship(side_effects=("mails",)), accept=False)
    assert found == ("nobody has accepted the contract of ship: holdfast tool review ship",)


async def test_application_without_tools_is_not_sealed(home: Path) -> None:
    """There is nothing that it could hold."""
    async with hf.open(f"sqlite:{home / 'h.db'}", policy=ALLOW, recover=False) as app:
        with pytest.raises(SealRefused, match="no tool is registered"):
            app.seal()


@pytest.mark.req("2.2a", mutant="seal-closes-over-anything")
async def test_argument_that_leads_somewhere_needs_a_bound(sealed: Sealing) -> None:
    """A path or an address is known by its format or by a word of its name; listed values need none."""

    @hf.tool(effect="read", resource="x")
    async def fetch(fx: hf.Fx, *, callbackUrl: str, source_path: str, mode: str = "r") -> None:  # noqa: N803
        """Fetch."""

    found = await sealed(fetch)
    assert found == (
        'fetch: argument callbackUrl is an address without a bound: bounds={"callbackUrl": hf.hosts(...)}',
        'fetch: argument source_path is a path without a bound: bounds={"source_path": hf.inside(...)}',
    )
    assert sealing.leads("n", {"type": "string", "format": "uri"}) == "an address"
    assert sealing.leads("files", {"type": "array", "items": {"type": "string"}}) == "a path"
    for argument, node in (
        ("path", {"type": "string", "enum": ["a"]}),
        ("url", {"type": "string", "pattern": "^a$"}),
        ("file", {"type": "integer"}),
        ("profile", {"type": "string"}),
        ("note", {"type": "string"}),
    ):
        assert sealing.leads(argument, node) == ""


async def test_rule_that_asks_whom_nobody_could_answer_is_not_sealed(sealed: Sealing) -> None:
    """A quorum of two needs two good keys in the group; one, or one elsewhere, is too few."""
    Path(sealed.policy).write_text(ASK)
    (found,) = await sealed()
    assert "rule ask asks 2 of the group finance, and 0 can answer" in found
    dana, eve, finn = (Key.make(name) for name in ("dana", "eve", "finn"))

    def one(app: hf.App) -> None:
        app.approvers.add(dana, groups=("finance", "admins"), reason="test")
        app.approvers.add(finn, groups=("legal",), reason="test", by=dana)

    (found,) = await sealed(prepare=one)
    assert "1 can answer" in found

    def two(app: hf.App) -> None:
        app.approvers.add(eve, groups=("finance",), reason="test", by=dana)

    assert isinstance(await sealed(prepare=two), list)


@pytest.mark.req("2.2b", mutant="seal-closes-over-anything")
@pytest.mark.parametrize(
    ("name", "mode", "said"),
    [
        ("h.db", 0o640, "h.db can be read or changed by others: chmod 600"),
        ("h.db", 0o606, "h.db can be read or changed by others: chmod 600"),
        ("keys/dana.key", 0o644, "dana.key can be read or changed by others: chmod 600"),
        ("keys", 0o770, "keys can be changed by others: chmod 700"),
        ("policy.cedar", 0o664, "policy.cedar can be changed by others: chmod go-w"),
        ("policy.cedar", 0o602, "policy.cedar can be changed by others: chmod go-w"),
    ],
)
async def test_file_that_others_could_read_or_change_is_not_sealed(
    sealed: Sealing, name: str, mode: int, said: str
) -> None:
    """The store and keys are their owner's alone; a policy may be read by all and changed by nobody else."""
    Key.make("dana").save(sealed.home / "keys" / "dana.key")

    def loosen(_app: hf.App) -> None:
        (sealed.home / name).chmod(mode)

    found = await sealed(prepare=loosen)
    assert any(said in problem for problem in found), found


# ------------------------------------------------------------------------------------------------- the profile


@pytest.mark.req("2.2b", mutant="seal-closes-over-anything")
@pytest.mark.parametrize(
    ("profile", "planner", "said"),
    [
        ("strict", "", 'there is no profile "strict"'),
        ("separated", "", "needs planner_user="),
        ("separated", "no-such-user-here", "the profile found is embedded"),
        ("separated", pwd.getpwuid(os.geteuid()).pw_name, "also who runs this: the profile found is embedded"),
        ("embedded", OTHER, "which is the profile separated"),
    ],
)
async def test_profile_that_is_not_the_one_found_is_not_sealed(
    sealed: Sealing, profile: str, planner: str, said: str
) -> None:
    """A planner's user has to be named, to exist, and to be another one."""
    found = await sealed(seal=(profile, {"planner_user": planner}))
    assert isinstance(found, tuple)
    assert any(said in problem for problem in found), found


async def test_planner_as_another_user_who_can_reach_nothing_is_separated(sealed: Sealing) -> None:
    """Found by the permissions of every file on the way, not by what somebody says."""
    assert isinstance(await sealed(seal=("separated", {"planner_user": OTHER})), list)


def looser(home: Path, where: str) -> None:
    """Let others at one thing, without opening the store to them."""
    home.chmod(0o755)
    if where == "the policy can be read":
        (home / "policy.cedar").chmod(0o644)
    elif where == "a folder can be written":
        home.chmod(0o777)
    else:
        (home / "h.db").chmod(0o644)


@pytest.mark.req("2.2b", mutant="seal-closes-over-anything")
@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("the policy can be read", "nobody can read"),
        ("a folder can be written", "nobody can replace"),
        ("the store can be read", "nobody can read"),
    ],
)  # fmt: skip
async def test_planner_who_can_read_or_replace_anything_is_not_separated(
    sealed: Sealing, where: str, said: str
) -> None:
    """One loose permission on the way is enough, and is named with the file."""
    found = await sealed(prepare=lambda app: looser(sealed.home, where), seal=("separated", {"planner_user": OTHER}))
    assert any(said in problem and "the profile found is embedded" in problem for problem in found), found


def test_permissions_along_a_path_are_judged_as_the_system_does(tmp_path: Path) -> None:
    """Owner, group and others; a closed folder hides what is open in it; a sticky folder keeps others' files."""
    us = sealing.Person("us", os.geteuid() or 12_345, frozenset())
    other = sealing.Person("other", 54_321, frozenset({tmp_path.stat().st_gid}))
    far = sealing.Person("far", 54_322, frozenset({54_322}))
    home = Path(tempfile.mkdtemp(prefix="holdfast-may-"))
    try:
        place = home / "in" / "file"
        place.parent.mkdir()
        place.write_text("x")
        os.chown(home, -1, tmp_path.stat().st_gid)
        for path in (place, place.parent):
            os.chown(path, -1, tmp_path.stat().st_gid)
        home.chmod(0o755)
        place.parent.chmod(0o755)
        place.chmod(0o640)
        assert sealing.can_do(other, place) == ("read",)
        assert sealing.can_do(far, place) == ()
        place.chmod(0o604)
        assert sealing.can_do(other, place) == ()  # the group's own bits count, not those of all others
        assert sealing.can_do(far, place) == ("read",)
        place.parent.chmod(0o700)
        assert sealing.can_do(far, place) == ()
        place.parent.chmod(0o703)
        place.chmod(0o600)
        assert sealing.can_do(far, place) == ("replace",)
        place.parent.chmod(0o1703)
        assert sealing.can_do(far, place) == ()
        link = home / "link"
        link.symlink_to(place)
        assert sealing.can_do(far, link) == ()
        assert sealing.can_do(sealing.Person("root", 0, frozenset()), place) == ("read", "replace")
        if os.geteuid():
            assert sealing.can_do(us, place) == ("read", "replace")
    finally:
        shutil.rmtree(home)
