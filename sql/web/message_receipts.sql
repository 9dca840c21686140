-- Progress of a message ($1) with its participants, the latest first; $2 at most.
SELECT r.participant, r.delivered_at, r.read_at, r.played_at FROM wa.receipt r
WHERE r.outbound_id = $1 ORDER BY greatest(r.delivered_at, r.read_at, r.played_at) DESC, r.participant LIMIT $2
