-- Progress of outbound messages: how each change is announced, and how an error of an attempt is kept.

-- One notification for a session and a status, not for each message: NOTIFY takes a lock that all committing
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
COMMENT ON FUNCTION wa.announce_status(text[], bigint[], wa.outbound_status[]) IS 'NOTIFY wa_status with {"session","status","ids":[…]}, a few hundred ids at most in each. Channel wa_status: how messages come along; a status that was passed within a moment is not told of by itself, but its time stands in the row.';

CREATE OR REPLACE FUNCTION wa.attempt_error(attempt integer, error text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('attempt', attempt, 'at', now(), 'error', error)
$$;
COMMENT ON FUNCTION wa.attempt_error(integer, text) IS 'An entry of the errors of a job: {"attempt","at","error"}.';
