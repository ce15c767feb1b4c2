"""Who may decide, and how that changes: the first on somebody's word, every other by the signature of one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import holdfast as hf
from holdfast.cli.main import run
from holdfast.gate.signing import Key, good, public_key_of
from holdfast.kernel.canon import decode, encode
from holdfast.kernel.commit import STORE_RUN_ID
from holdfast.kernel.errors import ApproversUnchanged, BadConfig
from holdfast.kernel.statement import act
from holdfast.runtime import approvers
from holdfast.store import open_store
from tests.approving import ROOT, key_of, register
from tests.unit.runtime.rig import Rig


@pytest.fixture(autouse=True)
def _fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOLDFAST_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("HOLDFAST_KEYS", str(tmp_path / "keys"))
    monkeypatch.delenv("HOLDFAST_CONFIG", raising=False)
    yield


def desk() -> approvers.Desk:
    """An empty store."""
    return Rig().store.face("cli")


@pytest.mark.req("2.6a", mutant="anybody-registers")
def test_first_is_taken_on_a_word_and_every_other_is_signed_by_an_admin() -> None:
    """The first one is in admins; without a signature, or with one of somebody who is not there, nothing changes."""
    store, root = desk(), key_of(ROOT)
    first = approvers.add(store, ROOT, root.public_key, vouched_by="this test")
    assert (first.groups, first.by) == ((approvers.ADMINS,), "this test")
    approvers.add(store, "ann", key_of("ann").public_key, groups=["ops"], signer=root)
    eve = key_of("eve")
    for signer in (None, key_of("ann"), eve, Key(ROOT, eve._private)):
        with pytest.raises(ApproversUnchanged):
            approvers.add(store, "eve", eve.public_key, signer=signer)
        if signer is not None:
            with pytest.raises(ApproversUnchanged):
                approvers.regroup(store, "ann", ["ops", approvers.ADMINS], signer=signer)
            with pytest.raises(ApproversUnchanged):
                approvers.rekey(store, "ann", eve.public_key, signer=signer)
    assert [person.name for person in approvers.everybody(store)] == ["ann", ROOT]


@pytest.mark.req("2.6a", mutant="one-key-two-names")
def test_one_key_is_one_persons() -> None:
    """The key of one name is refused under another, as a new person's and in place of somebody's own."""
    store = desk()
    register(store, "ann", "bob")
    with pytest.raises(ApproversUnchanged, match="key of ann"):
        approvers.add(store, "kim", key_of("ann").public_key, signer=key_of(ROOT))
    with pytest.raises(ApproversUnchanged, match="key of ann"):
        approvers.rekey(store, "bob", key_of("ann").public_key, signer=key_of(ROOT))
    assert "kim" not in approvers.Approvers(store)


@pytest.mark.parametrize("name", ["ANN", "ann ", "an\u200bn", "\uff41nn", "a n n"])
def test_one_name_is_one_persons_in_every_spelling(name: str) -> None:
    """A second registration under another spelling is refused."""
    store = desk()
    register(store, "ann")
    with pytest.raises(ApproversUnchanged, match="registered, in this or another spelling"):
        approvers.add(store, name, Key.make("x").public_key, signer=key_of(ROOT))


@pytest.mark.parametrize("name", ["", "  ", "../root", "a/b", ".hidden", "\u0430nn", "x" * 65, "a\nb:c", "a:b"])
def test_name_that_could_be_taken_for_another_or_for_a_path_is_refused(name: str) -> None:
    """Nothing to see, a path, a mix of alphabets that look alike, too long: no such person is registered."""
    with pytest.raises(ApproversUnchanged):
        approvers.add(desk(), name, key_of("ann").public_key)


@pytest.mark.parametrize(
    "public",
    [
        "",
        "00",
        "zz" * 32,
        key_of("ann").public_key.upper(),
        "01" + "00" * 31,
        "ec" + "ff" * 30 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ],
)
def test_what_is_no_key_or_signs_everything_is_refused(public: str) -> None:
    """Wrong length, no digits, another spelling of one, and points of small order, under which anybody can sign."""
    with pytest.raises(ApproversUnchanged):
        approvers.add(desk(), "ann", public)


@pytest.mark.req("2.6a", mutant="last-admin-goes")
def test_somebody_who_can_change_approvers_stays() -> None:
    """The last admin is neither revoked, nor put elsewhere, nor given a key that expires; a first one that would is no
    first one.
    """
    store, root = desk(), key_of(ROOT)
    with pytest.raises(ApproversUnchanged, match="does not expire"):
        approvers.add(store, ROOT, root.public_key, expires_ms=store.now_ms() + 1_000)
    register(store, "ann")
    with pytest.raises(ApproversUnchanged, match="nobody would be left"):
        approvers.revoke(store, ROOT, signer=root, reason="bye")
    with pytest.raises(ApproversUnchanged, match="nobody would be left"):
        approvers.regroup(store, ROOT, ["ops"], signer=root)
    with pytest.raises(ApproversUnchanged, match="nobody would be left"):
        approvers.rekey(store, ROOT, key_of(ROOT, 1).public_key, signer=root, expires_ms=store.now_ms() + 9_000)
    approvers.regroup(store, "ann", [approvers.ADMINS], signer=root)
    assert approvers.revoke(store, ROOT, signer=key_of("ann"), reason="bye").revoked_ms


@pytest.mark.req("2.6a", mutant="planner-decides")
async def test_planners_name_is_not_registered() -> None:
    """A name that a run knows as a planner's does not become an approver's."""
    async with hf.open("sqlite:h.db", recover=False) as app:
        await app.begin(hf.Intent(goal="g", purpose="p", principal=hf.Principal(name="Coder", kind="planner")))
        await app.store.flush()
        app.approvers.add(key_of(ROOT))
        with pytest.raises(ApproversUnchanged, match="planner"):
            app.approvers.add(key_of("coder"), by=key_of(ROOT))


def test_two_changes_at_one_time_are_one_change() -> None:
    """Two who both found nobody registered do not both become the first: the second finds out that it is not."""
    store = desk()
    seen = approvers.everybody(store)
    assert seen == []

    class Late:
        """A desk that still sees what was there before."""

        document, fact, now_ms = store.document, lambda self, scope: None, store.now_ms

        def documents(self, kind: str) -> list[object]:
            return []

        def commit_now(self, change: object) -> object:
            return store.commit_now(change)  # type: ignore[arg-type]

    approvers.add(store, ROOT, key_of(ROOT).public_key)
    with pytest.raises(ApproversUnchanged, match="moved since"):
        approvers.add(Late(), "eve", key_of("eve").public_key)  # type: ignore[arg-type]
    assert [person.name for person in approvers.everybody(store)] == [ROOT]


async def test_each_change_is_an_entry_with_a_signature_over_the_document() -> None:
    """Who was added, by whom, and a signature that anybody can check against the document's digest."""
    async with hf.open("sqlite:h.db", recover=False) as app:
        app.approvers.add(key_of(ROOT))
        app.approvers.add(key_of("ann"), groups=["ops"], expires="90d", by=key_of(ROOT), reason="joined the team")
        app.store.verify()
        bodies = [decode(e.body or b"{}") for e in app.store.entries(STORE_RUN_ID) if e.kind == "approver"]
        digests = [decode(e.body or b"{}") for e in app.store.entries(STORE_RUN_ID) if e.kind == "document"]
        [root, ann] = app.approvers
    assert "bootstrap" in bodies[0]
    assert "bootstrap" not in bodies[1]
    signed = bodies[1]["evidence"]
    message = act("approver", "ann", ROOT, signed["key"], signed["said"])
    assert good(key_of(ROOT).public_key, message, signed["signature"])
    assert not good(key_of("eve").public_key, message, signed["signature"])
    assert signed["said"]["document"] == digests[-1]["documents"]["approver:ann"]
    assert {root.name, ann.name} == {ROOT, "ann"}
    assert encode(signed["said"])


