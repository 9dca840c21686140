-- The QR codes that wait to be scanned. Locks nothing.
SELECT name, qr AS "qr!" FROM wa.session WHERE qr IS NOT NULL AND qr_expires_at > now()
