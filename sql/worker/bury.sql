-- Deletes workers whose lease has run out; their sessions' leases and jobs fall free by foreign key. Waits for a
-- heartbeat that is under way and then looks again, so a living worker is never buried. Locks the deleted rows.
DELETE FROM wa.worker WHERE lease_until < now()
