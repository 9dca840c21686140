-- Whether session $1 is connected, and the QR code that it shows.
SELECT status = 'connected' AS "connected!", qr FROM wa.session WHERE name = $1
