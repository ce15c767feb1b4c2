"""A git repository under holdfast: create and delete a branch, commit files, merge, take a commit back.

Git takes no idempotency key, and yet it can be held fast with what every git server has:

- **compare and swap**: a push names the value that each ref must still have, and the server checks it under its lock.
  So the contracts are ``conditional``: what was read before the dispatch (``fx.expect``) goes with the push;
- **several refs in one push, all or none**: beside each branch lies a *fence* (``refs/fences/BRANCH``) holding the
  highest token that was seen. Every push moves branch and fence together, so a sender with a lower token cannot land,
  however late. That makes the contracts ``fenced``. The fence is a write of its own and is declared as such;
- **a trailer** in the message, ``Holdfast-Key:``, by which the history can be searched;
- **content addressing**: the same effect builds the same commit, with the same id, on any machine.

The address comes from ``REPOSITORY_URL``. `plumbing.py` knows git and nothing of holdfast; this file is the contracts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import holdfast as hf
from examples.repository.plumbing import TRAILER, Clone, Refused, Unreadable, clone, head_at, is_branch, is_commit

LOOK_S: Final = 10.0

repository_tool = partial(
    hf.tool,
    fenced=True,
    conditional=True,
    lands_within="30s",
    timeout="10s",
    retry_after="200ms",
    owner="repository-oncall",
    acts_with="the push rights of the release bot",
    enforced_at="holdfast gate, and the ref checks of the git server",
    # A clear no of git or its server, and a reading that failed before anything was pushed.
    did_not_happen=(Refused, Unreadable),
)
"""What the contracts of this file have in common."""

BESIDE: Final = ("refs/fences/*",)
"""Refs that a push moves beside the branch: the highest token seen for it. The server also writes its reflog."""


@contextmanager
def at_work(fx: hf.Fx, branch: str, *commits: str) -> Iterator[tuple[Clone, str | None]]:
    """A fresh clone and the head that was read before the dispatch; nonsense is refused before anything is read."""
    if not is_branch(branch):
        raise hf.DidNotHappen(f"git takes no branch of the name {branch!r}")
    for commit in commits:
        if not is_commit(commit):
            raise hf.DidNotHappen(f"{commit!r} is no commit id of 40 digits")
    with clone(os.environ["REPOSITORY_URL"], min(LOOK_S, fx.remaining_s())) as here:
        yield here, json.loads(fx.expect)["head"]


@contextmanager
def looking() -> Iterator[Clone]:
    """A fresh clone for a read."""
    with clone(os.environ["REPOSITORY_URL"], LOOK_S) as here:
        yield here


def head_of(branch: str) -> dict[str, str | None]:
    """The state that an approval is bound to, and that a push is conditional on."""
    return {"head": head_at(os.environ["REPOSITORY_URL"], branch, LOOK_S)}


def fenced_off(look: hf.Look, here: Clone, branch: str) -> hf.CannotTell | None:
    """Raise the fence, so that what is not there now cannot come later; who has a lower token cannot tell."""
    try:
        here.raise_fence(branch, look.token)
    except Refused as no:
        return hf.CannotTell(str(no))
    return None


def found_by_trailer(look: hf.Look, branch: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    """The commit that carries this effect's key, on any branch."""
    with looking() as here:
        if (stale := fenced_off(look, here, branch)) is not None:
            return stale
        commit = here.keyed().get(look.key)
        if commit is None:
            return hf.Absent(final=True, why=f"no commit says {TRAILER}: {look.key}, and none can any more")
        return hf.Happened({"commit": commit, "parent": here.parents(commit)[0]})


# ---- branches ------------------------------------------------------------------------------------


@repository_tool(effect="compensable", resource="branch:{branch}", identity=("branch",), side_effects=BESIDE)
def create_branch(fx: hf.Fx, *, branch: str, at: str) -> dict[str, Any]:
    """Create a branch at a commit that the repository holds."""
    with at_work(fx, branch, at) as (here, head):
        if head is not None:
            raise hf.DidNotHappen(f"branch {branch} was there already, at {head}")
        if not here.holds(at):
            raise hf.DidNotHappen(f"no branch reaches commit {at}")
        here.move(branch, expect=None, to=at, token=fx.token)
    return {"branch": branch, "at": at}


@create_branch.state
def _create_state(look: hf.Look, *, branch: str) -> dict[str, Any]:
    return head_of(branch)


