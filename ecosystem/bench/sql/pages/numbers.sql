-- The sums of these messages as workers write them: of each session, its tenant, all sessions, and each campaign.
INSERT INTO wa.numbers (session_id, tenant, campaign, at, span, queued, sent, delivered, delivered_soon, read, played, failed, expired, received,
                        failed_not_on_whatsapp, failed_refused, failed_limited, failed_content, failed_media, failed_connection, failed_server,
                        failed_worker, latency_seconds, latency)
WITH happened AS (
    SELECT o.session_id, o.campaign, o.created_at AS at, 1 AS queued, (o.sent_at IS NOT NULL)::integer AS sent, (o.delivered_at IS NOT NULL)::integer AS delivered,
           (o.read_at IS NOT NULL)::integer AS read, (o.played_at IS NOT NULL)::integer AS played, (o.failed_at IS NOT NULL)::integer AS failed,
           (o.expired_at IS NOT NULL)::integer AS expired, 0 AS received, o.failure
    FROM wa.outbound o WHERE o.status > 'sending' AND o.cancelled_at IS NULL
    UNION ALL
    SELECT i.session_id, NULL, i.received_at, 0, 0, 0, 0, 0, 0, 0, 1, NULL FROM wa.inbox i
), hours AS MATERIALIZED (
    SELECT h.session_id, s.tenant, h.campaign, h.hour_at, h.minute_at, h.queued, h.sent, h.delivered, h.read, h.played, h.failed, h.expired, h.received, h.failure
    FROM (
        SELECT h.session_id, h.campaign, h.failure, date_bin('1 hour', h.at, '2001-01-01Z') AS hour_at,
               CASE WHEN h.at > now() - interval '2 days' THEN date_bin('1 minute', h.at, '2001-01-01Z') END AS minute_at,
               sum(h.queued) AS queued, sum(h.sent) AS sent, sum(h.delivered) AS delivered, sum(h.read) AS read, sum(h.played) AS played,
               sum(h.failed) AS failed, sum(h.expired) AS expired, sum(h.received) AS received
        FROM happened h GROUP BY 1, 2, 3, 4, 5
    ) h JOIN wa.session s USING (session_id)
)
SELECT session_id, CASE WHEN session_id IS NULL THEN tenant END, campaign, coalesce(minute_at, hour_at),
       CASE WHEN GROUPING(minute_at) = 0 THEN 'minute' ELSE 'hour' END,
       sum(queued), sum(sent), sum(delivered), sum(delivered), sum(read), sum(played), sum(failed), sum(expired), sum(received),
       sum(failed) FILTER (WHERE failure = 'not_on_whatsapp'), sum(failed) FILTER (WHERE failure = 'refused'), sum(failed) FILTER (WHERE failure = 'limited'),
       sum(failed) FILTER (WHERE failure = 'content'), sum(failed) FILTER (WHERE failure = 'media'), sum(failed) FILTER (WHERE failure = 'connection'),
       sum(failed) FILTER (WHERE failure = 'server'), sum(failed) FILTER (WHERE failure = 'worker'), 2 * sum(sent),
       CASE WHEN sum(sent) > 0 THEN ARRAY[0, 0, 0, 0, sum(sent), 0, 0, 0, 0, 0, 0, 0]::integer[] END
FROM hours
GROUP BY GROUPING SETS ((session_id, hour_at), (session_id, minute_at), (session_id, campaign, hour_at), (tenant, campaign, hour_at), (tenant, hour_at), (tenant, minute_at), (hour_at), (minute_at))
HAVING (GROUPING(minute_at) = 1 OR minute_at IS NOT NULL) AND (GROUPING(campaign) = 1 OR campaign IS NOT NULL)
-- Workers write all sessions of a minute side by side.
ORDER BY coalesce(minute_at, hour_at), session_id;

DO $$
DECLARE redone text;
BEGIN
    FOR redone IN SELECT redo FROM bench_index ORDER BY step LOOP
        EXECUTE redone;
    END LOOP;
END $$;
