-- Asks worker $1 to give its sessions away and to end.
SELECT wa.drain_worker($1)::text
