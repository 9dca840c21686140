-- Adds session $1 and starts to link it.
SELECT wa.add_session($1), wa.link($1)
