-- Deletes up to $1 rows of wa.numbers of sessions and tenants that were deleted, or with $2 counts them all; and rows of
-- wa.numbers_batch that are 30 days old. Reads one row for each session and tenant. Locks the deleted rows; skips rows
-- that are being written.
WITH RECURSIVE session (id) AS (
    -- The sessions in wa.numbers.
    SELECT min(session_id) FROM wa.numbers
    UNION ALL
    SELECT (SELECT min(n.session_id) FROM wa.numbers n WHERE n.session_id > session.id) FROM session WHERE session.id IS NOT NULL
), tenant (name) AS (
    -- The tenants.
    SELECT min(tenant) FROM wa.numbers WHERE session_id IS NULL
    UNION ALL
    SELECT (SELECT min(n.tenant) FROM wa.numbers n WHERE n.session_id IS NULL AND n.tenant > tenant.name) FROM tenant WHERE tenant.name IS NOT NULL
), lost AS MATERIALIZED (
    -- Rows of those that do not exist.
    SELECT n.ctid AS place FROM session JOIN wa.numbers n ON n.session_id = session.id
    WHERE NOT EXISTS (SELECT FROM wa.session s WHERE s.session_id = session.id)
    UNION ALL
    SELECT n.ctid FROM tenant JOIN wa.numbers n ON n.session_id IS NULL AND n.tenant = tenant.name
    WHERE NOT EXISTS (SELECT FROM wa.tenant t WHERE t.tenant = tenant.name)
), free AS (
    -- Those that nobody else is writing.
    SELECT n.ctid FROM wa.numbers n WHERE NOT $2::boolean AND n.ctid = ANY (ARRAY(SELECT place FROM lost LIMIT $1)) FOR UPDATE SKIP LOCKED
), gone AS (
    -- The rows that are deleted; none when they are only counted.
    DELETE FROM wa.numbers n USING free WHERE n.ctid = free.ctid RETURNING 1
), ended AS (
    -- Processes that have ended.
    DELETE FROM wa.numbers_batch WHERE NOT $2::boolean AND written_at < now() - interval '30 days'
)
SELECT CASE WHEN $2::boolean THEN (SELECT count(*) FROM lost) ELSE (SELECT count(*) FROM gone) END AS "count!"
