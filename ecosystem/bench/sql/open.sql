-- Says that sessions are connected, which takes a socket otherwise. Locks them.
UPDATE wa.session SET status = 'connected', connected_at = now()
