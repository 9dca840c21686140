-- Keeps messages from before session $1 was linked, under epoch $2. Messages that were received or sent here, or are
-- kept already, stay unchanged. Share-locks the lease. Returns whether the epoch still holds, and how many messages
-- are new.
WITH message (chat, sender, message_id, kind, body, from_me, push_name, sent_at, message, quoted_id, target_id, position) AS (
    -- The batch, in its order, with columns as in store_inbox.sql.
    SELECT * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bool[], $9::text[],
                         $10::timestamptz[], $11::jsonb[], $12::text[], $13::text[]) WITH ORDINALITY
), held AS (
    -- The lease, if the session is still held under this epoch, and the session's name.
    SELECT l.session_id, s.name
    FROM wa.lease l JOIN wa.session s USING (session_id)
    WHERE l.session_id = $1 AND l.epoch = $2 AND l.holder IS NOT NULL
    FOR SHARE OF l
), stored AS (
    -- The messages that are new.
    INSERT INTO wa.past (session, session_id, chat, sender, message_id, kind, body, from_me, push_name, sent_at, message, quoted_id, target_id)
    SELECT held.name, held.session_id, m.chat, m.sender, m.message_id, m.kind, m.body, m.from_me, m.push_name, m.sent_at, m.message, m.quoted_id, m.target_id
    FROM held, message m
    WHERE NOT EXISTS (SELECT FROM wa.inbox i WHERE i.session_id = held.session_id AND i.chat = m.chat AND i.sender = m.sender AND i.message_id = m.message_id)
      AND wa.outbound_id(held.session_id, m.message_id) IS NULL
    ORDER BY m.position
    ON CONFLICT (session_id, chat, sender, message_id) DO NOTHING
    RETURNING 1
)
SELECT EXISTS (SELECT FROM held) AS "held!", (SELECT count(*) FROM stored) AS "stored!"
