-- All of message $1. Locks nothing.
SELECT to_jsonb(o) - 'live' AS row FROM wa.outbound o WHERE id = $1
