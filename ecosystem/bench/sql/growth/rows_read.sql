-- The rows that this connection has read and not reported yet, which it does between transactions.
SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::float8 FROM pg_stat_xact_all_tables WHERE schemaname = 'wa'
