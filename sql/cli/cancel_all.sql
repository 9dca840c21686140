-- What `wagres jobs cancel --session` calls.
SELECT wa.cancel_all($1, $2) AS "count!"
