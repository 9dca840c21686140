-- Pauses consumers that have more than $1 messages to read, or that have claimed none for $2 days and have some; null is
-- no limit. With $3 only counts them. Writes an event for each. Locks the consumers; leaves one that an application has
-- locked to the next run.
WITH late AS MATERIALIZED (
    -- Consumers beyond a limit.
    SELECT c.consumer_id, c.name, c.session_id, c.tenants,
           CASE WHEN c.active_at < now() - $2::integer * interval '1 day'
                     AND (SELECT true FROM wa.unread u WHERE u.consumer_id = c.consumer_id LIMIT 1)
                THEN format('no message claimed for %s days', $2::integer)
                WHEN $1::bigint IS NOT NULL
                     AND (SELECT true FROM wa.unread u WHERE u.consumer_id = c.consumer_id OFFSET $1::bigint LIMIT 1)
                THEN format('more than %s messages to read', $1::bigint) END AS reason
    FROM wa.consumer c WHERE c.paused_at IS NULL
), free AS (
    -- Those that nobody else has locked.
    SELECT c.consumer_id, late.name, late.session_id, late.tenants, late.reason
    FROM wa.consumer c JOIN late USING (consumer_id)
    WHERE late.reason IS NOT NULL AND NOT $3::boolean
    FOR NO KEY UPDATE OF c SKIP LOCKED
), paused AS (
    -- The consumers, now paused.
    UPDATE wa.consumer c
    SET paused_at = now(), paused_reason = free.reason, claimed = '{}', claimed_until = NULL
    FROM free WHERE c.consumer_id = free.consumer_id AND c.paused_at IS NULL
    RETURNING free.name, free.session_id, free.tenants, free.reason
), event AS (
    -- Their events: of the session if the consumer reads only one, and otherwise of its tenants.
    INSERT INTO wa.event (session, session_id, tenants, kind, data)
    SELECT (SELECT s.name FROM wa.session s WHERE s.session_id = paused.session_id), paused.session_id,
           CASE WHEN paused.session_id IS NULL THEN paused.tenants END, 'consumer_paused',
           jsonb_build_object('consumer', paused.name, 'reason', paused.reason)
    FROM paused
)
SELECT CASE WHEN $3::boolean THEN (SELECT count(*) FROM late WHERE reason IS NOT NULL) ELSE (SELECT count(*) FROM paused) END AS "count!"
