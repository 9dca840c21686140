-- Sets the proxy of session $1 to $2; null takes it away. Locks both rows.
SELECT wa.set_proxy($1, $2)::text
