-- What `wagres session resume` calls.
SELECT wa.resume($1)::text
