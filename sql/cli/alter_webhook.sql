-- Changes a webhook; null changes nothing. $1: name; $2: url; $3: kinds; $4: lanes; $5: format; $6: batch_size; $7: batch_wait in
-- seconds; $8: headers; $9: sessions.
SELECT wa.alter_webhook($1, $2, $3, $4, $5, $6, make_interval(secs => $7::double precision), $8, $9)
