-- The tenants of the sessions $1. Locks nothing.
SELECT session_id, tenant FROM wa.session WHERE session_id = ANY ($1::bigint[])
