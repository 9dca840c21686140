-- Enables a webhook. $1: name; $2: deliver also since this moment, or $3: since so many seconds ago.
SELECT wa.enable_webhook($1, coalesce($2::timestamptz, now() - make_interval(secs => $3::double precision)))
