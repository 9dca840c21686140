-- What waits for a moment: a campaign that is held back waits for none, however many its messages are. In a migration of
-- its own, because a new value of an enum can be used when it is committed.

DROP INDEX wa.outbound_waiting;
CREATE INDEX outbound_waiting ON wa.outbound (session_id, run_at)
    WHERE live AND waits_for IS NOT NULL AND waits_for <> 'paused';
