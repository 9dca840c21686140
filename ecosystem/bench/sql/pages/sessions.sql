-- The settings bench.sessions and bench.messages say how many there are to be. Tenants of very unequal size: of ten sessions
-- six belong to "large", three to "middle" (of which "small" has every two thousandth), and the last one to a hundred others.
CREATE FUNCTION pg_temp.share(i bigint, seed bigint) RETURNS double precision LANGUAGE sql IMMUTABLE
AS 'SELECT (hashint8extended(i, seed) & 1073741823) / 1073741824.0::float8';

INSERT INTO wa.tenant (tenant)
SELECT unnest(ARRAY['large', 'middle', 'small']) UNION ALL SELECT 'tenant-' || lpad(i::text, 3, '0') FROM generate_series(0, 99) i;

INSERT INTO wa.worker (worker_id, host, pid, version, lease_until, max_sessions)
SELECT gen_random_uuid(), 'host-' || i, 1000 + i, '0.1.0', now() + interval '1 year', 2000 FROM generate_series(1, 8) i;

INSERT INTO wa.session (session_id, name, tenant, created_at, status, status_reason, status_at, desired, wished_at, connected_at, checked_at,
                        phone, jid, lid, limit_reason, limited_until, bad_macs, bad_decrypts, paused_at, paused_reason, paused_by)
OVERRIDING SYSTEM VALUE
SELECT i, 'shop-' || lpad(i::text, 5, '0'),
       CASE WHEN i % 2000 = 7 THEN 'small' WHEN i % 10 < 6 THEN 'large' WHEN i % 10 < 9 THEN 'middle'
            ELSE 'tenant-' || lpad((i / 10 % 100)::text, 3, '0') END,
       now() - interval '40 days',
       (CASE WHEN i % 100 < 90 THEN 'connected' WHEN i % 100 < 94 THEN 'disconnected' WHEN i % 100 < 96 THEN 'stopped' WHEN i % 100 < 98 THEN 'logged_out'
             WHEN i % 100 = 98 THEN 'banned' ELSE 'linking' END)::wa.session_status,
       CASE WHEN i % 100 >= 90 THEN 'stream error 503' END, now() - interval '1 hour' * (i % 300),
       (CASE WHEN i % 100 IN (94, 95) THEN 'stopped' ELSE 'connected' END)::wa.session_wish, now() - interval '40 days',
       now() - interval '1 hour' * (i % 300), now() - interval '20 s',
       (79000000000 + i)::text, (79000000000 + i) || ':1@s.whatsapp.net', (200000000000 + i) || '@lid',
       CASE WHEN i % 50 = 3 THEN 'WEB_COMPANION_ONLY' END, CASE WHEN i % 50 = 3 THEN now() + interval '1 hour' * (i % 48) END,
       CASE WHEN i % 40 = 4 THEN 1 + i % 2 ELSE 0 END, CASE WHEN i % 90 = 8 THEN 2 ELSE 0 END,
       CASE WHEN i % 70 = 9 THEN now() - interval '2 hours' END, CASE WHEN i % 70 = 9 THEN 'holiday' END, CASE WHEN i % 70 = 9 THEN current_user END
FROM generate_series(1, current_setting('bench.sessions')::bigint) i;
SELECT setval(pg_get_serial_sequence('wa.session', 'session_id'), current_setting('bench.sessions')::bigint);

INSERT INTO wa.lease (session_id, holder, epoch, taken_at)
SELECT s.session_id, CASE WHEN s.status IN ('connected', 'disconnected', 'linking') THEN w.worker_id END, 3, now() - interval '5 hours'
FROM wa.session s JOIN (SELECT worker_id, row_number() OVER (ORDER BY host) - 1 AS place FROM wa.worker) w ON w.place = s.session_id % 8;

INSERT INTO wa.pacing (session_id, per_minute, burst, jitter, first_contacts, quiet_from, quiet_until)
SELECT session_id, 20, 5, '5 s', CASE WHEN session_id % 4 = 0 THEN 20 END, CASE WHEN session_id % 8 = 0 THEN time '22:00' END,
       CASE WHEN session_id % 8 = 0 THEN time '06:00' END
FROM wa.session WHERE session_id % 2 = 0;

INSERT INTO wa.sending (session_id, contacts_on, contacts_today)
SELECT session_id, CASE WHEN session_id % 4 = 0 THEN current_date ELSE '-infinity' END, CASE WHEN session_id % 4 = 0 THEN session_id % 23 ELSE 0 END
FROM wa.session;
