-- Whose phone session $1 is to be linked with by pairing code. Locks nothing.
SELECT link_phone FROM wa.session WHERE session_id = $1
