-- Marks all sessions as connected, without a connection. Locks them.
UPDATE wa.session SET status = 'connected', connected_at = now()
