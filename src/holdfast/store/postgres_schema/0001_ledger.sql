-- The ledger: entries are the truth, effect and run rows are the fold of them that is kept at hand.
--
-- Triggers repeat what the kernel promises, so that no other client of this database can break it quietly: an entry is
-- never changed or taken away, a move that the state table does not have does not go in, and when a transaction commits
-- each effect is in the state, and at the version, that its entries say. Every function keeps the search path it was
-- made with, so a client with another one cannot point the checks at other tables.
--
-- Texts that are compared or sorted have the collation "C": locks are taken in one order whatever the server's locale.

CREATE TABLE migration (
    number integer PRIMARY KEY,
    name text NOT NULL,
    sha256 text NOT NULL,
    at_ms bigint NOT NULL
);

-- base_ms is a floor under the store's time; the rest of the high-water mark is in the entries and facts themselves,
-- so that no commit has to lock this row.
CREATE TABLE meta (
    one integer PRIMARY KEY CHECK (one = 1),
    store text NOT NULL,
    incarnation bigint NOT NULL,
    mode text NOT NULL CHECK (mode IN ('normal', 'restored')),
    identity_secret bytea NOT NULL CHECK (length(identity_secret) = 32),
    base_ms bigint NOT NULL,
    created_ms bigint NOT NULL
);

-- No cache: a session that kept values in stock would hand out lower ones after another's higher ones.
CREATE SEQUENCE token AS bigint MINVALUE 1 MAXVALUE 9007199254740991 NO CYCLE CACHE 1;

-- '' before is "not recorded yet".
CREATE TABLE life (
    before text NOT NULL,
    after text NOT NULL,
    PRIMARY KEY (before, after)
);

CREATE TABLE run (
    id text COLLATE "C" PRIMARY KEY,
    tenant text NOT NULL,
    intent text COLLATE "C" NOT NULL,
    state text NOT NULL,
    seq bigint NOT NULL,
    head text NOT NULL,
    view text NOT NULL,
    n bigint GENERATED ALWAYS AS IDENTITY
);
CREATE INDEX run_intent ON run (intent);

CREATE TABLE effect (
    id text COLLATE "C" PRIMARY KEY,
    tenant text NOT NULL,
    run text COLLATE "C" NOT NULL REFERENCES run (id),
    identity text COLLATE "C" NOT NULL,
    generation bigint NOT NULL,
    tool text NOT NULL,
    resource text COLLATE "C" NOT NULL,
    state text NOT NULL,
    version bigint NOT NULL,
    token bigint NOT NULL,
    open boolean NOT NULL,
    due_ms bigint NOT NULL,
    view text NOT NULL,
    n bigint GENERATED ALWAYS AS IDENTITY,
    UNIQUE (identity, generation)
);
CREATE INDEX effect_run ON effect (run);
CREATE INDEX effect_open ON effect (due_ms) WHERE open;

-- One row a resource, kept when it is free (effect = ''): there is always a row to lock, and its token never falls.
CREATE TABLE lease (
    resource text COLLATE "C" PRIMARY KEY,
    effect text NOT NULL,
    holder text NOT NULL,
    token bigint NOT NULL,
    until_ms bigint NOT NULL
);

CREATE TABLE approval (
    id text COLLATE "C" PRIMARY KEY,
    effect text COLLATE "C" NOT NULL,
    state text NOT NULL,
    view text NOT NULL
);
CREATE INDEX approval_state ON approval (state) WHERE state IN ('open', 'granted');

CREATE TABLE fact (
    scope text COLLATE "C" PRIMARY KEY,
    epoch bigint NOT NULL,
    raised boolean NOT NULL,
    value text NOT NULL,
    by text NOT NULL,
    reason text NOT NULL,
    at_ms bigint NOT NULL
);

-- What an entry says about itself; its own hash covers all of it and the hash before it in its run. `pos` orders the
-- entries of one run and of one effect; between runs it is the order of insertion, not of commit.
CREATE TABLE entry (
    pos bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run text COLLATE "C" NOT NULL REFERENCES run (id),
    seq bigint NOT NULL,
    effect text COLLATE "C" NOT NULL,
    kind text NOT NULL,
    before text NOT NULL,
    after text NOT NULL,
    at_ms bigint NOT NULL,
    by text NOT NULL,
    token bigint NOT NULL,
    tenant text NOT NULL,
    commitment bytea NOT NULL CHECK (length(commitment) = 32),
    hash bytea NOT NULL CHECK (length(hash) = 32),
    UNIQUE (run, seq)
);
CREATE INDEX entry_effect ON entry (effect, seq) WHERE effect <> '';
CREATE INDEX entry_at ON entry (at_ms);

