-- needs 1
-- The ledger: entries are the truth, effect and run rows are the fold of them that is kept at hand. Tables and columns are
-- those of the SQLite store, so that whatever reads a record reads it here with the same words.
--
-- Triggers repeat what the kernel promises, so that no other client of this database can break it quietly: an entry is
-- never changed or taken away, a move that the state table does not have does not go in, and an effect is in the state
-- that its last entry says. Where many rows come at once they are judged at once, by the statement. Every function keeps
-- the search path it was made with, so a client with another one cannot point the checks at other tables.
--
-- Texts that are compared or sorted have the collation "C": locks are taken in one order whatever the server's locale.

-- The server's clock, not the client's: leases of all workers are judged by one clock.
CREATE FUNCTION wall_ms() RETURNS bigint VOLATILE LANGUAGE sql
AS $$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;
-- As SQLite spells bytes.
CREATE FUNCTION hex(raw bytea) RETURNS text IMMUTABLE STRICT LANGUAGE sql AS $$ SELECT upper(encode(raw, 'hex')) $$;

-- `needs`: the oldest code that may go on working on this schema knows this many steps; 0: any.
CREATE TABLE migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    at_ms bigint NOT NULL,
    needs integer NOT NULL
);

-- The row that every commit locks last: `pos` is the last position, so the order of positions is the order of commits.
-- `bound_to` is the database cluster, `timeline` the history of it in which the store was last written.
CREATE TABLE meta (
    one integer PRIMARY KEY CHECK (one = 1),
    store text NOT NULL,
    incarnation bigint NOT NULL,
    mode text NOT NULL CHECK (mode IN ('normal', 'restored')),
    identity_secret bytea NOT NULL CHECK (length(identity_secret) = 32),
    last_token bigint NOT NULL,
    high_ms bigint NOT NULL,
    bound_to text NOT NULL,
    created_ms bigint NOT NULL,
    pos bigint NOT NULL DEFAULT 0,
    timeline bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- No cache: a session that kept values in stock would hand out lower ones after another's higher ones.
CREATE SEQUENCE token AS bigint MINVALUE 1 MAXVALUE 9007199254740991 NO CYCLE CACHE 1;
CREATE SEQUENCE run_n AS bigint MINVALUE 1 CACHE 1;
CREATE SEQUENCE effect_n AS bigint MINVALUE 1 CACHE 1;
CREATE SEQUENCE word_n AS bigint MINVALUE 1 CACHE 1;

-- The last transaction of each connection that writes, by a mark of its own: asked for when the answer to its commit was
-- lost. A connection whose row is gone commits nothing more.
CREATE TABLE landing (
    writer text COLLATE "C" PRIMARY KEY,
    mark text NOT NULL,
    at_ms bigint NOT NULL
) WITH (fillfactor = 50);

-- 0 is the empty word; the states come next, in the order of the state table; the rest as they are first used.
CREATE TABLE word (
    n bigint PRIMARY KEY DEFAULT nextval('word_n'),
    text text COLLATE "C" NOT NULL UNIQUE
);

CREATE TABLE life (
    before bigint NOT NULL,
    after bigint NOT NULL,
    PRIMARY KEY (before, after)
);

CREATE TABLE run (
    n bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    tenant bigint NOT NULL,
    intent text COLLATE "C" NOT NULL,
    state text NOT NULL,
    seq bigint NOT NULL,
    head bytea NOT NULL,
    view bytea NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX run_intent ON run (intent);

-- An identity is 32 bytes; one that is no digest is its text.
CREATE TABLE effect (
    n bigint PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    tenant bigint NOT NULL,
    run bigint NOT NULL,
    identity bytea NOT NULL,
    generation bigint NOT NULL,
    tool bigint NOT NULL,
    state bigint NOT NULL,
    version bigint NOT NULL,
    open integer NOT NULL CHECK (open IN (0, 1)),
    due_ms bigint NOT NULL,
    UNIQUE (identity, generation)
) WITH (fillfactor = 80);
CREATE INDEX effect_run ON effect (run, n);
CREATE INDEX effect_open ON effect (due_ms) WHERE open = 1;

-- The whole record of an effect that is not at its end. Apart, so that its room is used again: an effect at its end is
-- folded from its entries, which say it all.
CREATE TABLE effect_view (n bigint PRIMARY KEY, view bytea NOT NULL) WITH (fillfactor = 50);

CREATE TABLE lease (
    resource text COLLATE "C" PRIMARY KEY,
    tenant bigint NOT NULL,
    effect text COLLATE "C" NOT NULL,
    holder text NOT NULL,
    token bigint NOT NULL,
    until_ms bigint NOT NULL
);

CREATE TABLE approval (
    id text COLLATE "C" PRIMARY KEY,
    tenant bigint NOT NULL,
    effect text COLLATE "C" NOT NULL,
    state text NOT NULL,
    view bytea NOT NULL
);
CREATE INDEX approval_state ON approval (state) WHERE state IN ('open', 'granted');

CREATE TABLE fact (
    scope text COLLATE "C" PRIMARY KEY,
    tenant bigint NOT NULL,
    epoch bigint NOT NULL,
    raised integer NOT NULL CHECK (raised IN (0, 1)),
    value text NOT NULL,
    by text NOT NULL,
    reason text NOT NULL
);

-- What an entry says about itself; its own hash covers all of it and the hash before it in its run.
CREATE TABLE entry (
    pos bigint PRIMARY KEY,
    run bigint NOT NULL,
    seq bigint NOT NULL,
    effect bigint NOT NULL,
    kind bigint NOT NULL,
    before bigint NOT NULL,
    after bigint NOT NULL,
    at_ms bigint NOT NULL,
    by bigint NOT NULL,
    token bigint NOT NULL,
    tenant bigint NOT NULL,
    commitment bytea NOT NULL CHECK (length(commitment) = 32),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    UNIQUE (run, seq)
);
CREATE INDEX entry_effect ON entry (effect, pos) WHERE effect <> 0;

-- What it says about the world. Apart, because this is what a redaction takes away.
CREATE TABLE entry_body (pos bigint PRIMARY KEY, salt bytea NOT NULL, body bytea NOT NULL);

-- ------------------------------------------------------------------------------------------------ entries

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE integrity_constraint_violation USING MESSAGE = TG_TABLE_NAME || ': ' || TG_ARGV[0]; END $$;

-- (run, seq) is unique, so "the one before is there, and before it" means no gap and no second.
CREATE FUNCTION entry_fits() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    first_pos bigint;
    last_pos bigint;
    many bigint;
BEGIN
    SELECT min(pos), max(pos), count(*) INTO first_pos, last_pos, many FROM fresh;
    IF many = 0 THEN
        RETURN NULL;
    END IF;
    IF many <> last_pos - first_pos + 1 OR last_pos <> (SELECT max(pos) FROM entry)
        OR first_pos <> coalesce((SELECT max(pos) FROM entry WHERE pos < first_pos), 0) + 1
        OR EXISTS (
            SELECT 1 FROM fresh WHERE seq < 1 OR seq > 1 AND NOT EXISTS (
                SELECT 1 FROM entry AS earlier
                WHERE earlier.run = fresh.run AND earlier.seq = fresh.seq - 1 AND earlier.pos < fresh.pos))
    THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'entry: not the next one';
    END IF;
    IF EXISTS (
        SELECT 1 FROM fresh WHERE after = 0 AND before <> 0 OR after <> 0 AND (
            effect = 0
            OR NOT EXISTS (SELECT 1 FROM life WHERE life.before = fresh.before AND life.after = fresh.after)
            OR before <> coalesce((
                SELECT earlier.after FROM entry AS earlier
                WHERE earlier.effect = fresh.effect AND earlier.effect <> 0 AND earlier.after <> 0
                    AND earlier.pos < fresh.pos
                ORDER BY earlier.pos DESC LIMIT 1), 0)))
    THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'entry: not a legal transition of its effect';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entry_fits AFTER INSERT ON entry REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION entry_fits();
CREATE TRIGGER entry_stays BEFORE UPDATE ON entry FOR EACH ROW EXECUTE FUNCTION refuse('never changed');
CREATE TRIGGER entry_is_kept BEFORE DELETE ON entry FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER entry_is_not_emptied BEFORE TRUNCATE ON entry EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER entry_body_stays BEFORE UPDATE ON entry_body FOR EACH ROW EXECUTE FUNCTION refuse('never changed');
CREATE TRIGGER entry_body_is_kept BEFORE DELETE ON entry_body FOR EACH ROW
EXECUTE FUNCTION refuse('only a redaction takes a body away');
CREATE TRIGGER entry_body_is_not_emptied BEFORE TRUNCATE ON entry_body
EXECUTE FUNCTION refuse('only a redaction takes a body away');

-- ------------------------------------------------------------------------------------------- folded rows

CREATE FUNCTION effect_agrees() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM fresh WHERE state IS DISTINCT FROM (
            SELECT entry.after FROM entry
            WHERE entry.effect = fresh.n AND entry.effect <> 0 AND entry.after <> 0
            ORDER BY entry.pos DESC LIMIT 1))
    THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'effect: its entries say another state';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER effect_begins AFTER INSERT ON effect REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION effect_agrees();
CREATE TRIGGER effect_moves AFTER UPDATE ON effect REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION effect_agrees();
CREATE TRIGGER effect_is_itself BEFORE UPDATE ON effect FOR EACH ROW
WHEN ((NEW.n, NEW.id, NEW.tenant, NEW.run, NEW.identity, NEW.generation, NEW.tool)
    IS DISTINCT FROM (OLD.n, OLD.id, OLD.tenant, OLD.run, OLD.identity, OLD.generation, OLD.tool))
EXECUTE FUNCTION refuse('what it is never changes');
CREATE TRIGGER effect_rises BEFORE UPDATE ON effect FOR EACH ROW WHEN (NEW.version < OLD.version)
EXECUTE FUNCTION refuse('its version only rises');
CREATE TRIGGER effect_is_kept BEFORE DELETE ON effect FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER effect_is_not_emptied BEFORE TRUNCATE ON effect EXECUTE FUNCTION refuse('never deleted');

CREATE FUNCTION run_agrees() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM fresh
        WHERE seq <> coalesce((SELECT max(entry.seq) FROM entry WHERE entry.run = fresh.n), 0)
            OR head <> coalesce((
                SELECT entry.hash FROM entry WHERE entry.run = fresh.n AND entry.seq = fresh.seq), ''::bytea))
    THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'run: its entries end elsewhere';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER run_begins AFTER INSERT ON run REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION run_agrees();
