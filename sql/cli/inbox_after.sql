-- Up to 1,000 messages (of session $1, or of all) after id $2. Locks nothing.
SELECT id, session, chat, sender, message_id, kind, body, from_me, sent_at, received_at
FROM wa.inbox WHERE id > $2 AND ($1::text IS NULL OR session = $1) ORDER BY id LIMIT 1000
