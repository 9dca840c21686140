-- How many sessions have connected since $1, in seconds since 1970, and still are.
SELECT count(*) AS "connected!" FROM wa.session WHERE status = 'connected' AND connected_at >= to_timestamp($1)
