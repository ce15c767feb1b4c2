-- The evidence of the whole store: a Merkle tree over its entries, signed checkpoints of it, and the two ways in which
-- something leaves the record: a redaction takes values out of bodies, an archive takes whole runs elsewhere.

-- Who may seal now. The token rises with each change of hands, and a checkpoint carries the one it was made under: of two
-- sealers that believe they hold it, one is refused. `trouble` is why the newest entries could not be sealed, since when.
CREATE TABLE sealer (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    holder TEXT NOT NULL,
    token INTEGER NOT NULL,
    until_ms INTEGER NOT NULL,
    trouble TEXT NOT NULL DEFAULT '',
    trouble_ms INTEGER NOT NULL DEFAULT 0
) STRICT;
INSERT INTO sealer (one, holder, token, until_ms) VALUES (1, '', 0, 0);

-- Signed tree heads: the root over entries 1 to `size`, and the note as it was published.
CREATE TABLE checkpoint (
    size INTEGER PRIMARY KEY,
    root BLOB NOT NULL CHECK (length(root) = 32),
    at_ms INTEGER NOT NULL,
    token INTEGER NOT NULL,
    note TEXT NOT NULL
) STRICT;

-- Which checkpoint each witness has, and what keeps it from having the newest: bookkeeping, so that a push that did not go
-- through is made up for. It is no evidence, and no entry speaks of it: a push would else be something new to seal.
-- `fork` is what a witness holds that this log does not extend.
CREATE TABLE witness (
    name TEXT PRIMARY KEY,
    size INTEGER NOT NULL DEFAULT 0,
    at_ms INTEGER NOT NULL DEFAULT 0,
    trouble TEXT NOT NULL DEFAULT '',
    trouble_ms INTEGER NOT NULL DEFAULT 0,
    fork TEXT NOT NULL DEFAULT ''
) STRICT;

-- Signature lines that witnesses gave for a checkpoint.
CREATE TABLE cosignature (
    size INTEGER NOT NULL,
    witness TEXT NOT NULL,
    lines TEXT NOT NULL,
    PRIMARY KEY (size, witness)
) STRICT, WITHOUT ROWID;

-- Complete subtrees over sealed entries, every eighth level, so that a proof reads a few hundred hashes and not all.
CREATE TABLE node (
    level INTEGER NOT NULL CHECK (level > 0 AND level % 8 = 0),
    n INTEGER NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, n)
) STRICT, WITHOUT ROWID;

-- Entries whose body has stand-ins where values were: the entry that says so, and the SHA-256 of the body as it is now.
CREATE TABLE redaction (
    pos INTEGER PRIMARY KEY,
    by_pos INTEGER NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32)
) STRICT;
CREATE INDEX redaction_by ON redaction (by_pos);

-- Runs whose entries lie in a file: the entry that says so, the file's name and SHA-256, how many entries, and where the
-- last of them stands.
CREATE TABLE archive (
    run INTEGER PRIMARY KEY,
    by_pos INTEGER NOT NULL,
    file TEXT NOT NULL,
    digest BLOB NOT NULL CHECK (length(digest) = 32),
    entries INTEGER NOT NULL,
    last_pos INTEGER NOT NULL
) STRICT;
CREATE INDEX archive_by ON archive (by_pos);

-- The leaf hashes of entries that lie in an archive: without them no proof could be made any more.
CREATE TABLE archived (pos INTEGER PRIMARY KEY, hash BLOB NOT NULL CHECK (length(hash) = 32)) STRICT;

CREATE TRIGGER sealer_rises BEFORE UPDATE ON sealer
WHEN NEW.token < OLD.token OR (NEW.token = OLD.token AND NEW.holder <> OLD.holder)
BEGIN SELECT RAISE(ABORT, 'sealer: its token rises with each change of hands'); END;
CREATE TRIGGER sealer_is_one BEFORE INSERT ON sealer BEGIN SELECT RAISE(ABORT, 'sealer: there is one row'); END;
CREATE TRIGGER sealer_is_kept BEFORE DELETE ON sealer BEGIN SELECT RAISE(ABORT, 'sealer: never deleted'); END;

