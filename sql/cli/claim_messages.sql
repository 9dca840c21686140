-- The next messages of consumer $1, which it has 60 seconds to acknowledge. Locks the consumer.
SELECT id AS "id!", session AS "session!", chat AS "chat!", sender AS "sender!", message_id AS "message_id!", kind AS "kind!", body,
       from_me AS "from_me!", sent_at AS "sent_at!", received_at AS "received_at!"
FROM wa.claim_messages($1)
