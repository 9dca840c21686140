-- What `wagres schedule disable` calls.
SELECT wa.disable_schedule($1)
