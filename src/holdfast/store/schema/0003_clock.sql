-- What a store remembers of its clock: a leap ahead that nobody has accepted, since when the clock is trusted again,
-- by how much the store's time is before the wall clock since then, and the wall clock against the time since one boot,
-- so that the next process of that boot notices a leap in between.

ALTER TABLE meta ADD COLUMN leapt_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN steady_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN ahead_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN boot TEXT NOT NULL DEFAULT '';
ALTER TABLE meta ADD COLUMN offset_ms INTEGER NOT NULL DEFAULT 0;

CREATE TRIGGER meta_doubts BEFORE UPDATE ON meta
WHEN (OLD.leapt_ms <> 0 AND NEW.leapt_ms <> OLD.leapt_ms OR NEW.steady_ms <> OLD.steady_ms
        OR NEW.ahead_ms <> OLD.ahead_ms)
    AND (NEW.steady_ms <= OLD.steady_ms OR 'clock_accepted' IS NOT (
        SELECT word.text FROM entry JOIN word ON word.n = entry.kind
        WHERE entry.run = 1 ORDER BY entry.seq DESC LIMIT 1))
BEGIN SELECT RAISE(ABORT, 'meta: only a recorded acceptance ends a doubt of the clock'); END;
