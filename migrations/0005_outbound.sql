-- Outbound messages, the state of each session's sending, and the limits that its owner sets.

-- The order has a meaning: on its way a message's status only grows (see sql/jobs/record_progress.sql).
CREATE TYPE wa.outbound_status AS ENUM (
    'queued', 'sending', 'sent', 'delivered', 'read', 'played', 'failed', 'cancelled', 'expired'
);
COMMENT ON TYPE wa.outbound_status IS 'Progress of a message: queued, sending, sent (WhatsApp''s server has it), delivered, read, played; or failed, cancelled, expired.';
CREATE TYPE wa.wait_reason AS ENUM ('scheduled', 'retry', 'paced', 'quiet_hours', 'first_contact', 'paused');
COMMENT ON TYPE wa.wait_reason IS 'Why a queued message waits: for its run_at because it is scheduled (send_at), retry (backoff after a failed attempt), paced (messages per minute), quiet_hours, first_contact (enough new chats for today); or paused, until wa.resume_campaign.';

-- The table that applications insert into and read. What is live stands in wa.outbound_queue, too, from which workers
-- claim, and what has failed in wa.outbound_failed. Every index here is on columns that do not change after the INSERT,
-- except in rare cases, so the outcome of a message is a HOT update: no index is written (P1, P8, P10). A new index on a
-- column that progress changes would end that.
--
-- session_id has no foreign key: with one, each inserter would share-lock the row of its session, and fifty inserters
-- make a multixact of that row for each message. The insert trigger finds the session, and a trigger of wa.session
-- deletes its messages.
-- The columns that change are together at the end, so that an update writes little WAL (P10); wide ones come before
-- narrow ones, so that none is padded.
CREATE TABLE wa.outbound (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id   bigint NOT NULL,
    session      text NOT NULL,
    recipient    text NOT NULL,
    chat         text NOT NULL,
    kind         text NOT NULL DEFAULT 'text',
    body         text,
    content      jsonb,
    message_id   text NOT NULL,
    dedupe_key   text,
    campaign     text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    send_at      timestamptz,
    expires_at   timestamptz,
    upload_id    bigint,
    max_attempts integer NOT NULL DEFAULT 10,
    priority     smallint NOT NULL DEFAULT 0,
    given_id     boolean NOT NULL DEFAULT false,
    apart        boolean NOT NULL DEFAULT false,
    attempts     integer NOT NULL DEFAULT 0,
    status       wa.outbound_status NOT NULL DEFAULT 'queued',
    sending_at   timestamptz,
    sent_at      timestamptz,
    delivered_at timestamptz,
    read_at      timestamptz,
    played_at    timestamptz,
    failed_at    timestamptz,
    cancelled_at timestamptz,
    expired_at   timestamptz,
    failure      text,
    last_error   text,
    errors       jsonb NOT NULL DEFAULT '[]',
    CONSTRAINT outbound_max_attempts_check CHECK (max_attempts BETWEEN 1 AND 1000),
    CONSTRAINT outbound_priority_check CHECK (priority BETWEEN -100 AND 100),
    CONSTRAINT outbound_dedupe_key_check CHECK (octet_length(dedupe_key) BETWEEN 1 AND 255),
    -- Readers compute with these moments, and their calendars have no infinity.
    CONSTRAINT outbound_times_check CHECK (least(created_at, sending_at, sent_at, delivered_at, read_at, played_at, failed_at, cancelled_at, expired_at) > '-infinity'
        AND greatest(created_at, sending_at, sent_at, delivered_at, read_at, played_at, failed_at, cancelled_at, expired_at) < '10000-01-01Z'),
    -- Text and no enum, because under row-level security a comparison of enums is no condition of an index: it is not
    -- leakproof. wa.failure_classes() says what each class means; src/jobs/failure.rs has the same list.
    CONSTRAINT outbound_failure_check CHECK (failure IN ('not_on_whatsapp', 'refused', 'limited', 'content', 'media', 'connection', 'server', 'worker'))
) WITH (
    -- Half of a page is free for the second version of each row.
    fillfactor = 50,
    -- Dead versions of rows gather in the live part of the table only, so vacuum by count, not by share of the history.
    autovacuum_vacuum_scale_factor = 0.005, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
CREATE UNIQUE INDEX outbound_dedupe_key ON wa.outbound (session_id, dedupe_key) WHERE dedupe_key IS NOT NULL;
-- A message id that wagres makes names its row (wa.outbound_id), so only those that somebody gave need an index.
CREATE UNIQUE INDEX outbound_given_id ON wa.outbound (session_id, message_id) WHERE given_id;
-- The messages of a chat (wa.chat_page), and those of them that may be sent later than messages with a greater id.
CREATE INDEX outbound_chat ON wa.outbound (session_id, chat, id);
CREATE INDEX outbound_apart ON wa.outbound (session_id, chat, id) WHERE apart;
CREATE INDEX outbound_campaign ON wa.outbound (session_id, campaign, id) WHERE campaign IS NOT NULL;
-- Messages with a stored file, which retention leaves while they are live.
CREATE INDEX outbound_media ON wa.outbound (((content ->> 'media')::bigint)) WHERE content ? 'media';
COMMENT ON TABLE wa.outbound IS 'Messages to send. INSERT INTO wa.outbound (session, recipient, body) VALUES (''shop'', ''+79001234567'', ''Hello'') is enough; the row then shows the progress of the message.';
COMMENT ON COLUMN wa.outbound.id IS 'Number of the message; grows in the order of insertion.';
COMMENT ON COLUMN wa.outbound.session_id IS 'Filled from session.';
COMMENT ON COLUMN wa.outbound.session IS 'Name of the session that sends (wa.session.name).';
COMMENT ON COLUMN wa.outbound.recipient IS 'A phone number in international form, +79001234567 with or without plus, spaces, dots, dashes, brackets; or a JID: user@s.whatsapp.net, group@g.us, user@lid.';
COMMENT ON COLUMN wa.outbound.chat IS 'The recipient as a JID; filled from recipient. Messages of one (session, chat) leave in the order of id.';
COMMENT ON COLUMN wa.outbound.kind IS 'Kind of message: text, or another one of wa.message_kinds().';
COMMENT ON COLUMN wa.outbound.body IS 'The text, caption, question or emoji, as wa.message_kinds() has it for the kind; at most 65536 characters.';
COMMENT ON COLUMN wa.outbound.content IS 'Further fields of the kind, see wa.message_fields(). Checked at INSERT; numbers of people become JIDs.';
COMMENT ON COLUMN wa.outbound.message_id IS 'WhatsApp message id, fixed at INSERT and used by every attempt, so that a repeated attempt never shows twice.';
COMMENT ON COLUMN wa.outbound.dedupe_key IS 'Your own name for this message, 1 to 255 bytes, unique within the session: inserting it twice is a conflict (SQLSTATE 23505), never two messages. wa.send_text returns the first one''s id instead, also of a message that was cancelled, failed or expired: nothing is sent then, and wa.retry(id) sends it. The key is free when the row is deleted.';
COMMENT ON COLUMN wa.outbound.campaign IS 'Campaign of the message, for wa.campaigns, wa.pause_campaign, wa.resume_campaign and wa.cancel_campaign; 1 to 255 bytes, or null.';
COMMENT ON COLUMN wa.outbound.created_at IS 'When the row was inserted.';
COMMENT ON COLUMN wa.outbound.send_at IS 'Not before this moment; null is at once. A message for later holds back nothing behind it.';
COMMENT ON COLUMN wa.outbound.expires_at IS 'Not sent after this moment: the message ends as expired.';
COMMENT ON COLUMN wa.outbound.upload_id IS 'Upload of its file (wa.upload), unless that is deleted by now.';
COMMENT ON COLUMN wa.outbound.max_attempts IS 'Failed attempts until the message ends as failed; 1 to 1000.';
COMMENT ON COLUMN wa.outbound.given_id IS 'Whether the INSERT gave message_id.';
COMMENT ON COLUMN wa.outbound.apart IS 'Whether the message may be sent later than messages of its chat with a greater id: it has a send_at or a campaign, was retried by hand, or its outcome was written late. The history of the chat then places it by sent_at.';
COMMENT ON COLUMN wa.outbound.attempts IS 'Number of attempts so far.';
COMMENT ON COLUMN wa.outbound.status IS 'queued, sending, sent (WhatsApp''s server has it), delivered, read, played; or failed, cancelled (wa.cancel), expired (expires_at). Never goes back, except to queued: from sending for another attempt, from failed, cancelled and expired by wa.retry. Changes are announced on the channel wa_status.';
COMMENT ON COLUMN wa.outbound.priority IS '-100 to 100; larger goes first. It decides between chats; within a chat the order of insertion holds.';
COMMENT ON COLUMN wa.outbound.sending_at IS 'When the last attempt began.';
COMMENT ON COLUMN wa.outbound.sent_at IS 'When WhatsApp''s server accepted the message.';
COMMENT ON COLUMN wa.outbound.delivered_at IS 'When a device of the recipient received the message.';
COMMENT ON COLUMN wa.outbound.read_at IS 'When the recipient read the message.';
COMMENT ON COLUMN wa.outbound.played_at IS 'When the recipient played the message.';
COMMENT ON COLUMN wa.outbound.failed_at IS 'When the message failed for good.';
COMMENT ON COLUMN wa.outbound.cancelled_at IS 'When the message was cancelled (wa.cancel).';
COMMENT ON COLUMN wa.outbound.expired_at IS 'When the message expired.';
COMMENT ON COLUMN wa.outbound.failure IS 'Class of the failure, see wa.failure_classes(); null unless the message failed.';
COMMENT ON COLUMN wa.outbound.last_error IS 'Error of the last failed attempt.';
COMMENT ON COLUMN wa.outbound.errors IS 'Failed attempts in order: [{"attempt":1,"at":"2026-01-31T12:00:00+00:00","error":"…"}].';
ALTER TABLE wa.outbound ENABLE ROW LEVEL SECURITY;
-- The policy of wa.session decides which sessions the subselect sees; so in the policies below.
CREATE POLICY tenant ON wa.outbound
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = outbound.session_id));
-- The trigger "validate" has looked the session up, and found only what the policy of wa.session shows; the policy above
-- would look it up once more for each INSERT (P9).
CREATE POLICY inserted ON wa.outbound FOR INSERT WITH CHECK (true);

