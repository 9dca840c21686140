-- Tells of something that is about no session: kind $1, data $2.
INSERT INTO wa.event (kind, data) VALUES ($1, $2)
