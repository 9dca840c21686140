-- What `wagres campaign pause` calls.
SELECT wa.pause_campaign($1, $2) AS "count!"
