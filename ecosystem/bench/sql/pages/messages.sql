-- Messages of the last 30 days in the order of time, seven tenths sent and three tenths received, spread over the sessions so
-- that the first has one of forty and most have a few hundred; the last sent ones are still to go. Three of a hundred failed.
-- What goes out in three days to two thousand sessions is the campaign "spring". Indexes are made afterwards: they would double the time.
CREATE TEMP TABLE bench_index AS
SELECT 1 AS step, format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) AS undo,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) AS redo
FROM pg_constraint
WHERE conrelid IN ('wa.outbound'::regclass, 'wa.inbox'::regclass, 'wa.numbers'::regclass) AND contype IN ('p', 'u') AND conname <> 'outbound_pkey'
UNION ALL
SELECT 2, format('DROP INDEX %s', i.indexrelid::regclass), pg_get_indexdef(i.indexrelid)
FROM pg_index i
WHERE i.indrelid IN ('wa.outbound'::regclass, 'wa.inbox'::regclass, 'wa.numbers'::regclass)
  AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid);
DO $$
DECLARE undone text;
BEGIN
    FOR undone IN SELECT undo FROM bench_index LOOP
        EXECUTE undone;
    END LOOP;
END $$;

INSERT INTO wa.outbound (id, session_id, session, recipient, chat, kind, body, message_id, campaign, created_at, send_at, apart, attempts, status,
                         sending_at, sent_at, delivered_at, read_at, played_at, failed_at, cancelled_at, expired_at, failure,
                         last_error, errors)
OVERRIDING SYSTEM VALUE
SELECT i, session_id, 'shop-' || lpad(session_id::text, 5, '0'),
       CASE WHEN contact % 20 = 0 THEN '12036300' || contact || '@g.us' ELSE '+7910' || lpad(contact::text, 7, '0') END,
       CASE WHEN contact % 20 = 0 THEN '12036300' || contact || '@g.us' ELSE '7910' || lpad(contact::text, 7, '0') || '@s.whatsapp.net' END,
       'text', 'Hello, your order ' || i || ' is ready. Come and get it until ' || at::date,
       '3EB0' || upper(left(md5(i::text), 18)), campaign, at, CASE waits_for WHEN 'scheduled' THEN at + interval '3 days' END,
       campaign IS NOT NULL OR coalesce(waits_for = 'scheduled', false), CASE WHEN status IN ('queued', 'cancelled', 'expired') THEN 0 ELSE 1 END,
       status, CASE WHEN status NOT IN ('queued', 'cancelled', 'expired') THEN at + interval '1 s' END,
       CASE WHEN status IN ('sent', 'delivered', 'read', 'played') THEN at + interval '2 s' END,
       CASE WHEN status IN ('delivered', 'read', 'played') THEN at + interval '3 s' END, CASE WHEN status IN ('read', 'played') THEN at + interval '5 minutes' END,
       CASE WHEN status = 'played' THEN at + interval '6 minutes' END, CASE WHEN status = 'failed' THEN at + interval '2 s' END,
       CASE WHEN status = 'cancelled' THEN at + interval '2 s' END, CASE WHEN status = 'expired' THEN at + interval '1 hour' END,
       CASE WHEN status = 'failed' THEN
           CASE WHEN class < 0.5 THEN 'not_on_whatsapp' WHEN class < 0.65 THEN 'refused' WHEN class < 0.75 THEN 'limited' WHEN class < 0.8 THEN 'content'
                 WHEN class < 0.9 THEN 'media' WHEN class < 0.97 THEN 'connection' WHEN class < 0.999 THEN 'server' ELSE 'worker' END END,
       CASE WHEN status = 'failed' THEN 'the recipient has no WhatsApp account' END,
       CASE WHEN status = 'failed' THEN jsonb_build_array(jsonb_build_object('attempt', 1, 'at', at, 'error', 'the recipient has no WhatsApp account')) ELSE '[]' END
