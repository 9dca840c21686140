-- Moves session $1 to worker $2; null: to whoever has room. Locks its lease.
SELECT wa.move_session($1, $2)::text