CREATE TRIGGER run_moves AFTER UPDATE ON run REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION run_agrees();
CREATE TRIGGER run_is_itself BEFORE UPDATE ON run FOR EACH ROW
WHEN ((NEW.n, NEW.id, NEW.tenant, NEW.intent) IS DISTINCT FROM (OLD.n, OLD.id, OLD.tenant, OLD.intent))
EXECUTE FUNCTION refuse('what it is never changes');
CREATE TRIGGER run_is_kept BEFORE DELETE ON run FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER run_is_not_emptied BEFORE TRUNCATE ON run EXECUTE FUNCTION refuse('never deleted');

-- --------------------------------------------------------------------------------------------- other rows

-- A resource that goes to another effect goes with a higher token: whoever held it before is fenced off.
CREATE TRIGGER lease_rises BEFORE UPDATE ON lease FOR EACH ROW
WHEN (NEW.resource <> OLD.resource OR NEW.token < OLD.token OR NEW.effect <> OLD.effect AND NEW.token <= OLD.token)
EXECUTE FUNCTION refuse('its token only rises');

CREATE TRIGGER approval_is_spent_once BEFORE UPDATE ON approval FOR EACH ROW WHEN (OLD.state = 'spent')
EXECUTE FUNCTION refuse('spent for good');
CREATE TRIGGER approval_is_kept BEFORE DELETE ON approval FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER approval_is_not_emptied BEFORE TRUNCATE ON approval EXECUTE FUNCTION refuse('never deleted');

