-- The tenant of session $1. Locks nothing.
SELECT tenant FROM wa.session WHERE session_id = $1
