-- Numbers over time (H2): what happened to the messages of each session, added up by workers and written once a minute,
-- so that nobody who asks for a sum or a plot reads the messages themselves.

-- One statement adds to the rows of a session, of its tenant and of all sessions, so that a plot of a fleet reads as
-- many rows as a plot of one session. Minutes and hours are written side by side, so nothing has to be merged; retention
-- deletes the minutes first. Counts that are seldom anything but 0 are null instead, which takes no room.
--
-- No foreign key, and no trigger of wa.session deletes rows here: an open transaction that deletes a session would hold
-- up the statement, which writes for all sessions of a worker (R8). Retention deletes what belongs to no session.
CREATE TABLE wa.numbers (
    session_id             bigint,
    at                     timestamptz NOT NULL,
    last_at                timestamptz,
    latency_seconds        double precision,
    queued                 integer NOT NULL DEFAULT 0,
    sent                   integer NOT NULL DEFAULT 0,
    delivered              integer NOT NULL DEFAULT 0,
    delivered_soon         integer NOT NULL DEFAULT 0,
    read                   integer NOT NULL DEFAULT 0,
    played                 integer NOT NULL DEFAULT 0,
    failed                 integer NOT NULL DEFAULT 0,
    expired                integer NOT NULL DEFAULT 0,
    received               integer NOT NULL DEFAULT 0,
    first_contacts         integer NOT NULL DEFAULT 0,
    bad_macs               integer NOT NULL DEFAULT 0,
    bad_decrypts           integer NOT NULL DEFAULT 0,
    failed_not_on_whatsapp integer,
    failed_refused         integer,
    failed_limited         integer,
    failed_content         integer,
    failed_media           integer,
    failed_connection      integer,
    failed_server          integer,
    failed_worker          integer,
    -- Text and no enum: see wa.outbound.failure.
    span                   text NOT NULL,
    tenant                 text,
    campaign               text,
    latency                integer[],
    UNIQUE NULLS NOT DISTINCT (session_id, tenant, campaign, span, at),
    CONSTRAINT numbers_span_check CHECK (span IN ('minute', 'hour')),
    CONSTRAINT numbers_of_check CHECK (session_id IS NULL OR tenant IS NULL),
    CONSTRAINT numbers_campaign_check CHECK (campaign IS NULL OR (num_nonnulls(session_id, tenant) = 1 AND span = 'hour'))
) WITH (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 5000,
    autovacuum_analyze_scale_factor = 0.05
);
-- Each row is in one of these three, for retention, and for whoever compares sessions or campaigns.
CREATE INDEX numbers_minute ON wa.numbers (at) WHERE span = 'minute';
CREATE INDEX numbers_hour ON wa.numbers (at) WHERE span = 'hour' AND campaign IS NULL;
CREATE INDEX numbers_campaign ON wa.numbers (at) WHERE campaign IS NOT NULL;
-- The few rows of tenants, for the progress of a campaign over all sessions, and of all campaigns.
CREATE INDEX numbers_campaign_tenant ON wa.numbers (campaign, at) WHERE campaign IS NOT NULL AND session_id IS NULL;
COMMENT ON TABLE wa.numbers IS 'Counts of what happened, by minute and by hour: of each session (session_id), of all sessions of a tenant (tenant), of all sessions (both null), and by the hour of each campaign of a session and of a tenant. One thing is counted in several rows, so choose; wa.numbers_since does. SELECT * FROM wa.numbers_since(''shop'', ''1 day'', ''1 hour'');';
COMMENT ON COLUMN wa.numbers.session_id IS 'The session; null is all sessions, of one tenant or of the database.';
COMMENT ON COLUMN wa.numbers.at IS 'Start of the minute or hour. A worker counts what it did in the minute, by the database''s clock, in which it wrote it.';
COMMENT ON COLUMN wa.numbers.last_at IS 'Of a campaign: the last minute of the hour in which something was counted. Null for all other rows.';
COMMENT ON COLUMN wa.numbers.latency_seconds IS 'Sum over the messages in sent: seconds from INSERT, or send_at, to the ack of WhatsApp''s server. Null is none.';
COMMENT ON COLUMN wa.numbers.span IS 'minute (kept for 2 days) or hour (400 days); see retention in docs/schedules.md.';
COMMENT ON COLUMN wa.numbers.queued IS 'Messages that left the queue for the first time: their first attempt ended, or they expired before one. Messages that were cancelled before are not counted, and one that failed and is retried is not counted again.';
COMMENT ON COLUMN wa.numbers.sent IS 'Messages that WhatsApp''s server accepted.';
COMMENT ON COLUMN wa.numbers.delivered IS 'Messages that a device of a recipient received for the first time.';
COMMENT ON COLUMN wa.numbers.delivered_soon IS 'Of the messages in sent of this row, those that were delivered within an hour. After an hour, sent - delivered_soon is what was not.';
COMMENT ON COLUMN wa.numbers.read IS 'Messages that a recipient read for the first time.';
COMMENT ON COLUMN wa.numbers.played IS 'Messages that a recipient played for the first time.';
COMMENT ON COLUMN wa.numbers.failed IS 'Messages that failed. One that fails again after wa.retry counts again; one that turns out to be sent after all counts in sent, too.';
COMMENT ON COLUMN wa.numbers.expired IS 'Messages that expired.';
COMMENT ON COLUMN wa.numbers.received IS 'Messages that were stored in wa.inbox.';
COMMENT ON COLUMN wa.numbers.first_contacts IS 'New chats, of sessions with a limit on them (wa.pacing.first_contacts).';
COMMENT ON COLUMN wa.numbers.bad_macs IS 'Messages whose ratchet did not fit.';
COMMENT ON COLUMN wa.numbers.bad_decrypts IS 'How often app state did not fit its key.';
COMMENT ON COLUMN wa.numbers.failed_not_on_whatsapp IS 'Of failed, those of the class not_on_whatsapp; null is none. wa.failure_classes() says what each class means.';
COMMENT ON COLUMN wa.numbers.failed_refused IS 'Of failed, those of the class refused; null is none.';
COMMENT ON COLUMN wa.numbers.failed_limited IS 'Of failed, those of the class limited; null is none.';
COMMENT ON COLUMN wa.numbers.failed_content IS 'Of failed, those of the class content; null is none.';
COMMENT ON COLUMN wa.numbers.failed_media IS 'Of failed, those of the class media; null is none.';
COMMENT ON COLUMN wa.numbers.failed_connection IS 'Of failed, those of the class connection; null is none.';
COMMENT ON COLUMN wa.numbers.failed_server IS 'Of failed, those of the class server; null is none.';
COMMENT ON COLUMN wa.numbers.failed_worker IS 'Of failed, those of the class worker; null is none. A message that fails because its worker died is not counted: wa.failure lists it.';
COMMENT ON COLUMN wa.numbers.tenant IS 'The tenant whose sessions are added up; null for a session, and for all sessions.';
COMMENT ON COLUMN wa.numbers.campaign IS 'As in wa.outbound.campaign; null is all messages, with a campaign or without. Empty: campaigns beyond the 100 that a worker counts for a session in an hour.';
COMMENT ON COLUMN wa.numbers.latency IS 'How many of the messages in sent took how long: up to each of wa.latency_bounds(), and longer. Null is none.';
ALTER TABLE wa.numbers ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.numbers
    USING ((SELECT wa.sees_all(current_user)) OR tenant = ANY ((SELECT wa.my_tenants(current_user))::text[])
           OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = numbers.session_id));

