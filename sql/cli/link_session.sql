-- Asks for session $1 to be linked, by QR code, or with the phone number $2 by pairing code, too.
SELECT wa.link($1, $2) AS "job!"
