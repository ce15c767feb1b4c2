"""Sealing: production is refused while anything is incomplete, or while the profile is not the one that is found.

Decides from what is there: contracts and who accepted them, rules and whether anybody could answer what they ask, files
and who could read or replace them. ``embedded`` says that planners run as the same operating-system user as the runtime
(a planner in Python can reach whatever the runtime can). ``separated`` says that they run as another one, and is
believed only where the permissions along every path say that this user can neither read nor replace the store, the
remembered head, the policy and the keys.

Promises that every problem is named at once. Does NOT see what permissions do not show: sudo rules, capabilities,
debuggers, mounts of another container; a file with an access list (ACL) is refused rather than judged.
"""

from __future__ import annotations

import os
import pwd
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from holdfast.gate.examples import files_beside
from holdfast.gate.policy import TEXT_NAME, PolicySet
from holdfast.kernel.commit import STORE_RUN_ID, Change, Note
from holdfast.kernel.documents import AnyDocument, Approver
from holdfast.kernel.errors import SealRefused
from holdfast.kernel.model import Contract, EffectClass
from holdfast.runtime import review
from holdfast.store.heads import state_directory
from holdfast.tools.arguments import listed

PROFILES: Final = ("embedded", "separated")
PATHS: Final = frozenset(("path", "paths", "file", "files", "filename", "folder", "directory", "dir"))
ADDRESSES: Final = frozenset(("url", "urls", "uri", "href", "link", "endpoint", "webhook"))
ACCESS_LIST: Final = "system.posix_acl_access"
_WORDS: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


class Store(review.Store, Protocol):
    """What sealing asks a store."""

    def restored(self) -> bool:
        """Whether it was restored and not released."""
        ...

    def documents(self, kind: str, run: str = "", limit: int = 10_000) -> list[AnyDocument]:
        """Every document of a kind."""
        ...


