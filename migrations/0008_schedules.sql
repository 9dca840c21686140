-- Cron as rows: schedules and the ticks that they fired (Q10).

CREATE TYPE wa.missed_rule AS ENUM ('skip', 'once', 'all');
COMMENT ON TYPE wa.missed_rule IS 'Rule for ticks that passed while no worker ran. skip: no job. once: one job, for the latest of them. all: one job for each, the latest 100 at most.';
CREATE TYPE wa.tick_outcome AS ENUM ('fired', 'folded');
COMMENT ON TYPE wa.tick_outcome IS 'fired: the tick made a job of its own. folded: the job of an earlier tick was still queued or running, and counts for this one too.';

CREATE TABLE wa.schedule (
    schedule_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name        text NOT NULL,
    cron        text NOT NULL,
    time_zone   text NOT NULL DEFAULT 'UTC',
    job_table   text NOT NULL,
    kind        text NOT NULL,
    session     text,
    session_id  bigint,
    tenant      text,
    args        jsonb NOT NULL DEFAULT '{}',
    missed      wa.missed_rule NOT NULL DEFAULT 'once',
    enabled     boolean NOT NULL DEFAULT true,
    next_tick   timestamptz,
    last_tick   timestamptz,
    last_job    bigint,
    ticked_to   timestamptz NOT NULL DEFAULT now(),
    error       text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (tenant, name),
    FOREIGN KEY (session_id, tenant) REFERENCES wa.session (session_id, tenant) ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT schedule_tenant_check CHECK ((session_id IS NULL) = (tenant IS NULL)),
    -- Workers compute with this moment, so it stays within their calendar, which has no infinity.
    CONSTRAINT schedule_ticked_to_check CHECK (ticked_to >= '1970-01-01Z' AND ticked_to < '3000-01-01Z')
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
CREATE INDEX schedule_due ON wa.schedule (next_tick) WHERE enabled;
CREATE INDEX schedule_session ON wa.schedule (session_id) WHERE session_id IS NOT NULL;
COMMENT ON TABLE wa.schedule IS 'Jobs by the clock: at each tick of cron a row is inserted into the job table of kind, once, however many workers run. Use wa.schedule(name, cron, kind), or INSERT and UPDATE; workers see a change at once. While a job of a schedule is queued or running, later ticks are folded into it, unless missed is all: then each tick has its job and they run one after the other.';
COMMENT ON COLUMN wa.schedule.schedule_id IS 'Number for wa.schedule_tick.';
COMMENT ON COLUMN wa.schedule.name IS 'Chosen by you, unique in its tenant; 1 to 63 of letters, digits, dot, underscore, hyphen.';
COMMENT ON COLUMN wa.schedule.cron IS 'Minute (0-59), hour (0-23), day of month (1-31), month (1-12 or JAN-DEC), day of week (0-7 or SUN-SAT; 0 and 7 are Sunday). Each is *, a value, a range 1-5, a step */15 or 8-18/2, or a list of those. When neither day field is *, a day that meets one of them is enough. When the clock changes: with one minute and one hour (30 2 * * *), a tick in the skipped hour comes at the first moment after it, and a tick in the repeated hour comes the first time only. With anything else in those two fields the wall clock decides: no ticks in the skipped hour, and the ticks of the repeated hour come twice.';
COMMENT ON COLUMN wa.schedule.time_zone IS 'Name of the time zone, such as Europe/Berlin or UTC (pg_timezone_names).';
COMMENT ON COLUMN wa.schedule.job_table IS 'Table that the job is inserted into: maintenance_job, session_job or outbound. Filled from kind.';
COMMENT ON COLUMN wa.schedule.kind IS 'Kind of job. Maintenance: sweep_keys, reseal_keys, retention, check_sessions, close_idle, resource_report. For a session: connect, close. A message: text.';
COMMENT ON COLUMN wa.schedule.session IS 'Name of the session, for connect, close and text. The schedule is deleted with the session.';
COMMENT ON COLUMN wa.schedule.session_id IS 'Filled from session.';
COMMENT ON COLUMN wa.schedule.tenant IS 'Tenant of the session, filled from it; null for a schedule without a session.';
COMMENT ON COLUMN wa.schedule.args IS 'Arguments of the kind: see wa.maintenance_job.args; for text {"recipient": "+79001234567", "body": "Hello"}.';
COMMENT ON COLUMN wa.schedule.missed IS 'Rule for ticks that passed while no worker ran: skip (a tick that is more than a minute late is dropped), once (one job for the latest of them), all (a job for each, the latest 100 at most; not for connect and close).';
COMMENT ON COLUMN wa.schedule.enabled IS 'False: no ticks. Ticks that pass meanwhile are never made up for. A worker disables a schedule that cannot fire, with the reason in error.';
COMMENT ON COLUMN wa.schedule.next_tick IS 'The next tick. Null while disabled, and until a worker has seen a change.';
COMMENT ON COLUMN wa.schedule.last_tick IS 'The last tick that fired or was folded.';
COMMENT ON COLUMN wa.schedule.last_job IS 'Id of the latest job, in job_table.';
COMMENT ON COLUMN wa.schedule.ticked_to IS 'Every tick up to this moment is done. The statement that fires moves this forward, so a second worker comes too late.';
COMMENT ON COLUMN wa.schedule.error IS 'Why a worker disabled the schedule. Cleared when the schedule is enabled again.';
COMMENT ON COLUMN wa.schedule.created_at IS 'When the schedule was added.';
COMMENT ON COLUMN wa.schedule.updated_at IS 'When somebody last changed the schedule; ticks are not changes.';
-- A schedule of a session belongs to its tenant (Q14). Schedules without a session do the housekeeping for all tenants:
-- everybody with a tenant sees them, and only those who see all tenants change them.
ALTER TABLE wa.schedule ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.schedule
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = schedule.session_id));
CREATE POLICY housekeeping ON wa.schedule FOR SELECT USING (session_id IS NULL AND (SELECT wa.my_tenants(current_user)) <> '{}');

