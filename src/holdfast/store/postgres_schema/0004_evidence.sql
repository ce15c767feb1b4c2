-- needs 4
-- The evidence of the whole store: a Merkle tree over its entries, signed checkpoints of it, and the two ways in which
-- something leaves the record: a redaction takes values out of bodies, an archive takes whole runs elsewhere.

-- Who may seal now. The token rises with each change of hands, and a checkpoint carries the one it was made under: of two
-- sealers that believe they hold it, one is refused. `trouble` is why the newest entries could not be sealed, since when.
CREATE TABLE sealer (
    one integer PRIMARY KEY CHECK (one = 1),
    holder text NOT NULL,
    token bigint NOT NULL,
    until_ms bigint NOT NULL,
    trouble text NOT NULL DEFAULT '',
    trouble_ms bigint NOT NULL DEFAULT 0
);
INSERT INTO sealer (one, holder, token, until_ms) VALUES (1, '', 0, 0);

-- Signed tree heads: the root over entries 1 to `size`, and the note as it was published.
CREATE TABLE checkpoint (
    size bigint PRIMARY KEY,
    root bytea NOT NULL CHECK (length(root) = 32),
    at_ms bigint NOT NULL,
    token bigint NOT NULL,
    note text NOT NULL
);

-- Which checkpoint each witness has, and what keeps it from having the newest: bookkeeping, so that a push that did not go
-- through is made up for. It is no evidence, and no entry speaks of it: a push would else be something new to seal.
-- `fork` is what a witness holds that this log does not extend.
CREATE TABLE witness (
    name text COLLATE "C" PRIMARY KEY,
    size bigint NOT NULL DEFAULT 0,
    at_ms bigint NOT NULL DEFAULT 0,
    trouble text NOT NULL DEFAULT '',
    trouble_ms bigint NOT NULL DEFAULT 0,
    fork text NOT NULL DEFAULT ''
);

-- Signature lines that witnesses gave for a checkpoint.
CREATE TABLE cosignature (
    size bigint NOT NULL,
    witness text COLLATE "C" NOT NULL,
    lines text NOT NULL,
    PRIMARY KEY (size, witness)
);

-- Complete subtrees over sealed entries, every eighth level, so that a proof reads a few hundred hashes and not all.
CREATE TABLE node (
    level bigint NOT NULL CHECK (level > 0 AND level % 8 = 0),
    n bigint NOT NULL,
    hash bytea NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, n)
);

-- Entries whose body has stand-ins where values were: the entry that says so, and the SHA-256 of the body as it is now.
CREATE TABLE redaction (
    pos bigint PRIMARY KEY,
    by_pos bigint NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32)
);
CREATE INDEX redaction_by ON redaction (by_pos);

-- Runs whose entries lie in a file: the entry that says so, the file's name and SHA-256, how many entries, and where the
-- last of them stands.
CREATE TABLE archive (
    run bigint PRIMARY KEY,
    by_pos bigint NOT NULL,
    file text NOT NULL,
    digest bytea NOT NULL CHECK (length(digest) = 32),
    entries bigint NOT NULL,
    last_pos bigint NOT NULL
);
CREATE INDEX archive_by ON archive (by_pos);

-- The leaf hashes of entries that lie in an archive: without them no proof could be made any more.
CREATE TABLE archived (pos bigint PRIMARY KEY, hash bytea NOT NULL CHECK (length(hash) = 32));

CREATE TRIGGER sealer_rises BEFORE UPDATE ON sealer FOR EACH ROW
WHEN (NEW.token < OLD.token OR NEW.token = OLD.token AND NEW.holder <> OLD.holder)
EXECUTE FUNCTION refuse('its token rises with each change of hands');
CREATE TRIGGER sealer_is_one BEFORE INSERT ON sealer FOR EACH ROW EXECUTE FUNCTION refuse('there is one row');
CREATE TRIGGER sealer_is_kept BEFORE DELETE ON sealer FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER sealer_is_not_emptied BEFORE TRUNCATE ON sealer EXECUTE FUNCTION refuse('never deleted');

CREATE FUNCTION checkpoint_follows() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.size <= coalesce((SELECT max(size) FROM checkpoint), 0) OR NEW.size > (SELECT pos FROM meta)
        OR NEW.token <> (SELECT token FROM sealer)
    THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'checkpoint: not the next one of who may seal';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER checkpoint_follows BEFORE INSERT ON checkpoint FOR EACH ROW EXECUTE FUNCTION checkpoint_follows();
