-- What `wagres session link` calls.
SELECT wa.link($1) AS "job!"
