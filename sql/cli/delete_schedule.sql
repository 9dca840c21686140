-- What `wagres schedule delete` calls.
SELECT wa.unschedule($1)
