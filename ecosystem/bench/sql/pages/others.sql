-- What else there is beside ten million messages: campaigns, receipts, events, jobs, schedules, consumers.
INSERT INTO wa.campaign (session_id, campaign, created_at, paused_at, paused_by)
SELECT session_id, campaign, min(created_at), CASE WHEN session_id % 25 = 0 AND campaign = 'spring' THEN now() - interval '1 hour' END,
       CASE WHEN session_id % 25 = 0 AND campaign = 'spring' THEN current_user END
FROM wa.outbound WHERE campaign IS NOT NULL GROUP BY session_id, campaign;
INSERT INTO wa.campaign_waiting (session_id, campaign, waiting, held, failed)
SELECT session_id, campaign, count(*), count(*) FILTER (WHERE waits_for = 'paused'), 0 FROM wa.outbound_queue WHERE campaign IS NOT NULL GROUP BY 1, 2;

INSERT INTO wa.receipt (session_id, outbound_id, participant, delivered_at, read_at)
SELECT o.session_id, o.id, '7920' || lpad(p::text, 7, '0') || '@s.whatsapp.net', o.delivered_at, o.read_at
FROM wa.outbound o, generate_series(1, 5 + o.id % 20) p
WHERE o.chat LIKE '%@g.us' AND o.delivered_at IS NOT NULL AND o.id % 8 = 0;

INSERT INTO wa.event (session, session_id, kind, data, created_at)
SELECT 'shop-' || lpad(session_id::text, 5, '0'), session_id,
       (ARRAY['session_connected', 'session_disconnected', 'connection_ended', 'session_connecting', 'crypto_warning'])[1 + i % 5],
       '{"from": "connected", "reason": "stream error 503"}', now() - interval '30 days' * (1 - i::float8 / last)
FROM (SELECT current_setting('bench.messages')::bigint / 10 AS last) m, generate_series(1, last) i,
     LATERAL (SELECT 1 + (hashint8extended(i, 7) & 1073741823) % current_setting('bench.sessions')::bigint AS session_id) s;

INSERT INTO wa.session_job (session, session_id, kind, status, run_at, attempts, created_at, finished_at)
SELECT 'shop-' || lpad(session_id::text, 5, '0'), session_id, (ARRAY['reconnect', 'connect', 'link', 'close', 'download'])[1 + i % 5], 'done',
       at, 1, at, at + interval '2 s'
FROM (SELECT current_setting('bench.messages')::bigint / 20 AS last) m, generate_series(1, last) i,
     LATERAL (SELECT 1 + (hashint8extended(i, 8) & 1073741823) % current_setting('bench.sessions')::bigint AS session_id,
                     now() - interval '30 days' * (1 - i::float8 / last) AS at) s;
INSERT INTO wa.session_job (session, session_id, kind, status) SELECT name, session_id, 'reconnect', 'queued' FROM wa.session WHERE status = 'disconnected';
INSERT INTO wa.session_job (session, session_id, kind, args)
SELECT 'shop-00001', 1, 'download', jsonb_build_object('message', i) FROM generate_series(1, current_setting('bench.sessions')::bigint) i;

INSERT INTO wa.maintenance_job (kind, schedule, status, run_at, attempts, result, created_at, started_at, finished_at)
SELECT (ARRAY['check_sessions', 'resource_report', 'close_idle'])[1 + i % 3], (ARRAY['check-sessions', 'resource-report', 'close-idle'])[1 + i % 3],
       'done', at, 1, '{"checked": 10000}', at, at, at + interval '1 s'
FROM (SELECT current_setting('bench.messages')::bigint / 100 AS last) m, generate_series(1, last) i,
     LATERAL (SELECT now() - interval '30 days' * (1 - i::float8 / last) AS at) s;

INSERT INTO wa.schedule (name, cron, job_table, kind, session, session_id, tenant, args, next_tick)
SELECT 'morning-' || session_id, '0 8 * * *', 'outbound', 'message', name, session_id, tenant, '{"recipient": "79100000001@s.whatsapp.net", "body": "Hello"}', now() + interval '8 hours'
FROM wa.session WHERE session_id % 5 = 0;
INSERT INTO wa.schedule_tick (schedule_id, tick, outcome, job_id)
SELECT s.schedule_id, date_trunc('day', now()) - interval '1 day' * d, 'fired', 1 FROM wa.schedule s, generate_series(1, 30) d;

INSERT INTO wa.consumer (name, tenants) VALUES ('all', NULL), ('large', '{large}'), ('small', '{small}');
INSERT INTO wa.consumer (name, tenants) SELECT 'crm', ARRAY[tenant] FROM wa.tenant;
INSERT INTO wa.unread (consumer_id, inbox_id)
SELECT c.consumer_id, i.id FROM wa.consumer c, wa.inbox i
WHERE c.name IN ('all', 'large') AND i.id > (SELECT max(id) FROM wa.inbox) - current_setting('bench.messages')::bigint / 20;

INSERT INTO wa.past (session_id, session, chat, sender, message_id, kind, body, from_me, sent_at, message)
SELECT s, 'shop-' || lpad(s::text, 5, '0'), '7910' || lpad((i % 300)::text, 7, '0') || '@s.whatsapp.net', '7910' || lpad((i % 300)::text, 7, '0') || '@s.whatsapp.net',
       '3B' || i, 'text', 'An old message ' || i, false, now() - interval '60 days' + interval '1 minute' * i, '{"conversation": "An old message"}'
FROM generate_series(1, least(20, current_setting('bench.sessions')::bigint)) s, generate_series(1, current_setting('bench.messages')::bigint / 2000) i;