-- What is live of wa.outbound: a row exists if and only if the message is queued or sending. Written by the insert trigger,
-- by the statements that change the status of a message, and by nobody else; `wagres doctor` compares the two tables.
-- chat has the collation of bytes, because its index is the busiest. A comparison of it with the chat of another table
-- has that collation, too, and then uses no index of the other table: such statements take wa.outbound.chat.
CREATE TABLE wa.outbound_queue (
    session_id bigint NOT NULL,
    id         bigint NOT NULL,
    rank       smallint NOT NULL,
    chat       text COLLATE "C" NOT NULL,
    campaign   text,
    waits_for  wa.wait_reason,
    run_at     timestamptz,
    expires_at timestamptz,
    PRIMARY KEY (session_id, chat, id),
    CONSTRAINT outbound_queue_run_at_check CHECK ((waits_for IS NULL) = (run_at IS NULL))
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000);
-- Messages that can go now, in the order of the claim.
CREATE INDEX outbound_queue_ready ON wa.outbound_queue (session_id, rank, id) WHERE waits_for IS NULL;
-- Messages that wait for a moment. A message of a paused campaign waits for none.
CREATE INDEX outbound_queue_waiting ON wa.outbound_queue (session_id, run_at) WHERE waits_for IS NOT NULL AND waits_for <> 'paused';
-- Messages that hold back those behind them in their chat.
CREATE INDEX outbound_queue_blocking ON wa.outbound_queue (session_id, chat, id) WHERE waits_for IN ('retry', 'paced', 'quiet_hours', 'first_contact');
CREATE INDEX outbound_queue_campaign ON wa.outbound_queue (session_id, campaign, id) WHERE campaign IS NOT NULL;
CREATE INDEX outbound_queue_expiry ON wa.outbound_queue (expires_at) WHERE expires_at IS NOT NULL;
COMMENT ON TABLE wa.outbound_queue IS 'The messages of wa.outbound that are queued or sending, and what each waits for. SELECT q.waits_for, q.run_at, o.* FROM wa.outbound_queue q JOIN wa.outbound o USING (id); wa.queue counts them, wa.why(id) explains one.';
COMMENT ON COLUMN wa.outbound_queue.session_id IS 'The session that sends.';
COMMENT ON COLUMN wa.outbound_queue.id IS 'Id of the message in wa.outbound.';
COMMENT ON COLUMN wa.outbound_queue.rank IS 'Its priority with the sign changed: the smaller goes first.';
COMMENT ON COLUMN wa.outbound_queue.chat IS 'As in wa.outbound.chat. Messages of one (session, chat) leave in the order of id.';
COMMENT ON COLUMN wa.outbound_queue.campaign IS 'As in wa.outbound.campaign.';
COMMENT ON COLUMN wa.outbound_queue.waits_for IS 'Why the message waits: until run_at because it is scheduled, retry, paced, quiet_hours, first_contact; or paused, until its campaign is resumed. Null: it goes as soon as the session can send.';
COMMENT ON COLUMN wa.outbound_queue.run_at IS 'Not before this moment: send_at, or a later one set by backoff, pacing or quiet hours. Null unless the message waits.';
COMMENT ON COLUMN wa.outbound_queue.expires_at IS 'As in wa.outbound.expires_at.';
ALTER TABLE wa.outbound_queue ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.outbound_queue
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = outbound_queue.session_id));