@create_branch.probe
def _create_probe(look: hf.Look, *, branch: str, at: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    """A branch carries no key: one that is there, with this commit in its history, is taken for ours."""
    with looking() as here:
        if (stale := fenced_off(look, here, branch)) is not None:
            return stale
        if here.head(branch) is not None and here.contains(branch, at):
            return hf.Happened({"branch": branch, "at": at})
        return hf.Absent(final=True, why="there is no such branch, and an older push cannot make it any more")


@create_branch.verify
def _create_verify(look: hf.Look, *, branch: str, at: str) -> hf.Holds | hf.Differs:
    with looking() as here:
        return hf.Holds() if here.contains(branch, at) else hf.Differs(f"{branch} does not hold {at}")


@create_branch.undo
def _create_undo(look: hf.Look, *, branch: str, at: str) -> hf.Call:
    return hf.Call("delete_branch", {"branch": branch, "at": at})


@repository_tool(effect="irreversible", resource="branch:{branch}", identity=("branch", "at"), side_effects=BESIDE)
def delete_branch(fx: hf.Fx, *, branch: str, at: str) -> dict[str, Any]:
    """Delete a branch if it still points at this commit; what only it held can be lost."""
    with at_work(fx, branch, at) as (here, head):
        if head != at:
            raise hf.DidNotHappen(f"branch {branch} points at {head or 'nothing'}, not at {at}")
        here.move(branch, expect=at, to=None, token=fx.token)
    return {"branch": branch, "was": at}


@delete_branch.state
def _delete_state(look: hf.Look, *, branch: str) -> dict[str, Any]:
    return head_of(branch)


@delete_branch.probe
def _delete_probe(look: hf.Look, *, branch: str, at: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    """A branch that is gone carries no key either: that it is gone is what was wanted."""
    with looking() as here:
        if (stale := fenced_off(look, here, branch)) is not None:
            return stale
        if here.head(branch) is None:
            return hf.Happened({"branch": branch, "was": at})
        return hf.Absent(final=True, why="the branch is there, and an older push cannot delete it any more")


@delete_branch.verify
def _delete_verify(look: hf.Look, *, branch: str) -> hf.Holds | hf.Differs:
    head = head_of(branch)["head"]
    return hf.Holds() if head is None else hf.Differs(f"{branch} is there, at {head}")


# ---- commits -------------------------------------------------------------------------------------


@repository_tool(
    effect="compensable",
    resource="branch:{branch}",
    identity=("branch", "message"),
    volatile=("written_at",),
    side_effects=BESIDE,
)
def commit_files(fx: hf.Fx, *, branch: str, files: dict[str, str], message: str, written_at: int = 0) -> dict[str, Any]:
    """Commit whole text files by path on top of a branch, and push it; `written_at` in seconds UTC dates the commit."""
    with at_work(fx, branch) as (here, head):
        if head is None:
            raise hf.DidNotHappen(f"there is no branch {branch}")
        if not files:
            raise hf.DidNotHappen("no file is given")
        if not here.holds(head):
            raise hf.DidNotHappen(f"branch {branch} no longer holds {head}, on which this was to stand")
        commit = here.commit(here.tree(head, files), [head], message, fx.key, written_at)
        here.move(branch, expect=head, to=commit, token=fx.token)
    return {"commit": commit, "parent": head}


@commit_files.state
def _commit_state(look: hf.Look, *, branch: str) -> dict[str, Any]:
    return head_of(branch)


@commit_files.probe
def _commit_probe(look: hf.Look, *, branch: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    return found_by_trailer(look, branch)


@commit_files.verify
def _commit_verify(look: hf.Look, *, branch: str, files: dict[str, str]) -> hf.Holds | hf.Differs:
    """The branch holds the commit, the commit holds the files, and no other commit carries the key."""
    commit = look.value["commit"]
    with looking() as here:
        if not here.contains(branch, commit):
            return hf.Differs(f"{branch} does not hold {commit}")
        wrong = [path for path, text in files.items() if here.text(commit, path) != text]
        return hf.Differs(f"{', '.join(wrong)} hold other text") if wrong else hf.Holds({"commit": commit})


@commit_files.list
def _commit_list(look: hf.Look) -> list[dict[str, str]]:
    """Every commit on a branch that says it was made by an effect."""
    with looking() as here:
        return [{"key": key, "commit": commit} for key, commit in sorted(here.keyed().items())]


@commit_files.undo
def _commit_undo(look: hf.Look, *, branch: str) -> hf.Call:
    return hf.Call("take_back", {"branch": branch, "commit": look.value["commit"]})


@repository_tool(
    effect="compensable",
    resource="branch:{into}",
    identity=("into", "commit"),
    side_effects=BESIDE,
)
def merge(fx: hf.Fx, *, into: str, commit: str) -> dict[str, Any]:
    """Merge one commit into a branch: by moving it forward where that is enough, else by a merge commit."""
    with at_work(fx, into, commit) as (here, head):
        if head is None or not here.holds(commit) or not here.holds(head):
            raise hf.DidNotHappen(f"the repository no longer holds both {into} at {head} and {commit}")
        if here.contains(into, commit):
            raise hf.DidNotHappen(f"{into} held {commit} already")
        if here.ancestor(head, commit):
            new, how = commit, "moved forward"
        else:
            message = f"Merge {commit[:12]} into {into}"
            new, how = here.commit(here.merged(head, commit), [head, commit], message, fx.key), "merge commit"
        here.move(into, expect=head, to=new, token=fx.token)
    return {"commit": new, "parent": head, "how": how}


@merge.state
def _merge_state(look: hf.Look, *, into: str) -> dict[str, Any]:
    return head_of(into)


@merge.probe
def _merge_probe(look: hf.Look, *, into: str, commit: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    """The body refuses where the branch held the commit before, so that it holds it now is our doing, or as good."""
    with looking() as here:
        if (stale := fenced_off(look, here, into)) is not None:
            return stale
        if not here.contains(into, commit):
            return hf.Absent(final=True, why=f"{into} does not hold {commit}, and no older push can change that")
        made = here.keyed().get(look.key)
        parent = here.parents(made or commit)[0]
        return hf.Happened({"commit": made or commit, "parent": parent, "how": "found"})


@merge.verify
def _merge_verify(look: hf.Look, *, into: str, commit: str) -> hf.Holds | hf.Differs:
    with looking() as here:
        whole = here.contains(into, commit) and here.contains(into, look.value["commit"])
        return hf.Holds() if whole else hf.Differs(f"{into} does not hold {commit}")


@merge.undo
def _merge_undo(look: hf.Look, *, into: str) -> hf.Call:
    return hf.Call("take_back", {"branch": into, "commit": look.value["commit"], "to": look.value["parent"]})


@repository_tool(effect="irreversible", resource="branch:{branch}", identity=("branch", "commit"), side_effects=BESIDE)
def take_back(fx: hf.Fx, *, branch: str, commit: str, to: str = "") -> dict[str, Any]:
    """Move a branch from its latest commit back to that commit's first parent; refused if anything was built on it."""
    with at_work(fx, branch, commit, *([to] if to else [])) as (here, head):
        if head != commit:
            raise hf.DidNotHappen(f"branch {branch} points at {head or 'nothing'}, not at {commit}")
        if not here.holds(commit) or not here.parents(commit):
            raise hf.DidNotHappen(f"{commit} is not there, or has no parent to go back to")
        back = to or here.parents(commit)[0]
        if not here.ancestor(back, commit):
            raise hf.DidNotHappen(f"{back} is not in the history of {commit}")
        here.move(branch, expect=commit, to=back, token=fx.token)
    return {"branch": branch, "at": back, "was": commit}


@take_back.state
def _take_back_state(look: hf.Look, *, branch: str) -> dict[str, Any]:
    return head_of(branch)


@take_back.probe
def _take_back_probe(look: hf.Look, *, branch: str, commit: str) -> hf.Happened | hf.Absent | hf.CannotTell:
    with looking() as here:
        if (stale := fenced_off(look, here, branch)) is not None:
            return stale
        if not here.contains(branch, commit):
            return hf.Happened({"branch": branch, "at": here.head(branch), "was": commit})
        return hf.Absent(final=True, why=f"{branch} holds {commit}, and no older push can take it back any more")


@take_back.verify
def _take_back_verify(look: hf.Look, *, branch: str, commit: str) -> hf.Holds | hf.Differs:
    with looking() as here:
        gone = here.head(branch) is not None and not here.contains(branch, commit)
        return hf.Holds() if gone else hf.Differs(f"{branch} still holds {commit}")


TOOLS: list[hf.Tool[..., Any]] = [create_branch, delete_branch, commit_files, merge, take_back]
