-- Forgets the dropped files $1, which are deleted, unless they were dropped again within $2 days. Locks those rows.
DELETE FROM wa.dropped_file WHERE path = ANY ($1::text[]) AND dropped_at < now() - $2::integer * interval '1 day'
