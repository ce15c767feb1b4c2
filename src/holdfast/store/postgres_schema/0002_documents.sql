-- needs 2
-- Documents: grants, approvers, items, meters and kept texts, each whole as JSON under its kind and id. The run whose
-- entries name their digests is a column, so that what a run has seen is found without a scan. A document that is not there
-- yet has no row to lock, so all of them are locked by name.

CREATE TABLE document (
    kind text COLLATE "C" NOT NULL,
    id text COLLATE "C" NOT NULL,
    run text COLLATE "C" NOT NULL,
    view bytea NOT NULL,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 70);
CREATE INDEX document_run ON document (run, kind) WHERE run <> '';

CREATE TRIGGER document_is_itself BEFORE UPDATE ON document FOR EACH ROW
WHEN ((NEW.kind, NEW.id, NEW.run) IS DISTINCT FROM (OLD.kind, OLD.id, OLD.run))
EXECUTE FUNCTION refuse('what it is never changes');
CREATE TRIGGER document_is_kept BEFORE DELETE ON document FOR EACH ROW EXECUTE FUNCTION refuse('never deleted');
CREATE TRIGGER document_is_not_emptied BEFORE TRUNCATE ON document EXECUTE FUNCTION refuse('never deleted');
