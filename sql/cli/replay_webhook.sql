-- Asks for a replay. $1: name; $2: since this moment, or $3: since so many seconds ago; $4: only what is dead.
SELECT wa.replay_webhook($1, coalesce($2::timestamptz, now() - make_interval(secs => $3::double precision)), only_dead => $4)
