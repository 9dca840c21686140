-- Hands in what a passkey answered, for session $1: assertion $2.
SELECT wa.answer_passkey($1, $2) AS "job!"
