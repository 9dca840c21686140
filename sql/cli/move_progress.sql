-- Whether worker $2 holds session $1, whether it lives, and whether the session is still to move to it. Locks nothing.
SELECT EXISTS (SELECT FROM wa.lease l WHERE l.session_id = wa.session_id($1) AND l.holder = $2) AS "there!",
       EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = $2 AND w.lease_until > now()) AS "lives!",
       EXISTS (SELECT FROM wa.move_request r WHERE r.session_id = wa.session_id($1) AND r.worker_id = $2) AS "requested!"