CREATE TABLE wa.schedule_tick (
    schedule_id bigint NOT NULL REFERENCES wa.schedule ON DELETE CASCADE,
    tick        timestamptz NOT NULL,
    outcome     wa.tick_outcome NOT NULL,
    job_id      bigint,
    fired_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (schedule_id, tick)
);
CREATE INDEX schedule_tick_age ON wa.schedule_tick (tick);
COMMENT ON TABLE wa.schedule_tick IS 'Ticks of each schedule, one row each; the primary key makes a tick fire once. Deleted by the retention job.';
COMMENT ON COLUMN wa.schedule_tick.schedule_id IS 'The schedule.';
COMMENT ON COLUMN wa.schedule_tick.tick IS 'The moment that the cron expression names.';
COMMENT ON COLUMN wa.schedule_tick.outcome IS 'fired (the tick made a job of its own) or folded (the job of an earlier tick counts for it).';
COMMENT ON COLUMN wa.schedule_tick.job_id IS 'The job of the tick, in the schedule''s job_table: its own, or the one that the tick was folded into.';
COMMENT ON COLUMN wa.schedule_tick.fired_at IS 'When the tick fired; later than tick when no worker ran.';
ALTER TABLE wa.schedule_tick ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.schedule_tick
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.schedule s WHERE s.schedule_id = schedule_tick.schedule_id));

-- Here and not in sql/schema, because they are made once: a default schedule that was changed or deleted stays so.
INSERT INTO wa.schedule (name, cron, job_table, kind, args, missed) VALUES
    ('sweep-keys', '0 */6 * * *', 'maintenance_job', 'sweep_keys', '{}', 'once'),
    ('retention', '30 3 * * *', 'maintenance_job', 'retention',
     '{"outbound_days": 90, "inbox_days": 90, "session_job_days": 30, "maintenance_job_days": 30, "schedule_tick_days": 30}', 'once'),
    ('check-sessions', '* * * * *', 'maintenance_job', 'check_sessions', '{}', 'skip'),
    ('resource-report', '* * * * *', 'maintenance_job', 'resource_report', '{}', 'skip'),
    ('close-idle', '*/5 * * * *', 'maintenance_job', 'close_idle', '{"minutes": 30}', 'skip');
