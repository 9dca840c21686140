-- What a worker has to look at besides its messages, so that it asks for nothing of which there is none: messages that have
-- expired, jobs that change a connection, actions, and maintenance jobs that are due or whose worker has died. A job may wait
-- for something else still. Reads the first row of each index, or the few jobs that are live; locks nothing.
SELECT (SELECT q.expires_at FROM wa.outbound_queue q WHERE q.expires_at IS NOT NULL ORDER BY q.expires_at LIMIT 1) <= now() IS TRUE AS "expired!",
       EXISTS (SELECT FROM wa.session_job j
               WHERE NOT j.action AND j.status IN ('queued', 'running')
                 AND (j.status = 'queued' AND j.run_at <= now()
                      OR j.status = 'running' AND NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = j.worker_id AND w.lease_until > now()))) AS "connections!",
       EXISTS (SELECT FROM wa.session_job j WHERE j.action AND j.status = 'queued')
           OR EXISTS (SELECT FROM wa.session_job j
                      WHERE j.action AND j.status = 'running'
                        AND NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = j.worker_id AND w.lease_until > now())) AS "actions!",
       EXISTS (SELECT FROM wa.maintenance_job j
               WHERE j.status IN ('queued', 'running')
                 AND (j.status = 'queued' AND j.run_at <= now()
                      OR j.status = 'running' AND NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = j.worker_id AND w.lease_until > now()))) AS "maintenance!"
