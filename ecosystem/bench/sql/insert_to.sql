-- Inserts one message of session bench$1 to the number $2, as an application does, and returns its id.
INSERT INTO wa.outbound (session, recipient, body) VALUES ('bench' || $1::bigint, '+' || $2::text, 'x') RETURNING id
