-- compatible
-- A store that was moved goes on elsewhere and takes nothing more, also from a process that had it open all the while: the
-- fact `moved` was raised by an entry of its own run, which names the place. The transaction that raises it finds the mode
-- as it was before.

CREATE FUNCTION meta_moved() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM fact WHERE scope = 'moved' AND raised = 1) THEN
        RAISE integrity_constraint_violation USING MESSAGE = 'meta: the store was moved';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER meta_moved BEFORE UPDATE ON meta FOR EACH ROW WHEN (OLD.mode = 'restored') EXECUTE FUNCTION meta_moved();
