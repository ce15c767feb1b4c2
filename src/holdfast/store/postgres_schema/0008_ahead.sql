-- compatible
-- A batch that was planned on what a worker believes: judged, written and committed in one call. Nothing of it is taken on
-- trust: every row that it was planned on is locked here and must be as it was believed, and the time must not have passed
-- for which it holds. Where anything differs nothing is written, and the worker plans anew on rows that it holds.

-- The last token of a resource that was let go. A token of a worker's stock is older than its claim, so one that is below
-- this came too late: another worker had the resource meanwhile. Not in the log of the server: a stock ends with its
-- connection, and connections end with the server.
CREATE UNLOGGED TABLE fence (resource text COLLATE "C" PRIMARY KEY, token bigint NOT NULL) WITH (fillfactor = 50);
CREATE INDEX fence_token ON fence (token);

CREATE FUNCTION lease_is_let_go() RETURNS trigger VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO fence (resource, token) SELECT resource, token FROM gone
    ON CONFLICT (resource) DO UPDATE SET token = greatest(fence.token, excluded.token);
    RETURN NULL;
END $$;
CREATE TRIGGER lease_is_let_go AFTER DELETE ON lease REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION lease_is_let_go();

-- Ends a transaction that was planned on what is not so.
CREATE FUNCTION believed(there boolean, what text) RETURNS void IMMUTABLE LANGUAGE plpgsql AS $$
BEGIN
    IF there IS NOT TRUE THEN
        RAISE EXCEPTION USING ERRCODE = 'HF002', MESSAGE = 'planned on what is not so: ' || what;
    END IF;
END $$;

