-- Documents: grants, approvers, items, meters and kept texts, each whole as JSON under its kind and id. The run whose
-- entries name their digests is a column, so that what a run has seen is found without a scan.

CREATE TABLE document (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    run TEXT NOT NULL,
    view BLOB NOT NULL,
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX document_run ON document (run, kind) WHERE run <> '';

CREATE TRIGGER document_is_itself BEFORE UPDATE OF kind, id, run ON document
BEGIN SELECT RAISE(ABORT, 'document: what it is never changes'); END;
CREATE TRIGGER document_is_kept BEFORE DELETE ON document
BEGIN SELECT RAISE(ABORT, 'document: never deleted'); END;
