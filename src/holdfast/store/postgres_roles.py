"""Who may do what with a store on PostgreSQL: three group roles without a login, to be given to logins.

Decides which rights each needs and gives no other. A *reader* reads, and not the secret that keys are minted with. A
*worker* records: it adds entries and moves rows, and can neither change nor delete an entry, alter a table, nor switch
a trigger off. The *owner* has the tables: it migrates, redacts, archives and copies. People at the desk record as
workers do: what sets them apart is the signature under what they decide, which no database right could stand for.

Promises that the same statements are shown and run, that running them twice changes nothing, and that no password is
made or asked for. Does not promise anything about superusers, nor about a login that has more rights than these.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from holdfast.kernel.errors import BadConfig, HoldfastError
from holdfast.store.address import SCHEMA_NAME, Address
from holdfast.store.postgres_open import connect, driver, translate

KINDS: Final = ("reader", "worker", "owner")
LOCK_MS: Final = 10_000

HIDDEN: Final = "identity_secret"
ADDED_TO: Final = (
    "word", "run", "effect", "effect_view", "lease", "approval", "fact", "document", "entry", "entry_body", "landing",
    "boot", "checkpoint", "witness", "cosignature", "node", "fence",
)  # fmt: skip
MOVED: Final = {
    "run": "state, seq, head, view", "effect": "state, version, open, due_ms", "effect_view": "view",
    "lease": "effect, holder, token, until_ms", "approval": "state, view", "fact": "epoch, raised, value, by, reason",
    "document": "view, lane, rank, due_ms",
    "meta": "mode, incarnation, last_token, high_ms, bound_to, pos, timeline, leapt_ms, steady_ms, ahead_ms",
    "landing": "mark, at_ms", "fence": "token", "sealer": "holder, token, until_ms, trouble, trouble_ms",
    "witness": "size, at_ms, trouble, trouble_ms, fork", "cosignature": "lines",
}  # fmt: skip
"""Tables of which a worker moves rows, and which columns."""
TAKEN_FROM: Final = ("effect_view", "lease", "landing", "boot", "fence")
"""Tables that a worker takes rows from: what is folded from entries, or kept for the moment."""
SEQUENCES: Final = ("run_n", "effect_n", "word_n", "token")
"""Sequences that a worker draws from."""
RAISED: Final = "token"
"""The one that it may also set: tokens begin far higher after a restore, and a worker is who finds out about that."""

_TABLES = "SELECT c.relname FROM pg_class c WHERE c.relnamespace = %s::regnamespace AND c.relkind = %s ORDER BY 1"
_META = (
    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
)
_FOUND = """
SELECT role.rolname, role.rolcanlogin,
    coalesce((SELECT array_agg(login.rolname ORDER BY login.rolname) FROM pg_auth_members AS m
        JOIN pg_roles AS login ON login.oid = m.member WHERE m.roleid = role.oid), '{}')
FROM pg_roles AS role WHERE role.rolname = ANY(%s) ORDER BY 1
"""
_MINE = "SELECT current_user, rolsuper, rolcreaterole FROM pg_roles WHERE rolname = current_user"


class Role(NamedTuple):
    """One group role: whether it is there, and which roles were given it."""

    kind: str
    name: str
    there: bool
    members: tuple[str, ...] = ()


class Roles(NamedTuple):
    """The roles of a store, and as whom this connection asks."""

    store: str
    schema: str
    me: str
    superuser: bool
    roles: tuple[Role, ...]


def names(at: Address, prefix: str = "") -> dict[str, str]:
    """What the roles are called: the schema's name, or ``prefix``, and the kind. Raises BadConfig."""
    before = prefix or at.schema
    if not SCHEMA_NAME.fullmatch(before):
        why = "names of roles begin with at most 49 small letters, digits and underscores"
        raise BadConfig(file="the command line", key="--prefix", nearest=None, why=why)
    return {kind: f"{before}_{kind}" for kind in KINDS}


def found(at: Address, prefix: str = "") -> Roles:
    """Which roles there are, and who was given them. Raises what connecting raises."""
    named = names(at, prefix)
    db, place = connect(at.dsn, at.schema, LOCK_MS)
    try:
        me, superuser, _ = db.execute(_MINE).fetchall()[0]
        there = {name: tuple(members) for name, _, members in db.execute(_FOUND, (list(named.values()),))}
        roles = tuple(Role(kind, name, name in there, there.get(name, ())) for kind, name in named.items())
        return Roles(place.name, at.schema, str(me), bool(superuser), roles)
    except driver().Error as error:
        raise translate(error, place) from None
    finally:
        db.close()


def statements(at: Address, prefix: str = "") -> list[str]:
    """What makes the roles of the store that is there, statement by statement. Raises BadConfig where there is none."""
    db, place = connect(at.dsn, at.schema, LOCK_MS)
    try:
        return _statements(db, at.schema, names(at, prefix))
    except driver().Error as error:
        raise translate(error, place) from None
    finally:
        db.close()


