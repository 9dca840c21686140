-- Whether one of the messages from id $1 on is still to be sent or its outcome still to be written. Locks nothing.
SELECT EXISTS (SELECT FROM wa.outbound WHERE live AND id >= $1) AS "unfinished!"
