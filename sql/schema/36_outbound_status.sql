-- Progress of outbound messages: how each change is announced, and how an error of an attempt is kept.

-- One notification for each session and status, not for each message: NOTIFY takes a lock that all committing
-- transactions share, and a payload holds some hundred ids.
CREATE OR REPLACE FUNCTION wa.announce_status(sessions text[], ids bigint[], statuses wa.outbound_status[]) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_notify('wa_status', json_build_object('session', session, 'status', status, 'ids', json_agg(id ORDER BY id))::text)
    FROM (
        SELECT *, row_number() OVER (PARTITION BY session, status ORDER BY id) / 300 AS part
        FROM unnest(sessions, ids, statuses) AS changed (session, id, status)
    ) changed
    GROUP BY session, status, part
$$;
COMMENT ON FUNCTION wa.announce_status(text[], bigint[], wa.outbound_status[]) IS 'NOTIFY wa_status with {"session","status","ids":[…]}, a few hundred ids at most in each. A status that lasted only a moment is not announced by itself, but its time is in the row.';

CREATE OR REPLACE FUNCTION wa.attempt_error(attempt integer, error text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('attempt', attempt, 'at', now(), 'error', error)
$$;
COMMENT ON FUNCTION wa.attempt_error(integer, text) IS 'An element of the errors of a job: {"attempt","at","error"}.';
