-- A page of $2 addresses of proxies of sessions after $1. Locks nothing.
SELECT session_id, url FROM wa.proxy WHERE session_id > $1 ORDER BY session_id LIMIT $2