CREATE TRIGGER checkpoint_stays BEFORE UPDATE ON checkpoint FOR EACH ROW EXECUTE FUNCTION refuse('never changed');
CREATE TRIGGER checkpoint_is_kept BEFORE DELETE ON checkpoint FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER checkpoint_is_not_emptied BEFORE TRUNCATE ON checkpoint EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER node_stays BEFORE UPDATE ON node FOR EACH ROW EXECUTE FUNCTION refuse('never changed');
CREATE TRIGGER node_is_kept BEFORE DELETE ON node FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER node_is_not_emptied BEFORE TRUNCATE ON node EXECUTE FUNCTION refuse('never deleted');

-- A body loses its salt with its values, once an entry of the store's own run says so. It may lose more, later.
CREATE FUNCTION says(at_pos bigint, wanted text) RETURNS boolean STABLE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RETURN EXISTS (
        SELECT 1 FROM entry JOIN word ON word.n = entry.kind
        WHERE entry.pos = at_pos AND entry.run = 1 AND word.text = wanted);
END $$;
CREATE FUNCTION redaction_is_said() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND (NEW.pos <> OLD.pos OR NEW.by_pos <= OLD.by_pos) OR NOT says(NEW.by_pos, 'redacted') THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'redaction: no entry says so';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER redaction_is_said BEFORE INSERT OR UPDATE ON redaction FOR EACH ROW
EXECUTE FUNCTION redaction_is_said();

-- What lies in an archive may leave its table; nothing else may.
CREATE FUNCTION kept_but_archived() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM archived WHERE archived.pos = OLD.pos) THEN
        RAISE integrity_constraint_violation
            USING MESSAGE = TG_TABLE_NAME || ': never deleted but into an archive';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER redaction_is_kept BEFORE DELETE ON redaction FOR EACH ROW EXECUTE FUNCTION kept_but_archived();
CREATE TRIGGER redaction_is_not_emptied BEFORE TRUNCATE ON redaction EXECUTE FUNCTION refuse('never deleted');
DROP TRIGGER entry_is_kept ON entry;
CREATE TRIGGER entry_is_kept BEFORE DELETE ON entry FOR EACH ROW EXECUTE FUNCTION kept_but_archived();
DROP TRIGGER entry_body_is_kept ON entry_body;
CREATE TRIGGER entry_body_is_kept BEFORE DELETE ON entry_body FOR EACH ROW EXECUTE FUNCTION kept_but_archived();

CREATE FUNCTION entry_body_stays() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.pos <> OLD.pos OR NEW.salt <> ''::bytea OR NOT EXISTS (
        SELECT 1 FROM redaction JOIN entry ON entry.pos = redaction.by_pos
        WHERE redaction.pos = OLD.pos
            -- said in this very transaction: whoever redacts writes the entries that say so, and then the bodies
            AND NOT EXISTS (
                SELECT 1 FROM entry AS later JOIN word ON word.n = later.kind
                WHERE later.pos > redaction.by_pos AND (later.run <> 1 OR word.text <> 'redacted')))
    THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'entry_body: never changed but by a redaction';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER entry_body_stays ON entry_body;
CREATE TRIGGER entry_body_stays BEFORE UPDATE ON entry_body FOR EACH ROW EXECUTE FUNCTION entry_body_stays();

-- Entries of a run leave once an entry of the store's own run says where they went, each with its leaf hash kept.
CREATE FUNCTION archive_is_said() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.run = 1 OR NOT says(NEW.by_pos, 'archived') THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'archive: no entry says so';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER archive_is_said BEFORE INSERT ON archive FOR EACH ROW EXECUTE FUNCTION archive_is_said();
CREATE TRIGGER archive_stays BEFORE UPDATE ON archive FOR EACH ROW EXECUTE FUNCTION refuse('never changed');
CREATE TRIGGER archive_is_kept BEFORE DELETE ON archive FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER archive_is_not_emptied BEFORE TRUNCATE ON archive EXECUTE FUNCTION refuse('never deleted');
CREATE FUNCTION archived_is_sealed() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.pos > coalesce((SELECT max(size) FROM checkpoint), 0)
        OR NEW.hash IS DISTINCT FROM (SELECT hash FROM entry WHERE pos = NEW.pos)
        OR NOT EXISTS (SELECT 1 FROM archive JOIN entry ON entry.run = archive.run WHERE entry.pos = NEW.pos)
    THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'archived: only sealed entries of an archived run';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER archived_is_sealed BEFORE INSERT ON archived FOR EACH ROW EXECUTE FUNCTION archived_is_sealed();
CREATE TRIGGER archived_stays BEFORE UPDATE ON archived FOR EACH ROW EXECUTE FUNCTION refuse('never changed');
CREATE TRIGGER archived_is_kept BEFORE DELETE ON archived FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER archived_is_not_emptied BEFORE TRUNCATE ON archived EXECUTE FUNCTION refuse('never deleted');

