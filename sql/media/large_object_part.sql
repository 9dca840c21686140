-- $3 bytes of the large object $1, from byte $2, counted from 0. Locks nothing.
SELECT lo_get($1, $2, $3) AS "part!"
