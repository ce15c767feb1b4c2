"""The SQL of the PostgreSQL store, each text named once.

Decides which statements there are; :mod:`.postgres_rows` decides what they are given. Nothing here is put
together from values: every value travels apart from its statement.
"""

# -- a transaction --

# Stated, not left to the server's default: a stricter level would turn waiting for a lock into an error.
BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
BEGIN_READ = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"

# -- locking: what the guards look at, before any of it is read for deciding --

# Advisory, because a halt that was never raised and an effect that nobody proposed have no row to lock;
# shared where it is only looked at, because every dispatch of the store looks at the same few halts and must
# not wait for another.
LOCK_NAMES = (
    "SELECT CASE WHEN exclusive THEN pg_advisory_xact_lock(key) ELSE pg_advisory_xact_lock_shared(key)"
    " END FROM unnest(%s::bigint[], %s::boolean[]) AS wanted (key, exclusive)"
)
LOCK_EFFECTS = "SELECT id, view FROM effect WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
LOCK_RUNS = "SELECT id, view FROM run WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
# Whoever wants a resource makes sure that it has a row, because only a row can be waited for.
MAKE_LEASES = (
    "INSERT INTO lease (resource, effect, holder, token, until_ms) SELECT resource, '', '', 0, 0 FROM"
    " unnest(%s::text[]) AS wanted (resource) ON CONFLICT (resource) DO NOTHING"
)
LOCK_LEASES = (
    "SELECT resource, effect, holder, token, until_ms FROM lease WHERE resource = ANY(%s) ORDER BY resource FOR UPDATE"
)
LOCK_APPROVALS = "SELECT id, view FROM approval WHERE id = ANY(%s) ORDER BY id FOR UPDATE"
FACTS = "SELECT scope, epoch, raised, value, by, reason FROM fact WHERE scope = ANY(%s)"
DOCUMENTS_NAMED = (
    "SELECT kind, id, view FROM document JOIN unnest(%s::text[], %s::text[]) AS wanted (kind, id) USING (kind, id)"
)
# After the locks: whoever had them before us has committed, so its entries are in the high-water mark, and
# its tokens are below those that the sequence gives now.
STORE = (
    "SELECT mode = 'restored', current_setting('fsync'), wall_ms(), high_ms(), leapt_ms, steady_ms, ahead_ms FROM meta"
)
MINT = "SELECT nextval('token') FROM generate_series(1, %s)"

# -- writing: each statement names what it replaces; the count of rows tells whether it was still there --

