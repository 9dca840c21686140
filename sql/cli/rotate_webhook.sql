-- Gives a webhook another secret and returns it. $1: name; $2: for how many seconds the old one signs, too; null is the default.
SELECT CASE WHEN $2::double precision IS NULL THEN wa.rotate_webhook($1) ELSE wa.rotate_webhook($1, make_interval(secs => $2)) END AS "secret!"
