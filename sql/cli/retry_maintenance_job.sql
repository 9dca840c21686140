-- What `wagres jobs retry --table maintenance` calls.
SELECT wa.retry_maintenance_job($1) AS job