CREATE FUNCTION approval_is_kept() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM archive JOIN effect ON effect.run = archive.run WHERE effect.id = OLD.effect) THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'approval: never deleted but into an archive';
    END IF;
    RETURN OLD;
END $$;
DROP TRIGGER approval_is_kept ON approval;
CREATE TRIGGER approval_is_kept BEFORE DELETE ON approval FOR EACH ROW EXECUTE FUNCTION approval_is_kept();
CREATE FUNCTION document_is_kept() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM archive JOIN run ON run.n = archive.run WHERE run.id = OLD.run) THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'document: never deleted but into an archive';
    END IF;
    RETURN OLD;
END $$;
DROP TRIGGER document_is_kept ON document;
CREATE TRIGGER document_is_kept BEFORE DELETE ON document FOR EACH ROW EXECUTE FUNCTION document_is_kept();
CREATE FUNCTION archived_run_is_closed() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM fresh WHERE EXISTS (SELECT 1 FROM archive WHERE archive.run = fresh.run)) THEN
        RAISE integrity_constraint_violation
            USING MESSAGE = 'entry: its run is archived and takes nothing more';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER archived_run_is_closed AFTER INSERT ON entry REFERENCING NEW TABLE AS fresh
FOR EACH STATEMENT EXECUTE FUNCTION archived_run_is_closed();

-- The rows of a run whose entries lie in a file agree with entries that are not here: they were compared when they left,
-- and neither moves any more.
CREATE OR REPLACE FUNCTION effect_agrees() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM fresh WHERE state IS DISTINCT FROM (
            SELECT entry.after FROM entry
            WHERE entry.effect = fresh.n AND entry.effect <> 0 AND entry.after <> 0
            ORDER BY entry.pos DESC LIMIT 1)
        AND NOT EXISTS (SELECT 1 FROM archive WHERE archive.run = fresh.run))
    THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'effect: its entries say another state';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE FUNCTION run_agrees() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (
        SELECT 1 FROM fresh
        WHERE (seq <> coalesce((SELECT max(entry.seq) FROM entry WHERE entry.run = fresh.n), 0)
            OR head <> coalesce((
                SELECT entry.hash FROM entry WHERE entry.run = fresh.n AND entry.seq = fresh.seq), ''::bytea))
            AND NOT EXISTS (SELECT 1 FROM archive WHERE archive.run = fresh.n))
    THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'run: its entries end elsewhere';
    END IF;
    RETURN NULL;
END $$;
CREATE FUNCTION archived_row_stays() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    which bigint;
BEGIN
    IF TG_TABLE_NAME = 'effect' THEN which := NEW.run; ELSE which := NEW.n; END IF;
    IF EXISTS (SELECT 1 FROM archive WHERE archive.run = which) THEN
        RAISE integrity_constraint_violation USING MESSAGE = TG_TABLE_NAME || ': its entries say another state';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER archived_effect_stays BEFORE UPDATE ON effect FOR EACH ROW WHEN (NEW.state <> OLD.state)
EXECUTE FUNCTION archived_row_stays();
CREATE TRIGGER archived_run_stays BEFORE UPDATE ON run FOR EACH ROW WHEN (NEW.seq <> OLD.seq OR NEW.head <> OLD.head)
EXECUTE FUNCTION archived_row_stays();

CREATE FUNCTION redacted_last() RETURNS boolean STABLE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RETURN says((SELECT max(pos) FROM entry), 'redacted');
END $$;

-- A spent request is spent for good; only what it says of people may be taken out of it.
CREATE FUNCTION approval_is_spent_once() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.state <> 'spent' OR NEW.id <> OLD.id OR NEW.effect <> OLD.effect OR NOT redacted_last() THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'approval: spent for good';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER approval_is_spent_once ON approval;
CREATE TRIGGER approval_is_spent_once BEFORE UPDATE ON approval FOR EACH ROW WHEN (OLD.state = 'spent')
EXECUTE FUNCTION approval_is_spent_once();

-- A fact that somebody set in words keeps its epoch when a redaction takes a value out of them.
CREATE FUNCTION fact_rises() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.scope <> OLD.scope OR NEW.epoch < OLD.epoch OR NEW.epoch = OLD.epoch AND (
        NEW.raised <> OLD.raised OR NEW."by" <> OLD."by" OR NOT redacted_last())
    THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'fact: epochs only rise';
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER fact_rises ON fact;
CREATE TRIGGER fact_rises BEFORE UPDATE ON fact FOR EACH ROW EXECUTE FUNCTION fact_rises();
