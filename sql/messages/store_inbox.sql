-- Commits a batch of received messages of session $1 under epoch $2 and announces the new ones; those that are there
-- already stay as they are. $3 chats, $4 senders, $5 message ids, $6 kinds, $7 bodies, $8 from me, $9 push names,
-- $10 times, $11 whole messages, $12 ids of answered messages, $13 of changed ones, $14 what is said of their files, $15 choices of votes. Share-locks
-- the lease. Returns whether the epoch still holds.
WITH held AS (
    SELECT l.session_id, s.name
    FROM wa.lease l JOIN wa.session s USING (session_id)
    WHERE l.session_id = $1 AND l.epoch = $2 AND l.holder IS NOT NULL
    FOR SHARE OF l
), stored AS (
    INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, push_name, sent_at, message, quoted_id, target_id, media, choices)
    SELECT held.name, held.session_id, m.chat, m.sender, m.message_id, m.kind, m.body, m.from_me, m.push_name, m.sent_at, m.message,
           m.quoted_id, m.target_id, m.media, CASE WHEN m.choices IS NOT NULL THEN ARRAY(SELECT jsonb_array_elements_text(m.choices)) END
    FROM held, unnest($3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::bool[], $9::text[],
                      $10::timestamptz[], $11::jsonb[], $12::text[], $13::text[], $14::jsonb[], $15::jsonb[]) WITH ORDINALITY
             AS m (chat, sender, message_id, kind, body, from_me, push_name, sent_at, message, quoted_id, target_id, media, choices, position)
    ORDER BY m.position
    ON CONFLICT (session_id, chat, sender, message_id) DO NOTHING
    RETURNING session, id, chat, message_id, from_me
), told AS (
    SELECT pg_notify('wa_inbound', json_build_object(
        'session', session, 'id', id, 'chat', chat, 'message_id', message_id, 'from_me', from_me)::text)
    FROM stored
)
SELECT EXISTS (SELECT FROM held) AS "held!", (SELECT count(*) FROM told) AS "stored!"
