-- Adds an event without a session: kind $1, data $2. Locks nothing.
INSERT INTO wa.event (kind, data) VALUES ($1, $2)
