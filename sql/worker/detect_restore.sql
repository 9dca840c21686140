-- What process $1 asks before it registers a worker; it remembers home $2 and heartbeats $3, null for none. Returns the
-- present home, and how a restore was noticed; null for none. Locks the process's row and, after a restore, that of
-- wa.auth_home and consumers that nobody else has locked.
SELECT home AS "home!", reason FROM wa.detect_restore($1, $2, $3)
