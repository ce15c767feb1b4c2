-- needs 3
-- What a store remembers of its clock: a leap ahead that nobody has accepted, since when the clock is trusted again,
-- and by how much the store's time is before the wall clock since then. `boot` has the server's clock against the time since
-- boot of each machine that opened the store, so that the next process of one boot notices a leap in between; the columns
-- of that name in `meta`, where a store on one machine has its own, stay empty.

ALTER TABLE meta ADD COLUMN leapt_ms bigint NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN steady_ms bigint NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN ahead_ms bigint NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN boot text NOT NULL DEFAULT '';
ALTER TABLE meta ADD COLUMN offset_ms bigint NOT NULL DEFAULT 0;

CREATE TABLE boot (boot text COLLATE "C" PRIMARY KEY, offset_ms bigint NOT NULL);

CREATE FUNCTION meta_doubts() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.steady_ms <= OLD.steady_ms OR NOT last_said('clock_accepted') THEN
        RAISE integrity_constraint_violation
            USING MESSAGE = 'meta: only a recorded acceptance ends a doubt of the clock';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER meta_doubts BEFORE UPDATE ON meta FOR EACH ROW
WHEN (OLD.leapt_ms <> 0 AND NEW.leapt_ms <> OLD.leapt_ms OR NEW.steady_ms <> OLD.steady_ms
    OR NEW.ahead_ms <> OLD.ahead_ms)
EXECUTE FUNCTION meta_doubts();
