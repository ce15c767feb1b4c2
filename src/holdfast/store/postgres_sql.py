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

# -- locking: what the guards look at, before any of it is read for deciding --

# Advisory, because a halt that was never raised and an effect that nobody proposed have no row to lock; shared where it
# is only looked at, because every dispatch of the store looks at the same few halts and must not wait for another.
LOCK_NAMES = (
    "SELECT count(*) FROM (SELECT CASE WHEN exclusive THEN pg_advisory_xact_lock(key)"
    " ELSE pg_advisory_xact_lock_shared(key) END FROM unnest(%b::bigint[], %b::boolean[]) AS wanted (key, exclusive))"
    " AS locked"
)
# Locked first and read by the next statement: a row that was waited for is read anew, but not what is joined to it.
LOCK_EFFECTS = "SELECT count(*) FROM (SELECT 1 FROM effect WHERE id = ANY(%s) ORDER BY id FOR UPDATE) AS locked"
EFFECTS = (
    "SELECT effect.n, effect.id, effect.version, effect_view.view FROM effect LEFT JOIN effect_view USING (n)"
    " WHERE effect.id = ANY(%s)"
)
LOCK_RUNS = "SELECT n, id, view FROM run WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
LEASES = "SELECT resource, effect, holder, token, until_ms FROM lease WHERE resource = ANY(%s)"
LOCK_APPROVALS = "SELECT id, view FROM approval WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
FACTS = "SELECT scope, epoch, raised, value, by, reason FROM fact WHERE scope = ANY(%s)"
DOCUMENTS = (
    "SELECT document.kind, document.id, document.view FROM unnest(%s::text[], %s::text[]) AS wanted (kind, id)"
    " JOIN document ON document.kind = wanted.kind AND document.id = wanted.id"
)
# After the locks: whoever had them before us has committed, so its time is below the high-water mark, and its tokens
# are below those that the sequence gives now.
STORE = (
    "SELECT mode, incarnation, current_setting('fsync'), wall_ms(), high_ms, leapt_ms, steady_ms, ahead_ms,"
    " (SELECT coalesce(max(by_pos), 0) FROM redaction) FROM meta"
)
DRAW = (
    "SELECT ARRAY(SELECT nextval('token') FROM generate_series(1, %b)),"
    " ARRAY(SELECT nextval('run_n') FROM generate_series(1, %b)),"
    " ARRAY(SELECT nextval('effect_n') FROM generate_series(1, %b))"
)
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

# -- writing: what can be written before the position is drawn --

PUT_LEASES = (
    "INSERT INTO lease (resource, tenant, effect, holder, token, until_ms) SELECT * FROM unnest(%s::text[],"
    " %b::bigint[], %s::text[], %s::text[], %b::bigint[], %b::bigint[]) ON CONFLICT (resource) DO UPDATE SET"
    " effect = excluded.effect, holder = excluded.holder, token = excluded.token, until_ms = excluded.until_ms"
)
DROP_LEASES = "DELETE FROM lease WHERE resource = ANY(%s::text[])"
PUT_APPROVALS = (
    "INSERT INTO approval (id, tenant, effect, state, view) SELECT * FROM unnest(%s::text[], %b::bigint[],"
    " %s::text[], %s::text[], %b::bytea[])"
    " ON CONFLICT (id) DO UPDATE SET state = excluded.state, view = excluded.view"
)
PUT_FACTS = (
    "INSERT INTO fact (scope, tenant, epoch, raised, value, by, reason) SELECT * FROM unnest(%s::text[], %b::bigint[],"
    " %b::bigint[], %b::bigint[]::integer[], %s::text[], %s::text[], %s::text[]) ON CONFLICT (scope) DO UPDATE SET"
    " epoch = excluded.epoch, raised = excluded.raised, value = excluded.value, by = excluded.by,"
    " reason = excluded.reason"
)
PUT_DOCUMENTS = (
    "INSERT INTO document (kind, id, run, view, lane, rank, due_ms) SELECT * FROM unnest(%s::text[], %s::text[],"
    " %s::text[], %b::bytea[], %s::text[], %b::bigint[], %b::bigint[]) ON CONFLICT (kind, id) DO UPDATE SET"
    " view = excluded.view, lane = excluded.lane, rank = excluded.rank, due_ms = excluded.due_ms"
)
PUT_VIEWS = (
    "INSERT INTO effect_view (n, view) SELECT * FROM unnest(%b::bigint[], %b::bytea[])"
    " ON CONFLICT (n) DO UPDATE SET view = excluded.view"
)
DROP_VIEWS = "DELETE FROM effect_view WHERE n = ANY(%b::bigint[])"
NOTIFY = "SELECT pg_notify(%s, %s)"
LAND = "SELECT land(%s, %s)"

