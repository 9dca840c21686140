-- Asks for the device of session $1 to be unlinked, for reason $2.
SELECT wa.logout($1, $2) AS "job!"