CREATE TRIGGER fact_rises BEFORE UPDATE ON fact FOR EACH ROW
WHEN (NEW.epoch <= OLD.epoch OR NEW.scope <> OLD.scope)
EXECUTE FUNCTION refuse('epochs only rise');
CREATE TRIGGER fact_is_kept BEFORE DELETE ON fact FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER fact_is_not_emptied BEFORE TRUNCATE ON fact EXECUTE FUNCTION refuse('never deleted');

CREATE FUNCTION last_said(wanted text) RETURNS boolean STABLE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RETURN wanted IS NOT DISTINCT FROM (
        SELECT word.text FROM entry JOIN word ON word.n = entry.kind
        WHERE entry.run = 1 ORDER BY entry.seq DESC LIMIT 1);
END $$;
CREATE TRIGGER meta_is_itself BEFORE UPDATE ON meta FOR EACH ROW
WHEN (NEW.store <> OLD.store OR NEW.identity_secret <> OLD.identity_secret)
EXECUTE FUNCTION refuse('what the store is never changes');
CREATE TRIGGER meta_rises BEFORE UPDATE ON meta FOR EACH ROW
WHEN (NEW.last_token < OLD.last_token OR NEW.high_ms < OLD.high_ms OR NEW.incarnation < OLD.incarnation
    OR NEW.pos < OLD.pos)
