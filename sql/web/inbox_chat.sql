-- A page of a chat, newest first, with the beginning of each text. $1: session; $2: chat; $3 and $4: before this moment and row;
-- $5: most rows; $6: most characters of a text. Length and SQL are null for a text that is whole.
SELECT h.sent_at AS "sent_at!", h.at AS "at!", h.id AS "id!", h.from_me AS "from_me!", h.sender AS "sender?", h.message_id AS "message_id!",
       h.kind AS "kind!", left(h.body, $6) AS "body?", CASE WHEN octet_length(h.body) > $6 THEN nullif(length(h.body), length(left(h.body, $6))) END AS "length?",
       h.status::text AS "status?", left(h.push_name, 255) AS "push_name?",
       left(h.media ->> 'file_name', 255) AS "file_name?", left(h.media ->> 'mime', 255) AS "mime?", left(h.media ->> 'size', 20) AS "size?"
FROM wa.chat_page($1, $2, $3, $4, $5) h
