-- Whether a message from id $1 on is not sent yet or its outcome not written. Locks nothing.
SELECT EXISTS (SELECT FROM wa.outbound_queue WHERE id >= $1) AS "unfinished!"
