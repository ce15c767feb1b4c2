"""The policy: rules in Cedar text, read, checked against the contracts, and named by digest.

Decides whether a policy may be used at all. Everything that would make a rule silently do nothing is an error
here and not a surprise later: an unknown tool, argument, attribute or annotation, a word outside a closed
vocabulary, a template, two rules with one id, an approver asked for by a rule that never asks.

A rule carries annotations:

    @id("big-refunds")          its name in decisions and in evidence; the file and line where absent
    @reason("money leaves")     words for the people who read the decision
    @approvers("finance")       the group whose members may approve
    @quorum("2")                how many of them
    @expires("30m")             how long the request stays open (s, m, h or d)
    @proved("true")             a permit that counts only while the tool's contract is proved
    @until("2026-12-31")        the last day (UTC) on which the rule is there at all

Approvers, quorum and expiry belong to rules that read `context.approved`, which is how Cedar says *ask*: denied as
the call stands, allowed once it is approved. Names that begin with `x_` are the author's own.

Promises: the same files and contracts give the same digest on every machine; one changed byte gives another.

Does not promise that the rules are wise. `decide` evaluates them.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from itertools import chain
from pathlib import Path

import cedarpy
import msgspec
from cedarpy import pst

from holdfast.gate import syntax
from holdfast.gate.arguments import Shape
from holdfast.gate.schema import Contract, args_shape, cedar_schema, context_shape
from holdfast.kernel.errors import BadPolicy

ANNOTATIONS = ("id", "reason", "approvers", "quorum", "expires", "proved", "until")
DAY_MS = 86_400_000
OURS = ("builtin:", "admission:")
"""How the names of refusals begin that come of no rule; a rule of that name would be taken for one of them."""
TEXT_NAME = "<text>"
"""The file name of a policy that was given as text."""

_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smhd])\Z")
_QUORUM = re.compile(r"[1-9][0-9]?\Z")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_QUOTED = re.compile(r"`([^`]*)`")
_MISSING = re.compile(r"attribute `([^`]+)` (?:in context .+|on entity type `(\w+)`) not found\Z", re.DOTALL)
_ACTION = re.compile(r'unrecognized action `Action::"(.*)"`\Z', re.DOTALL)
_APPROVED = ("context", "approved")


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One rule, with what its author said about it and what it can read."""

    id: str
    forbids: bool
    reason: str
    approver_group: str
    quorum: int
    expires_ms: int | None
    file: str
    line: int
    tools: frozenset[str]
    reads: frozenset[syntax.Path]
    conditions: tuple[syntax.Condition, ...] = ()
    needs_proof: bool = False
    until: str = ""
    until_ms: int = 0
    """The first instant at which the rule is no longer there; 0: it does not end."""

    @property
    def asks(self) -> bool:
        """True where an approval can change what the rule says."""
        return any(_APPROVED[: len(path)] == path for path in self.reads)

    def __str__(self) -> str:
        return f"{self.id} ({self.reason})" if self.reason else self.id


