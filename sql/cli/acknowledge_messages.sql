-- Consumer $1 is done with the messages $2. Locks the consumer.
SELECT wa.acknowledge_messages($1, $2) AS "acknowledged!"
