-- Makes the session $1 of tenant $2 (null: the default one), unless it is there.
SELECT wa.add_session($1, coalesce($2, 'default')) WHERE NOT EXISTS (SELECT FROM wa.session WHERE name = $1)
