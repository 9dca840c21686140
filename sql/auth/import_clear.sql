-- Deletes the auth state of session $1 before an import; the new epoch refuses writes of former holders. Locks the
-- deleted rows and the lease.
WITH keys AS (
    -- The deleted keys.
    DELETE FROM wa.auth_key WHERE session_id = $1
), quarantine AS (
    -- The deleted quarantine of an earlier import.
    DELETE FROM wa.auth_quarantine WHERE session_id = $1
), fenced AS (
    -- A new epoch, under which no former holder can write.
    UPDATE wa.lease SET epoch = epoch + 1 WHERE session_id = $1
)
DELETE FROM wa.auth WHERE session_id = $1
