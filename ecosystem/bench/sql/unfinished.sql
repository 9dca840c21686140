-- Whether a message from id $1 on is not sent yet or its outcome not written. Locks nothing.
SELECT EXISTS (SELECT FROM wa.outbound WHERE live AND id >= $1) AS "unfinished!"
