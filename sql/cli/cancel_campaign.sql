-- What `wagres campaign cancel` calls.
SELECT wa.cancel_campaign($1, $2) AS "count!"
