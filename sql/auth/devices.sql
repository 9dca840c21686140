-- The device lists of users $2, and the Signal sessions and identities of each of their devices. Locks nothing.
SELECT asked.person AS "person!", k.kind AS "kind!", k.key_id AS "key_id!", k.value AS "value!"
FROM unnest($2::text[]) AS asked (person)
CROSS JOIN LATERAL (
    SELECT kind, key_id, value FROM wa.auth_key WHERE session_id = $1 AND kind = 'device-list' AND key_id = person
    UNION ALL
    -- In the order of bytes, A follows @ and ; follows :.
    SELECT kind, key_id, value FROM wa.auth_key
    WHERE session_id = $1 AND kind = 'session' AND key_id >= person || ':' AND key_id < person || ';'
    UNION ALL
    SELECT kind, key_id, value FROM wa.auth_key
    WHERE session_id = $1 AND kind = 'session' AND key_id >= person || '@' AND key_id < person || 'A'
    UNION ALL
    SELECT kind, key_id, value FROM wa.auth_key
    WHERE session_id = $1 AND kind = 'identity-key' AND key_id >= person || ':' AND key_id < person || ';'
    UNION ALL
    SELECT kind, key_id, value FROM wa.auth_key
    WHERE session_id = $1 AND kind = 'identity-key' AND key_id >= person || '@' AND key_id < person || 'A'
) AS k
