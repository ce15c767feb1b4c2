"""``holdfast policy check|show|explain|test|try|reload``: what rules say, why, and how another version comes to hold.

The first four import the tools that ``holdfast.toml`` names and change nothing. ``reload`` puts the policy of the
configuration (or the one it is given) in force in the store: workers that run take it up at their next dispatch.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from holdfast.cli.config import Settings, load_tools
from holdfast.cli.shared import NO_OPTIONS, As, Misused, Reason, Shared, deciding, reading, vouched
from holdfast.kernel.documents import Kept
from holdfast.kernel.errors import BadConfig, BadPolicy, UnknownId
from holdfast.report.page import Page

if TYPE_CHECKING:
    from holdfast.gate import PolicySet, Question
    from holdfast.gate.examples import Bind, Fits
    from holdfast.tools.registry import Registry

app = App(name="policy", help="Policy: what may happen, why, and from when on.", help_format="plaintext")

app.command(
    "holdfast.cli.trying:try_", name="try", help="What another policy would have said to what was decided here."
)

Policy = Annotated[Path | None, Parameter(help="A Cedar file or a directory of them [default: the one configured].")]
STARTER = "the starter policy"


@app.command
def check(policy: Policy = None, /, *, shared: Shared = NO_OPTIONS) -> Page:
    """Load a policy against the tools: a name that does not exist is refused with file, line and the nearest one."""
    from holdfast.report.policy import check_page

    registry = _registry(shared.settings())
    rules, name = _loaded(shared.settings(), policy, registry)
    return check_page(rules, name, sorted(registry.contracts))


@app.command
def show(tool: str = "", /, *, policy: Policy = None, shared: Shared = NO_OPTIONS) -> Page:
    """The rules by tool: what each says, what it reads, whom it asks; the digest, and whether it is in force.

    Parameters
    ----------
    tool
        Only the rules that can apply to this tool.
    """
    from holdfast.report.policy import show_page

    settings = shared.settings()
    registry = _registry(settings)
    rules, name = _loaded(settings, policy, registry)
    tools = [registry.tool(tool).contract.name] if tool else sorted(registry.contracts)
    return show_page(rules, name, tools, _facts(shared).get(f"policy:{settings.environment}", ""))


@app.command
def explain(
    what: str,
    /,
    *,
    args: str = "{}",
    principal: str = "you",
    kind: str = "person",
    group: tuple[str, ...] = (),
    env: str = "",
    purpose: str = "example",
    risk: str = "",
    proved: bool | None = None,
    on: str = "",
    minutes_to_deadline: int | None = None,
    policy: Policy = None,
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Why a call gets its answer, and what would be allowed instead. Exit code: 0 allow, 4 ask, 5 refuse.

    Parameters
    ----------
    what
        A tool; or a recorded effect, any unique beginning of its id: then its call is the recorded one.
    args
        The arguments as a JSON object.
    principal
        Who asks.
    kind
        person, service or planner.
    group
        A group of theirs; may be repeated.
    env
        The environment [default: the one configured].
    risk
        What a model thinks of it: low, medium or high.
    proved
        Whether the contract is proved [default: as the store says].
    on
        The day of the call, such as 2026-12-31 (UTC) [default: today].
    """
    from holdfast.gate import Judge
    from holdfast.gate.examples import Around, Example, principal_of, question_of
    from holdfast.gate.explain import explain as explained
    from holdfast.report.policy import explain_page

    settings = shared.settings()
    registry = _registry(settings)
    rules, _ = _loaded(settings, policy, registry)
    judge = Judge(rules, registry.contracts.values())
    if what.startswith("ef_"):
        question, about = _recorded(shared, registry, what, rules)
        return explain_page(explained(judge, question), question, about)
    if proved is None:
        proved = _facts(shared).get(f"proved:{what}") == registry.tool(what).contract.version
    who = principal_of({"name": principal, "kind": kind, "groups": list(group)}, Misused)
    example = Example(
        name=what,
        tool=what,
        expect="allow",
        args=_json(args),
        principal={"name": who.name, "kind": who.kind, "groups": list(who.groups)},
        environment=env,
        purpose=purpose,
        risk=risk,
        proved=proved,
        on=_day(on),
        minutes_to_deadline=minutes_to_deadline,
    )
    around = Around(environment=settings.environment, tenant=settings.tenant, now_ms=_now_ms())
    question = question_of(example, _bind(registry)(what, example.args), around)
    return explain_page(explained(judge, question), question)


@app.command(name="test")
def tried(
    policy: Policy = None,
    /,
    *,
    examples: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
    shared: Shared = NO_OPTIONS,
) -> Page:
    """Put the examples that stand beside a policy to it. Exit code 1: an answer differs, or an example is no call.

    Parameters
    ----------
    examples
        A file of examples; may be repeated [default: *.examples.toml and examples.toml beside the policy].
    """
    from holdfast.gate import Judge
    from holdfast.gate.examples import Around, files_beside, read, run, unexercised
    from holdfast.report.policy import examples_page

    settings = shared.settings()
    registry = _registry(settings)
    rules, name = _loaded(settings, policy, registry)
    files = list(examples) or files_beside(policy if policy is not None else settings.policy)
    wanted = [example for file in files for example in read(file)]
    around = Around(environment=settings.environment, tenant=settings.tenant, now_ms=_now_ms())
    results = run(Judge(rules, registry.contracts.values()), wanted, _bind(registry), around)
    return examples_page(results, unexercised(rules, results), name, [str(file) for file in files], rules.digest)