-- What has failed of wa.outbound, written by a trigger of it.
CREATE TABLE wa.outbound_failed (
    id         bigint PRIMARY KEY REFERENCES wa.outbound (id) ON DELETE CASCADE,
    session_id bigint NOT NULL,
    failed_at  timestamptz NOT NULL,
    failure    text,
    campaign   text
);
CREATE INDEX outbound_failed_session ON wa.outbound_failed (session_id, failed_at, id);
-- The same for all sessions, and for a campaign (H2). With the class and the session, so that a page that looks for a
-- class, under row-level security, reads the index alone. One that began with the class would mislead the planner, which
-- thinks a rare one rarer.
CREATE INDEX outbound_failed_at ON wa.outbound_failed (failed_at, failure, session_id, id);
CREATE INDEX outbound_failed_campaign ON wa.outbound_failed (session_id, campaign, failed_at) WHERE campaign IS NOT NULL;
-- The failed messages of a session by class and time.
CREATE INDEX outbound_failed_class ON wa.outbound_failed (session_id, failure, failed_at, id);
COMMENT ON TABLE wa.outbound_failed IS 'The messages of wa.outbound that have failed. wa.failure shows them with their errors.';
COMMENT ON COLUMN wa.outbound_failed.id IS 'Id of the message in wa.outbound.';
COMMENT ON COLUMN wa.outbound_failed.session_id IS 'The session that was to send it.';
COMMENT ON COLUMN wa.outbound_failed.failed_at IS 'As in wa.outbound.failed_at.';
COMMENT ON COLUMN wa.outbound_failed.failure IS 'As in wa.outbound.failure.';
COMMENT ON COLUMN wa.outbound_failed.campaign IS 'As in wa.outbound.campaign.';
ALTER TABLE wa.outbound_failed ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.outbound_failed
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = outbound_failed.session_id));

