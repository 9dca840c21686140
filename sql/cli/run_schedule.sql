-- What `wagres schedule run` calls.
SELECT wa.run_now($1) AS "job!"
