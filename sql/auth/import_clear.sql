-- Makes room for an import into session $1: its auth state goes, and writes of former holders are refused. Locks those rows.
WITH keys AS (
    DELETE FROM wa.auth_key WHERE session_id = $1
), quarantine AS (
    DELETE FROM wa.auth_quarantine WHERE session_id = $1
), fenced AS (
    UPDATE wa.lease SET epoch = epoch + 1 WHERE session_id = $1
)
DELETE FROM wa.auth WHERE session_id = $1