def keys_at() -> Path:
    """Where this user's own private keys lie, as the command line looks for them."""
    if named := os.environ.get("HOLDFAST_KEYS"):
        return Path(named)
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "holdfast" / "keys"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What is to be sealed. ``policy_from`` is what the application was opened with; ``keys`` a folder; ``file`` the
    store's, None where it is on a server.
    """

    store: Store
    file: Path | None
    contracts: Mapping[str, Contract]
    policy: PolicySet
    policy_from: str | Path | None = None
    keys: Path = field(default_factory=keys_at)
    accepts_contracts: bool = False
    profile: str = "embedded"
    planner_user: str = ""

    @property
    def policy_at(self) -> Path | None:
        """The file or folder of the policy; None where it was given as text, or is the starter policy."""
        return None if self.policy_from is None or TEXT_NAME in self.policy.sources else Path(self.policy_from)


def seal(what: Sealed, *, by: str) -> tuple[str, ...]:
    """Seal, and record under which profile; returns what should be known. Raises SealRefused naming every problem."""
    found = tuple(problems(what))
    if found:
        raise SealRefused(problems=found)
    known = remarks(what)
    body: dict[str, Any] = {"profile": what.profile, "planner_user": what.planner_user, "remarks": list(known)}
    what.store.commit_now(Change(run=STORE_RUN_ID, notes=(Note(kind="sealed", by=by, body=body),)))
    return known


def problems(what: Sealed) -> Iterator[str]:
    """Everything that keeps an application from being sealed, one sentence each."""
    if what.store.restored():
        yield "the store is in restored mode: holdfast store release"
    if what.accepts_contracts:
        yield "it was opened with accept_contracts, which puts changed contracts in force unseen"
    if not what.contracts:
        yield "no tool is registered"
    for contract in what.contracts.values():
        yield from _of_contract(contract, what.policy)
    for name in review.never_reviewed(what.store, what.contracts.values()):
        yield f"nobody has accepted the contract of {name}: holdfast tool review {name}"
    yield from _of_approvers(what)
    yield from _of_profile(what)


def remarks(what: Sealed) -> tuple[str, ...]:
    """What does not stand in the way and should be known."""
    known = []
    if what.file is None:
        known.append("the store is on a server: who else may connect there, and as whom, is not judged here")
    if what.policy_at is None:
        known.append("the policy has no file, so no examples stand beside it")
    elif not files_beside(what.policy_at):
        why = "nothing shows what it is meant to answer"
        known.append(f"no examples stand beside the policy at {what.policy_at}: {why}")
    return tuple(known)


def _of_contract(contract: Contract, policy: PolicySet) -> Iterator[str]:
    name = contract.name
    if contract.effect is not EffectClass.READ and not contract.owner:
        yield f"{name} has no owner"
    if not policy.rules_for(name):
        yield f"no rule speaks of {name}: every call would be refused"
    for argument, node in listed(contract.schema).items():
        kind = leads(argument, node)
        if kind and argument not in contract.bounds:
            how = "hf.hosts(...)" if kind == "an address" else "hf.inside(...)"
            yield f'{name}: argument {argument} is {kind} without a bound: bounds={{"{argument}": {how}}}'


def leads(argument: str, node: Any) -> str:
    """Whether an argument looks as if it led somewhere: *a path*, *an address*, or empty.

    By its format, else by a word of its name. One that its schema limits to a pattern or to listed values is not meant.
    """
    schema: Mapping[str, Any] = node if isinstance(node, Mapping) else {}
    items = schema.get("items")
    inner: Mapping[str, Any] = items if isinstance(items, Mapping) else schema
    if any(word in inner for word in ("enum", "const", "pattern")):
        return ""
    if str(inner.get("format", "")).startswith(("uri", "iri")):
        return "an address"
    if "type" in inner and "string" not in inner["type"]:
        return ""
    words = {word.lower() for word in _WORDS.findall(argument)}
    return "an address" if words & ADDRESSES else "a path" if words & PATHS else ""


def _of_approvers(what: Sealed) -> Iterator[str]:
    """Rules that ask whom nobody could answer."""
    now_ms = what.store.now_ms()
    people = [d for d in what.store.documents("approver") if isinstance(d, Approver)]
    for rule in what.policy.rules.values():
        if not rule.asks or not rule.tools & what.contracts.keys():
            continue
        there = sum(person.holds(rule.approver_group, now_ms) for person in people)
        if there < rule.quorum:
            whom = f"the group {rule.approver_group}" if rule.approver_group else "any approver"
            yield f"rule {rule.id} asks {rule.quorum} of {whom}, and {there} can answer: holdfast approver add"


# ------------------------------------------------------------------------------------------------- the profile


class Person(NamedTuple):
    """An operating-system user, with every group."""

    name: str
    uid: int
    gids: frozenset[int]


def _of_profile(what: Sealed) -> Iterator[str]:
    if what.profile not in PROFILES:
        yield f'there is no profile "{what.profile}": {" or ".join(PROFILES)}'
        return
    private, public = tuple(_private(what)), tuple(_files(what.policy_at))
    for path in private:
        yield from _kept_private(path)
    for path in public:
        yield from _not_replaced(path)
    if what.profile == "embedded":
        if what.planner_user:
            yield f"planners run as {what.planner_user}, which is the profile separated, and embedded was asked for"
        return
    yield from _separated(what.planner_user, (*private, *public))


def _separated(planner: str, paths: Iterable[Path]) -> Iterator[str]:
    """Whether planners are kept apart, as it is found."""
    if not planner:
        yield "the profile separated needs planner_user=, the operating-system user that planners run as"
        return
    try:
        user = pwd.getpwnam(planner)
    except KeyError:
        yield f"there is no operating-system user {planner}, so the profile found is embedded"
        return
    if user.pw_uid in (os.geteuid(), os.getuid()):
        yield f"planners run as {planner}, which is also who runs this: the profile found is embedded"
        return
    if user.pw_uid == 0:
        yield f"{planner} is the superuser, who can read everything: the profile found is embedded"
        return
    person = Person(planner, user.pw_uid, frozenset(os.getgrouplist(planner, user.pw_gid)))
    for path in paths:
        for done in can_do(person, path):
            yield f"{planner} can {done} {path}: the profile found is embedded"


def can_do(person: Person, path: Path) -> tuple[str, ...]:
    """What the permissions along a path let somebody do with a file: ``read``, ``replace``."""
    place = Path(os.path.realpath(path))
    above = [*reversed(place.parents)]
    reached = all(_may(person, folder, stat.S_IXOTH) for folder in above)
    found = []
    if reached and _may(person, place, stat.S_IROTH):
        found.append("read")
    if (reached and _may(person, place, stat.S_IWOTH)) or any(
        _may_rename_in(person, folder, child, above[:number])
        for number, (folder, child) in enumerate(zip(above, [*above[1:], place], strict=True))
    ):
        found.append("replace")
    return tuple(found)


def _may(person: Person, path: Path, bit: int) -> bool:
    """Whether somebody has a permission, ``bit`` as it is written for others; an owner can give it to themselves."""
    about = path.stat()
    if person.uid in (0, about.st_uid):
        return True
    shift = 3 if about.st_gid in person.gids else 0
    return bool(about.st_mode & (bit << shift))


def _may_rename_in(person: Person, folder: Path, child: Path, above: list[Path]) -> bool:
    """Whether somebody can put another thing in the place of ``child``."""
    if not all(_may(person, one, stat.S_IXOTH) for one in above):
        return False
    if not (_may(person, folder, stat.S_IWOTH) and _may(person, folder, stat.S_IXOTH)):
        return False
    # In a sticky folder only the owner of the thing, or of the folder, may take it away.
    kept = folder.stat().st_mode & stat.S_ISVTX
    return not kept or person.uid in (child.stat().st_uid, folder.stat().st_uid)


def _private(what: Sealed) -> Iterator[Path]:
    """What nobody else should read: the store with its logs, or the files that say how a server is reached; the
    remembered heads, private keys.
    """
    store = what.file
    if store is None:
        yield from (path for path in _credentials() if path.exists())
    else:
        yield from (p for p in (store, Path(f"{store}-wal"), Path(f"{store}-shm")) if p.exists())
    for folder in (state_directory(), what.keys):
        yield from _files(folder)


def _credentials() -> Iterator[Path]:
    """Where libpq looks for passwords and private keys, when nothing else is said."""
    yield Path(os.environ.get("PGPASSFILE") or Path.home() / ".pgpass")
    yield Path(os.environ.get("PGSERVICEFILE") or Path.home() / ".pg_service.conf")
    yield Path(os.environ.get("PGSSLKEY") or Path.home() / ".postgresql" / "postgresql.key")


def _files(at: Path | None) -> Iterator[Path]:
    """A file, or every file of a folder and the folder itself; nothing where it is not there."""
    if at is None or not at.exists():
        return
    yield at
    if at.is_dir():
        yield from sorted(path for path in at.iterdir() if path.is_file())


def _kept_private(path: Path) -> Iterator[str]:
    about = path.stat()
    if about.st_uid not in (os.geteuid(), 0):
        yield f"{path} belongs to another user"
    if path.is_dir():
        if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            yield f"{path} can be changed by others: chmod 700"
    elif about.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        yield f"{path} can be read or changed by others: chmod 600"
    yield from _no_access_list(path)


def _not_replaced(path: Path) -> Iterator[str]:
    """A policy may be read by anybody and changed by nobody else."""
    about = path.stat()
    if about.st_uid not in (os.geteuid(), 0):
        yield f"{path} belongs to another user"
    if about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        yield f"{path} can be changed by others: chmod go-w"
    yield from _no_access_list(path)


def _no_access_list(path: Path) -> Iterator[str]:
    read = getattr(os, "getxattr", None)
    if read is None:
        return
    try:
        read(path, ACCESS_LIST)
    except OSError:
        return  # There is none, or this file system knows none.
    yield f"{path} has an access list (ACL), which is not judged: setfacl -b"
