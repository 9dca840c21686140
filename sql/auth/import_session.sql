-- Adds session $1 to tenant $2 (null: the default one), unless it exists. Locks no row that exists.
SELECT wa.add_session($1, coalesce($2, 'default')) WHERE NOT EXISTS (SELECT FROM wa.session WHERE name = $1)
