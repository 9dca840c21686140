-- Deletes up to $1 keys whose time to live has passed, as many values from each quarantine, and as many tokens of the web
-- pages that ended a day ago; until then their pages can say why they no longer work. A LID mapping of somebody with a
-- Signal session is no mere cache: it lives for another $2 seconds. Counts by kind. Locks those rows; skips rows that are
-- being written.
WITH expired AS MATERIALIZED (
    -- Keys whose time to live has passed.
    SELECT session_id, kind, key_id, value->>'pn' AS pn FROM wa.auth_key
    WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
), in_use AS MATERIALIZED (
    -- LID mappings among them of people with a Signal session.
    SELECT e.session_id, e.kind, e.key_id
    FROM expired e
    -- In the order of bytes, A follows @ and ; follows :.
    CROSS JOIN LATERAL unnest(ARRAY[e.key_id, e.pn]) AS person
    CROSS JOIN LATERAL (
        SELECT FROM wa.auth_key s
        WHERE s.session_id = e.session_id AND s.kind = 'session'
          AND (s.key_id >= person || '@' AND s.key_id < person || 'A' OR s.key_id >= person || ':' AND s.key_id < person || ';')
        LIMIT 1
    ) AS found
    WHERE e.kind = 'lid-mapping'
), kept AS (
    -- These live on.
    UPDATE wa.auth_key k SET expires_at = now() + make_interval(secs => $2)
    FROM (SELECT DISTINCT session_id, kind, key_id FROM in_use) AS u
    WHERE (k.session_id, k.kind, k.key_id) = (u.session_id, u.kind, u.key_id)
), gone AS (
    -- All others are deleted.
    DELETE FROM wa.auth_key k USING expired e
    WHERE (k.session_id, k.kind, k.key_id) = (e.session_id, e.kind, e.key_id)
      AND (e.session_id, e.kind, e.key_id) NOT IN (SELECT session_id, kind, key_id FROM in_use)
    RETURNING k.kind
), released AS (
    -- Values that are deleted from the quarantine.
    DELETE FROM wa.auth_quarantine q
    USING (
        SELECT id FROM wa.auth_quarantine WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ) AS expired
    WHERE q.id = expired.id
    RETURNING 1
), dropped AS (
    -- Items that are deleted from the quarantine of what the database refused.
    DELETE FROM wa.quarantine q
    USING (
        SELECT id FROM wa.quarantine WHERE expires_at < now() ORDER BY expires_at LIMIT $1 FOR UPDATE SKIP LOCKED
    ) AS expired
    WHERE q.id = expired.id
    RETURNING 1
), ended AS (
    -- Tokens that are deleted. A token goes after its login links and cookies, so that its end waits for none of them (R8).
    DELETE FROM wa.token t
    USING (
        SELECT k.token_id FROM wa.token k
        WHERE least(k.revoked_at, k.spent_at, k.expires_at) < now() - interval '1 day'
          AND NOT EXISTS (SELECT FROM wa.token child WHERE child.parent_id = k.token_id)
        ORDER BY least(k.revoked_at, k.spent_at, k.expires_at) LIMIT $1 FOR UPDATE SKIP LOCKED
    ) AS old
    WHERE t.token_id = old.token_id
    RETURNING 1
)
SELECT (SELECT count(*) FROM expired) AS "seen!",
       (SELECT count(*) FROM ended) AS "tokens!",
       (SELECT count(*) FROM released) + (SELECT count(*) FROM dropped) AS "quarantine!",
       coalesce((SELECT jsonb_object_agg(kind, n) FROM (SELECT kind, count(*) AS n FROM gone GROUP BY kind) AS by_kind), '{}') AS "kinds!"
