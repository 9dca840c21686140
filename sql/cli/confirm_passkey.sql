-- Says that the phone shows code $2 for session $1.
SELECT wa.confirm_passkey($1, $2) AS "job!"
