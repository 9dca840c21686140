-- Whether a key exists, without reading it. Locks nothing.
SELECT EXISTS (SELECT FROM wa.auth_key WHERE session_id = $1 AND kind = $2 AND key_id = $3) AS "found!";
