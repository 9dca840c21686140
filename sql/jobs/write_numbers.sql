-- Adds batch $4 of the counts of process $3, which is worker $1, to wa.numbers: of each session, of its tenant, of all
-- sessions and of campaigns, by minute and by hour. $2 is a JSON array of objects with the columns of wa.numbers; a count
-- that is missing is 0. An element with a campaign counts what another element without one counts, too. Returns whether
-- the worker lives; if not, nothing is added. A batch that was added before is not added again. Locks the process's row
-- of wa.numbers_batch, and rows of wa.numbers in one order; workers alone lock either. Counts of sessions that were
-- deleted are dropped.
WITH input AS MATERIALIZED (
    -- The counts.
    SELECT * FROM jsonb_to_recordset($2) AS n (
        session_id bigint, minute bigint, last_minute bigint, campaign text, queued integer, sent integer, delivered integer, delivered_soon integer, read integer,
        played integer, failed integer, expired integer, received integer, first_contacts integer, bad_macs integer, bad_decrypts integer,
        failed_not_on_whatsapp integer, failed_refused integer, failed_limited integer, failed_content integer, failed_media integer,
        failed_connection integer, failed_server integer, failed_worker integer, latency_seconds float8, latency integer[])
), alive AS MATERIALIZED (
    -- The worker, if nobody may take its sessions yet.
    SELECT worker_id FROM wa.worker WHERE worker_id = $1 AND lease_until > now()
), turn AS (
    -- The batch, unless it was added before.
    INSERT INTO wa.numbers_batch AS b (process, batch) SELECT $3, $4 FROM alive
    ON CONFLICT (process) DO UPDATE SET batch = excluded.batch, written_at = now() WHERE b.batch < excluded.batch
    RETURNING batch
), placed AS (
    -- Each of the counts at its session, minute and hour.
    SELECT input.*, s.tenant, to_timestamp(minute * 60) AS minute_at, to_timestamp(minute / 60 * 3600) AS hour_at
    FROM input JOIN wa.session s USING (session_id) CROSS JOIN turn
), added AS (
    -- The rows to add.
    SELECT session_id, tenant, campaign, coalesce(minute_at, hour_at) AS at,
           CASE WHEN minute_at IS NULL THEN 'hour' ELSE 'minute' END AS span,
           CASE WHEN campaign IS NOT NULL THEN to_timestamp(max(last_minute) * 60) END AS last_at,
           sum(queued)::integer AS queued, sum(sent)::integer AS sent, sum(delivered)::integer AS delivered,
           sum(delivered_soon)::integer AS delivered_soon, sum(read)::integer AS read, sum(played)::integer AS played,
           sum(failed)::integer AS failed, sum(expired)::integer AS expired, sum(received)::integer AS received,
           sum(first_contacts)::integer AS first_contacts, sum(bad_macs)::integer AS bad_macs, sum(bad_decrypts)::integer AS bad_decrypts,
           sum(failed_not_on_whatsapp)::integer AS failed_not_on_whatsapp, sum(failed_refused)::integer AS failed_refused,
           sum(failed_limited)::integer AS failed_limited, sum(failed_content)::integer AS failed_content,
           sum(failed_media)::integer AS failed_media, sum(failed_connection)::integer AS failed_connection,
           sum(failed_server)::integer AS failed_server, sum(failed_worker)::integer AS failed_worker,
           sum(latency_seconds) AS latency_seconds,
           ARRAY[sum(latency[1]), sum(latency[2]), sum(latency[3]), sum(latency[4]), sum(latency[5]), sum(latency[6]), sum(latency[7]),
                 sum(latency[8]), sum(latency[9]), sum(latency[10]), sum(latency[11]), sum(latency[12])]::integer[] AS latency
    FROM placed
    GROUP BY GROUPING SETS ((session_id, campaign, minute_at), (session_id, campaign, hour_at), (tenant, campaign, minute_at),
                            (tenant, campaign, hour_at), (campaign, minute_at), (campaign, hour_at))
    HAVING campaign IS NULL OR GROUPING(session_id, tenant) <> 3 AND minute_at IS NULL
), written AS (
    -- The rows, added.
    INSERT INTO wa.numbers AS n (
        session_id, tenant, campaign, at, span, last_at, queued, sent, delivered, delivered_soon, read, played, failed, expired, received, first_contacts,
        bad_macs, bad_decrypts, failed_not_on_whatsapp, failed_refused, failed_limited, failed_content, failed_media, failed_connection,
        failed_server, failed_worker, latency_seconds, latency)
    SELECT session_id, tenant, campaign, at, span, last_at, coalesce(queued, 0), coalesce(sent, 0), coalesce(delivered, 0), coalesce(delivered_soon, 0),
           coalesce(read, 0), coalesce(played, 0), coalesce(failed, 0), coalesce(expired, 0), coalesce(received, 0), coalesce(first_contacts, 0),
           coalesce(bad_macs, 0), coalesce(bad_decrypts, 0), failed_not_on_whatsapp, failed_refused, failed_limited, failed_content,
           failed_media, failed_connection, failed_server, failed_worker, latency_seconds,
           CASE WHEN latency[1] IS NOT NULL THEN latency END
    FROM added
    -- The rows that several workers add to come last, so that they are locked for a moment only.
    ORDER BY session_id NULLS LAST, tenant NULLS LAST, campaign NULLS LAST, span, at
    ON CONFLICT (session_id, tenant, campaign, span, at) DO UPDATE
    SET last_at = greatest(n.last_at, excluded.last_at), queued = n.queued + excluded.queued, sent = n.sent + excluded.sent, delivered = n.delivered + excluded.delivered,
        delivered_soon = n.delivered_soon + excluded.delivered_soon, read = n.read + excluded.read, played = n.played + excluded.played,
        failed = n.failed + excluded.failed, expired = n.expired + excluded.expired, received = n.received + excluded.received,
        first_contacts = n.first_contacts + excluded.first_contacts, bad_macs = n.bad_macs + excluded.bad_macs,
        bad_decrypts = n.bad_decrypts + excluded.bad_decrypts,
        -- Null is none.
        failed_not_on_whatsapp = coalesce(n.failed_not_on_whatsapp + excluded.failed_not_on_whatsapp, n.failed_not_on_whatsapp, excluded.failed_not_on_whatsapp),
        failed_refused = coalesce(n.failed_refused + excluded.failed_refused, n.failed_refused, excluded.failed_refused),
        failed_limited = coalesce(n.failed_limited + excluded.failed_limited, n.failed_limited, excluded.failed_limited),
        failed_content = coalesce(n.failed_content + excluded.failed_content, n.failed_content, excluded.failed_content),
        failed_media = coalesce(n.failed_media + excluded.failed_media, n.failed_media, excluded.failed_media),
        failed_connection = coalesce(n.failed_connection + excluded.failed_connection, n.failed_connection, excluded.failed_connection),
        failed_server = coalesce(n.failed_server + excluded.failed_server, n.failed_server, excluded.failed_server),
        failed_worker = coalesce(n.failed_worker + excluded.failed_worker, n.failed_worker, excluded.failed_worker),
        latency_seconds = coalesce(n.latency_seconds + excluded.latency_seconds, n.latency_seconds, excluded.latency_seconds),
        latency = CASE
            WHEN n.latency IS NULL THEN excluded.latency
            WHEN excluded.latency IS NULL THEN n.latency
            ELSE ARRAY[n.latency[1] + excluded.latency[1], n.latency[2] + excluded.latency[2], n.latency[3] + excluded.latency[3],
                       n.latency[4] + excluded.latency[4], n.latency[5] + excluded.latency[5], n.latency[6] + excluded.latency[6],
                       n.latency[7] + excluded.latency[7], n.latency[8] + excluded.latency[8], n.latency[9] + excluded.latency[9],
                       n.latency[10] + excluded.latency[10], n.latency[11] + excluded.latency[11], n.latency[12] + excluded.latency[12]]
        END
)
SELECT EXISTS (SELECT FROM alive) AS "alive!"
