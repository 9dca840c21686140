-- The address that web processes have registered. Locks nothing.
SELECT url AS "url!" FROM wa.web
