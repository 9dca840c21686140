-- What `wagres campaign resume` calls.
SELECT wa.resume_campaign($1, $2) AS "count!"
