-- For a message that the library has decrypted before: the copy that is kept until its row is committed, and whether
-- that row exists. The inbox names people by phone number where it is known, the library as the server named them.
-- Locks nothing.
SELECT
    (SELECT value FROM wa.auth_key WHERE session_id = $1 AND kind = 'pending-inbound' AND key_id = $2) AS value,
    EXISTS (
        SELECT
        FROM (
            SELECT $4::text[] || array_agg(value->>'pn' || '@s.whatsapp.net') AS names
            FROM wa.auth_key
            WHERE session_id = $1 AND kind = 'lid-mapping' AND key_id = ANY ($5::text[])
        ) AS known
        JOIN wa.inbox i ON i.session_id = $1 AND i.chat = ANY (names) AND i.sender = ANY (names) AND i.message_id = $3
    ) AS "kept!";
