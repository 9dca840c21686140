-- Notes that the auth state has to be sealed, and that $1 is the key in force. Locks the row if the key changes.
INSERT INTO wa.sealing AS s (key) VALUES ($1)
ON CONFLICT (one) DO UPDATE SET key = EXCLUDED.key WHERE s.key <> EXCLUDED.key
