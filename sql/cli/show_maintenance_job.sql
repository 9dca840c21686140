-- All of maintenance job $1. Locks nothing.
SELECT to_jsonb(j) AS row FROM wa.maintenance_job j WHERE id = $1
