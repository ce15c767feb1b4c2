"""``holdfast approver add|list|show|groups|revoke|key``: who may decide, under which key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from holdfast.cli.config import Settings
from holdfast.cli.shared import NO_OPTIONS, As, Misused, Reason, Shared, deciding, reading, vouched
from holdfast.kernel.errors import BadConfig, UnknownId
from holdfast.report.page import Page

app = App(name="approver", help="Approvers: who may decide requests, under which key.", help_format="plaintext")

KeyFile = Annotated[str, Parameter(name="--key")]
Groups = Annotated[tuple[str, ...], Parameter(name="--group", negative="")]


def key_file(settings: Settings, name: str) -> Path:
    """Where this person's own key lies unless they say otherwise. Raises ApproversUnchanged for what names no file."""
    from holdfast.kernel.authority import spelled
    from holdfast.runtime.approvers import nameable

    nameable(name, "found")
    return settings.keys / f"{spelled(name)}.key"


def signer_of(shared: Shared, name: str, key: str = "") -> Any:
    """The key of whoever acts, from ``--key`` or from the keys folder. Raises BadConfig."""
    from holdfast.gate.signing import Key

    file = Path(key) if key else key_file(shared.settings(), name)
    if not file.exists():
        make = f"make and register one: holdfast approver add {name}"
        why = f"there is no key of {name} there; name the file with --key, or {make}"
        raise BadConfig(file=str(file), key="--key" if key else "keys", nearest=None, why=why)
    return Key.load(name, file)


