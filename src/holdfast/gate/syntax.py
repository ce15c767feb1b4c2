"""Policy text as a syntax tree: where each rule stands, what it reads, and what it misspells.

Decides how one file is cut into rules, which inputs a rule can possibly read, and whether every name and word
in it exists. Cedar's own validator finds unknown attributes that are *used*; this module also finds those
that are only asked for with `has`, and words outside a closed vocabulary (`effect_class == "irreversable"`),
because either would silently switch a `forbid` off.

Promises: `reads` never leaves out an input that can change what the rule says; where the syntax is unusual it
answers with more, up to the whole principal, resource or context.

Does not promise to understand Cedar's grammar: cutting needs only strings and comments, the rest is Cedar's.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields as fields_of
from dataclasses import replace

import cedarpy
import msgspec
from cedarpy import pst

from holdfast.gate.arguments import Shape
from holdfast.gate.schema import PRINCIPAL, RESOURCE

Path = tuple[str, ...]
"""A chain of attributes from a variable: `("context", "args", "amount")`."""

_TOKEN = re.compile(r'//[^\n]*|"(?:\\.|[^"\\])*"|;', re.DOTALL)
_RULE = re.compile(r"^[ \t]*((?:@[^\n]*\s+)*(?:permit|forbid)\b)", re.MULTILINE)
_BRACKETED = re.compile(r'"(?:\\.|[^"\\])*"|(?<!\w)\(([\w.]+)\)')
"""A name that stands in brackets of its own, outside of texts and calls."""
_COMPARISONS = frozenset({"eq", "not_eq"})


class Piece(msgspec.Struct, frozen=True):
    """The text of one rule and the line (from 1) on which its first token stands."""

    text: str
    line: int

    def line_of(self, word: str) -> int:
        """The line on which `word` first stands as code, or the line of the rule if it is not there."""
        code = _TOKEN.sub(lambda m: "\n" * m[0].count("\n") if m[0].startswith("//") else m[0], self.text)
        found = re.search(rf"(?<!\w){re.escape(word)}(?!\w)", code) if word else None
        return self.line + (code.count("\n", 0, found.start()) if found else 0)

    def line_of_next_rule(self) -> int | None:
        """The line on which something that looks like another rule begins, as after a forgotten semicolon."""
        head = next(_RULE.finditer(self.text), None)
        after = _RULE.search(self.text, head.end()) if head else None
        return self.line + self.text.count("\n", 0, after.start(1)) if after else None


class Condition(msgspec.Struct, frozen=True):
    """One of the conditions that must all hold for a rule to apply, and its words."""

    words: str
    expr: pst.Expr | None = None
    """What must hold; None: it is the head of the rule (whose calls, on what)."""

    def alone(self, rule: pst.Template, name: str) -> pst.Template:
        """A permit that holds exactly where this condition of ``rule`` does."""
        anyone = {} if self.expr is None else {"principal": pst.ScopeAny(), "resource": pst.ScopeAny()}
        clauses = () if self.expr is None else (pst.When(expr=self.expr),)
        return replace(rule, id=name, effect="permit", clauses=clauses, annotations={}, **anyone)


class Misspelt(msgspec.Struct, frozen=True):
    """A name or word in a rule that nothing can ever match."""

    word: str
    why: str
    nearest: str | None


def pieces(text: str) -> Iterator[Piece]:
    """The rules of one file, each with its semicolon; trailing code without one is a piece too."""
    start = 0
    for token in _TOKEN.finditer(text):
        if token[0] == ";":
            yield _piece(text, start, token.end())
            start = token.end()
    if _blank_comments(text[start:]).strip():
        yield _piece(text, start, len(text))


def _piece(text: str, start: int, end: int) -> Piece:
    code = _blank_comments(text[start:end])
    lead = len(code) - len(code.lstrip())
    return Piece(text=text[start + lead : end], line=text.count("\n", 0, start + lead) + 1)


def _blank_comments(text: str) -> str:
    """The text with comments as spaces, so that positions stay."""
    return _TOKEN.sub(lambda m: " " * len(m[0]) if m[0].startswith("//") else m[0], text)


def tools_of(rule: pst.Template, known: Iterable[str]) -> frozenset[str]:
    """The tools a rule can apply to. A name that is not known stays in: the validator complains about it."""
    if isinstance(rule.action, pst.ActionEq):
        return frozenset({rule.action.entity.id})
    if isinstance(rule.action, pst.ActionIn):
        return frozenset(entity.id for entity in rule.action.entities)
    return frozenset(known)


def reads(rule: pst.Template) -> frozenset[Path]:
    """Every input that can change what the rule says; `("principal",)` alone means the whole principal."""
    found: set[Path] = set()
    for name, scope in (("principal", rule.principal), ("resource", rule.resource)):
        if not isinstance(scope, pst.ScopeAny | pst.ScopeIs):
            found.add((name,))
    for clause in rule.clauses:
        found.update(_reads(clause.expr))
    return frozenset(found)


def _reads(node: object) -> Iterator[Path]:
    stack: list[object] = [node]
    while stack:
        item = stack.pop()
        path = _path(item)
        if path is not None:
            if path != ("action",):  # The memory is kept per tool, so the action never varies within it.
                yield path
        elif isinstance(item, pst.HasAttr) and (base := _path(item.base)) is not None:
            yield (*base, *item.attrs)
        elif isinstance(item, pst.EntityLit):
            # An attribute of a named entity has a value only when the call is by, or about, that entity.
            if str(item.value.type) in ("Principal", "Target"):
                yield ("principal",) if str(item.value.type) == "Principal" else ("resource",)
        else:
            stack.extend(_children(item))


def _path(node: object) -> Path | None:
    """The chain of attributes that the node spells, or None where it is anything else."""
    chain: list[str] = []
    while isinstance(node, pst.GetAttr):
        chain.append(node.attr)
        node = node.base
    return (node.name, *reversed(chain)) if isinstance(node, pst.Var) else None


def _children(node: object) -> Iterator[object]:
    if isinstance(node, Mapping):
        yield from node.values()
    elif isinstance(node, tuple):
        yield from node
    elif hasattr(node, "__dataclass_fields__"):
        for field in fields_of(node):  # type: ignore[arg-type]  # every node of the tree is a dataclass
            yield getattr(node, field.name)


def conditions(rule: pst.Template) -> tuple[Condition, ...]:
    """What must hold for a rule to apply, each part by itself, in the order in which it is written."""
    found: list[Condition] = []
    for name, scope in (("principal", rule.principal), ("resource", rule.resource)):
        if not isinstance(scope, pst.ScopeAny):
            found.append(Condition(f"the {name} that the rule names"))
    for clause in rule.clauses:
        if isinstance(clause, pst.When):
            found += (Condition(_words(part), part) for part in _parts(clause.expr))
        else:
            found.append(Condition(f"not ({_words(clause.expr)})", pst.UnaryOp(op="not", arg=clause.expr)))
    return tuple(found)


def _parts(expr: pst.Expr) -> Iterator[pst.Expr]:
    """The conditions that are joined by ``&&`` at the top."""
    if isinstance(expr, pst.BinaryOp) and expr.op == "and":
        yield from _parts(expr.left)
        yield from _parts(expr.right)
    else:
        yield expr


def _words(expr: pst.Expr) -> str:
    """An expression as Cedar writes it, on one line."""
    anyone = pst.ScopeAny()
    rule = pst.Template("rule", "permit", anyone, anyone, anyone, (pst.When(expr=expr),), {})
    text = str(cedarpy.PolicySet.from_pst(pst.PolicySet({}, {"rule": rule}, ())))
    said = text[text.index("{") + 1 : text.rindex("}")]
    while (bare := _BRACKETED.sub(lambda m: m[1] or m[0], said)) != said:
        said = bare
    return " ".join(said.split())


def misspelt(rule: pst.Template, contexts: Mapping[str, Shape]) -> Misspelt | None:
    """The first name or word in the rule that exists for none of the tools it applies to.

    `contexts` holds the shape of `context` for each of these tools.
    """
    stack: list[object] = [clause.expr for clause in rule.clauses]
    while stack:
        node = stack.pop(0)
        problem = None
        if isinstance(node, pst.HasAttr) and (base := _path(node.base)) is not None:
            problem = _unknown_attribute(base, node.attrs, contexts)
        elif isinstance(node, pst.BinaryOp):
            problem = _unknown_word(node, contexts)
        if problem is not None:
            return problem
        stack.extend(_children(node))
    return None


def shapes_at(path: Path, contexts: Mapping[str, Shape]) -> list[Shape]:
    """The shapes that stand at a path, over all tools in `contexts`; none where it leads nowhere."""
    roots = {"principal": [PRINCIPAL], "resource": [RESOURCE], "context": list(contexts.values())}
    here = roots.get(path[0], [])
    for attribute in path[1:]:
        here = [shape.fields[attribute].shape for shape in here if attribute in shape.fields]
    return here


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that a person who typed `word` most likely meant."""
    found = difflib.get_close_matches(word, sorted(set(candidates)), n=1, cutoff=0.5)
    return found[0] if found else None


