-- What a store remembers of its clock: a leap ahead that nobody has accepted, since when the clock is trusted again,
-- and by how much the store's time is before the wall clock since then.
-- `witness` has the server's clock against the time since boot of each machine that opened the store, so that the next
-- process of one boot notices a leap in between.

ALTER TABLE meta ADD COLUMN leapt_ms bigint NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN steady_ms bigint NOT NULL DEFAULT 0;
ALTER TABLE meta ADD COLUMN ahead_ms bigint NOT NULL DEFAULT 0;

CREATE TABLE witness (boot text COLLATE "C" PRIMARY KEY, offset_ms bigint NOT NULL);

CREATE FUNCTION meta_doubts() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF (OLD.leapt_ms <> 0 AND NEW.leapt_ms <> OLD.leapt_ms OR NEW.steady_ms <> OLD.steady_ms
        OR NEW.ahead_ms <> OLD.ahead_ms)
        AND (NEW.steady_ms <= OLD.steady_ms OR 'clock_accepted' IS DISTINCT FROM (
            SELECT kind FROM entry WHERE run = 'ru_store' ORDER BY seq DESC LIMIT 1)) THEN
        RAISE integrity_constraint_violation
            USING MESSAGE = 'meta: only a recorded acceptance ends a doubt of the clock';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER meta_doubts BEFORE UPDATE ON meta FOR EACH ROW EXECUTE FUNCTION meta_doubts();
