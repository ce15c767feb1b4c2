-- compatible
-- What a commit and a look ask of the server, one call each: a driver spends longer on a statement than the server does.

-- Locks everything that a batch of changes may look at, in the one order that all transactions keep, and gives what is
-- there. Each statement in here sees what was committed before it began: what was waited for is read anew.
CREATE FUNCTION hold(wanted jsonb) RETURNS json VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    ids text[];
    effects json;
    runs json;
    leases json;
    approvals json;
    documents json;
    facts json;
    store json;
    drawn json;
BEGIN
    PERFORM lock_names(wanted->'names');
    ids := ARRAY(SELECT jsonb_array_elements_text(wanted->'effects'));
    IF ids <> '{}' THEN
        PERFORM 1 FROM effect WHERE id = ANY(ids) ORDER BY id FOR UPDATE;
        SELECT json_agg(json_build_array(
                effect.n, effect.id, effect.version, convert_from(effect_view.view, 'UTF8')::json)) INTO effects
        FROM effect LEFT JOIN effect_view USING (n) WHERE effect.id = ANY(ids);
    END IF;
    ids := ARRAY(SELECT jsonb_array_elements_text(wanted->'runs'));
    IF ids <> '{}' THEN
        SELECT json_agg(json_build_array(n, id, convert_from(view, 'UTF8')::json)) INTO runs
        FROM (SELECT n, id, view FROM run WHERE id = ANY(ids) ORDER BY id FOR UPDATE) AS locked;
    END IF;
    PERFORM lock_names(wanted->'resources');
    ids := ARRAY(SELECT jsonb_array_elements_text(wanted->'leases'));
    IF ids <> '{}' THEN
        SELECT json_agg(json_build_array(resource, effect, holder, token, until_ms)) INTO leases
        FROM lease WHERE resource = ANY(ids);
    END IF;
    ids := ARRAY(SELECT jsonb_array_elements_text(wanted->'approvals'));
    IF ids <> '{}' THEN
        SELECT json_agg(json_build_array(id, convert_from(view, 'UTF8')::json)) INTO approvals
        FROM (SELECT id, view FROM approval WHERE id = ANY(ids) ORDER BY id FOR UPDATE) AS locked;
    END IF;
    IF wanted->'documents' <> '[]' THEN
        PERFORM lock_names(wanted->'of_documents');
        SELECT json_agg(json_build_array(document.kind, document.id, convert_from(document.view, 'UTF8')::json))
        INTO documents FROM jsonb_array_elements(wanted->'documents') AS named
        JOIN document ON document.kind = named->>0 AND document.id = named->>1;
    END IF;
    ids := ARRAY(SELECT jsonb_array_elements_text(wanted->'scopes'));
    IF ids <> '{}' THEN
        SELECT json_agg(json_build_array(scope, epoch, raised, value, by, reason)) INTO facts
        FROM fact WHERE scope = ANY(ids);
    END IF;
    -- After the locks: whoever had them before us has committed, so its time is below the high-water mark, and its tokens
    -- are below those that the sequence gives now.
    SELECT json_build_array(
            mode, incarnation, current_setting('fsync'), wall_ms(), high_ms, leapt_ms, steady_ms, ahead_ms,
            (SELECT coalesce(max(by_pos), 0) FROM redaction)) INTO store
    FROM meta;
    drawn := json_build_array(
        drawn_of('token', (wanted->'draw'->>0)::integer), drawn_of('run_n', (wanted->'draw'->>1)::integer),
        drawn_of('effect_n', (wanted->'draw'->>2)::integer));
    RETURN json_build_array(effects, runs, leases, approvals, documents, facts, store, drawn);
END $$;

-- Keys in their order, each with whether it is for us alone.
CREATE FUNCTION lock_names(keys jsonb) RETURNS void VOLATILE LANGUAGE plpgsql AS $$
DECLARE
    name jsonb;
BEGIN
    FOR name IN SELECT jsonb_array_elements(keys) LOOP
        IF (name->1)::boolean THEN
            PERFORM pg_advisory_xact_lock((name->>0)::bigint);
        ELSE
            PERFORM pg_advisory_xact_lock_shared((name->>0)::bigint);
        END IF;
    END LOOP;