-- Progress of a message with each of its recipients (M3).
CREATE TABLE wa.receipt (
    session_id   bigint NOT NULL,
    outbound_id  bigint NOT NULL,
    participant  text NOT NULL,
    delivered_at timestamptz NOT NULL,
    read_at      timestamptz,
    played_at    timestamptz,
    PRIMARY KEY (outbound_id, participant),
    FOREIGN KEY (outbound_id) REFERENCES wa.outbound (id) ON DELETE CASCADE
) WITH (fillfactor = 80);
COMMENT ON TABLE wa.receipt IS 'Progress of messages to groups and statuses with each participant. The times of wa.outbound are those of the first participant. SELECT * FROM wa.receipt WHERE outbound_id = 42;';
COMMENT ON COLUMN wa.receipt.session_id IS 'The session that sent the message.';
COMMENT ON COLUMN wa.receipt.outbound_id IS 'Id of the message in wa.outbound.';
COMMENT ON COLUMN wa.receipt.participant IS 'JID of the participant: with the phone number where it is known, else the LID.';
COMMENT ON COLUMN wa.receipt.delivered_at IS 'When a device of the participant received the message.';
COMMENT ON COLUMN wa.receipt.read_at IS 'When the participant read the message, if they share that.';
COMMENT ON COLUMN wa.receipt.played_at IS 'When the participant played a voice note or video.';
ALTER TABLE wa.receipt ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.receipt
    USING ((SELECT wa.sees_all(current_user)) OR session_id IN (SELECT s.session_id FROM wa.session s));