CREATE TRIGGER checkpoint_follows BEFORE INSERT ON checkpoint
WHEN NEW.size <= coalesce((SELECT max(size) FROM checkpoint), 0)
    OR NEW.size > coalesce((SELECT max(pos) FROM entry), 0)
    OR NEW.token <> (SELECT token FROM sealer)
BEGIN SELECT RAISE(ABORT, 'checkpoint: not the next one of who may seal'); END;
CREATE TRIGGER checkpoint_stays BEFORE UPDATE ON checkpoint
BEGIN SELECT RAISE(ABORT, 'checkpoint: never changed'); END;
CREATE TRIGGER checkpoint_is_kept BEFORE DELETE ON checkpoint
BEGIN SELECT RAISE(ABORT, 'checkpoint: never deleted'); END;
CREATE TRIGGER node_stays BEFORE UPDATE ON node BEGIN SELECT RAISE(ABORT, 'node: never changed'); END;
CREATE TRIGGER node_is_kept BEFORE DELETE ON node BEGIN SELECT RAISE(ABORT, 'node: never deleted'); END;

-- A body loses its salt with its values, once an entry of the store's own run says so. It may lose more, later.
CREATE TRIGGER redaction_is_said BEFORE INSERT ON redaction
WHEN NOT EXISTS (
    SELECT 1 FROM entry JOIN word ON word.n = entry.kind
    WHERE entry.pos = NEW.by_pos AND entry.run = 1 AND word.text = 'redacted')
BEGIN SELECT RAISE(ABORT, 'redaction: no entry says so'); END;
CREATE TRIGGER redaction_is_said_again BEFORE UPDATE ON redaction
WHEN NEW.pos <> OLD.pos OR NEW.by_pos <= OLD.by_pos OR NOT EXISTS (
    SELECT 1 FROM entry JOIN word ON word.n = entry.kind
    WHERE entry.pos = NEW.by_pos AND entry.run = 1 AND word.text = 'redacted')
BEGIN SELECT RAISE(ABORT, 'redaction: no entry says so'); END;
CREATE TRIGGER redaction_is_kept BEFORE DELETE ON redaction
WHEN NOT EXISTS (SELECT 1 FROM archived WHERE archived.pos = OLD.pos)
BEGIN SELECT RAISE(ABORT, 'redaction: never deleted'); END;
DROP TRIGGER entry_body_stays;
CREATE TRIGGER entry_body_stays BEFORE UPDATE ON entry_body
WHEN NEW.pos <> OLD.pos OR NEW.salt <> x'' OR NOT EXISTS (
    SELECT 1 FROM redaction JOIN entry ON entry.pos = redaction.by_pos
    WHERE redaction.pos = OLD.pos
        -- said in this very transaction: whoever redacts writes the entries that say so, and then the bodies
        AND NOT EXISTS (
            SELECT 1 FROM entry AS later JOIN word ON word.n = later.kind
            WHERE later.pos > redaction.by_pos AND (later.run <> 1 OR word.text <> 'redacted')))
BEGIN SELECT RAISE(ABORT, 'entry_body: never changed but by a redaction'); END;

-- Entries of a run leave once an entry of the store's own run says where they went, each with its leaf hash kept.
CREATE TRIGGER archive_is_said BEFORE INSERT ON archive
WHEN NEW.run = 1 OR NOT EXISTS (
    SELECT 1 FROM entry JOIN word ON word.n = entry.kind
    WHERE entry.pos = NEW.by_pos AND entry.run = 1 AND word.text = 'archived')
