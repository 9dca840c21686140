-- Whether the past of session $1 is to be kept. Locks nothing.
SELECT keep_past FROM wa.session WHERE session_id = $1
