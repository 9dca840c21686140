-- What `wagres jobs cancel` calls.
SELECT wa.cancel($1) AS "done!"
