-- Deletes up to $1 rows each of wa.partner_call that ended, of wa.partner_hook and of wa.company_numbers, more than $2 days
-- ago, or with $3 counts them all. Locks the deleted rows; skips rows that are being written.
WITH old_calls AS (
    -- Ended calls.
    SELECT call_id FROM wa.partner_call WHERE NOT $3::boolean AND finished_at < now() - $2::integer * interval '1 day'
    ORDER BY finished_at LIMIT $1 FOR UPDATE SKIP LOCKED
), calls AS (
    DELETE FROM wa.partner_call c USING old_calls o WHERE c.call_id = o.call_id RETURNING 1
), old_hooks AS (
    -- What the partner told.
    SELECT hook_id FROM wa.partner_hook WHERE NOT $3::boolean AND received_at < now() - $2::integer * interval '1 day'
    ORDER BY received_at LIMIT $1 FOR UPDATE SKIP LOCKED
), hooks AS (
    DELETE FROM wa.partner_hook h USING old_hooks o WHERE h.hook_id = o.hook_id RETURNING 1
), old_days AS (
    -- Counts.
    SELECT ctid FROM wa.company_numbers WHERE NOT $3::boolean AND day < (now() AT TIME ZONE 'UTC')::date - $2::integer
    ORDER BY day LIMIT $1 FOR UPDATE SKIP LOCKED
), days AS (
    DELETE FROM wa.company_numbers n USING old_days o WHERE n.ctid = o.ctid RETURNING 1
)
SELECT CASE WHEN $3::boolean THEN (SELECT count(*) FROM wa.partner_call WHERE finished_at < now() - $2::integer * interval '1 day')
                                + (SELECT count(*) FROM wa.partner_hook WHERE received_at < now() - $2::integer * interval '1 day')
                                + (SELECT count(*) FROM wa.company_numbers WHERE day < (now() AT TIME ZONE 'UTC')::date - $2::integer)
            ELSE (SELECT count(*) FROM calls) + (SELECT count(*) FROM hooks) + (SELECT count(*) FROM days) END AS "count!"
