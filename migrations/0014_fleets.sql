-- Sessions among several workers, and rest for those that cannot connect.

ALTER TABLE wa.worker ADD max_sessions integer NOT NULL DEFAULT 1000, ADD draining boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN wa.worker.max_sessions IS 'Most sessions that it holds; its share of all is in proportion to this.';
COMMENT ON COLUMN wa.worker.draining IS 'It gives its sessions to the others, then ends. Set by wa.drain_worker, or by the worker itself when it is told to stop.';

ALTER TABLE wa.session ADD rest_until timestamptz;
COMMENT ON COLUMN wa.session.rest_until IS 'After five connections in a row that came to nothing the session rests until then; the next one is a probe, and when it fails, too, the session rests again. Null when it does not rest. wa.connect tries at once.';
COMMENT ON COLUMN wa.session.failures IS 'Connections that failed in a row; sets the wait before the next one, see rest_until. 0 after a successful connect.';
COMMENT ON COLUMN wa.event.kind IS 'What happened: key_quarantined (a key could not be read and was put aside), keys_swept (expired keys were deleted), keys_resealed (keys were encrypted anew), ratchets_reset (chats begin new Signal sessions, see data.reason), passkey_requested, passkey_code, passkey_failed (see wa.passkey), session_resting (see wa.session.rest_until).';

ALTER TABLE wa.worker ADD check_at timestamptz;
COMMENT ON COLUMN wa.worker.check_at IS 'When it was last asked to see whether its sessions are alive, by the job check_sessions.';
ALTER TABLE wa.session ADD checked_at timestamptz, ADD wished_at timestamptz;
COMMENT ON COLUMN wa.session.checked_at IS 'When WhatsApp last answered this session''s health check. A session that does not answer is connected anew.';
COMMENT ON COLUMN wa.session.wished_at IS 'Since when it is wished connected; null while it is not.';
UPDATE wa.session SET wished_at = now() WHERE desired = 'connected';
COMMENT ON COLUMN wa.maintenance_job.kind IS 'sweep_keys (deletes expired rows of wa.auth_key), reseal_keys (encrypts the auth state with the key in force, or decrypts it), retention (deletes old finished rows of wa.outbound, wa.inbox, wa.session_job, wa.maintenance_job, wa.schedule_tick and wa.event), check_sessions (every worker asks WhatsApp for a sign of life of each of its sessions and connects anew those that get none), close_idle (closes sessions that nobody has linked), resource_report (counts sessions, messages, jobs and workers).';
COMMENT ON COLUMN wa.maintenance_job.args IS 'All kinds: batch (rows of one statement, 1 to 1000, default 1000), pause_ms (between statements, 0 to 60000, default 20). retention: outbound_days, inbox_days, event_days (default 90), session_job_days, maintenance_job_days, schedule_tick_days (default 30), 1 to 36500, null keeps for ever; dry_run (true: only count). close_idle: minutes (1 to 10000, default 30).';
COMMENT ON COLUMN wa.schedule.kind IS 'What is done. Maintenance: sweep_keys, reseal_keys, retention, check_sessions, close_idle, resource_report. For a session: connect, close. A message: text.';

-- Made once, like those before; an older version's trigger does not know these kinds yet.
ALTER TABLE wa.schedule DISABLE TRIGGER USER;
INSERT INTO wa.schedule (name, cron, job_table, kind, args, missed) VALUES
    ('check-sessions', '* * * * *', 'maintenance_job', 'check_sessions', '{}', 'skip'),
    ('resource-report', '* * * * *', 'maintenance_job', 'resource_report', '{}', 'skip'),
    ('close-idle', '*/5 * * * *', 'maintenance_job', 'close_idle', '{"minutes": 30}', 'skip')
ON CONFLICT DO NOTHING;
ALTER TABLE wa.schedule ENABLE TRIGGER USER;
