-- Makes session $1 and begins to link it.
SELECT wa.add_session($1), wa.link($1)
