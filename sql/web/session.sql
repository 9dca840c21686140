-- A session ($1) with everything that its page shows of it; its codes only with $2, and while a phone may still use them: their worker
-- lives, their time is not over, and no phone has used one, after which WhatsApp may demand a passkey.
SELECT s.session_id AS "id!", s.name AS "name!", s.tenant AS "tenant!", s.created_at AS "created_at!", s.status::text AS "status!",
       s.status_reason, s.status_code, s.status_at AS "status_at!",
       s.desired::text AS "desired!", s.connected_at, s.checked_at, s.failures AS "failures!", s.rest_until, s.phone, s.jid,
       s.limit_reason, s.limited_until, s.bad_macs AS "bad_macs!", s.bad_mac_limit AS "bad_mac_limit!",
       s.bad_decrypts AS "bad_decrypts!", s.bad_decrypt_limit AS "bad_decrypt_limit!", s.relink_at_limit AS "relink_at_limit!",
       s.paused_at, s.paused_by::text AS paused_by, s.paused_reason, s.proxy, s.region, s.keep_past AS "keep_past!",
       CASE WHEN c.shows AND s.qr_expires_at > now() THEN s.qr END AS qr, s.qr_expires_at,
       CASE WHEN c.shows AND s.code_expires_at > now() THEN s.code END AS code, s.code_expires_at,
       l.epoch AS "epoch?", l.taken_at AS "taken_at?", coalesce(l.unsettled, false) AS "unsettled!",
       wa.needs_holder(s.status) AND NOT coalesce(w.lease_until > now(), false) AS "lost!",
       coalesce(w.lease_until > now(), false) AS "alive!",
       w.host AS "host?", w.pid AS "pid?", w.version AS "version?", w.memory_mb AS "memory_mb?", coalesce(w.draining, false) AS "draining!",
       m.worker_id AS "wanted?",
       p.session_id IS NOT NULL AS "paced!", p.per_minute AS "per_minute?", p.burst AS "burst?", p.jitter::text AS "jitter?", p.first_contacts AS "first_contacts?",
       p.quiet_from::text AS "quiet_from?", p.quiet_until::text AS "quiet_until?", p.time_zone AS "time_zone?", p.typing AS "typing?",
       CASE WHEN p.session_id IS NOT NULL AND b.contacts_on = wa.today(p) THEN b.contacts_today ELSE 0 END AS "contacts_today!",
       CASE WHEN p.session_id IS NOT NULL AND b.gate_until > now() AND b.gate_until < 'infinity' THEN b.gate_until END AS gate_until,
       k.stage AS "passkey_stage?", CASE WHEN $2 THEN k.code END AS passkey_code, k.error AS "passkey_error?",
       CASE WHEN $2 THEN k.request END AS passkey_request, k.expires_at AS "passkey_expires_at?"
FROM wa.session s
LEFT JOIN wa.lease l USING (session_id)
LEFT JOIN wa.worker w ON w.worker_id = l.holder
LEFT JOIN wa.move_request m ON m.session_id = s.session_id
LEFT JOIN wa.pacing p ON p.session_id = s.session_id
LEFT JOIN wa.sending b ON b.session_id = s.session_id
LEFT JOIN wa.passkey k ON k.session_id = s.session_id AND k.stage <> 'done' AND (k.expires_at > now() AND k.stage <> 'failed' OR k.stage = 'failed' AND k.updated_at > now() - interval '1 hour')
CROSS JOIN LATERAL (SELECT $2::boolean AND w.lease_until > now() AND coalesce(k.stage = 'failed', true) AS shows) c
WHERE s.name = $1
