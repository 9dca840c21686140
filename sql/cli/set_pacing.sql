-- Sets limits of session $1; null leaves a limit as it is. Locks what wa.set_pacing locks.
SELECT wa.set_pacing($1, per_minute => $2, burst => $3, jitter => $4::float8 * interval '1 second', first_contacts => $5,
                     quiet_from => ($6::text)::time, quiet_until => ($7::text)::time, time_zone => $8, typing => $9)::text AS done
