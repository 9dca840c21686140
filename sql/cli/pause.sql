-- What `wagres session pause` calls.
SELECT wa.pause($1, $2)::text