@app.command(name="reload")
def reload_(policy: Policy = None, /, *, in_flight: str, as_: As, reason: Reason, shared: Shared = NO_OPTIONS) -> Page:
    """Put a policy in force in the store, while workers run. One that does not fit changes nothing.

    Parameters
    ----------
    in_flight
        move: open runs are judged by it from here on; keep: each keeps the version it has.
    as_
        Your name. It is recorded as vouched for by the operating-system user who types this.
    reason
        Why, for whoever asks later.
    """
    from holdfast.report.policy import reload_page
    from holdfast.runtime.policies import KINDS, reload

    if in_flight not in KINDS:
        raise Misused(f"--in-flight is one of {', '.join(KINDS)}, not {in_flight}")
    settings = shared.settings()
    rules, _ = _loaded(settings, policy, _registry(settings))
    who = f"{as_} ({vouched()})"
    with deciding(shared) as store:
        done = reload(store, rules, environment=settings.environment, who=who, reason=reason, in_flight=in_flight)
    return reload_page(done.before, done.after, done.in_flight, done.runs)


def _registry(settings: Settings) -> Registry:
    from holdfast.tools.registry import Registry

    tools = load_tools(settings)
    if not tools:
        why = "no tools are named, and a policy is checked against their contracts"
        raise BadConfig(file=settings.named, key="tools", nearest=None, why=why)
    return Registry(tools)


def _loaded(settings: Settings, given: Path | None, registry: Registry) -> tuple[PolicySet, str]:
    from holdfast.gate import PolicySet

    contracts = registry.contracts.values()
    place = str(given) if given is not None else settings.policy
    if place is None:
        return PolicySet.starter(contracts), STARTER
    return PolicySet.load(Path(place), contracts), place


def _bind(registry: Registry) -> Bind:
    """How a tool's name and arguments become a call that fits; raises UsageError."""
    from holdfast.gate.examples import Fits
    from holdfast.tools.call import Call

    def bind(tool: str, args: dict[str, Any]) -> Fits:
        bound = registry.bind(Call(tool, args))
        return Fits(contract=bound.contract, args=bound.args, resource=bound.resource, cost=bound.cost)

    return bind


def _facts(shared: Shared) -> dict[str, str]:
    """What is in force and proved; nothing where there is no store yet."""
    if shared.settings().store_missing:
        return {}
    with reading(shared) as store:
        return {fact.scope: fact.value for fact in store.facts()}


def _recorded(
    shared: Shared, registry: Registry, given: str, rules: PolicySet
) -> tuple[Question, list[tuple[str, str]]]:
    """The question that a recorded effect puts now, and what was answered when it was decided."""
    from holdfast.gate.rulings import question_of
    from holdfast.report.text import escaped, framed

    with reading(shared) as store:
        seen = store.read_now(store.find(given, "effect"))
        facts = {fact.scope: fact.value for fact in store.facts()}
        text = store.document("kept", seen.effect.policy) if seen.effect is not None and seen.effect.policy else None
    view, run = seen.effect, seen.run
    if view is None or run is None:
        raise UnknownId(given=given, kind="effect")
    contract = registry.tool(view.tool).contract
    recorded = f"{escaped(view.answer) or 'no answer yet'}: {framed(view.reason)}"
    about = [("effect", escaped(view.id)), ("recorded", recorded)]
    if view.policy:
        about.append(("decided by", escaped(view.policy)))
    if contract.version != view.contract:
        about.append(("contract", "its contract has changed since; a new call would be made under the present one"))
    question = question_of(seen, proved=facts.get(f"proved:{view.tool}") == view.contract)
    if isinstance(text, Kept) and view.policy != rules.digest:
        about.append(("under that", _under(text, registry, question)))
    return question, about


def _under(text: Kept, registry: Registry, question: Question) -> str:
    """What the policy that decided a recorded call answers to it now, in words."""
    from holdfast.gate import Judge, PolicySet
    from holdfast.report.text import framed

    contracts = registry.contracts.values()
    try:
        said = Judge(PolicySet.kept(text.text, contracts, text.id), contracts).decide(question)
    except BadPolicy as error:
        return f"it does not fit the present tools: {framed(error.why)}"
    return f"{said.answer}: {framed(said.reason)}"


def _json(text: str) -> dict[str, Any]:
    import msgspec

    try:
        found: dict[str, Any] = msgspec.json.decode(text.encode(), type=dict[str, Any])
        return found
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise Misused(f"--args is no JSON object: {error}") from None


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text) if text else None
    except ValueError:
        raise Misused(f"--on is no day such as 2026-12-31: {text}") from None


def _now_ms() -> int:
    import time

    return time.time_ns() // 1_000_000
