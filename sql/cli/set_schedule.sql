-- What `wagres schedule set` calls.
SELECT wa.schedule($1, $2, $3, $4, $5, $6, ($7::text)::wa.missed_rule)