@app.command
def add(
    name: str,
    /,
    *,
    group: Groups = (),
    expires: Annotated[str, Parameter(name="--expires")] = "",
    public: Annotated[str, Parameter(name="--public")] = "",
    as_: As = "",
    key: KeyFile = "",
    reason: Reason = "",
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Register a person. Makes their key in the keys folder, or takes the public half of one they made themselves.

    Parameters
    ----------
    name
        Their name, as it will stand in the record.
    group
        A group that they speak for; may be given several times.
    expires
        How long their key is good, such as 90d [default: it does not expire].
    public
        Their public key: 64 hexadecimal digits, or a file (PEM, or OpenSSH's .pub).
    as_
        You, who are in the group admins. Not needed for the first approver of a store.
    key
        Your key's file [default: your name in the keys folder].
    reason
        Why, for whoever asks later.
    """
    from holdfast.gate.signing import Key, public_key_of
    from holdfast.kernel.amounts import parse_duration
    from holdfast.report.approver import approver_page
    from holdfast.runtime import approvers

    file, made, theirs = None, False, public_key_of(public) if public else ""
    span_ms = parse_duration(expires, name="--expires") if expires else 0
    signer = signer_of(shared, as_, key) if as_ else None
    with deciding(shared) as store:
        if not theirs:
            file = key_file(shared.settings(), name)
            made = not file.exists()
            own = Key.make(name) if made else Key.load(name, file)
            if made:
                own.save(file)
            theirs = own.public_key
        until_ms = store.now_ms() + span_ms if span_ms else 0
        try:
            person = approvers.add(
                store, name, theirs, groups=group, expires_ms=until_ms, reason=reason, signer=signer,
                vouched_by=vouched(),
            )  # fmt: skip
        except BaseException:
            if made and file is not None:
                file.unlink(missing_ok=True)
            raise
        return approver_page(person, store.now_ms(), file=str(file or ""), made=made, first=signer is None)


@app.command(name="list")
def list_(*, shared: Shared = NO_OPTIONS) -> Page:
    """Everybody who was ever registered, and whether their key is good."""
    from holdfast.report.approver import approver_list
    from holdfast.runtime.approvers import everybody

    with reading(shared) as store:
        return approver_list(everybody(store), store.now_ms())


@app.command
def show(name: str, /, *, shared: Shared = NO_OPTIONS) -> Page:
    """One person: their key, their groups, and every change of them with who signed it.

    Parameters
    ----------
    name
        Their name, in any spelling.
    """
    from holdfast.kernel.authority import spelled
    from holdfast.kernel.canon import decode
    from holdfast.kernel.commit import STORE_RUN_ID
    from holdfast.kernel.documents import Approver
    from holdfast.report.approver import Changed, approver_page

    with reading(shared) as store:
        person = store.document("approver", spelled(name))
        if not isinstance(person, Approver):
            raise UnknownId(given=name, kind="approver")
        entries = [e for e in store.entries(STORE_RUN_ID) if e.kind == "approver" and e.body]
        bodies = [(e, decode(e.body or b"{}")) for e in entries]
        changes = [Changed(e.at_ms, e.by, body) for e, body in bodies if body.get("approver") == person.id]
        return approver_page(person, store.now_ms(), changes=changes)


@app.command
def groups(
    name: str, /, *, group: Groups = (), as_: As, key: KeyFile = "", reason: Reason = "", shared: Shared = NO_OPTIONS
) -> Page:
    """Let a person speak for these groups and no other. A yes of theirs that was not used yet counts accordingly.

    Parameters
    ----------
    name
        Their name.
    group
        A group that they speak for; may be given several times.
    as_
        You, who are in the group admins.
    key
        Your key's file [default: your name in the keys folder].
    reason
        Why, for whoever asks later.
    """
    from holdfast.report.approver import approver_page
    from holdfast.runtime import approvers

    with deciding(shared) as store:
        person = approvers.regroup(store, name, group, signer=signer_of(shared, as_, key), reason=reason)
        return approver_page(person, store.now_ms())


@app.command
def revoke(name: str, /, *, as_: As, key: KeyFile = "", reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """End a person's key. What they signed and was not used yet no longer counts.

    Parameters
    ----------
    name
        Their name.
    as_
        You, who are in the group admins.
    key
        Your key's file [default: your name in the keys folder].
    reason
        Why, for whoever asks later.
    """
    from holdfast.report.approver import approver_page
    from holdfast.runtime import approvers

    with deciding(shared) as store:
        person = approvers.revoke(store, name, signer=signer_of(shared, as_, key), reason=reason)
        return approver_page(person, store.now_ms())


@app.command
def rekey(
    name: str,
    /,
    *,
    public: Annotated[str, Parameter(name="--public")],
    expires: Annotated[str, Parameter(name="--expires")] = "",
    as_: As,
    key: KeyFile = "",
    reason: Reason = "",
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Give a person another key, also after theirs was revoked. What the old one signed no longer counts.

    Parameters
    ----------
    name
        Their name.
    public
        Their new public key: 64 hexadecimal digits, or a file (PEM, or OpenSSH's .pub).
    expires
        How long it is good, such as 90d [default: it does not expire].
    as_
        You, who are in the group admins.
    key
        Your key's file [default: your name in the keys folder].
    reason
        Why, for whoever asks later.
    """
    from holdfast.gate.signing import public_key_of
    from holdfast.kernel.amounts import parse_duration
    from holdfast.report.approver import approver_page
    from holdfast.runtime import approvers

    span_ms = parse_duration(expires, name="--expires") if expires else 0
    with deciding(shared) as store:
        until_ms = store.now_ms() + span_ms if span_ms else 0
        signer = signer_of(shared, as_, key)
        new = public_key_of(public)
        person = approvers.rekey(store, name, new, signer=signer, reason=reason, expires_ms=until_ms)
        return approver_page(person, store.now_ms())


@app.command(name="key")
def key_(name: str, /, *, out: Annotated[str, Parameter(name="--out")] = "", shared: Shared = NO_OPTIONS) -> Page:
    """Make a key of your own without registering it. Its public half, in FILE.pub, is for whoever registers you.

    Parameters
    ----------
    name
        Your name.
    out
        Where to write it [default: your name in the keys folder]. An existing file is never written over.
    """
    from holdfast.gate.signing import Key
    from holdfast.report.approver import key_page

    file = Path(out) if out else key_file(shared.settings(), name)
    if file.exists():
        raise Misused(f"there is a key at {file}; it stays as it is (name another file with --out)")
    own = Key.make(name)
    own.save(file)
    Path(f"{file}.pub").write_text(f"{own.public_key}\n", encoding="ascii")
    return key_page(name, own.public_key, own.key_id, str(file))
