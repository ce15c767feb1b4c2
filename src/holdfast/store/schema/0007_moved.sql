-- compatible
-- A store that was moved goes on elsewhere and takes nothing more, also from a process that had it open all the while: the
-- fact `moved` was raised by an entry of its own run, which names the place. The transaction that raises it finds the mode
-- as it was before.

CREATE TRIGGER meta_moved BEFORE UPDATE OF mode, incarnation, last_token, high_ms, bound_to ON meta
WHEN OLD.mode = 'restored' AND EXISTS (SELECT 1 FROM fact WHERE scope = 'moved' AND raised = 1)
BEGIN SELECT RAISE(ABORT, 'meta: the store was moved'); END;