FROM (
    SELECT i, session_id, contact, at, class,
           CASE WHEN session_id % 5 = 0 AND at > now() - interval '3 days' THEN 'spring'
                WHEN session_id % 5 = 1 THEN 'offer-' || (extract(doy FROM at)::integer / 2) || '-' || session_id % 7
                WHEN session_id % 5 = 2 THEN 'week-' || extract(week FROM at) END AS campaign,
           (CASE WHEN i > 0.97 * last THEN 'queued' WHEN fate < 0.03 THEN 'failed' WHEN fate < 0.04 THEN 'cancelled' WHEN fate < 0.05 THEN 'expired'
                 WHEN fate < 0.1 THEN 'sent' WHEN fate < 0.4 THEN 'delivered' WHEN fate < 0.98 THEN 'read' ELSE 'played' END)::wa.outbound_status AS status,
           (CASE WHEN i <= 0.97 * last THEN NULL WHEN fate < 0.1 THEN 'scheduled' WHEN fate < 0.12 THEN 'retry' WHEN fate < 0.15 THEN 'paced'
                 WHEN session_id % 25 = 0 THEN 'paused' END)::wa.wait_reason AS waits_for
    FROM (
        SELECT i, last, now() - interval '30 days' * (1 - i::float8 / last) AS at, pg_temp.share(i, 3) AS fate, pg_temp.share(i, 4) AS class,
               1 + floor(current_setting('bench.sessions')::bigint * power(pg_temp.share(i, 1), 2.5))::bigint AS session_id,
               floor(3000 * power(pg_temp.share(i, 2), 2))::bigint AS contact
        FROM (SELECT current_setting('bench.messages')::bigint * 7 / 10 AS last) m, generate_series(1, last) i
    ) spread
) decided;
SELECT setval(pg_get_serial_sequence('wa.outbound', 'id'), max(id)) FROM wa.outbound;

INSERT INTO wa.outbound_queue (session_id, id, rank, chat, campaign, waits_for, run_at)
SELECT o.session_id, o.id, 0, o.chat, o.campaign, o.waits_for, CASE WHEN o.waits_for IS NOT NULL THEN o.created_at + interval '3 days' END
FROM (
    SELECT o.*, (CASE WHEN pg_temp.share(o.id, 3) < 0.1 THEN 'scheduled' WHEN pg_temp.share(o.id, 3) < 0.12 THEN 'retry'
                      WHEN pg_temp.share(o.id, 3) < 0.15 THEN 'paced' WHEN o.session_id % 25 = 0 THEN 'paused' END)::wa.wait_reason AS waits_for
    FROM wa.outbound o WHERE o.status = 'queued'
) o;
INSERT INTO wa.outbound_failed (id, session_id, failed_at, failure, campaign)
SELECT id, session_id, failed_at, failure, campaign FROM wa.outbound WHERE status = 'failed';

INSERT INTO wa.inbox (id, session, session_id, chat, sender, message_id, kind, body, from_me, push_name, sent_at, received_at, message, transaction)
OVERRIDING SYSTEM VALUE
SELECT i, 'shop-' || lpad(session_id::text, 5, '0'), session_id,
       CASE WHEN contact % 20 = 0 THEN '12036300' || contact || '@g.us' ELSE '7910' || lpad(contact::text, 7, '0') || '@s.whatsapp.net' END,
       '7910' || lpad(contact::text, 7, '0') || '@s.whatsapp.net', '3A' || upper(left(md5('in' || i), 18)), 'text',
       'Thank you, I will come for order ' || i || ' in the evening', false, 'Contact ' || contact, at, at + interval '1 s',
       jsonb_build_object('conversation', 'Thank you, I will come for order ' || i || ' in the evening'), 3
FROM (
    SELECT i, now() - interval '30 days' * (1 - i::float8 / last) AS at,
           1 + floor(current_setting('bench.sessions')::bigint * power(pg_temp.share(i, 5), 2.5))::bigint AS session_id,
           floor(3000 * power(pg_temp.share(i, 6), 2))::bigint AS contact
    FROM (SELECT current_setting('bench.messages')::bigint * 3 / 10 AS last) m, generate_series(1, last) i
) spread;
SELECT setval(pg_get_serial_sequence('wa.inbox', 'id'), max(id)) FROM wa.inbox;