BEGIN SELECT RAISE(ABORT, 'archive: no entry says so'); END;
CREATE TRIGGER archive_stays BEFORE UPDATE ON archive BEGIN SELECT RAISE(ABORT, 'archive: never changed'); END;
CREATE TRIGGER archive_is_kept BEFORE DELETE ON archive BEGIN SELECT RAISE(ABORT, 'archive: never deleted'); END;
CREATE TRIGGER archived_is_sealed BEFORE INSERT ON archived
WHEN NEW.pos > coalesce((SELECT max(size) FROM checkpoint), 0)
    OR NEW.hash IS NOT (SELECT hash FROM entry WHERE pos = NEW.pos)
    OR NOT EXISTS (SELECT 1 FROM archive JOIN entry ON entry.run = archive.run WHERE entry.pos = NEW.pos)
BEGIN SELECT RAISE(ABORT, 'archived: only sealed entries of an archived run'); END;
CREATE TRIGGER archived_stays BEFORE UPDATE ON archived BEGIN SELECT RAISE(ABORT, 'archived: never changed'); END;
CREATE TRIGGER archived_is_kept BEFORE DELETE ON archived BEGIN SELECT RAISE(ABORT, 'archived: never deleted'); END;
DROP TRIGGER entry_is_kept;
CREATE TRIGGER entry_is_kept BEFORE DELETE ON entry
WHEN NOT EXISTS (SELECT 1 FROM archived WHERE archived.pos = OLD.pos)
BEGIN SELECT RAISE(ABORT, 'entry: never deleted but into an archive'); END;
DROP TRIGGER entry_body_is_kept;
CREATE TRIGGER entry_body_is_kept BEFORE DELETE ON entry_body
WHEN NOT EXISTS (SELECT 1 FROM archived WHERE archived.pos = OLD.pos)
BEGIN SELECT RAISE(ABORT, 'entry_body: never deleted but into an archive'); END;
DROP TRIGGER approval_is_kept;
CREATE TRIGGER approval_is_kept BEFORE DELETE ON approval
WHEN NOT EXISTS (SELECT 1 FROM archive JOIN effect ON effect.run = archive.run WHERE effect.id = OLD.effect)
BEGIN SELECT RAISE(ABORT, 'approval: never deleted but into an archive'); END;
DROP TRIGGER document_is_kept;
CREATE TRIGGER document_is_kept BEFORE DELETE ON document
WHEN NOT EXISTS (SELECT 1 FROM archive JOIN run ON run.n = archive.run WHERE run.id = OLD.run)
BEGIN SELECT RAISE(ABORT, 'document: never deleted but into an archive'); END;
CREATE TRIGGER archived_run_is_closed BEFORE INSERT ON entry
WHEN EXISTS (SELECT 1 FROM archive WHERE archive.run = NEW.run)
BEGIN SELECT RAISE(ABORT, 'entry: its run is archived and takes nothing more'); END;

-- A spent request is spent for good; only what it says of people may be taken out of it.
DROP TRIGGER approval_is_spent_once;
CREATE TRIGGER approval_is_spent_once BEFORE UPDATE ON approval
WHEN OLD.state = 'spent' AND (
    NEW.state <> 'spent' OR NEW.id <> OLD.id OR NEW.effect <> OLD.effect OR NOT EXISTS (
        SELECT 1 FROM entry JOIN word ON word.n = entry.kind
        WHERE entry.pos = (SELECT max(pos) FROM entry) AND entry.run = 1 AND word.text = 'redacted'))
BEGIN SELECT RAISE(ABORT, 'approval: spent for good'); END;

-- A fact that somebody set in words keeps its epoch when a redaction takes a value out of them.
DROP TRIGGER fact_rises;
CREATE TRIGGER fact_rises BEFORE UPDATE ON fact
WHEN NEW.scope <> OLD.scope OR NEW.epoch < OLD.epoch OR NEW.epoch = OLD.epoch AND (
    NEW.raised <> OLD.raised OR NEW.by <> OLD.by OR NOT EXISTS (
        SELECT 1 FROM entry JOIN word ON word.n = entry.kind
        WHERE entry.pos = (SELECT max(pos) FROM entry) AND entry.run = 1 AND word.text = 'redacted'))
BEGIN SELECT RAISE(ABORT, 'fact: epochs only rise'); END;
