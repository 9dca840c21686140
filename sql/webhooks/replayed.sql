-- Deletes the replay $1, unless somebody has locked it.
DELETE FROM wa.webhook_replay WHERE replay_id IN (SELECT r.replay_id FROM wa.webhook_replay r WHERE r.replay_id = $1 FOR UPDATE SKIP LOCKED)
