-- The rows that this transaction has read so far.
SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::float8 FROM pg_stat_xact_all_tables WHERE schemaname = 'wa'
