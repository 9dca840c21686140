INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '+15550002', 'Hello from psql') RETURNING id;
