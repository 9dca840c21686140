-- Who holds the lock for which process $1 waits; null when it does not wait. Locks nothing.
SELECT string_agg(format('%s (process %s, user %s, in a transaction since %s)', coalesce(nullif(a.application_name, ''), 'a program without a name'),
                         a.pid, a.usename, a.xact_start::timestamptz(0)), '; ' ORDER BY a.xact_start) AS holders
FROM pg_stat_activity a WHERE a.pid = ANY (pg_blocking_pids($1))
