-- Sessions with messages or app state that could not be decrypted since they were last connected: the nearest to its limit
-- first, $1 at most.
SELECT s.name AS "name!", s.tenant AS "tenant!", wa.status_now(s.session_id, s.status) AS "status!", s.bad_macs AS "bad_macs!",
       s.bad_mac_limit AS "bad_mac_limit!", s.bad_decrypts AS "bad_decrypts!", s.bad_decrypt_limit AS "bad_decrypt_limit!", s.paused_at,
       p.per_minute AS "per_minute?", p.jitter::text AS "jitter?", p.first_contacts AS "first_contacts?"
FROM wa.session s
LEFT JOIN wa.pacing p USING (session_id)
WHERE s.bad_macs > 0 OR s.bad_decrypts > 0
ORDER BY greatest(s.bad_macs::float8 / s.bad_mac_limit, s.bad_decrypts::float8 / s.bad_decrypt_limit) DESC, s.name LIMIT $1