EXECUTE FUNCTION refuse('tokens, time, position and incarnation never go back');
CREATE FUNCTION meta_is_released() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT last_said('store_released') THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'meta: only a recorded release ends restored mode';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER meta_is_released BEFORE UPDATE ON meta FOR EACH ROW
WHEN (OLD.mode = 'restored' AND NEW.mode = 'normal') EXECUTE FUNCTION meta_is_released();
CREATE TRIGGER meta_is_kept BEFORE DELETE ON meta FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER meta_is_not_emptied BEFORE TRUNCATE ON meta EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER migration_stays BEFORE UPDATE OR DELETE ON migration FOR EACH ROW
EXECUTE FUNCTION refuse('never changed');
CREATE TRIGGER migration_is_not_emptied BEFORE TRUNCATE ON migration EXECUTE FUNCTION refuse('never changed');
CREATE TRIGGER word_stays BEFORE UPDATE OR DELETE ON word FOR EACH ROW EXECUTE FUNCTION refuse('never changed');
CREATE TRIGGER word_is_not_emptied BEFORE TRUNCATE ON word EXECUTE FUNCTION refuse('never changed');

-- meta is the last row a migration writes, so this closes the state table behind it.
CREATE FUNCTION life_is_closed() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP <> 'INSERT' OR EXISTS (SELECT 1 FROM meta) THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'life: the state table is closed';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER life_is_closed BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON life
FOR EACH STATEMENT EXECUTE FUNCTION life_is_closed();

-- In the last round trip of a transaction: leaves its mark, or ends it, where its connection was given up meanwhile.
CREATE FUNCTION land(writer_is text, mark_is text) RETURNS void VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE landing SET mark = mark_is, at_ms = wall_ms() WHERE writer = writer_is;
    IF NOT FOUND THEN
        RAISE EXCEPTION USING ERRCODE = 'HF001', MESSAGE = 'landing: this connection was given up';
    END IF;
END $$;

-- Ends a transaction that replaced other rows than it was planned on.
CREATE FUNCTION expect(there bigint, wanted bigint) RETURNS void IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF there <> wanted THEN
        RAISE integrity_constraint_violation
            USING MESSAGE = (wanted - there) || ' of ' || wanted || ' locked rows were not as planned';
    END IF;
END $$;

-- ------------------------------------------------------------------------------------- for people to read

CREATE VIEW entries AS
SELECT entry.pos, run.id AS run, entry.seq, coalesce(effect.id, '') AS effect, kind.text AS kind,
       before.text AS before, after.text AS after, entry.at_ms, by.text AS by, entry.token,
       encode(entry.hash, 'hex') AS hash, convert_from(entry_body.body, 'UTF8') AS body
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
