-- The replays of webhook $1, oldest first. Locks nothing.
SELECT replay_id, since, until, only_dead FROM wa.webhook_replay WHERE webhook_id = $1 ORDER BY replay_id
