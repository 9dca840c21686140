-- What `wagres jobs retry` calls.
SELECT wa.retry($1) AS "done!"
