-- Jobs beside the messages: what happens to a session, and housekeeping. Who may consume a row decides its table (Q1).
-- worker_id has no foreign key: the end of a worker would wait for whoever has locked one of its jobs (R8).

CREATE TYPE wa.job_status AS ENUM ('queued', 'running', 'done', 'failed', 'cancelled');
COMMENT ON TYPE wa.job_status IS 'State of a session or maintenance job: queued, running, done, failed, cancelled.';

CREATE TABLE wa.session_job (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session     text NOT NULL,
    session_id  bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    kind        text NOT NULL,
    action      boolean GENERATED ALWAYS AS (kind NOT IN ('link', 'connect', 'reconnect', 'passkey', 'close', 'logout')) STORED,
    reason      text,
    phone       text,
    args        jsonb NOT NULL DEFAULT '{}',
    status      wa.job_status NOT NULL DEFAULT 'queued',
    run_at      timestamptz NOT NULL DEFAULT now(),
    attempts    integer NOT NULL DEFAULT 0,
    worker_id   uuid,
    result      jsonb,
    last_error  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    started_at  timestamptz,
    finished_at timestamptz,
    -- Readers compute with these moments, and their calendars have no infinity.
    CONSTRAINT session_job_times_check CHECK (least(run_at, created_at, started_at, finished_at) > '-infinity' AND greatest(run_at, created_at, started_at, finished_at) < '10000-01-01Z')
) WITH (fillfactor = 70);
-- One of each kind waits, so a session never has two reconnects (S5); of actions, as many as were asked for.
CREATE UNIQUE INDEX session_job_queued ON wa.session_job (session_id, kind) WHERE status = 'queued' AND NOT action;
-- Few at any time, because of each session and kind one waits.
CREATE INDEX session_job_live ON wa.session_job (session_id, id) WHERE status IN ('queued', 'running') AND NOT action;
-- Of actions any number may wait: the first of each session is found without reading the others (R9).
CREATE INDEX session_job_action ON wa.session_job (session_id, (kind = 'download'), run_at, id) WHERE status = 'queued' AND action;
CREATE INDEX session_job_running ON wa.session_job (session_id) WHERE status = 'running' AND action;
CREATE INDEX session_job_worker ON wa.session_job (worker_id) WHERE worker_id IS NOT NULL;
-- How often a phone was asked for (wa.link), however many jobs are done (P12).
CREATE INDEX session_job_phone ON wa.session_job (phone, created_at) WHERE phone IS NOT NULL;
CREATE INDEX session_job_asked ON wa.session_job (session_id, created_at) WHERE kind = 'link' AND reason IS NULL;
COMMENT ON TABLE wa.session_job IS 'Jobs of a session: link, connect, reconnect, passkey, close, logout, and actions. Consumed by its holder, else by any worker with room. Use wa.link, wa.connect, wa.close, wa.logout, wa.act.';
COMMENT ON COLUMN wa.session_job.id IS 'Number of the job.';
COMMENT ON COLUMN wa.session_job.session IS 'Name of the session (wa.session.name).';
COMMENT ON COLUMN wa.session_job.session_id IS 'Filled from session.';
COMMENT ON COLUMN wa.session_job.kind IS 'link (show a QR code unless already linked), connect, reconnect (made by the worker when a connection is lost), passkey (made by wa.answer_passkey and wa.confirm_passkey), close (disconnects but stays linked), logout (unlinks the device and deletes its auth state; args.force without telling WhatsApp when there is no connection); or one of wa.actions().';
COMMENT ON COLUMN wa.session_job.action IS 'Whether the job is one of wa.actions(), which run in order while the session is connected; the others change the connection itself.';
COMMENT ON COLUMN wa.session_job.reason IS 'Reason, as given by the caller.';
COMMENT ON COLUMN wa.session_job.phone IS 'For link: phone number to link by pairing code. At most five an hour for one phone.';
COMMENT ON COLUMN wa.session_job.args IS 'Arguments of an action or a logout, by field: see wa.action_fields(). Checked at INSERT; numbers of people become JIDs.';
COMMENT ON COLUMN wa.session_job.status IS 'queued, running, done, failed, cancelled (by hand, or superseded by a later job).';
COMMENT ON COLUMN wa.session_job.run_at IS 'Not before this moment; moved forward by a reconnect''s backoff.';
COMMENT ON COLUMN wa.session_job.attempts IS 'Number of starts.';
COMMENT ON COLUMN wa.session_job.worker_id IS 'The worker that runs the job. When that worker is no longer in wa.worker, it died, and another one claims the job.';
COMMENT ON COLUMN wa.session_job.result IS 'Result of an action, see wa.actions().';
COMMENT ON COLUMN wa.session_job.last_error IS 'Error of the last attempt.';
COMMENT ON COLUMN wa.session_job.created_at IS 'When the row was inserted.';
COMMENT ON COLUMN wa.session_job.started_at IS 'When the last attempt began.';
COMMENT ON COLUMN wa.session_job.finished_at IS 'When the job ended for good.';
ALTER TABLE wa.session_job ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.session_job
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = session_job.session_id));