def create(at: Address, prefix: str = "") -> list[str]:
    """Make the roles, in one transaction; what was run. Raises BadConfig where this role may not."""
    db, place = connect(at.dsn, at.schema, LOCK_MS)
    try:
        made = _statements(db, at.schema, names(at, prefix))
        with db.transaction():
            for statement in made:
                db.execute(statement.encode())
        return made
    except driver().errors.InsufficientPrivilege as error:
        why = f"this role may not make roles or give the tables away: {_said(error)}"
        raise BadConfig(file=place.name, key="the role", nearest=None, why=why) from None
    except driver().Error as error:
        raise translate(error, place) from None
    except HoldfastError:
        raise
    finally:
        db.close()


def _said(error: Any) -> str:
    return str(error.diag.message_primary or type(error).__name__)


def _statements(db: Any, schema: str, named: dict[str, str]) -> list[str]:
    tables, views, sequences = (
        [name for (name,) in db.execute(_TABLES, (schema, kind))] if _there(db, schema) else [] for kind in "rvS"
    )
    if "meta" not in tables:
        why = f"there is no store in the schema {schema} yet; open it once with a role that may make it"
        raise BadConfig(file="the server", key="schema", nearest=None, why=why)
    columns = [name for (name,) in db.execute(_META, (f'"{schema}".meta',))]
    reader, worker, owner = (named[kind] for kind in KINDS)
    both = f"{reader}, {worker}"
    made = [_made(name) for name in named.values()]
    made += [
        f"GRANT {owner} TO CURRENT_USER",
        f"REVOKE ALL ON SCHEMA {schema} FROM PUBLIC",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA {schema} FROM PUBLIC, {both}",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA {schema} FROM PUBLIC, {both}",
        f"REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} FROM PUBLIC",
        f"GRANT USAGE ON SCHEMA {schema} TO {both}",
        f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {schema} TO {both}",
    ]
    kept = [name for name in tables if name != "meta"]
    open_columns = ", ".join(_quoted(name) for name in columns if name != HIDDEN)
    made += [
        f"GRANT SELECT ON {_all(schema, [*kept, *views])} TO {both}",
        f"GRANT SELECT ({open_columns}) ON {schema}.meta TO {reader}",
        f"GRANT SELECT ON {schema}.meta TO {worker}",
        f"GRANT INSERT ON {_all(schema, ADDED_TO)} TO {worker}",
        *(f"GRANT UPDATE ({_columns(moved)}) ON {schema}.{table} TO {worker}" for table, moved in MOVED.items()),
        f"GRANT DELETE ON {_all(schema, TAKEN_FROM)} TO {worker}",
        f"GRANT SELECT ON {_all(schema, sequences, 'SEQUENCE ')} TO {both}",
        f"GRANT USAGE ON {_all(schema, SEQUENCES, 'SEQUENCE ')} TO {worker}",
        f"GRANT UPDATE ON SEQUENCE {schema}.{RAISED} TO {worker}",
    ]
    # Last: from here on whoever runs this has the tables only through the role that was made for it.
    (database,) = db.execute("SELECT quote_ident(current_database())").fetchone()
    made += [f"GRANT CREATE ON DATABASE {database} TO {owner}", f"ALTER SCHEMA {schema} OWNER TO {owner}"]
    owned = {"TABLE": tables, "VIEW": views, "SEQUENCE": _free(db, schema, sequences)}
    made += [f"ALTER {kind} {schema}.{name} OWNER TO {owner}" for kind, several in owned.items() for name in several]
    made += [f"ALTER FUNCTION {name} OWNER TO {owner}" for (name,) in db.execute(_ROUTINES, (schema,))]
    return made


_ROUTINES = (
    "SELECT format('%%I.%%I(%%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))"
    " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = %s ORDER BY 1"
)
_OWNED_BY_TABLE = (
    "SELECT c.relname FROM pg_class c JOIN pg_depend d ON d.objid = c.oid AND d.deptype IN ('a', 'i')"
    " WHERE c.relnamespace = %s::regnamespace AND c.relkind = 'S' AND d.refobjsubid > 0"
)


def _free(db: Any, schema: str, sequences: list[str]) -> list[str]:
    """Sequences that go with no table."""
    bound = {name for (name,) in db.execute(_OWNED_BY_TABLE, (schema,))}
    return [name for name in sequences if name not in bound]


def _there(db: Any, schema: str) -> bool:
    return db.execute("SELECT to_regnamespace(%s)", (schema,)).fetchall()[0][0] is not None


def _made(name: str) -> str:
    """A role without a login, made where it is not there yet."""
    return (  # a name by pattern
        f"DO $$ BEGIN IF NOT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = '{name}') THEN"  # noqa: S608
        f" CREATE ROLE {name} NOLOGIN; END IF; END $$"
    )


def _quoted(name: str) -> str:
    return f'"{name}"'


def _columns(listed: str) -> str:
    return ", ".join(_quoted(name) for name in listed.split(", "))


def _all(schema: str, tables: Any, kind: str = "") -> str:
    return kind + ", ".join(f"{schema}.{table}" for table in tables)