-- A worker that did not hear whether its counts were written sends them again, and must not add them twice.
CREATE TABLE wa.numbers_batch (
    process    uuid PRIMARY KEY,
    batch      bigint NOT NULL,
    written_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
ALTER TABLE wa.numbers_batch ENABLE ROW LEVEL SECURITY;
-- As for the other tables of the fleet in 0010_web.sql.
CREATE POLICY fleet ON wa.numbers_batch
    USING (current_user NOT IN ('wa_web_viewer', 'wa_web_operator', 'wa_web_admin') OR (SELECT wa.sees_all(current_user)) OR (SELECT wa.my_tenants(current_user)) <> '{}')
    WITH CHECK (current_user NOT IN ('wa_web_viewer', 'wa_web_operator', 'wa_web_admin') OR (SELECT wa.sees_all(current_user)));
COMMENT ON TABLE wa.numbers_batch IS 'The last batch of counts that each worker process has added to wa.numbers.';
COMMENT ON COLUMN wa.numbers_batch.process IS 'The process; new at each start.';
COMMENT ON COLUMN wa.numbers_batch.batch IS 'Number of the batch; the process counts from 1.';
COMMENT ON COLUMN wa.numbers_batch.written_at IS 'When the batch was added. Retention deletes a row 30 days later.';
