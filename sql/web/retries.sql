-- The last retries: those that wait or run, and what ended within the hour.
SELECT id AS "id!", status::text AS "status!", session, failure, campaign, coalesce(found, 0) AS "found!", coalesce(done, 0) AS "done!",
       coalesce(retried, 0) AS "retried!", last_error, created_at AS "created_at!"
FROM (SELECT * FROM wa.retries ORDER BY id DESC LIMIT 10) r
WHERE finished_at IS NULL OR finished_at > now() - interval '1 hour'
ORDER BY id DESC
