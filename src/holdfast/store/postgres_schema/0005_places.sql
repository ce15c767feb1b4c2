-- needs 5
-- Where a document stands among those that somebody looks for by time: a lane, the highest rank first, then the earliest
-- due. Empty lane: nobody looks for it so. What the columns say is in the document too, whose digest the entries name.

ALTER TABLE document ADD COLUMN lane text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE document ADD COLUMN rank bigint NOT NULL DEFAULT 0;
ALTER TABLE document ADD COLUMN due_ms bigint NOT NULL DEFAULT 0;
CREATE INDEX document_due ON document (kind, lane, rank DESC, due_ms) WHERE lane <> '';