ADD_RUNS = (
    "INSERT INTO run (id, tenant, intent, state, seq, head, view) SELECT * FROM unnest(%s::text[],"
    " %s::text[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::text[])"
)
MOVE_RUNS = (
    "UPDATE run SET state = new.state, seq = new.seq, head = new.head, view = new.view FROM"
    " unnest(%s::text[], %s::bigint[], %s::text[], %s::bigint[], %s::text[], %s::text[]) AS new (id, was,"
    " state, seq, head, view) WHERE run.id = new.id AND run.seq = new.was"
)
ADD_EFFECTS = (
    "INSERT INTO effect (id, tenant, run, identity, generation, tool, resource, state, version, token,"
    " open, due_ms, view) SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[],"
    " %s::bigint[], %s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[], %s::boolean[],"
    " %s::bigint[], %s::text[])"
)
MOVE_EFFECTS = (
    "UPDATE effect SET state = new.state, version = new.version, token = new.token, open = new.open,"
    " due_ms = new.due_ms, view = new.view FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::text[],"
    " %s::bigint[], %s::bigint[], %s::boolean[], %s::bigint[], %s::text[]) AS new (id, was, old_token,"
    " state, version, token, open, due_ms, view) WHERE effect.id = new.id AND effect.version = new.was AND"
    " effect.token = new.old_token"
)
TAKE_LEASES = (
    "UPDATE lease SET effect = new.effect, holder = new.holder, token = new.token, until_ms ="
    " new.until_ms FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::text[], %s::bigint[],"
    " %s::bigint[]) AS new (resource, old_token, effect, holder, token, until_ms) WHERE lease.resource ="
    " new.resource AND lease.token = new.old_token AND (lease.token < new.token OR lease.effect ="
    " new.effect)"
)
FREE_LEASES = (
    "UPDATE lease SET effect = '', holder = '', until_ms = 0 FROM unnest(%s::text[], %s::bigint[]) AS old"
    " (resource, token) WHERE lease.resource = old.resource AND lease.token = old.token"
)
ADD_APPROVALS = (
    "INSERT INTO approval (id, effect, state, view) SELECT * FROM unnest(%s::text[], %s::text[],"
    " %s::text[], %s::text[])"
)
MOVE_APPROVALS = (
    "UPDATE approval SET state = new.state, view = new.view FROM unnest(%s::text[], %s::text[],"
    " %s::text[], %s::text[]) AS new (id, was, state, view) WHERE approval.id = new.id AND approval.state"
    " = new.was"
)
PUT_FACTS = (
    "INSERT INTO fact (scope, epoch, raised, value, by, reason, at_ms) SELECT * FROM unnest(%s::text[],"
    " %s::bigint[], %s::boolean[], %s::text[], %s::text[], %s::text[], %s::bigint[]) ON CONFLICT (scope)"
    " DO UPDATE SET epoch = excluded.epoch, raised = excluded.raised, value = excluded.value, by ="
    " excluded.by, reason = excluded.reason, at_ms = excluded.at_ms"
)
PUT_DOCUMENTS = (
    "INSERT INTO document (kind, id, run, view) SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])"
    " ON CONFLICT (kind, id) DO UPDATE SET view = excluded.view"
)
ADD_ENTRIES = (
    "INSERT INTO entry (run, seq, effect, kind, before, after, at_ms, by, token, tenant, commitment,"
    " hash) SELECT run, seq, effect, kind, before, after, at_ms, by, token, tenant, commitment, hash FROM"
    " unnest(%s::text[], %s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[],"
    " %s::text[], %s::bigint[], %s::text[], %s::bytea[], %s::bytea[]) WITH ORDINALITY AS new (run, seq,"
    " effect, kind, before, after, at_ms, by, token, tenant, commitment, hash, n) ORDER BY n"
)
ADD_BODIES = (
    "INSERT INTO entry_body (commitment, salt, body) SELECT * FROM unnest(%s::bytea[], %s::bytea[], %s::bytea[])"
)
# Of two that notice one leap, the first one's measure stays.
MARK_LEAP = "UPDATE meta SET leapt_ms = %s WHERE leapt_ms = 0"
MARK_STEADY = "UPDATE meta SET leapt_ms = 0, steady_ms = %s, ahead_ms = %s"
FORGET_WITNESSES = "DELETE FROM witness"
ADD_WITNESS = "INSERT INTO witness (boot, offset_ms) VALUES (%s, %s) ON CONFLICT (boot) DO NOTHING"
MOVE_MODE = "UPDATE meta SET mode = %s, incarnation = incarnation + %s"

# -- reading --

EFFECT = "SELECT view FROM effect WHERE id = %s"
LATEST = "SELECT view FROM effect WHERE identity = %s ORDER BY generation DESC LIMIT 1"
RUN = "SELECT view FROM run WHERE id = %s"
APPROVAL = "SELECT view FROM approval WHERE id = %s"
DOCUMENTS = "SELECT view FROM document WHERE kind = %s ORDER BY id LIMIT %s"
DOCUMENTS_OF_RUN = "SELECT view FROM document WHERE run = %s AND kind = %s ORDER BY id LIMIT %s"
EFFECTS_OF_RUN = "SELECT view FROM effect WHERE run = %s ORDER BY n"
IDS_LIKE = (
    "SELECT id FROM effect WHERE id >= %s AND id < %s UNION ALL SELECT id FROM run WHERE id >= %s AND id"
    " < %s UNION ALL SELECT id FROM approval WHERE id >= %s AND id < %s LIMIT 8"
)
OPEN_EFFECTS = "SELECT view FROM effect WHERE open ORDER BY due_ms, id"
TIME = "SELECT wall_ms(), high_ms(), leapt_ms, steady_ms, ahead_ms FROM meta"
WITNESS = "SELECT offset_ms FROM witness WHERE boot = %s"
SECRET = "SELECT identity_secret FROM meta"  # noqa: S105 - the name of a column
ENTRIES_OF_RUN = (
    "SELECT run, seq, effect, kind, before, after, at_ms, by, token, tenant, coalesce(lag(encode(hash,"
    " 'hex')) OVER (ORDER BY seq), ''), encode(entry.commitment, 'hex'), encode(hash, 'hex'), salt, body,"
    " pos FROM entry LEFT JOIN entry_body USING (commitment) WHERE run = %s ORDER BY seq"
)
