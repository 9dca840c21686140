-- $3 bytes of the large object $1, from byte $2, counted from 0; no row if the role $4 may not read it. Locks nothing.
SELECT lo_get($1, $2, $3) AS "part!" WHERE wa.may_read_large_object($4, $1)
