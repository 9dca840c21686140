-- How many failed messages the retry $1 may queue again: those of session $2, of class $3, of campaign $4, that failed from
-- $5 to $6; null is no limit. Reads failed messages only; locks nothing.
SELECT count(*) AS "found!" FROM wa.outbound_failed o
WHERE o.failed_at >= coalesce($5, '-infinity'::timestamptz) AND o.failed_at <= coalesce($6, 'infinity'::timestamptz)
  AND ($2::bigint IS NULL OR o.session_id = $2) AND ($3::text IS NULL OR o.failure = $3) AND ($4::text IS NULL OR o.campaign = $4)
  AND ((SELECT j.tenants FROM wa.maintenance_job j WHERE j.id = $1) IS NULL OR o.session_id IN (
      SELECT s.session_id FROM wa.maintenance_job j JOIN wa.session s ON s.tenant = ANY (j.tenants) WHERE j.id = $1))
