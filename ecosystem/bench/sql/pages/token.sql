-- A token of a new name that begins with $1, of the scope $2 for the tenant $3; null is all.
SELECT wa.add_token($1::text || '-' || gen_random_uuid(), $2, $3) AS "secret!"