-- A claim writes nothing into the claimed messages: the lease is the claim, and only its holder takes them. The ids of
-- claimed messages are here instead, in one small row for each session, so that a cancellation is exact and a crash
-- counts as an attempt. Claims and cancellations of a session queue for the lock of this row.
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
COMMENT ON TABLE wa.sending IS 'State of each session''s sending, kept by its holder; it moves with the session from worker to worker.';
COMMENT ON COLUMN wa.sending.session_id IS 'The session.';
COMMENT ON COLUMN wa.sending.taken IS 'Ids of the messages that the holder has claimed. May include messages that have ended since.';
COMMENT ON COLUMN wa.sending.withdrawals IS 'How often messages were withdrawn (cancelled, expired). A claim that finds this changed since it began takes nothing of that session, and reads it again.';
COMMENT ON COLUMN wa.sending.tokens IS 'Messages that may go at once as of counted_at (token bucket).';
COMMENT ON COLUMN wa.sending.counted_at IS 'When tokens was counted.';
COMMENT ON COLUMN wa.sending.gate_until IS 'Nothing of a paced session goes before this moment.';
COMMENT ON COLUMN wa.sending.contacts_on IS 'The day of contacts_today, in the time zone of the pacing.';
COMMENT ON COLUMN wa.sending.contacts_today IS 'First contacts of that day.';
ALTER TABLE wa.sending ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.sending
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = sending.session_id));

-- A pacing that cannot be computed would stop the claims of every session beside its own, so the table refuses one,
-- whoever writes it. The trigger "validate" (sql/schema) refuses it first and names the column.
CREATE TABLE wa.pacing (
    session_id     bigint PRIMARY KEY REFERENCES wa.session ON DELETE CASCADE,
    per_minute     double precision,
    burst          integer NOT NULL DEFAULT 1,
    jitter         interval NOT NULL DEFAULT '0',
    first_contacts integer,
    quiet_from     time,
    quiet_until    time,
    time_zone      text NOT NULL DEFAULT 'UTC',
    typing         boolean NOT NULL DEFAULT false,
    CONSTRAINT pacing_per_minute_check CHECK (per_minute BETWEEN 0.001 AND 6000),
    CONSTRAINT pacing_burst_check CHECK (burst BETWEEN 1 AND 10000),
    CONSTRAINT pacing_jitter_check CHECK (jitter BETWEEN interval '0' AND interval '10 minutes'),
    CONSTRAINT pacing_first_contacts_check CHECK (first_contacts >= 0),
    CONSTRAINT pacing_quiet_check CHECK ((quiet_from IS NULL) = (quiet_until IS NULL) AND quiet_from <> quiet_until)
);
COMMENT ON TABLE wa.pacing IS 'Limits on the sending of a session, so that its number is not blocked; no row is no limit. Set by wa.set_pacing.';
COMMENT ON COLUMN wa.pacing.session_id IS 'The session.';
COMMENT ON COLUMN wa.pacing.per_minute IS 'Messages a minute on average, 0.001 to 6000; null is no limit.';
COMMENT ON COLUMN wa.pacing.burst IS 'Messages that may go at once after a rest: 1 to 10000.';
COMMENT ON COLUMN wa.pacing.jitter IS 'After each message the session rests for a random time up to this, at most 10 minutes, so that messages do not tick like a clock.';
COMMENT ON COLUMN wa.pacing.first_contacts IS 'New chats a day, in time_zone: chats that this session never wrote to and never heard from; null is no limit.';
COMMENT ON COLUMN wa.pacing.quiet_from IS 'From this time of day, in time_zone, until quiet_until the session sends nothing.';
COMMENT ON COLUMN wa.pacing.quiet_until IS 'End of the quiet hours; may be before quiet_from, which means over midnight.';
COMMENT ON COLUMN wa.pacing.time_zone IS 'Name of a time zone, as in pg_timezone_names: Europe/Berlin.';
COMMENT ON COLUMN wa.pacing.typing IS 'Whether the recipient sees "typing…" for a moment before each text.';
ALTER TABLE wa.pacing ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.pacing
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = pacing.session_id));

