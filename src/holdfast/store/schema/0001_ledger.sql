-- The ledger: entries are the truth, effect and run rows are the fold of them that is kept at hand.
--
-- Triggers repeat what the kernel promises, so that no other program with this file open can break it quietly: an
-- entry is never changed or taken away, a move that the state table does not have does not go in, and an effect is in
-- the state that its last entry says. Small integers stand for often repeated words and for rows (see table word);
-- the views `entries` and `effects` read as text.

CREATE TABLE migration (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    store TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    mode TEXT NOT NULL CHECK (mode IN ('normal', 'restored')),
    identity_secret BLOB NOT NULL CHECK (length(identity_secret) = 32),
    last_token INTEGER NOT NULL,
    high_ms INTEGER NOT NULL,
    bound_to TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

-- 0 is the empty word; the states come next, in the order of the state table; the rest as they are first used.
CREATE TABLE word (n INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;

CREATE TABLE life (
    before INTEGER NOT NULL,
    after INTEGER NOT NULL,
    PRIMARY KEY (before, after)
) STRICT, WITHOUT ROWID;

CREATE TABLE run (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant INTEGER NOT NULL,
    intent TEXT NOT NULL,
    state TEXT NOT NULL,
    seq INTEGER NOT NULL,
    head BLOB NOT NULL,
    view BLOB NOT NULL
) STRICT;
CREATE INDEX run_intent ON run (intent);

CREATE TABLE effect (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    tenant INTEGER NOT NULL,
    run INTEGER NOT NULL,
    identity ANY NOT NULL,
    generation INTEGER NOT NULL,
    tool INTEGER NOT NULL,
    state INTEGER NOT NULL,
    version INTEGER NOT NULL,
    open INTEGER NOT NULL,
    due_ms INTEGER NOT NULL,
    UNIQUE (identity, generation)
) STRICT;
CREATE INDEX effect_run ON effect (run);
CREATE INDEX effect_open ON effect (due_ms) WHERE open = 1;

-- The whole record of an effect that is not at its end. Apart, so that its room is used again: an effect at its end is
-- folded from its entries, which say it all.
CREATE TABLE effect_view (n INTEGER PRIMARY KEY, view BLOB NOT NULL) STRICT;

CREATE TABLE lease (
    resource TEXT PRIMARY KEY,
    tenant INTEGER NOT NULL,
    effect TEXT NOT NULL,
    holder TEXT NOT NULL,
    token INTEGER NOT NULL,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE approval (
    id TEXT PRIMARY KEY,
    tenant INTEGER NOT NULL,
    effect TEXT NOT NULL,
    state TEXT NOT NULL,
    view BLOB NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_state ON approval (state) WHERE state IN ('open', 'granted');

CREATE TABLE fact (
    scope TEXT PRIMARY KEY,
    tenant INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    raised INTEGER NOT NULL,
    value TEXT NOT NULL,
    by TEXT NOT NULL,
    reason TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What an entry says about itself; its own hash covers all of it and the hash before it in its run.
CREATE TABLE entry (
    pos INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    effect INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    before INTEGER NOT NULL,
    after INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    by INTEGER NOT NULL,
    token INTEGER NOT NULL,
    tenant INTEGER NOT NULL,
    commitment BLOB NOT NULL CHECK (length(commitment) = 32),
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    UNIQUE (run, seq)
) STRICT;
CREATE INDEX entry_effect ON entry (effect, pos) WHERE effect <> 0;

-- What it says about the world. Apart, because this is what a redaction takes away.
CREATE TABLE entry_body (pos INTEGER PRIMARY KEY, salt BLOB NOT NULL, body BLOB NOT NULL) STRICT;

-- ------------------------------------------------------------------------------------------------ entries

-- (run, seq) is unique, so "the one before is there" means no gap and no second.
CREATE TRIGGER entry_follows BEFORE INSERT ON entry
WHEN NEW.seq <> 1 AND NOT EXISTS (SELECT 1 FROM entry WHERE run = NEW.run AND seq = NEW.seq - 1)
    OR NEW.seq < 1 OR NEW.pos IS NOT coalesce((SELECT max(pos) FROM entry), 0) + 1
BEGIN SELECT RAISE(ABORT, 'entry: not the next one'); END;
CREATE TRIGGER entry_moves BEFORE INSERT ON entry
WHEN NEW.after <> 0 AND (
        NOT EXISTS (SELECT 1 FROM life WHERE before = NEW.before AND after = NEW.after)
        OR NEW.effect = 0
        OR NEW.before <> coalesce((
            SELECT after FROM entry
            WHERE effect = NEW.effect AND effect <> 0 AND after <> 0 ORDER BY pos DESC LIMIT 1), 0))
    OR NEW.after = 0 AND NEW.before <> 0
BEGIN SELECT RAISE(ABORT, 'entry: not a legal transition of its effect'); END;
CREATE TRIGGER entry_stays BEFORE UPDATE ON entry BEGIN SELECT RAISE(ABORT, 'entry: never changed'); END;
CREATE TRIGGER entry_is_kept BEFORE DELETE ON entry BEGIN SELECT RAISE(ABORT, 'entry: never deleted'); END;
CREATE TRIGGER entry_body_stays BEFORE UPDATE ON entry_body BEGIN
    SELECT RAISE(ABORT, 'entry_body: never changed');
END;
CREATE TRIGGER entry_body_is_kept BEFORE DELETE ON entry_body BEGIN
    SELECT RAISE(ABORT, 'entry_body: only a redaction takes a body away');
END;

-- ------------------------------------------------------------------------------------------- folded rows

CREATE TRIGGER effect_begins BEFORE INSERT ON effect
WHEN NEW.state IS NOT (
    SELECT after FROM entry WHERE effect = NEW.n AND effect <> 0 AND after <> 0 ORDER BY pos DESC LIMIT 1)
BEGIN SELECT RAISE(ABORT, 'effect: its entries say another state'); END;
CREATE TRIGGER effect_moves BEFORE UPDATE OF state ON effect
WHEN NEW.state IS NOT (
    SELECT after FROM entry WHERE effect = NEW.n AND effect <> 0 AND after <> 0 ORDER BY pos DESC LIMIT 1)
BEGIN SELECT RAISE(ABORT, 'effect: its entries say another state'); END;
CREATE TRIGGER effect_is_itself BEFORE UPDATE OF n, id, tenant, run, identity, generation, tool ON effect
BEGIN SELECT RAISE(ABORT, 'effect: what it is never changes'); END;
CREATE TRIGGER effect_is_kept BEFORE DELETE ON effect BEGIN SELECT RAISE(ABORT, 'effect: never deleted'); END;

CREATE TRIGGER run_begins BEFORE INSERT ON run
WHEN NEW.seq IS NOT coalesce((SELECT max(seq) FROM entry WHERE run = NEW.n), 0)
BEGIN SELECT RAISE(ABORT, 'run: its entries end elsewhere'); END;
CREATE TRIGGER run_moves BEFORE UPDATE OF seq, head ON run
WHEN NEW.head IS NOT coalesce((SELECT hash FROM entry WHERE run = NEW.n AND seq = NEW.seq), x'')
    OR NEW.seq IS NOT coalesce((SELECT max(seq) FROM entry WHERE run = NEW.n), 0)
BEGIN SELECT RAISE(ABORT, 'run: its entries end elsewhere'); END;
CREATE TRIGGER run_is_itself BEFORE UPDATE OF n, id, tenant, intent ON run
BEGIN SELECT RAISE(ABORT, 'run: what it is never changes'); END;
CREATE TRIGGER run_is_kept BEFORE DELETE ON run BEGIN SELECT RAISE(ABORT, 'run: never deleted'); END;

-- --------------------------------------------------------------------------------------------- other rows

CREATE TRIGGER approval_is_spent_once BEFORE UPDATE ON approval WHEN OLD.state = 'spent'
BEGIN SELECT RAISE(ABORT, 'approval: spent for good'); END;
CREATE TRIGGER approval_is_kept BEFORE DELETE ON approval BEGIN SELECT RAISE(ABORT, 'approval: never deleted'); END;

CREATE TRIGGER fact_rises BEFORE UPDATE ON fact WHEN NEW.epoch <= OLD.epoch OR NEW.scope <> OLD.scope
BEGIN SELECT RAISE(ABORT, 'fact: epochs only rise'); END;
CREATE TRIGGER fact_is_kept BEFORE DELETE ON fact BEGIN SELECT RAISE(ABORT, 'fact: never deleted'); END;

CREATE TRIGGER meta_rises BEFORE UPDATE ON meta BEGIN
    SELECT CASE
        WHEN NEW.store <> OLD.store OR NEW.identity_secret <> OLD.identity_secret
            THEN RAISE(ABORT, 'meta: what the store is never changes')
        WHEN NEW.last_token < OLD.last_token OR NEW.high_ms < OLD.high_ms OR NEW.incarnation < OLD.incarnation
            THEN RAISE(ABORT, 'meta: tokens, time and incarnation never go back')
        WHEN OLD.mode = 'restored' AND NEW.mode = 'normal' AND 'store_released' IS NOT (
                SELECT word.text FROM entry JOIN word ON word.n = entry.kind
                WHERE entry.run = 1 ORDER BY entry.seq DESC LIMIT 1)
            THEN RAISE(ABORT, 'meta: only a recorded release ends restored mode')
    END;
END;
CREATE TRIGGER meta_is_kept BEFORE DELETE ON meta BEGIN SELECT RAISE(ABORT, 'meta: never deleted'); END;
CREATE TRIGGER migration_stays BEFORE UPDATE ON migration BEGIN SELECT RAISE(ABORT, 'migration: never changed'); END;
CREATE TRIGGER migration_is_kept BEFORE DELETE ON migration
BEGIN SELECT RAISE(ABORT, 'migration: never deleted'); END;
CREATE TRIGGER word_stays BEFORE UPDATE ON word BEGIN SELECT RAISE(ABORT, 'word: never changed'); END;
CREATE TRIGGER word_is_kept BEFORE DELETE ON word BEGIN SELECT RAISE(ABORT, 'word: never deleted'); END;
-- meta is the last row a migration writes, so this closes the state table behind it.
CREATE TRIGGER life_grows BEFORE INSERT ON life WHEN EXISTS (SELECT 1 FROM meta)
BEGIN SELECT RAISE(ABORT, 'life: the state table is closed'); END;
CREATE TRIGGER life_stays BEFORE UPDATE ON life BEGIN SELECT RAISE(ABORT, 'life: the state table is closed'); END;
CREATE TRIGGER life_is_kept BEFORE DELETE ON life BEGIN SELECT RAISE(ABORT, 'life: the state table is closed'); END;

-- ------------------------------------------------------------------------------------- for people to read

CREATE VIEW entries AS
SELECT entry.pos, run.id AS run, entry.seq, coalesce(effect.id, '') AS effect, kind.text AS kind,
       before.text AS before, after.text AS after, entry.at_ms, by.text AS by, entry.token,
       lower(hex(entry.hash)) AS hash, CAST(entry_body.body AS TEXT) AS body
FROM entry
JOIN run ON run.n = entry.run
JOIN word AS kind ON kind.n = entry.kind
JOIN word AS before ON before.n = entry.before
JOIN word AS after ON after.n = entry.after
JOIN word AS by ON by.n = entry.by
LEFT JOIN effect ON effect.n = entry.effect
LEFT JOIN entry_body ON entry_body.pos = entry.pos;

CREATE VIEW effects AS
SELECT effect.id, run.id AS run, state.text AS state, tool.text AS tool, effect.generation, effect.version,
       effect.open, effect.due_ms
FROM effect
JOIN run ON run.n = effect.run
JOIN word AS state ON state.n = effect.state
JOIN word AS tool ON tool.n = effect.tool;