-- Locks are taken in the order of every transaction: the log and names by key, effects and runs by id, resources by key,
-- documents by key, the row of meta. Effects and runs are spoken of by their place in the lists that are given here; those
-- effects that are new come last and get their numbers here.
CREATE FUNCTION ahead(
    writer text, mark text, said bigint[], shared_keys bigint[], scopes text[], epochs bigint[],
    effect_ids text[], effect_was bigint[],
    run_ids text[], run_was bigint[], run_heads_were bytea[],
    resource_keys bigint[], resources text[], resource_was bigint[],
    document_keys bigint[], document_kinds text[], document_ids text[], document_digests bytea[],
    view_of bigint[], views bytea[], ended bigint[], freed text[],
    leased text[], lease_effects text[], lease_holders text[], lease_tokens bigint[], lease_ends bigint[],
    new_ids text[], new_runs bigint[], new_identities bytea[], new_generations bigint[], new_tools bigint[],
    moved bigint[], states bigint[], versions bigint[], opens bigint[], dues bigint[],
    run_of bigint[], run_states text[], run_seqs bigint[], run_heads bytea[], run_views bytea[],
    of_run bigint[], seqs bigint[], of_effect bigint[], kinds bigint[], befores bigint[], afters bigint[],
    ats bigint[], bys bigint[], tokens bigint[], tenants bigint[],
    commitments bytea[], hashes bytea[], salts bytea[], bodies bytea[]
) RETURNS bigint[] VOLATILE LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    planned_ms bigint := said[1];
    until_ms bigint := said[2];
    last_ms bigint := said[3];
    last_minted bigint := said[4];
    one_tenant bigint := said[10];
    many bigint := coalesce(cardinality(seqs), 0);
    effect_ns bigint[] := '{}';
    run_ns bigint[] := '{}';
    last_pos bigint;
    there bigint;
    holds boolean;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(key) FROM unnest(shared_keys) AS key;
    IF effect_ids <> '{}' THEN
        SELECT array_agg(n ORDER BY nth) INTO effect_ns FROM (
            SELECT effect.n, was.nth FROM unnest(effect_ids, effect_was) WITH ORDINALITY AS was (id, version, nth)
            JOIN effect ON effect.id = was.id AND effect.version = was.version ORDER BY was.nth FOR UPDATE OF effect
        ) AS locked;
        PERFORM believed(cardinality(effect_ns) = cardinality(effect_ids), 'an effect');
    END IF;
    SELECT array_agg(n ORDER BY nth) INTO run_ns FROM (
        SELECT run.n, was.nth FROM unnest(run_ids, run_was, run_heads_were) WITH ORDINALITY AS was (id, seq, head, nth)
        JOIN run ON run.id = was.id AND run.seq = was.seq AND run.head = was.head ORDER BY was.nth FOR UPDATE OF run
    ) AS locked;
    PERFORM believed(cardinality(run_ns) = cardinality(run_ids), 'a run');
    IF resources <> '{}' THEN
        PERFORM pg_advisory_xact_lock(key) FROM unnest(resource_keys) AS key;
        SELECT count(*) INTO there FROM unnest(resources, resource_was) AS was (resource, token)
        LEFT JOIN lease USING (resource) WHERE coalesce(lease.token, 0) = was.token;
        PERFORM believed(there = cardinality(resources), 'a lease');
    END IF;
    IF leased <> '{}' THEN
        PERFORM believed(NOT EXISTS (
            SELECT 1 FROM unnest(leased, lease_tokens) AS mine (resource, token) JOIN fence USING (resource)
            WHERE fence.token >= mine.token), 'a token');
    END IF;
    IF document_ids <> '{}' THEN
        PERFORM pg_advisory_xact_lock_shared(key) FROM unnest(document_keys) AS key;
        SELECT count(*) INTO there FROM unnest(document_kinds, document_ids, document_digests) AS was (kind, id, digest)
        LEFT JOIN document USING (kind, id) WHERE coalesce(sha256(document.view), ''::bytea) = was.digest;
        PERFORM believed(there = cardinality(document_ids), 'a document');
    END IF;
    IF scopes <> '{}' THEN
        SELECT count(*) INTO there FROM unnest(scopes, epochs) AS was (scope, epoch)
        LEFT JOIN fact USING (scope) WHERE coalesce(fact.epoch, 0) = was.epoch;
        PERFORM believed(there = cardinality(scopes), 'what is said store-wide');
    END IF;
    -- Behind all locks that are waited for, but the one on this row.
    SELECT mode = 'normal' AND incarnation = said[5] AND leapt_ms = said[7] AND steady_ms = said[8] AND ahead_ms = said[9]
        AND current_setting('fsync') = 'on' AND current_setting('transaction_isolation') = 'read committed'
        AND (SELECT coalesce(max(by_pos), 0) FROM redaction) = said[6]
    INTO holds FROM meta;
    PERFORM believed(holds, 'how the store stands');

    IF new_ids <> '{}' THEN
        effect_ns := effect_ns || ARRAY(SELECT nextval('effect_n') FROM generate_series(1, cardinality(new_ids)));
    END IF;
    IF view_of <> '{}' THEN
        INSERT INTO effect_view (n, view) SELECT effect_ns[of], view FROM unnest(view_of, views) AS new (of, view)
        ON CONFLICT (n) DO UPDATE SET view = excluded.view;
    END IF;
    IF ended <> '{}' THEN
        DELETE FROM effect_view WHERE n IN (SELECT effect_ns[of] FROM unnest(ended) AS of);
    END IF;
    IF freed <> '{}' THEN
        DELETE FROM lease WHERE resource = ANY(freed);
    END IF;
    IF leased <> '{}' THEN
        INSERT INTO lease (resource, tenant, effect, holder, token, until_ms)
        SELECT resource, one_tenant, effect, holder, token, ends
        FROM unnest(leased, lease_effects, lease_holders, lease_tokens, lease_ends)
            AS new (resource, effect, holder, token, ends)
        ON CONFLICT (resource) DO UPDATE SET
            effect = excluded.effect, holder = excluded.holder, token = excluded.token, until_ms = excluded.until_ms;
    END IF;
    IF said[12] > 0 THEN
        DELETE FROM fence WHERE token < said[12];
    END IF;
    PERFORM land(writer, mark);
    UPDATE meta SET
        pos = pos + many, high_ms = greatest(high_ms, last_ms), last_token = greatest(last_token, last_minted)
    RETURNING pos INTO last_pos;
    -- What it was judged to hold until is the time of its commit, so this is asked when nothing is waited for any more.
    there := wall_ms();
    PERFORM believed(there BETWEEN planned_ms AND until_ms, 'the time');
    INSERT INTO entry (pos, run, seq, effect, kind, before, after, at_ms, by, token, tenant, commitment, hash)
    SELECT last_pos - many + nth, run_ns[run], seq, CASE effect WHEN 0 THEN 0 ELSE effect_ns[effect] END, kind, before,
        after, at_ms, by, token, tenant, commitment, hash
    FROM unnest(of_run, seqs, of_effect, kinds, befores, afters, ats, bys, tokens, tenants, commitments, hashes)
        WITH ORDINALITY AS new (run, seq, effect, kind, before, after, at_ms, by, token, tenant, commitment, hash, nth);
    INSERT INTO entry_body (pos, salt, body)
    SELECT last_pos - many + nth, salt, body FROM unnest(salts, bodies) WITH ORDINALITY AS new (salt, body, nth);
    IF new_ids <> '{}' THEN
        INSERT INTO effect (n, id, tenant, run, identity, generation, tool, state, version, open, due_ms)
        SELECT effect_ns[cardinality(effect_ids) + nth], new.id, run.tenant, run.n, identity, generation, tool,
            states[cardinality(moved) + nth], versions[cardinality(moved) + nth], opens[cardinality(moved) + nth],
            dues[cardinality(moved) + nth]
        FROM unnest(new_ids, new_runs, new_identities, new_generations, new_tools)
            WITH ORDINALITY AS new (id, run, identity, generation, tool, nth)
        JOIN run ON run.n = run_ns[new.run];
    END IF;
    IF moved <> '{}' THEN
        UPDATE effect SET state = new.state, version = new.version, open = new.open, due_ms = new.due_ms
        FROM unnest(moved, states[:cardinality(moved)], versions[:cardinality(moved)], opens[:cardinality(moved)],
            dues[:cardinality(moved)]) AS new (of, state, version, open, due_ms)
        WHERE effect.n = effect_ns[new.of];
    END IF;
    UPDATE run SET state = new.state, seq = new.seq, head = new.head, view = new.view
    FROM unnest(run_of, run_states, run_seqs, run_heads, run_views) AS new (of, state, seq, head, view)
    WHERE run.n = run_ns[new.of];
    RETURN ARRAY[last_pos, there] || ARRAY(SELECT nextval('token') FROM generate_series(1, said[11]));
END $$;
