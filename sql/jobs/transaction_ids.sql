-- The oldest transaction id that still runs, and the next one that will be given out. Locks nothing.
SELECT pg_snapshot_xmin(s)::text::bigint AS "oldest!", pg_snapshot_xmax(s)::text::bigint AS "next!" FROM pg_current_snapshot() s
