-- What `wagres jobs cancel --table maintenance` calls.
SELECT wa.cancel_maintenance_job($1) AS job
