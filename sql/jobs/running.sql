-- The oldest transaction id that still runs, all below having ended, and the first that nobody has yet. Locks nothing.
SELECT pg_snapshot_xmin(s)::text::bigint AS "oldest!", pg_snapshot_xmax(s)::text::bigint AS "next!" FROM pg_current_snapshot() s
