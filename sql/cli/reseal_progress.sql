-- How far the maintenance job $1 is, and how many keys there are in all. Locks nothing.
SELECT j.status::text AS "status!", j.last_error, j.result,
       (SELECT coalesce(sum(z.keys), 0)::bigint FROM wa.auth_size z) AS "keys!"
FROM wa.maintenance_job j WHERE j.id = $1
