-- Progress of outbound messages: how each change is announced, and how an error of an attempt is kept.

-- One notification for each session, not for each message: NOTIFY takes a lock that all committing transactions share,
-- and a payload holds some hundred ids.
CREATE OR REPLACE FUNCTION wa.notify_status(session_ids bigint[], ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_notify('wa_status', json_build_object('session_id', parts.session_id, 'ids', json_agg(parts.id ORDER BY parts.id))::text)
    FROM (
        SELECT *, row_number() OVER (PARTITION BY changed.session_id ORDER BY changed.id) / 300 AS part
        FROM unnest(session_ids, ids) AS changed (session_id, id)
    ) parts
    GROUP BY parts.session_id, parts.part;
END $$;
COMMENT ON FUNCTION wa.notify_status(bigint[], bigint[]) IS 'NOTIFY wa_status with {"session_id","ids":[…]}, a few hundred ids at most in each. The rows have the status, and the time of each status that a message passed.';

-- A worker delivers in the transaction that writes a status, and notifies after it: NOTIFY's lock would be held while the
-- commit waits for the disk. So a notification is a hint that a crash may lose; a webhook is not.
CREATE OR REPLACE FUNCTION wa.announce_status(session_ids bigint[], ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM wa.notify_status(session_ids, ids);
    IF EXISTS (SELECT FROM wa.webhook) THEN
        PERFORM wa.deliver_status(ids);
    END IF;
END $$;
COMMENT ON FUNCTION wa.announce_status(bigint[], bigint[]) IS 'Announces that messages changed their status: on wa_status, and to webhooks.';

CREATE OR REPLACE FUNCTION wa.attempt_error(attempt integer, error text) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_build_object('attempt', attempt, 'at', now(), 'error', error)
$$;
COMMENT ON FUNCTION wa.attempt_error(integer, text) IS 'An element of the errors of a job: {"attempt","at","error"}.';
