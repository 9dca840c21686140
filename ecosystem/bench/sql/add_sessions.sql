-- Adds the sessions bench1 … bench$1.
SELECT wa.add_session('bench' || i) FROM generate_series(1, $1::bigint) i
