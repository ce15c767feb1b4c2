"""The SQL by which the PostgreSQL store commits, each text named once.

Decides which statements there are; :mod:`.postgres_batch` decides what they are given and in which order. Nothing
here is put together from values: every value travels apart from its statement. What only reads is :mod:`.rows`, for
both kinds of store.
"""

# Texts below are put together from constants of this module.

# -- a transaction --

# Stated, not left to the server's default: a stricter level would turn waiting for a lock into an error.
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
BEGIN_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"

# -- the two halves of a transaction: postgres_schema/0007_calls.sql --

HOLD = "SELECT hold($1)"
RECORD = "SELECT record($1)"

# -- or all of it at once: postgres_schema/0008_ahead.sql --

AHEAD = f"SELECT ahead({', '.join(f'${n}' for n in range(1, 57))})"

FOLDED = (
    "SELECT entry.effect, entry.kind, entry.at_ms, entry.by, entry.token, entry_body.body, run.view"
    " FROM entry JOIN entry_body USING (pos) JOIN run ON run.n = entry.run"
    " WHERE entry.effect = ANY(%b::bigint[]) AND entry.effect <> 0 ORDER BY entry.pos"
)
WORDS = "SELECT n, text FROM word"
ADD_WORDS = (
    "INSERT INTO word (text) SELECT text FROM unnest(%s::text[]) AS new (text) ORDER BY text"
    " ON CONFLICT (text) DO NOTHING"
)
WORDS_NAMED = "SELECT n, text FROM word WHERE text = ANY(%s::text[])"

# -- what a commit seldom writes, under the lock on the one row of meta --

MOVE_MODE = "UPDATE meta SET mode = %s, incarnation = %b, bound_to = %s, timeline = %b"
RAISE_TOKENS = "SELECT setval('token', greatest(%b, (SELECT last_value FROM token)))"
# Of two that notice one leap, the first one's measure stays.
MARK_LEAP = "UPDATE meta SET leapt_ms = %b WHERE leapt_ms = 0"
MARK_STEADY = "UPDATE meta SET leapt_ms = 0, steady_ms = %b, ahead_ms = %b"
FORGET_BOOTS = "DELETE FROM boot"
ADD_BOOT = "INSERT INTO boot (boot, offset_ms) VALUES (%s, %b) ON CONFLICT (boot) DO NOTHING"

# -- the connection that writes --

TAKE_UP = "INSERT INTO landing (writer, mark, at_ms) VALUES (%s, '', wall_ms())"
GIVE_UP = "DELETE FROM landing WHERE writer = %s RETURNING mark"
SWEEP = "DELETE FROM landing WHERE at_ms < wall_ms() - %b"
END_OTHER = (
    "SELECT pg_terminate_backend(pid, %b) FROM pg_stat_activity WHERE pid = %b AND pid <> pg_backend_pid()"
    " AND backend_start::text = %s AND usename = current_user"
)
MYSELF = "SELECT pg_backend_pid(), (SELECT backend_start::text FROM pg_stat_activity WHERE pid = pg_backend_pid())"

# -- a look at effects, in one snapshot --

EFFECTS = (
    "SELECT effect.n, effect.id, effect.version, effect_view.view FROM effect LEFT JOIN effect_view USING (n)"
    " WHERE effect.id = ANY(%s)"
)
LOOKED = "SELECT looked($1, $2)"
GENERATIONS = (
    "SELECT (SELECT count(*) FROM fact), (SELECT coalesce(sum(epoch), 0) FROM fact),"
    " array_agg(coalesce((SELECT max(generation) FROM effect WHERE identity = named), 0) ORDER BY nth)"
    " FROM unnest($1::bytea[]) WITH ORDINALITY AS asked (named, nth)"
)
ALL_FACTS = "SELECT scope, epoch, raised, value, by, reason FROM fact ORDER BY scope LIMIT %b"
RUNS_OF = "SELECT id, view FROM run WHERE id = ANY(%s)"
APPROVALS_OF = "SELECT id, view FROM approval WHERE id = ANY(%s)"
TIME = "SELECT wall_ms(), high_ms, leapt_ms, steady_ms, ahead_ms FROM meta"
BOOT = "SELECT offset_ms FROM boot WHERE boot = %s"