# -- writing, under the lock on the one row of meta: the order of positions is the order of commits --

MOVE_META = (
    "UPDATE meta SET pos = pos + %b, high_ms = greatest(high_ms, %b), last_token = greatest(last_token, %b)"
    " RETURNING pos"
)
MOVE_MODE = "UPDATE meta SET mode = %s, incarnation = %b, bound_to = %s, timeline = %b"
RAISE_TOKENS = "SELECT setval('token', greatest(%b, (SELECT last_value FROM token)))"
# Of two that notice one leap, the first one's measure stays.
MARK_LEAP = "UPDATE meta SET leapt_ms = %b WHERE leapt_ms = 0"
MARK_STEADY = "UPDATE meta SET leapt_ms = 0, steady_ms = %b, ahead_ms = %b"
FORGET_BOOTS = "DELETE FROM boot"
ADD_BOOT = "INSERT INTO boot (boot, offset_ms) VALUES (%s, %b) ON CONFLICT (boot) DO NOTHING"
ADD_ENTRIES = (
    "INSERT INTO entry (pos, run, seq, effect, kind, before, after, at_ms, by, token, tenant, commitment, hash)"
    " SELECT meta.pos - %b + nth, run, seq, effect, kind, before, after, at_ms, by, token, tenant, commitment, hash"
    " FROM meta, unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[],"
    " %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[]) WITH ORDINALITY AS new (run,"
    " seq, effect, kind, before, after, at_ms, by, token, tenant, commitment, hash, nth) ORDER BY nth"
)
ADD_BODIES = (
    "INSERT INTO entry_body (pos, salt, body) SELECT meta.pos - %b + nth, salt, body FROM meta,"
    " unnest(%b::bytea[], %b::bytea[]) WITH ORDINALITY AS new (salt, body, nth)"
)
ADD_EFFECTS = (
    "INSERT INTO effect (n, id, tenant, run, identity, generation, tool, state, version, open, due_ms) SELECT * FROM"
    " unnest(%b::bigint[], %s::text[], %b::bigint[], %b::bigint[], %b::bytea[], %b::bigint[], %b::bigint[],"
    " %b::bigint[], %b::bigint[], %b::bigint[]::integer[], %b::bigint[])"
)
# What it replaces is named, so that under whatever lock none is replaced that it was not planned on.
MOVE_EFFECTS = (
    "WITH moved AS (UPDATE effect SET state = new.state, version = new.version, open = new.open, due_ms = new.due_ms"
    " FROM unnest(%b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[], %b::bigint[]::integer[], %b::bigint[])"
    " AS new (n, was, state, version, open, due_ms) WHERE effect.n = new.n AND effect.version = new.was RETURNING 1)"
    " SELECT expect((SELECT count(*) FROM moved), %b)"
)
ADD_RUNS = (
    "INSERT INTO run (n, id, tenant, intent, state, seq, head, view) SELECT * FROM unnest(%b::bigint[], %s::text[],"
    " %b::bigint[], %s::text[], %s::text[], %b::bigint[], %b::bytea[], %b::bytea[])"
)
MOVE_RUNS = (
    "WITH moved AS (UPDATE run SET state = new.state, seq = new.seq, head = new.head, view = new.view FROM"
    " unnest(%b::bigint[], %b::bigint[], %s::text[], %b::bigint[], %b::bytea[], %b::bytea[]) AS new (n, was, state,"
    " seq, head, view) WHERE run.n = new.n AND run.seq = new.was RETURNING 1)"
    " SELECT expect((SELECT count(*) FROM moved), %b)"
)

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

ALL_FACTS = "SELECT scope, epoch, raised, value, by, reason FROM fact ORDER BY scope LIMIT %b"
RUNS_OF = "SELECT id, view FROM run WHERE id = ANY(%s)"
APPROVALS_OF = "SELECT id, view FROM approval WHERE id = ANY(%s)"
TIME = "SELECT wall_ms(), high_ms, leapt_ms, steady_ms, ahead_ms FROM meta"
BOOT = "SELECT offset_ms FROM boot WHERE boot = %s"
