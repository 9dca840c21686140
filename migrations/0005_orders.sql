-- What may be said about a message besides its content (how urgent, when, until when, only once), what holds it back,
-- and the books of each session's sending.

CREATE TYPE wa.wait_reason AS ENUM ('scheduled', 'retry', 'paced', 'quiet_hours', 'first_contact');
COMMENT ON TYPE wa.wait_reason IS 'Why a queued message waits for its run_at: scheduled (send_at), retry (backoff after a failed attempt), paced (messages per minute), quiet_hours, first_contact (enough new chats for today).';
COMMENT ON TYPE wa.outbound_status IS 'How far a message came. queued, sending, sent (the server has it), delivered, read, played; or failed, cancelled, expired.';
COMMENT ON TYPE wa.job_status IS 'State of a session or maintenance job: queued, running, done, failed, cancelled.';
COMMENT ON TYPE wa.session_status IS 'State of a session: new, linking, connecting, connected, disconnected, logged_out, banned, stopped.';
COMMENT ON TYPE wa.session_wish IS 'What is wished of a session: connected or stopped.';

CREATE TABLE wa.tenant (
    tenant        text PRIMARY KEY,
    paused_at     timestamptz,
    paused_reason text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_check CHECK (tenant ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$')
);
INSERT INTO wa.tenant (tenant) VALUES ('default');
COMMENT ON TABLE wa.tenant IS 'The customers that sessions belong to. Who has but one needs only "default", which every new session gets.';
COMMENT ON COLUMN wa.tenant.tenant IS 'Its name; 1 to 63 of letters, digits, dot, underscore, hyphen.';
COMMENT ON COLUMN wa.tenant.paused_at IS 'Since when no message of its sessions goes out; null is not paused. Use wa.pause_tenant and wa.resume_tenant.';
COMMENT ON COLUMN wa.tenant.paused_reason IS 'Why, in the words of whoever paused it.';
COMMENT ON COLUMN wa.tenant.created_at IS 'When it was added.';

ALTER TABLE wa.session
    ADD COLUMN tenant        text NOT NULL DEFAULT 'default' REFERENCES wa.tenant,
    ADD COLUMN paused_at     timestamptz,
    ADD COLUMN paused_reason text;
CREATE INDEX session_tenant ON wa.session (tenant);
COMMENT ON COLUMN wa.session.tenant IS 'Whose session it is (wa.tenant). Decides who may see it, its messages and its jobs.';
COMMENT ON COLUMN wa.session.paused_at IS 'Since when no message of it goes out, though it stays connected and receives; null is not paused. Use wa.pause and wa.resume.';
COMMENT ON COLUMN wa.session.paused_reason IS 'Why, in the words of whoever paused it.';

-- Whoever inserts a message would share-lock its session's row for the foreign key: fifty inserters make a multixact of
-- that row for each message. The insert trigger finds the session anyway, and its deletion takes the messages along.
ALTER TABLE wa.outbound DROP CONSTRAINT outbound_session_id_fkey;
DROP INDEX wa.outbound_live;
ALTER TABLE wa.outbound
    ADD COLUMN priority     smallint NOT NULL DEFAULT 0,
    ADD COLUMN send_at      timestamptz,
    ADD COLUMN expires_at   timestamptz,
    ADD COLUMN dedupe_key   text,
    ADD COLUMN waits_for    wa.wait_reason,
    ADD COLUMN live         boolean GENERATED ALWAYS AS (status IN ('queued', 'sending')) STORED,
    ADD COLUMN errors       jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN cancelled_at timestamptz,
    ADD COLUMN expired_at   timestamptz,
    ADD CONSTRAINT outbound_priority_check CHECK (priority BETWEEN -100 AND 100),
    ADD CONSTRAINT outbound_dedupe_key_check CHECK (octet_length(dedupe_key) BETWEEN 1 AND 255);
-- What had failed before waits as it did.
UPDATE wa.outbound SET waits_for = 'retry' WHERE status = 'queued' AND run_at > now();
CREATE UNIQUE INDEX outbound_dedupe_key ON wa.outbound (session_id, dedupe_key) WHERE dedupe_key IS NOT NULL;
-- What can go out now, in the order in which it is looked through; what waits for a moment; the rows of a lane; what
-- grows old. All hold live rows only, and so stay as small as the backlog, however long the history grows (Q12, P8).
CREATE INDEX outbound_ready ON wa.outbound (session_id, (-priority), id) WHERE live AND waits_for IS NULL;
CREATE INDEX outbound_waiting ON wa.outbound (session_id, run_at) WHERE live AND waits_for IS NOT NULL;
CREATE INDEX outbound_lane ON wa.outbound (session_id, chat, id) WHERE live;
CREATE INDEX outbound_expiry ON wa.outbound (expires_at) WHERE live AND expires_at IS NOT NULL;
-- Dead versions of rows gather in the live part of the table only, so vacuum by count, not by share of the history.
ALTER TABLE wa.outbound SET (
    autovacuum_vacuum_scale_factor = 0.005, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);

COMMENT ON COLUMN wa.outbound.id IS 'Number of the message; grows in the order of insertion.';
COMMENT ON COLUMN wa.outbound.priority IS 'Larger goes first: -100 to 100. It decides between chats; within a chat the order of insertion stands.';
COMMENT ON COLUMN wa.outbound.send_at IS 'Not before this moment; null is at once. A message for later holds back nothing behind it.';
COMMENT ON COLUMN wa.outbound.expires_at IS 'Not sent when it is later than this: it ends as expired.';
COMMENT ON COLUMN wa.outbound.dedupe_key IS 'Your own name for this message, 1 to 255 bytes, unique within the session: inserting it twice is a conflict (SQLSTATE 23505), never two messages. wa.send_text returns the first one''s id instead.';
COMMENT ON COLUMN wa.outbound.waits_for IS 'Why a queued message waits for run_at: scheduled, retry, paced, quiet_hours, first_contact. Null: it goes as soon as the session can send. See also wa.queue.';
COMMENT ON COLUMN wa.outbound.live IS 'Whether there is still something to do: true while queued or sending.';
COMMENT ON COLUMN wa.outbound.errors IS 'Failed attempts in order: [{"attempt":1,"at":"2026-01-31T12:00:00+00:00","error":"…"}].';
COMMENT ON COLUMN wa.outbound.attempts IS 'How often it was tried.';
COMMENT ON COLUMN wa.outbound.max_attempts IS 'After this many failed attempts it ends as failed; 1 to 1000.';
COMMENT ON COLUMN wa.outbound.run_at IS 'Not before this moment: send_at, or what backoff, pacing or quiet hours made of it (waits_for).';
COMMENT ON COLUMN wa.outbound.created_at IS 'When the row was inserted.';
COMMENT ON COLUMN wa.outbound.sending_at IS 'When the last attempt began.';
COMMENT ON COLUMN wa.outbound.sent_at IS 'When WhatsApp''s server took it.';
COMMENT ON COLUMN wa.outbound.delivered_at IS 'When a device of the recipient had it.';
COMMENT ON COLUMN wa.outbound.read_at IS 'When the recipient had seen it.';
COMMENT ON COLUMN wa.outbound.played_at IS 'When the recipient had played it.';
COMMENT ON COLUMN wa.outbound.failed_at IS 'When it was given up.';
COMMENT ON COLUMN wa.outbound.cancelled_at IS 'When it was cancelled (wa.cancel).';
COMMENT ON COLUMN wa.outbound.expired_at IS 'When it ended because expires_at had passed.';

-- How fast a session may send, as its owner wishes.
CREATE TABLE wa.pacing (
    session_id     bigint PRIMARY KEY REFERENCES wa.session ON DELETE CASCADE,
    per_minute     double precision,
    burst          integer NOT NULL DEFAULT 1,
    jitter         interval NOT NULL DEFAULT '0',
    first_contacts integer,
    quiet_from     time,
    quiet_until    time,
    time_zone      text NOT NULL DEFAULT 'UTC',
    typing         boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE wa.pacing IS 'How fast a session may send, so that its number is not blocked; no row is no limit. Made by wa.set_pacing.';
COMMENT ON COLUMN wa.pacing.session_id IS 'The session that is paced.';
COMMENT ON COLUMN wa.pacing.per_minute IS 'Messages a minute on average, above 0 to 6000; null is no limit.';
COMMENT ON COLUMN wa.pacing.burst IS 'How many may go at once after a rest: 1 to 10000.';
COMMENT ON COLUMN wa.pacing.jitter IS 'After each message a random rest of up to this, at most 10 minutes, so that they do not tick like a clock.';
COMMENT ON COLUMN wa.pacing.first_contacts IS 'To how many chats a day, in time_zone, that this session never wrote to and never heard from; null is no limit.';
COMMENT ON COLUMN wa.pacing.quiet_from IS 'From this time of day, in time_zone, to quiet_until nothing goes out.';
COMMENT ON COLUMN wa.pacing.quiet_until IS 'End of the quiet hours; may be before quiet_from, which is over midnight.';
COMMENT ON COLUMN wa.pacing.time_zone IS 'Name of a time zone, as in pg_timezone_names: Europe/Berlin.';
COMMENT ON COLUMN wa.pacing.typing IS 'Whether the recipient sees "typing…" for a moment before each text.';

-- Chats that a session has written to, kept for sessions with a limit on first contacts.
CREATE TABLE wa.contacted (
    session_id bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    chat       text NOT NULL,
    first_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, chat)
);
COMMENT ON TABLE wa.contacted IS 'Chats that are no first contact any more, for sessions with wa.pacing.first_contacts.';
COMMENT ON COLUMN wa.contacted.session_id IS 'The session.';
COMMENT ON COLUMN wa.contacted.chat IS 'JID of the chat.';
COMMENT ON COLUMN wa.contacted.first_at IS 'When it became known.';

-- A claim writes nothing into the claimed rows: the lease is the claim, and only its holder takes them. What it has
-- taken stands here instead, one small row for each session, so that a cancellation is exact and a crash is counted.
-- The row's lock is what claims and cancellations of a session queue up for.
CREATE TABLE wa.sending (
    session_id     bigint PRIMARY KEY REFERENCES wa.session ON DELETE CASCADE,
    taken          bigint[] NOT NULL DEFAULT '{}',
    withdrawals    bigint NOT NULL DEFAULT 0,
    tokens         double precision NOT NULL DEFAULT 1,
    counted_at     timestamptz NOT NULL DEFAULT '-infinity',
    gate_until     timestamptz NOT NULL DEFAULT '-infinity',
    contacts_on    date NOT NULL DEFAULT '-infinity',
    contacts_today integer NOT NULL DEFAULT 0
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
INSERT INTO wa.sending (session_id) SELECT session_id FROM wa.session;
COMMENT ON TABLE wa.sending IS 'The books of each session''s sending, kept by its holder; they go with the session from worker to worker.';
COMMENT ON COLUMN wa.sending.session_id IS 'The session.';
COMMENT ON COLUMN wa.sending.taken IS 'Ids of the messages that the holder has in hand. May name some that have ended since.';
COMMENT ON COLUMN wa.sending.withdrawals IS 'How often messages were withdrawn (cancelled, expired). A claim that finds it changed since it began to look takes nothing of that session, and looks again.';
COMMENT ON COLUMN wa.sending.tokens IS 'Messages that might go at once as of counted_at (token bucket).';
COMMENT ON COLUMN wa.sending.counted_at IS 'When tokens was counted.';
COMMENT ON COLUMN wa.sending.gate_until IS 'Nothing of a paced session goes before this moment.';
COMMENT ON COLUMN wa.sending.contacts_on IS 'The day of contacts_today, in the time zone of the pacing.';
COMMENT ON COLUMN wa.sending.contacts_today IS 'First contacts of that day.';
