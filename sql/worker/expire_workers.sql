-- Deletes workers whose lease has expired; foreign keys release their sessions and jobs. Waits for a heartbeat that is
-- under way and then looks again, so a live worker is never deleted. Locks the deleted rows.
DELETE FROM wa.worker WHERE lease_until < now()
