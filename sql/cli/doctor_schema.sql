-- What `wagres doctor` reads in the schema wa. Locks nothing.
SELECT has_table_privilege('wa.lease', 'UPDATE') AND has_table_privilege('wa.auth_key', 'INSERT') AS "may_work!",
       (SELECT count(*) FROM wa.worker WHERE lease_until > now()) AS "workers!",
       (SELECT count(*) FROM wa.connectable) AS "wished!",
       -- Only what a live worker holds: after the end of all workers the rows still say so.
       (SELECT count(*) FROM wa.connectable c JOIN wa.lease l USING (session_id) JOIN wa.worker w ON w.worker_id = l.holder
        WHERE c.status = 'connected' AND w.lease_until > now()) AS "connected!",
       (SELECT count(*) FROM wa.session s WHERE wa.needs_holder(s.status) AND NOT EXISTS (
            SELECT FROM wa.lease l JOIN wa.worker w ON w.worker_id = l.holder
            WHERE l.session_id = s.session_id AND w.lease_until > now())) AS "lost!",
       (SELECT array_agg(session ORDER BY session) FROM (SELECT session FROM wa.reasons() WHERE stuck LIMIT 10) AS waiting) AS stuck,
       (SELECT key FROM wa.sealing) AS sealing,
       (SELECT array_agg(session ORDER BY session) FROM (SELECT session FROM wa.session_health WHERE NOT is_healthy LIMIT 10) AS ill) AS ill,
       (SELECT array_agg(name ORDER BY name) FROM (SELECT name FROM wa.session WHERE rest_until > now() LIMIT 10) AS resting) AS resting,
       (SELECT array_agg(name ORDER BY name) FROM wa.schedule WHERE name IN ('sweep-keys', 'retention', 'check-sessions', 'close-idle') AND tenant IS NULL AND NOT enabled) AS disabled,
       (SELECT array_agg(name ORDER BY name) FROM (SELECT name FROM wa.consumer WHERE paused_at IS NOT NULL LIMIT 10) AS paused) AS paused,
       (SELECT array_agg(name ORDER BY name) FROM (SELECT s.name FROM wa.pacing p JOIN wa.session s USING (session_id) WHERE wa.known_zone(p) IS NULL LIMIT 10) AS lost) AS lost_zones,
       (SELECT wa.home_change(k) FROM wa.auth_home k) AS home_change,
       (SELECT k.seen_at::timestamptz(0)::text FROM wa.auth_home k) AS home_since,
       -- Of a part, because these tables may be large.
       (SELECT count(*) FROM (SELECT q.id FROM wa.outbound_queue q LIMIT 10000) q LEFT JOIN wa.outbound o USING (id)
        WHERE o.status IS NULL OR o.status NOT IN ('queued', 'sending'))
       + (SELECT count(*) FROM (SELECT o.* FROM wa.outbound o ORDER BY o.id DESC LIMIT 10000) o
          WHERE o.status IN ('queued', 'sending')
            AND NOT EXISTS (SELECT FROM wa.outbound_queue q WHERE q.session_id = o.session_id AND q.chat = o.chat AND q.id = o.id
                            AND q.rank = -o.priority AND q.expires_at IS NOT DISTINCT FROM o.expires_at
                            AND EXISTS (SELECT FROM wa.session s WHERE s.session_id = q.session_id))) AS "apart!",
       (SELECT count(*) FROM wa.outbound_failed WHERE failed_at > now() - interval '1 hour') AS "failed!"
