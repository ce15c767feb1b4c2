"""Pages about a store that was copied to another place, and about who may do what with one on a server.

Decides the lines and the next command. Promises that addresses are shown as they came, without secrets.
"""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.report.page import Page, Span
from holdfast.report.text import escaped
from holdfast.store.copying import Copied

FOR = {
    "reader": "reads: status, explain, verify; not the secret of keys",
    "worker": "records: everything that runs and people at the desk need",
    "owner": "has the tables: migrates, redacts, archives, copies",
}


def copied_page(done: Copied) -> Page:
    """What was copied, which of the two goes on, and what to do next."""
    page = Page(data=done._asdict(), counts=dict(done.rows))
    word = "was there already" if done.already else "cloned" if done.cloned else "moved"
    page.head("store  ", Span(f"✓ {word}", "good"), Span(f"  {escaped(done.store)}"))
    page.fact("from", escaped(done.source))
    page.fact("to", escaped(done.target))
    if done.rows:
        rows = sum(done.rows.values())
        page.fact("copied", f"{done.rows['entry']} entries, {done.rows['effect']} effects, {rows} rows in all")
    page.fact("verified", f"the tree over {done.size} entries is {done.root}")
    page.fact("incarnation", str(done.incarnation))
    if done.cloned:
        page.fact("now", "the source goes on; the copy is restored and dispatches nothing until it is released")
        page.fact("next", f'holdfast --store {escaped(done.target)} store release --as NAME --reason "…"')
        return page
    page.fact("now", "the copy goes on; the source is closed for good, and can still be read")
    if done.under_way:
        page.fact("under way", f"{done.under_way} effect(s) had left: the copy asks the outside about each")
    page.fact("next", "name the new place in holdfast.toml or $HOLDFAST_STORE, then start the workers")
    return page


def roles_page(
    store: str, me: str, roles: Sequence[tuple[str, str, bool, tuple[str, ...]]], ran: Sequence[str]
) -> Page:
    """Which roles there are and who has them; ``ran`` are the statements that were run just now."""
    there = all(known for _, _, known, _ in roles)
    data = {
        "store": store,
        "as": me,
        "roles": [{"kind": k, "name": n, "there": known, "given_to": list(to)} for k, n, known, to in roles],
        "statements": list(ran),
    }
    page = Page(data=data, counts={"roles": sum(known for _, _, known, _ in roles)}, exit_code=0 if there else 1)
    word = Span("✓ made", "good") if ran else Span("✓ there", "good") if there else Span("✗ not there", "bad")
    page.head("roles  ", word, Span(f"  {escaped(store)}"))
    for kind, name, known, given_to in roles:
        has = ", ".join(escaped(login) for login in given_to) or "nobody"
        page.line(Span(f"  {name:<24}"), Span(FOR[kind] if known else "not there", "" if known else "bad"))
        if known:
            page.line(Span(f"  {'':<24}"), Span(f"given to {has}", "quiet"))
    page.gap()
    if there:
        worker = next(name for kind, name, _, _ in roles if kind == "worker")
        page.fact("next", f"CREATE ROLE app LOGIN; \\password app; GRANT {worker} TO app;  (with psql)")
    else:
        page.fact("next", "holdfast store roles --create, as a role that may make roles; --print shows what it runs")
    return page


def statements_page(made: Sequence[str]) -> Page:
    """The statements, to be read or run by somebody else."""
    page = Page(data={"statements": list(made)}, counts={"statements": len(made)})
    for statement in ("BEGIN", *made, "COMMIT"):
        page.line(f"{statement};")
    return page