CREATE TABLE wa.contacted (
    session_id bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    chat       text NOT NULL,
    first_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, chat)
);
CREATE INDEX contacted_age ON wa.contacted (first_at);
COMMENT ON TABLE wa.contacted IS 'Chats that are no longer a first contact, for sessions with wa.pacing.first_contacts. Retention forgets a chat after its days.';
COMMENT ON COLUMN wa.contacted.session_id IS 'The session.';
COMMENT ON COLUMN wa.contacted.chat IS 'JID of the chat.';
COMMENT ON COLUMN wa.contacted.first_at IS 'When the chat became known.';
ALTER TABLE wa.contacted ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.contacted
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = contacted.session_id));

CREATE TABLE wa.campaign (
    session_id bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    campaign   text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    paused_at  timestamptz,
    paused_by  text,
    PRIMARY KEY (session_id, campaign)
);
-- For the pages, which list the sessions of a campaign, and those in which it is paused.
CREATE INDEX campaign_sessions ON wa.campaign (campaign, session_id);
-- Those that are not counted yet.
CREATE INDEX campaign_created ON wa.campaign (created_at);
CREATE INDEX campaign_paused ON wa.campaign (campaign, session_id) WHERE paused_at IS NOT NULL;
-- For wa.reasons.
CREATE INDEX campaign_paused_session ON wa.campaign (session_id) WHERE paused_at IS NOT NULL;
COMMENT ON TABLE wa.campaign IS 'Campaigns for which messages were inserted, and whether each is paused. Its rows keep inserts and pauses of a campaign apart; wa.campaigns has the progress.';
COMMENT ON COLUMN wa.campaign.session_id IS 'The session that sends the campaign.';
COMMENT ON COLUMN wa.campaign.campaign IS 'As in wa.outbound.campaign.';
COMMENT ON COLUMN wa.campaign.created_at IS 'When its first message was inserted, or when it was paused before that.';
COMMENT ON COLUMN wa.campaign.paused_at IS 'Since when wa.pause_campaign holds its messages back; null is not paused.';
COMMENT ON COLUMN wa.campaign.paused_by IS 'Role, or token of the web pages, that called wa.pause_campaign; null is not paused.';
ALTER TABLE wa.campaign ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.campaign
    USING ((SELECT wa.sees_all(current_user)) OR session_id IN (SELECT s.session_id FROM wa.session s));

-- No foreign key: the report would wait for a transaction that deletes a session (R8).
CREATE TABLE wa.campaign_waiting (
    session_id bigint,
    campaign   text,
    waiting    bigint NOT NULL,
    held       bigint NOT NULL,
    failed     bigint NOT NULL,
    counted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, campaign)
) WITH (fillfactor = 50);
COMMENT ON TABLE wa.campaign_waiting IS 'How many messages of each campaign wait, and how many are failed now, counted by resource_report each minute, so that nobody who looks at the progress reads the messages. Campaigns without such messages are left out.';
COMMENT ON COLUMN wa.campaign_waiting.session_id IS 'The session that sends the campaign.';
COMMENT ON COLUMN wa.campaign_waiting.campaign IS 'As in wa.outbound.campaign.';
COMMENT ON COLUMN wa.campaign_waiting.waiting IS 'Messages that are queued or on their way.';
COMMENT ON COLUMN wa.campaign_waiting.held IS 'Those of them that wa.pause_campaign holds back.';
COMMENT ON COLUMN wa.campaign_waiting.failed IS 'Messages that are failed now; one that was retried is among those that wait.';
COMMENT ON COLUMN wa.campaign_waiting.counted_at IS 'When they were counted.';
ALTER TABLE wa.campaign_waiting ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.campaign_waiting
    USING ((SELECT wa.sees_all(current_user)) OR session_id IN (SELECT s.session_id FROM wa.session s));