CREATE TABLE wa.maintenance_job (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind         text NOT NULL,
    args         jsonb NOT NULL DEFAULT '{}',
    tenants      text[],
    schedule     text,
    tick         timestamptz,
    status       wa.job_status NOT NULL DEFAULT 'queued',
    run_at       timestamptz NOT NULL DEFAULT now(),
    attempts     integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 5,
    worker_id    uuid,
    result       jsonb,
    last_error   text,
    errors       jsonb NOT NULL DEFAULT '[]',
    created_at   timestamptz NOT NULL DEFAULT now(),
    started_at   timestamptz,
    finished_at  timestamptz,
    CONSTRAINT maintenance_job_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 100),
    -- Readers compute with these moments, and their calendars have no infinity.
    CONSTRAINT maintenance_job_times_check CHECK (least(run_at, created_at, started_at, finished_at) > '-infinity' AND greatest(run_at, created_at, started_at, finished_at) < '10000-01-01Z')
) WITH (fillfactor = 70);
CREATE INDEX maintenance_job_live ON wa.maintenance_job (id) WHERE status IN ('queued', 'running');
CREATE INDEX maintenance_job_worker ON wa.maintenance_job (worker_id) WHERE worker_id IS NOT NULL;
-- When a retry of these tenants last began, for the turn of the next.
CREATE INDEX maintenance_job_turn ON wa.maintenance_job ((coalesce(tenants, '{}')), started_at) WHERE kind = 'retry_failed' AND started_at IS NOT NULL;
-- For wa.retries: most rows of the table are of the kinds that run each minute.
CREATE INDEX maintenance_job_retry ON wa.maintenance_job (id) WHERE kind = 'retry_failed';
COMMENT ON TABLE wa.maintenance_job IS 'Housekeeping, run by any worker that knows the kind. INSERT INTO wa.maintenance_job (kind, args) VALUES (''retention'', ''{"dry_run": true}''); result then shows the counts. By the clock: wa.schedule.';
COMMENT ON COLUMN wa.maintenance_job.id IS 'Number of the job.';
COMMENT ON COLUMN wa.maintenance_job.kind IS 'sweep_keys (deletes expired rows of wa.auth_key, and rows of wa.token that have ended), reseal_keys (encrypts the auth state with the key in force, or decrypts it), retention (deletes old finished rows of wa.outbound, wa.inbox, wa.session_job, wa.maintenance_job, wa.schedule_tick, wa.event, wa.contacted, wa.past, wa.campaign, wa.delivery and wa.webhook_numbers, old files of wa.media, wa.upload and the media store, and pauses consumers that nobody reads for), check_sessions (every worker checks whether WhatsApp answers each of its sessions, and reconnects those without an answer), close_idle (closes sessions that nobody has linked), resource_report (counts sessions, messages, jobs and workers), retry_failed (queues failed messages again; wa.retry_failed adds such a job, with its arguments).';
COMMENT ON COLUMN wa.maintenance_job.args IS 'All kinds: batch (rows of one statement, 1 to 1000, default 1000), pause_ms (between statements, 0 to 60000, default 20). retention: outbound_days, inbox_days, media_days, upload_days, event_days (default 90), session_job_days, maintenance_job_days, schedule_tick_days, unread_days (default 30), contacted_days, past_days (default 365), campaign_days (default 90), numbers_days (default 400), minute_numbers_days (default 2), file_days (default 1), delivery_days (default 3), dead_delivery_days (default 30), webhook_numbers_days (default 90), 1 to 36500, null keeps for ever; unread_rows (default 1000000, null is no limit); dry_run (true: only count). close_idle: minutes (1 to 10000, default 30).';
COMMENT ON COLUMN wa.maintenance_job.tenants IS 'retry_failed: the tenants whose messages it may change, and who see it in wa.retries; null is all tenants, and every other kind.';
COMMENT ON COLUMN wa.maintenance_job.schedule IS 'Name of the schedule that made the job; null for a job inserted by hand. Jobs of one schedule run one after the other.';
COMMENT ON COLUMN wa.maintenance_job.tick IS 'The tick that the job was made for; null for a job made by hand or by wa.run_now.';
COMMENT ON COLUMN wa.maintenance_job.status IS 'queued, running, done; failed after the last attempt; cancelled by wa.cancel_maintenance_job. wa.retry_maintenance_job queues a failed or cancelled row again.';
COMMENT ON COLUMN wa.maintenance_job.run_at IS 'Not before this moment; moved forward by a retry''s backoff.';
COMMENT ON COLUMN wa.maintenance_job.attempts IS 'Number of starts.';
COMMENT ON COLUMN wa.maintenance_job.max_attempts IS 'Attempts until the job is failed, 1 to 100.';
COMMENT ON COLUMN wa.maintenance_job.worker_id IS 'The worker that runs the job. When that worker is no longer in wa.worker, it died, and another one claims the job.';
COMMENT ON COLUMN wa.maintenance_job.result IS 'Counts of the last attempt; also while the job runs.';
COMMENT ON COLUMN wa.maintenance_job.last_error IS 'Error of the last attempt.';
COMMENT ON COLUMN wa.maintenance_job.errors IS 'Error of each attempt: [{"attempt", "at", "error"}].';
COMMENT ON COLUMN wa.maintenance_job.created_at IS 'When the row was inserted.';
COMMENT ON COLUMN wa.maintenance_job.started_at IS 'When the last attempt began.';
COMMENT ON COLUMN wa.maintenance_job.finished_at IS 'When the job ended for good.';
-- Its results count what belongs to all tenants.
ALTER TABLE wa.maintenance_job ENABLE ROW LEVEL SECURITY;
CREATE POLICY housekeeping ON wa.maintenance_job USING ((SELECT wa.sees_all(current_user)));
