-- Messages with these words among all of a session, newest first. $1: words; $2: session; $3: chat, or null; $4: most rows.
SELECT h.chat AS "chat!", h.sent_at AS "sent_at!", h.from_me AS "from_me!", h.message_id AS "message_id!", left(h.body, 300) AS body
FROM wa.search($1, $2, $3, $4) h