-- What it says about the world, found by what the entry is bound to. Apart, because a redaction takes this away.
CREATE TABLE entry_body (
    commitment bytea PRIMARY KEY,
    salt bytea NOT NULL CHECK (length(salt) >= 16),
    body bytea NOT NULL
);

-- ------------------------------------------------------------------------------------------------- time

-- The server's clock, not the client's: leases of all workers are judged by one clock.
CREATE FUNCTION wall_ms() RETURNS bigint VOLATILE LANGUAGE sql
AS $$ SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

CREATE FUNCTION high_ms() RETURNS bigint VOLATILE LANGUAGE sql SET search_path FROM CURRENT
AS $$ SELECT greatest((SELECT base_ms FROM meta), (SELECT max(at_ms) FROM entry), (SELECT max(at_ms) FROM fact)) $$;

-- ---------------------------------------------------------------------------------------------- entries

CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql
AS $$ BEGIN RAISE integrity_constraint_violation USING MESSAGE = TG_TABLE_NAME || ': ' || TG_ARGV[0]; END $$;

CREATE FUNCTION entry_fits() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    stands text;
BEGIN
    IF NEW.seq <> coalesce((SELECT max(seq) FROM entry WHERE run = NEW.run), 0) + 1 THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'entry: not the next of its run';
    END IF;
    IF NEW.after = '' AND NEW.before <> '' OR NEW.after <> '' AND NEW.effect = '' THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'entry: half a transition';
    END IF;
    IF NEW.after = '' THEN
        RETURN NEW;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM life WHERE before = NEW.before AND after = NEW.after) THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'entry: illegal transition';
    END IF;
    SELECT after INTO stands FROM entry
    WHERE effect = NEW.effect AND effect <> '' AND after <> '' ORDER BY seq DESC LIMIT 1;
    IF NEW.before <> coalesce(stands, '') THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'entry: its effect is in another state';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER entry_fits BEFORE INSERT ON entry FOR EACH ROW EXECUTE FUNCTION entry_fits();
CREATE TRIGGER entry_stays BEFORE UPDATE ON entry FOR EACH ROW EXECUTE FUNCTION refuse('never changed');
CREATE TRIGGER entry_is_kept BEFORE DELETE ON entry FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER entry_is_not_emptied BEFORE TRUNCATE ON entry EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER entry_body_stays BEFORE UPDATE ON entry_body FOR EACH ROW EXECUTE FUNCTION refuse('never changed');
CREATE TRIGGER entry_body_is_kept BEFORE DELETE ON entry_body FOR EACH ROW
EXECUTE FUNCTION refuse('only a redaction takes a body away');
CREATE TRIGGER entry_body_is_not_emptied BEFORE TRUNCATE ON entry_body
EXECUTE FUNCTION refuse('only a redaction takes a body away');

-- ------------------------------------------------------------------------------------------ folded rows

-- Judged when the transaction commits, for whatever order its rows were written in. An effect's version counts its
-- entries, so an entry without its fold is found as well as a fold without its entry.
CREATE FUNCTION effect_agrees() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    which text;
    folded record;
    said record;
BEGIN
    IF TG_TABLE_NAME = 'entry' THEN which := NEW.effect; ELSE which := NEW.id; END IF;
    SELECT state, version, run INTO folded FROM effect WHERE id = which;
    IF NOT FOUND THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'entry: its effect is not recorded';
    END IF;
    SELECT count(*) AS entries, count(*) FILTER (WHERE run <> folded.run) AS strangers,
           (array_agg(after ORDER BY seq DESC) FILTER (WHERE after <> ''))[1] AS state
    INTO said FROM entry WHERE effect = which AND effect <> '';
    IF said.state IS DISTINCT FROM folded.state OR said.entries <> folded.version OR said.strangers > 0 THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'effect: its entries say something else';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER effect_agrees AFTER INSERT OR UPDATE ON effect
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION effect_agrees();
CREATE CONSTRAINT TRIGGER entry_is_folded AFTER INSERT ON entry
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.effect <> '') EXECUTE FUNCTION effect_agrees();

CREATE FUNCTION run_agrees() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    which text;
    folded record;
    said record;
BEGIN
    IF TG_TABLE_NAME = 'entry' THEN which := NEW.run; ELSE which := NEW.id; END IF;
    SELECT seq, head INTO folded FROM run WHERE id = which;
    SELECT seq, encode(hash, 'hex') AS head INTO said FROM entry WHERE run = which ORDER BY seq DESC LIMIT 1;
    IF folded.seq <> coalesce(said.seq, 0) OR folded.head <> coalesce(said.head, '') THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'run: its entries end elsewhere';
    END IF;
    RETURN NULL;
