-- The oldest transaction id that still runs; all below have ended. Locks nothing.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS "oldest!"
