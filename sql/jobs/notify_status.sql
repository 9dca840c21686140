-- Notifies of messages whose status has changed: their sessions $1 and ids $2. Locks nothing.
SELECT wa.notify_status($1, $2)::text AS notified