class PolicySet:
    """Rules that were read and found sound, ready to be evaluated. Made by `load`, `starter` or `read`."""

    def __init__(self, sources: Mapping[str, bytes], contracts: Iterable[Contract], digest: str = "") -> None:
        contracts = tuple(contracts)
        self.sources = dict(sources)
        schema = json.dumps(cedar_schema(contracts), sort_keys=True).encode()
        self._named_with = schema
        self.schema = cedarpy.Schema.from_json_str(schema.decode())
        self.contexts = {c.name: context_shape(args_shape(c)) for c in contracts}
        self.digest = digest or _digest(sources, schema)
        self.rules: dict[str, Rule] = {}
        nodes: dict[str, pst.Template] = {}
        for file, data in sorted(sources.items()):
            for piece in syntax.pieces(_decoded(file, data)):
                node = _parsed(file, piece)
                rule = _rule(file, piece, node, self.contexts)
                if "id" not in node.annotations and rule.id in self.rules:
                    rule = msgspec.structs.replace(rule, id=f"{rule.id}.{len(self.rules)}")
                if rule.id in self.rules:
                    first = self.rules[rule.id]
                    why = f"the id {rule.id!r} is taken by the rule in {first.file}, line {first.line}"
                    raise BadPolicy(file=file, line=piece.line, why=why, nearest=None)
                if contracts:
                    _validate(file, piece, node, self.schema, self.contexts)
                self.rules[rule.id] = rule
                nodes[rule.id] = replace(node, id=rule.id)
        self._nodes = nodes

    @classmethod
    def load(cls, path_or_text: str | Path, contracts: Iterable[Contract]) -> PolicySet:
        """Read one file, every `*.cedar` file of a directory, or policy text.

        Raises BadPolicy with file, line and the nearest name that exists.
        """
        return cls(read(path_or_text), contracts)

    @classmethod
    def starter(cls, contracts: Iterable[Contract]) -> PolicySet:
        """The policy that is shipped: reads pass, changes ask, the rest is refused."""
        data = resources.files("holdfast.gate").joinpath("starter.cedar").read_bytes()
        return cls({"starter.cedar": data}, contracts)

    @classmethod
    def kept(cls, text: str, contracts: Iterable[Contract], digest: str) -> PolicySet:
        """The policy that a store keeps under a digest, checked against the contracts at hand. Raises BadPolicy.

        It goes by the digest that it is kept under, whoever reads it: what else a tool's answers depend on is its own
        contract, whose version is judged beside it. A text that is not what the digest was made of is refused.
        """
        said = json.loads(text)
        sources = {str(name): str(data).encode() for name, data in said["files"].items()}
        whole = cls(sources, contracts, digest)
        whole._named_with = str(said["schema"]).encode()
        if _digest(sources, whole._named_with) != digest:
            why = f"the text that is kept as {digest} is another one: somebody changed it; holdfast evidence verify"
            raise BadPolicy(file=next(iter(sources), TEXT_NAME), line=0, why=why, nearest=None)
        return whole

    def text(self) -> str:
        """Every file with its name, and the schema that the digest covers, as :meth:`kept` reads it."""
        files = {name: data.decode() for name, data in self.sources.items()}
        return json.dumps({"files": files, "schema": self._named_with.decode()}, sort_keys=True)

    def rules_for(self, tool: str) -> tuple[Rule, ...]:
        """The rules that can apply to a tool, in the order in which they were read."""
        return tuple(rule for rule in self.rules.values() if tool in rule.tools)

    def engine_for(
        self, tool: str, *, permits_only: bool = False, without: frozenset[str] = frozenset()
    ) -> cedarpy.PolicySet:
        """The rules that can apply to a tool but for those ``without``, for evaluation; each is named by its id."""
        rules = [r for r in self.rules_for(tool) if not (permits_only and r.forbids) and r.id not in without]
        return _engine({rule.id: self._nodes[rule.id] for rule in rules})

    def conditions_for(self, tool: str) -> cedarpy.PolicySet:
        """Each condition of each rule of a tool as a permit of its own, named by :func:`condition_id`."""
        nodes: dict[str, pst.Template] = {}
        for rule in self.rules_for(tool):
            for number, condition in enumerate(rule.conditions):
                name = condition_id(rule.id, number)
                nodes[name] = condition.alone(self._nodes[rule.id], name)
        return _engine(nodes)


def condition_id(rule: str, number: int) -> str:
    """The name of one condition of a rule, where each is evaluated by itself."""
    return f"{rule}#{number}"


def _engine(nodes: Mapping[str, pst.Template]) -> cedarpy.PolicySet:
    return cedarpy.PolicySet.from_pst(pst.PolicySet(templates={}, static_policies=dict(nodes), template_links=()))


def read(path_or_text: str | Path) -> dict[str, bytes]:
    """The bytes of a policy by file name, without folders: the digest does not depend on the place."""
    is_text = isinstance(path_or_text, str) and any(mark in path_or_text for mark in "\n;")
    if is_text or str(path_or_text).lstrip().startswith("//"):
        return {TEXT_NAME: str(path_or_text).encode("utf-8", "surrogatepass")}
    path = Path(path_or_text)
    if not str(path_or_text).strip():
        raise BadPolicy(file=TEXT_NAME, line=0, why="neither a path nor policy text was given", nearest=None)
    try:
        if not path.is_dir():
            return {path.name: path.read_bytes()}
        files = {file.name: file.read_bytes() for file in sorted(path.glob("*.cedar"))}
    except (OSError, ValueError) as error:
        why = f"it cannot be read: {error}"
        raise BadPolicy(file=str(path), line=0, why=why, nearest=_neighbour(path)) from error
    if not files:
        raise BadPolicy(file=str(path), line=0, why="the directory holds no *.cedar file", nearest=None)
    return files


def _neighbour(path: Path) -> str | None:
    try:
        return syntax.nearest(path.name, (p.name for p in path.parent.iterdir()))
    except (OSError, ValueError):
        return None


def _digest(sources: Mapping[str, bytes], schema: bytes) -> str:
    """SHA-256 over every name and its bytes in order of name, then the schema, each after its length."""
    sha = hashlib.sha256(b"holdfast policy 1\n")
    files = [(name.encode("utf-8", "surrogatepass"), data) for name, data in sources.items()]
    for part in (*chain.from_iterable(sorted(files)), schema):
        sha.update(len(part).to_bytes(8, "big"))
        sha.update(part)
    return f"sha256:{sha.hexdigest()}"


