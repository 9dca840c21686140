-- The phone number that session $1 should be linked with by pairing code. Locks nothing.
SELECT link_phone FROM wa.session WHERE session_id = $1