def test_threads_of_a_blocking_program_register_and_approve() -> None:
    """The synchronous face has the same acts, from a thread that is not the loop's."""

    @hf.tool(effect="idempotent", resource="box:{box}", identity=("box",), owner="ops", no_probe="none", name="put")
    def put(fx: hf.Fx, *, box: str) -> str:
        return "done"

    policy = "permit (principal, action, resource) when { context.approved };"
    with hf.open("sqlite:h.db", tools=[put], policy=policy) as app:
        app.approvers.add(key_of("ann"))
        work = app.begin(hf.Intent(goal="g", purpose="p", principal="bot"))
        one, two = (work.call(put(box=box)) for box in "ab")
        assert isinstance(one, hf.Waiting)
        assert isinstance(two, hf.Waiting)
        app.approve(one.request, key=key_of("ann"))
        app.revoke_approval(one.request, key=key_of("ann"), reason="wrong box")
        app.refuse(two.request, key=key_of("ann"), reason="not now")
        assert [person.name for person in app.approvers] == ["ann"]
        assert {type(work.call(put(box=box))).__name__ for box in "ab"} == {"Refused"}


# ------------------------------------------------------------------------------------------------ keys


def test_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Written 0600 and never over another; one that others can read, or of another kind, is not used."""
    key = Key.make("ann")
    file = tmp_path / "keys" / "ann.key"
    key.save(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert Key.load("ann", file).public_key == key.public_key
    with pytest.raises(BadConfig):
        Key.make("ann").save(file)
    file.chmod(0o640)
    with pytest.raises(BadConfig, match="can be read by others"):
        Key.load("ann", file)


def test_keys_of_openssh_and_openssl_are_read(tmp_path: Path) -> None:
    """A private key in OpenSSH's form, and public halves as hex, as PEM and as an .pub line, name the same key."""
    private = Ed25519PrivateKey.generate()
    key, public, none = Key("ann", private), private.public_key(), serialization.NoEncryption()
    pem, ssh = serialization.Encoding.PEM, serialization.Encoding.OpenSSH
    own = tmp_path / "id_ed25519"
    own.write_bytes(private.private_bytes(pem, serialization.PrivateFormat.OpenSSH, none))
    own.chmod(0o600)
    assert Key.load("ann", own).key_id == key.key_id
    (tmp_path / "a.pub").write_bytes(public.public_bytes(ssh, serialization.PublicFormat.OpenSSH) + b" ann@here\n")
    (tmp_path / "a.pem").write_bytes(public.public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    (tmp_path / "a.hex").write_text(key.public_key + "\n")
    for given in (key.public_key.upper(), *(str(tmp_path / name) for name in ("a.pub", "a.pem", "a.hex"))):
        assert public_key_of(given) == key.public_key
    for given in (str(own), "nowhere", "ab"):
        with pytest.raises(BadConfig):
            public_key_of(given)


# ------------------------------------------------------------------------------------------------ the command line


def typed(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict]:
    """Exit code and document of a command."""
    code = run([*words, "--store", "sqlite:h.db", "--json"])
    document = json.loads(capsys.readouterr().out)
    return code, document.get("data") or document.get("error")


def test_people_are_registered_shown_and_revoked_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first says so loudly; without --as nobody else comes in; key, groups, list, show, revoke do what they say."""
    open_store("sqlite:h.db").close_now()
    code, first = typed(capsys, "approver", "add", "Maria", "--group", "billing")
    assert (code, first["bootstrap"], first["groups"]) == (0, True, ["admins", "billing"])
    assert (tmp_path / "keys" / "maria.key").stat().st_mode & 0o777 == 0o600
    assert typed(capsys, "approver", "add", "jonas")[0] == 5
    assert not (tmp_path / "keys" / "jonas.key").exists()
    code, own = typed(capsys, "approver", "key", "jonas", "--out", "jonas.pem")
    assert (code, own["registered"]) == (0, False)
    code, jonas = typed(
        capsys, "approver", "add", "jonas", "--public", own["public_key"], "--as", "maria", "--expires", "90d"
    )
    assert (code, jonas["key_made"], jonas["by"]) == (0, False, "Maria")
    assert jonas["expires_ms"] - jonas["at_ms"] in range(90 * 86_400_000 - 60_000, 90 * 86_400_000 + 60_000)
    assert typed(capsys, "approver", "groups", "jonas", "--group", "ops", "--as", "maria")[1]["groups"] == ["ops"]
    assert typed(capsys, "approver", "revoke", "maria", "--as", "maria", "--reason", "bye")[0] == 5
    assert typed(capsys, "approver", "revoke", "jonas", "--as", "jonas", "--key", "jonas.pem", "--reason", "x")[0] == 5
    code, gone = typed(capsys, "approver", "revoke", "jonas", "--as", "maria", "--reason", "lost")
    assert (code, gone["good"]) == (0, False)
    people = typed(capsys, "approver", "list")[1]
    assert {p["name"]: p["good"] for p in people} == {"Maria": True, "jonas": False}
    changes = typed(capsys, "approver", "show", "JONAS")[1]["changes"]
    assert [change["what"] for change in changes] == ["added", "regrouped", "revoked"]
    assert all("signature" in change["evidence"] for change in changes)
    assert typed(capsys, "approver", "show", "nobody")[0] == 2


def test_key_that_is_missing_is_named_with_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Acting as somebody without a key at hand, or under a name that leads elsewhere, opens nothing."""
    open_store("sqlite:h.db").close_now()
    code, error = typed(capsys, "approver", "add", "eve", "--as", "root")
    assert code == 2
    assert "holdfast approver add root" in error["message"]
    assert typed(capsys, "approver", "add", "../../x")[0] == 5
    assert typed(capsys, "approver", "add", "eve", "--as", "../../etc/x")[0] == 5
