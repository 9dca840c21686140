-- Commits a batch of received messages of session $1 under epoch $2, and announces the new ones; messages that are
-- stored already stay unchanged. Share-locks the lease. Returns whether the epoch still holds, the moment, and how many
-- messages are new. $18 is null, unless the answer to an earlier run with the same batch was lost: then it is a moment
-- before that run, and what that run stored is new, too.
WITH message (chat, sender, message_id, kind, body, from_me, push_name, sent_at, message, quoted_id, target_id, media, choices, author_matches, by_admin, position) AS (
    -- The batch, in its order. message: the whole message. quoted_id: of the message that it answers. target_id: of the
    -- message that it changes. media: a description of its file. choices: of a vote, as a JSON array.
    -- author_matches, by_admin: of an edit or a revocation.
    SELECT * FROM unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bool[], $9::text[],
                         $10::timestamptz[], $11::jsonb[], $12::text[], $13::text[], $14::jsonb[], $15::jsonb[], $16::bool[],
                         $17::bool[]) WITH ORDINALITY
), held AS (
    -- The lease, if the session is still held under this epoch, and the session's name.
    SELECT l.session_id, s.name
    FROM wa.lease l JOIN wa.session s USING (session_id)
    WHERE l.session_id = $1 AND l.epoch = $2 AND l.holder IS NOT NULL
    FOR SHARE OF l
), stored AS (
    -- The messages that are new.
    INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, push_name, sent_at, message, quoted_id, target_id, media, choices, author_matches, by_admin)
    SELECT held.name, held.session_id, m.chat, m.sender, m.message_id, m.kind, m.body, m.from_me, m.push_name, m.sent_at, m.message,
           m.quoted_id, m.target_id, m.media, CASE WHEN m.choices IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(m.choices)) END,
           m.author_matches, m.by_admin
    FROM held, message m
    ORDER BY m.position
    ON CONFLICT (session_id, chat, sender, message_id) DO NOTHING
    RETURNING session_id, id
), announced AS (
    -- Their notifications.
    SELECT pg_notify('wa_inbound', json_build_object('session_id', session_id, 'id', id)::text) FROM stored
)
SELECT EXISTS (SELECT FROM held) AS "held!", now() AS "at!",
       (SELECT count(*) FROM announced)
       + (SELECT count(*) FROM message m JOIN wa.inbox i USING (chat, sender, message_id)
          WHERE $18::timestamptz IS NOT NULL AND i.session_id = $1 AND i.received_at > $18) AS "stored!"
