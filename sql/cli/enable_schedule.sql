-- What `wagres schedule enable` calls.
SELECT wa.enable_schedule($1)
