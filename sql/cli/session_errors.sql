-- The latest $2 errors of session $1: connections, session jobs, messages, keys. Locks nothing.
SELECT found.at AS "at!", found.what AS "what!", found.error AS "error!" FROM (
    SELECT e.created_at AS at, e.kind AS what, e.data::text AS error
    FROM wa.event e
    WHERE e.session_id = wa.session_id($1)
      AND e.kind IN ('session_disconnected', 'session_banned', 'session_logged_out', 'session_resting', 'crypto_warning',
                     'crypto_limit', 'key_quarantined', 'auth_quarantined', 'ratchets_reset', 'passkey_failed')
    UNION ALL
    SELECT coalesce(j.finished_at, j.created_at), 'job ' || j.id || ', ' || j.kind, j.last_error
    FROM wa.session_job j WHERE j.session_id = wa.session_id($1) AND j.last_error IS NOT NULL
    UNION ALL
    SELECT f.failed_at, 'message ' || f.id, coalesce(o.last_error, 'failed')
    FROM wa.outbound_failed f JOIN wa.outbound o USING (id) WHERE f.session_id = wa.session_id($1)
) AS found
ORDER BY found.at DESC LIMIT $2