def _decoded(file: str, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise BadPolicy(file=file, line=line, why="it is not UTF-8 text", nearest=None) from error


def _parsed(file: str, piece: syntax.Piece) -> pst.Template:
    try:
        tree = cedarpy.policies_to_pst(piece.text)
    except ValueError as error:
        if (line := piece.line_of_next_rule()) is not None:
            why = f"it is not Cedar: {error}; is a semicolon missing before this rule?"
            raise BadPolicy(file=file, line=line, why=why, nearest=None) from error
        word = _QUOTED.search(str(error))
        line = piece.line_of(word[1]) if word else piece.line
        raise BadPolicy(file=file, line=line, why=f"it is not Cedar: {error}", nearest=None) from error
    if tree.templates or len(tree.static_policies) != 1:
        why = "a template (?principal, ?resource) permits nothing by itself; write the rule out"
        raise BadPolicy(file=file, line=piece.line, why=why, nearest=None)
    return next(iter(tree.static_policies.values()))


def _rule(file: str, piece: syntax.Piece, node: pst.Template, contexts: Mapping[str, Shape]) -> Rule:
    said = node.annotations
    for name in said:
        if name not in ANNOTATIONS and not name.startswith("x_"):
            why = f"there is no annotation @{name}"
            near = syntax.nearest(name, ANNOTATIONS)
            raise BadPolicy(file=file, line=piece.line_of(name), why=why, nearest=near)

    def wrong(name: str, why: str) -> BadPolicy:
        why = f"@{name}({said[name]!r}) {why}"
        return BadPolicy(file=file, line=piece.line_of(name), why=why, nearest=None)

    if "quorum" in said and not _QUORUM.match(said["quorum"]):
        raise wrong("quorum", "is not a number of people from 1 to 99")
    length = _DURATION.match(said.get("expires", "1s"))
    if length is None:
        raise wrong("expires", "is not a duration such as 90s, 30m, 4h or 2d")
    if said.get("proved", "true") != "true":
        raise wrong("proved", 'can only be "true"')
    if "proved" in said and node.effect == "forbid":
        raise wrong("proved", "stands on a forbid, which needs no proof: it counts always")
    until_ms = _end_of(said["until"]) if "until" in said else 0
    if until_ms is None:
        raise wrong("until", "is not a day such as 2026-12-31")
    rule = Rule(
        id=said.get("id") or f"{file}:{piece.line}",
        forbids=node.effect == "forbid",
        reason=said.get("reason", ""),
        approver_group=said.get("approvers", ""),
        quorum=int(said.get("quorum", "1")),
        expires_ms=int(length[1]) * _UNITS_MS[length[2]] if "expires" in said else None,
        file=file,
        line=piece.line,
        tools=syntax.tools_of(node, contexts),
        reads=syntax.reads(node),
        conditions=syntax.conditions(node),
        needs_proof="proved" in said,
        until=said.get("until", ""),
        until_ms=until_ms,
    )
    if rule.id.startswith(OURS):
        why = f"its name {rule.id!r} begins like those of what no policy decides: {' and '.join(OURS)}"
        raise BadPolicy(file=file, line=piece.line, why=why, nearest=None)
    for name in ("approvers", "quorum", "expires"):
        if name in said and not rule.asks:
            raise wrong(name, "stands on a rule that never asks: it does not read context.approved")
    return rule


def _end_of(day: str) -> int | None:
    """The first instant (ms UTC) after a day; None where it is none."""
    try:
        last = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) if _DAY.match(day) else None
    except ValueError:
        return None
    return int(last.timestamp()) * 1_000 + DAY_MS if last is not None else None


def _validate(
    file: str, piece: syntax.Piece, node: pst.Template, schema: cedarpy.Schema, contexts: Mapping[str, Shape]
) -> None:
    """Refuse a rule that Cedar's validator or our own finds unsound for the tools it applies to."""
    result = cedarpy.validate_policies(piece.text, schema)
    mine = {tool: contexts[tool] for tool in syntax.tools_of(node, contexts) if tool in contexts}
    if not result.validation_passed:
        message = result.errors[0].error if result.errors else "Cedar's validator refuses it without a reason"
        message = message.removeprefix("for policy `policy0`, ")
        word, near = _explained(message, mine, contexts)
        raise BadPolicy(file=file, line=piece.line_of(word), why=message, nearest=near)
    wrong = syntax.misspelt(node, mine)
    if wrong is not None:
        raise BadPolicy(file=file, line=piece.line_of(wrong.word), why=wrong.why, nearest=wrong.nearest)


def _explained(message: str, mine: Mapping[str, Shape], contexts: Mapping[str, Shape]) -> tuple[str, str | None]:
    """The word that the validator's message is about, and the nearest one that exists."""
    if action := _ACTION.search(message):
        return action[1], syntax.nearest(action[1], contexts)
    if missing := _MISSING.search(message):
        *base, word = missing[1].split(".")
        root = {None: "context", "Principal": "principal", "Target": "resource"}.get(missing[2], "context")
        here = syntax.shapes_at((root, *base), mine)
        return word, syntax.nearest(word, {name for shape in here for name in shape.fields})
    quoted = _QUOTED.findall(message)
    if message.startswith("unrecognized entity type") and quoted:
        return quoted[0], syntax.nearest(quoted[0], ("Principal", "Target", "Action"))
    return (quoted[0].rpartition(".")[2] if quoted else ""), None
