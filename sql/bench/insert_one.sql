-- Inserts one message, as an application does.
INSERT INTO wa.outbound (session, recipient, body) VALUES ('bench1', '+15550000000', 'x')
