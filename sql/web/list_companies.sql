-- Company $1, or (null) at most 500 of those after $2. Locks nothing.
SELECT company_id AS "company_id!", salon_id AS "salon_id!", name, business_type, status AS "status!", session AS "session!",
       session_status AS "session_status!", phone, connected_at, activated_at, connections AS "connections!",
       disconnections AS "disconnections!"
FROM wa.list_companies($1, $2)