def _unknown_attribute(base: Path, attrs: Path, contexts: Mapping[str, Shape]) -> Misspelt | None:
    for position, attribute in enumerate(attrs):
        here = shapes_at((*base, *attrs[:position]), contexts)
        known = {name for shape in here for name in shape.fields}
        if here and attribute not in known:
            owner = ".".join((*base, *attrs[:position]))
            why = f"{owner} never has an attribute {attribute!r}"
            return Misspelt(attribute, why, nearest(attribute, known))
    return None


def _unknown_word(node: pst.BinaryOp, contexts: Mapping[str, Shape]) -> Misspelt | None:
    """A comparison with a word outside the vocabulary of what it is compared with."""
    if node.op in _COMPARISONS:
        pairs: list[tuple[object, tuple[object, ...]]] = [
            (node.left, (node.right,)),
            (node.right, (node.left,)),
        ]
    elif node.op == "contains" and isinstance(node.left, pst.Set):
        pairs = [(node.right, node.left.elements)]
    else:
        return None
    for spelled, offered in pairs:
        path = _path(spelled)
        if path is None:
            continue
        shapes = shapes_at(path, contexts)
        words = {word for shape in shapes for word in shape.words}
        if not shapes or not all(shape.words for shape in shapes):
            continue  # Not a closed vocabulary for every tool the rule applies to.
        for item in offered:
            if isinstance(item, pst.StringLit) and item.value not in words:
                why = f"{'.'.join(path)} is never {item.value!r}"
                return Misspelt(item.value, why, nearest(item.value, words))
    return None
