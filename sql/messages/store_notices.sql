-- Writes what was received and nobody wrote, for session $1 under epoch $2: events, and the timers of chats. The latest
-- timer of a chat stands; one that was set before the stored one is dropped. Share-locks the lease; locks the rows of
-- the chats, in their order. Returns whether the epoch still holds.
WITH notice (chat, kind, data, seconds, set_at, position) AS (
    -- The batch, in its order. kind, data: of an event, or null. seconds: of a timer, 0 for off, or null.
    SELECT * FROM unnest($3::text[], $4::text[], $5::jsonb[], $6::integer[], $7::timestamptz[]) WITH ORDINALITY
), held AS (
    -- The lease, if the session is still held under this epoch, and the session's name.
    SELECT l.session_id, s.name
    FROM wa.lease l JOIN wa.session s USING (session_id)
    WHERE l.session_id = $1 AND l.epoch = $2 AND l.holder IS NOT NULL
    FOR SHARE OF l
), timer AS (
    -- The timers that changed.
    INSERT INTO wa.chat_timer AS t (session_id, chat, seconds, set_at)
    SELECT DISTINCT ON (n.chat) held.session_id, n.chat, n.seconds, n.set_at
    FROM held, notice n
    WHERE n.seconds IS NOT NULL
    ORDER BY n.chat, n.set_at DESC, n.position DESC
    ON CONFLICT (session_id, chat) DO UPDATE SET seconds = excluded.seconds, set_at = excluded.set_at
    WHERE t.set_at <= excluded.set_at AND t.seconds <> excluded.seconds
), event AS (
    -- The events.
    INSERT INTO wa.event (session, session_id, kind, data)
    SELECT held.name, held.session_id, n.kind, n.data FROM held, notice n WHERE n.kind IS NOT NULL ORDER BY n.position
)
SELECT EXISTS (SELECT FROM held) AS "held!"
