-- Whether session $1 is connected, and its QR code.
SELECT status = 'connected' AS "connected!", qr FROM wa.session WHERE name = $1
