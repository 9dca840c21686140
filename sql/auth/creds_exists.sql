-- Whether a session has credentials, linked or not. Locks nothing.
SELECT EXISTS (SELECT FROM wa.auth WHERE session_id = $1) AS "found!";
