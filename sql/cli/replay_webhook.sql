-- Asks for a replay. $1: name; $2: since this moment, or $3: since so many seconds ago; $4: until this moment, or $5: until so
-- many seconds ago, or to the end; $6: only what is dead.
SELECT wa.replay_webhook($1, coalesce($2::timestamptz, now() - make_interval(secs => $3::double precision)),
                         coalesce($4::timestamptz, now() - make_interval(secs => $5::double precision)), $6)