END $$;

CREATE FUNCTION drawn_of(sequence text, many integer) RETURNS bigint[] VOLATILE LANGUAGE plpgsql
SET search_path FROM CURRENT AS $$
BEGIN
    IF many = 0 THEN
        RETURN '{}';
    END IF;
    RETURN ARRAY(SELECT nextval(sequence::regclass) FROM generate_series(1, many));
END $$;

-- Writes a planned batch; the last position after it. What needs no position comes first, so that the one row which
-- every commit locks is locked for as short as can be. Bytes come as base64.
CREATE FUNCTION record(given jsonb) RETURNS bigint VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    many integer := coalesce(jsonb_array_length(given->'entries'), 0);
    last_pos bigint;
    there bigint;
BEGIN
    IF given ? 'views' THEN
        INSERT INTO effect_view (n, view)
        SELECT (row->>0)::bigint, decode(row->>1, 'base64') FROM jsonb_array_elements(given->'views') AS row
        ON CONFLICT (n) DO UPDATE SET view = excluded.view;
    END IF;
    IF given ? 'ended' THEN
        DELETE FROM effect_view WHERE n = ANY(ARRAY(SELECT jsonb_array_elements(given->'ended')::bigint));
    END IF;
    IF given ? 'freed' THEN
        DELETE FROM lease WHERE resource = ANY(ARRAY(SELECT jsonb_array_elements_text(given->'freed')));
    END IF;
    IF given ? 'leases' THEN
        INSERT INTO lease (resource, tenant, effect, holder, token, until_ms)
        SELECT row->>0, (row->>1)::bigint, row->>2, row->>3, (row->>4)::bigint, (row->>5)::bigint
        FROM jsonb_array_elements(given->'leases') AS row
        ON CONFLICT (resource) DO UPDATE SET
            effect = excluded.effect, holder = excluded.holder, token = excluded.token, until_ms = excluded.until_ms;
    END IF;
    IF given ? 'approvals' THEN
        INSERT INTO approval (id, tenant, effect, state, view)
        SELECT row->>0, (row->>1)::bigint, row->>2, row->>3, decode(row->>4, 'base64')
        FROM jsonb_array_elements(given->'approvals') AS row
        ON CONFLICT (id) DO UPDATE SET state = excluded.state, view = excluded.view;
    END IF;
    IF given ? 'facts' THEN
        INSERT INTO fact (scope, tenant, epoch, raised, value, by, reason)
        SELECT row->>0, (row->>1)::bigint, (row->>2)::bigint, (row->>3)::integer, row->>4, row->>5, row->>6
        FROM jsonb_array_elements(given->'facts') AS row
        ON CONFLICT (scope) DO UPDATE SET
            epoch = excluded.epoch, raised = excluded.raised, value = excluded.value, by = excluded.by,
            reason = excluded.reason;
    END IF;
    IF given ? 'documents' THEN
        INSERT INTO document (kind, id, run, view, lane, rank, due_ms)
        SELECT row->>0, row->>1, row->>2, decode(row->>3, 'base64'), row->>4, (row->>5)::bigint, (row->>6)::bigint
        FROM jsonb_array_elements(given->'documents') AS row
        ON CONFLICT (kind, id) DO UPDATE SET
            view = excluded.view, lane = excluded.lane, rank = excluded.rank, due_ms = excluded.due_ms;
    END IF;
    IF given ? 'wakes' THEN
        PERFORM pg_notify(given->>'wakes', '');
    END IF;
    PERFORM land(given->'land'->>0, given->'land'->>1);
    UPDATE meta SET
        pos = pos + many, high_ms = greatest(high_ms, (given->>'now_ms')::bigint),
        last_token = greatest(last_token, (given->>'token')::bigint)
    RETURNING pos INTO last_pos;
    IF many > 0 THEN
        INSERT INTO entry (
            pos, run, seq, effect, kind, before, after, at_ms, by, token, tenant, commitment, hash)
        SELECT
            last_pos - many + nth, (row->>0)::bigint, (row->>1)::bigint, (row->>2)::bigint, (row->>3)::bigint,
            (row->>4)::bigint, (row->>5)::bigint, (row->>6)::bigint, (row->>7)::bigint, (row->>8)::bigint,
            (row->>9)::bigint, decode(row->>10, 'base64'), decode(row->>11, 'base64')
        FROM jsonb_array_elements(given->'entries') WITH ORDINALITY AS new (row, nth) ORDER BY nth;
        INSERT INTO entry_body (pos, salt, body)
        SELECT last_pos - many + nth, decode(row->>12, 'base64'), decode(row->>13, 'base64')
        FROM jsonb_array_elements(given->'entries') WITH ORDINALITY AS new (row, nth);
    END IF;
    IF given ? 'new_effects' THEN
        INSERT INTO effect (n, id, tenant, run, identity, generation, tool, state, version, open, due_ms)
        SELECT
            (row->>0)::bigint, row->>1, (row->>2)::bigint, (row->>3)::bigint, decode(row->>4, 'base64'),
            (row->>5)::bigint, (row->>6)::bigint, (row->>7)::bigint, (row->>8)::bigint, (row->>9)::integer,
            (row->>10)::bigint
        FROM jsonb_array_elements(given->'new_effects') AS row;
    END IF;
    -- What is replaced is named, so that under whatever lock none is replaced that it was not planned on.
    IF given ? 'effects' THEN
        UPDATE effect SET
            state = (row->>2)::bigint, version = (row->>3)::bigint, open = (row->>4)::integer,
            due_ms = (row->>5)::bigint
        FROM jsonb_array_elements(given->'effects') AS row
        WHERE effect.n = (row->>0)::bigint AND effect.version = (row->>1)::bigint;
        GET DIAGNOSTICS there = ROW_COUNT;
        PERFORM expect(there, jsonb_array_length(given->'effects'));
    END IF;
    IF given ? 'new_runs' THEN
        INSERT INTO run (n, id, tenant, intent, state, seq, head, view)
        SELECT
            (row->>0)::bigint, row->>1, (row->>2)::bigint, row->>3, row->>4, (row->>5)::bigint,
            decode(row->>6, 'base64'), decode(row->>7, 'base64')
        FROM jsonb_array_elements(given->'new_runs') AS row;
    END IF;
    IF given ? 'runs' THEN
        UPDATE run SET
            state = row->>2, seq = (row->>3)::bigint, head = decode(row->>4, 'base64'), view = decode(row->>5, 'base64')
        FROM jsonb_array_elements(given->'runs') AS row
        WHERE run.n = (row->>0)::bigint AND run.seq = (row->>1)::bigint;
        GET DIAGNOSTICS there = ROW_COUNT;
        PERFORM expect(there, jsonb_array_length(given->'runs'));
    END IF;
    RETURN last_pos;
END $$;

-- Looks at effects: those rows, their runs, what is said store-wide, and the time; one snapshot.
CREATE FUNCTION looked(ids text[], most_facts integer) RETURNS json STABLE LANGUAGE plpgsql
SET search_path FROM CURRENT AS $$
DECLARE
    effects json;
    facts json;
    store json;
BEGIN
    SELECT json_agg(json_build_array(
            effect.n, effect.id, effect.version, convert_from(effect_view.view, 'UTF8')::json,
            convert_from(run.view, 'UTF8')::json)) INTO effects
    FROM effect JOIN run ON run.n = effect.run LEFT JOIN effect_view ON effect_view.n = effect.n
    WHERE effect.id = ANY(ids);
    SELECT json_agg(json_build_array(scope, epoch, raised, value, by, reason)) INTO facts
    FROM (SELECT scope, epoch, raised, value, by, reason FROM fact ORDER BY scope LIMIT most_facts) AS first;
    SELECT json_build_array(wall_ms(), high_ms, leapt_ms, steady_ms, ahead_ms) INTO store FROM meta;
    RETURN json_build_array(effects, facts, store);
END $$;