END $$;
CREATE CONSTRAINT TRIGGER run_agrees AFTER INSERT OR UPDATE ON run
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION run_agrees();
CREATE CONSTRAINT TRIGGER entry_is_chained AFTER INSERT ON entry
DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION run_agrees();

CREATE TRIGGER effect_is_itself BEFORE UPDATE ON effect FOR EACH ROW
WHEN ((NEW.id, NEW.tenant, NEW.run, NEW.identity, NEW.generation, NEW.tool, NEW.resource)
    IS DISTINCT FROM (OLD.id, OLD.tenant, OLD.run, OLD.identity, OLD.generation, OLD.tool, OLD.resource))
EXECUTE FUNCTION refuse('what it is never changes');
CREATE TRIGGER effect_rises BEFORE UPDATE ON effect FOR EACH ROW
WHEN (NEW.version <= OLD.version OR NEW.token < OLD.token)
EXECUTE FUNCTION refuse('version and token only rise');
CREATE TRIGGER effect_is_kept BEFORE DELETE ON effect FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER effect_is_not_emptied BEFORE TRUNCATE ON effect EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER run_is_itself BEFORE UPDATE ON run FOR EACH ROW
WHEN ((NEW.id, NEW.tenant, NEW.intent) IS DISTINCT FROM (OLD.id, OLD.tenant, OLD.intent))
EXECUTE FUNCTION refuse('what it is never changes');
CREATE TRIGGER run_is_kept BEFORE DELETE ON run FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER run_is_not_emptied BEFORE TRUNCATE ON run EXECUTE FUNCTION refuse('never deleted');

-- -------------------------------------------------------------------------------------------- other rows

-- A resource that goes to another effect goes with a higher token: whoever held it before is fenced off.
CREATE TRIGGER lease_rises BEFORE UPDATE ON lease FOR EACH ROW
WHEN (NEW.resource <> OLD.resource OR NEW.token < OLD.token
    OR NEW.effect <> '' AND NEW.effect <> OLD.effect AND NEW.token <= OLD.token)
EXECUTE FUNCTION refuse('its token only rises');
CREATE TRIGGER lease_is_kept BEFORE DELETE ON lease FOR EACH ROW EXECUTE FUNCTION refuse('freed, never deleted');
CREATE TRIGGER lease_is_not_emptied BEFORE TRUNCATE ON lease EXECUTE FUNCTION refuse('freed, never deleted');

CREATE TRIGGER approval_is_spent_once BEFORE UPDATE ON approval FOR EACH ROW WHEN (OLD.state = 'spent')
EXECUTE FUNCTION refuse('spent for good');
CREATE TRIGGER approval_is_kept BEFORE DELETE ON approval FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER approval_is_not_emptied BEFORE TRUNCATE ON approval EXECUTE FUNCTION refuse('never deleted');

CREATE TRIGGER fact_rises BEFORE UPDATE ON fact FOR EACH ROW
WHEN (NEW.epoch <= OLD.epoch OR NEW.scope <> OLD.scope)
EXECUTE FUNCTION refuse('epochs only rise');
CREATE TRIGGER fact_is_kept BEFORE DELETE ON fact FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER fact_is_not_emptied BEFORE TRUNCATE ON fact EXECUTE FUNCTION refuse('never deleted');

CREATE FUNCTION meta_rises() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.store <> OLD.store OR NEW.identity_secret <> OLD.identity_secret THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'meta: what the store is never changes';
    END IF;
    IF NEW.base_ms < OLD.base_ms OR NEW.incarnation < OLD.incarnation THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'meta: time and incarnation never go back';
    END IF;
    IF OLD.mode = 'restored' AND NEW.mode = 'normal' AND 'store_released' IS DISTINCT FROM (
        SELECT kind FROM entry WHERE run = 'ru_store' ORDER BY seq DESC LIMIT 1) THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'meta: only a recorded release ends restored mode';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER meta_rises BEFORE UPDATE ON meta FOR EACH ROW EXECUTE FUNCTION meta_rises();
CREATE TRIGGER meta_is_kept BEFORE DELETE ON meta FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER meta_is_not_emptied BEFORE TRUNCATE ON meta EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER migration_stays BEFORE UPDATE OR DELETE ON migration FOR EACH ROW
EXECUTE FUNCTION refuse('never changed');

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

-- -------------------------------------------------------------------------------------- for people to read

CREATE VIEW entries AS
SELECT entry.pos, entry.run, entry.seq, entry.effect, entry.kind, entry.before, entry.after, entry.at_ms, entry.by,
       entry.token, encode(entry.hash, 'hex') AS hash, convert_from(entry_body.body, 'UTF8') AS body
FROM entry LEFT JOIN entry_body USING (commitment);
