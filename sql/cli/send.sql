-- Queues a message. send_at ($7) and expires_at ($9) may also be seconds from now ($8, $10). Locks what wa.send locks.
SELECT wa.send($1, $2, $3, $4, $5, $6, coalesce($7, now() + $8::float8 * interval '1 second'),
               coalesce($9, now() + $10::float8 * interval '1 second'), $11, $12) AS "id!"
