-- Adds session $1 to tenant $2 (null: see wa.chosen_tenant), unless it exists. Locks no row that exists.
SELECT wa.add_session($1, $2) WHERE NOT EXISTS (SELECT FROM wa.session WHERE name = $1)
