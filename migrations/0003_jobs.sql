-- The three job tables. Who may consume a row decides which table it stands in.

-- Order is meaning: a status only ever grows while a message is on its way (see sql/jobs/record_progress.sql).
CREATE TYPE wa.outbound_status AS ENUM (
    'queued', 'sending', 'sent', 'delivered', 'read', 'played', 'failed', 'cancelled', 'expired'
);
CREATE TYPE wa.job_status AS ENUM ('queued', 'running', 'done', 'failed', 'cancelled');

CREATE TABLE wa.outbound (
    id           bigint GENERATED ALWAYS AS IDENTITY,
    session      text NOT NULL,
    session_id   bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    recipient    text NOT NULL,
    chat         text NOT NULL,
    kind         text NOT NULL DEFAULT 'text',
    body         text,
    status       wa.outbound_status NOT NULL DEFAULT 'queued',
    message_id   text NOT NULL,
    attempts     integer NOT NULL DEFAULT 0,
    max_attempts integer NOT NULL DEFAULT 10 CHECK (max_attempts BETWEEN 1 AND 1000),
    run_at       timestamptz NOT NULL DEFAULT now(),
    last_error   text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    sending_at   timestamptz,
    sent_at      timestamptz,
    delivered_at timestamptz,
    read_at      timestamptz,
    played_at    timestamptz,
    failed_at    timestamptz,
    PRIMARY KEY (session_id, id),
    UNIQUE (session_id, message_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);
-- "Give me row 5" without its session.
CREATE INDEX outbound_id ON wa.outbound (id);
-- What is left to do, in lane order; stays as small as the backlog, however long the history grows.
CREATE INDEX outbound_live ON wa.outbound (session_id, chat, id) WHERE status IN ('queued', 'sending');

COMMENT ON TABLE wa.outbound IS 'Messages to send. INSERT INTO wa.outbound (session, recipient, body) VALUES (''shop'', ''+79001234567'', ''Hello'') is enough; the row then tells how far the message came.';
COMMENT ON COLUMN wa.outbound.session IS 'Name of the session that sends (wa.session.name).';
COMMENT ON COLUMN wa.outbound.session_id IS 'Filled from session.';
COMMENT ON COLUMN wa.outbound.recipient IS 'A phone number in international form, +79001234567 with or without plus, spaces, dots, dashes, brackets; or a JID: user@s.whatsapp.net, group@g.us, user@lid.';
COMMENT ON COLUMN wa.outbound.chat IS 'The recipient as a JID; filled from recipient. Messages of one (session, chat) leave in the order of id.';
COMMENT ON COLUMN wa.outbound.kind IS 'What is sent: text.';
COMMENT ON COLUMN wa.outbound.body IS 'The text: 1 to 65536 characters.';
COMMENT ON COLUMN wa.outbound.status IS 'queued, sending, sent (the server has it), delivered, read, played; or failed, cancelled, expired. Never goes back, but from sending to queued for a retry. Changes are announced on the channel wa_status.';
COMMENT ON COLUMN wa.outbound.message_id IS 'The WhatsApp message id, fixed at insert and used by every attempt, so that a repeated attempt never shows twice.';
COMMENT ON COLUMN wa.outbound.run_at IS 'Not before this moment; moved on by a retry''s backoff.';
COMMENT ON COLUMN wa.outbound.last_error IS 'What the last attempt failed with.';

CREATE TABLE wa.session_job (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session     text NOT NULL,
    session_id  bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    kind        text NOT NULL,
    reason      text,
    status      wa.job_status NOT NULL DEFAULT 'queued',
    run_at      timestamptz NOT NULL DEFAULT now(),
    attempts    integer NOT NULL DEFAULT 0,
    worker_id   uuid REFERENCES wa.worker ON DELETE SET NULL,
    last_error  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    started_at  timestamptz,
    finished_at timestamptz
) WITH (fillfactor = 70);
-- Also the promise of S5: never two reconnects waiting for one session.
CREATE UNIQUE INDEX session_job_queued ON wa.session_job (session_id, kind) WHERE status = 'queued';
CREATE INDEX session_job_live ON wa.session_job (session_id, id) WHERE status IN ('queued', 'running');
CREATE INDEX session_job_worker ON wa.session_job (worker_id) WHERE worker_id IS NOT NULL;
COMMENT ON TABLE wa.session_job IS 'What is to happen to a session: link, connect, reconnect, close, logout. Consumed by its holder, else by any worker with room. Use wa.link, wa.connect, wa.close, wa.logout.';
COMMENT ON COLUMN wa.session_job.kind IS 'link (show a QR unless already linked), connect, reconnect (made by the worker when a connection is lost), close (keeps the link), logout (unlinks the device and deletes its auth state).';
COMMENT ON COLUMN wa.session_job.run_at IS 'Not before this moment; a reconnect''s backoff.';
COMMENT ON COLUMN wa.session_job.worker_id IS 'Who runs it. Null while running means that the worker died; another takes the row.';

CREATE TABLE wa.maintenance_job (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        text NOT NULL,
    status      wa.job_status NOT NULL DEFAULT 'queued',
    run_at      timestamptz NOT NULL DEFAULT now(),
    attempts    integer NOT NULL DEFAULT 0,
    worker_id   uuid REFERENCES wa.worker ON DELETE SET NULL,
    result      jsonb,
    last_error  text,
    created_at  timestamptz NOT NULL DEFAULT now(),
    started_at  timestamptz,
    finished_at timestamptz
) WITH (fillfactor = 70);
CREATE INDEX maintenance_job_live ON wa.maintenance_job (id) WHERE status IN ('queued', 'running');
CREATE INDEX maintenance_job_worker ON wa.maintenance_job (worker_id) WHERE worker_id IS NOT NULL;
COMMENT ON TABLE wa.maintenance_job IS 'Housekeeping, run by any worker. Kinds: sweep_keys (deletes expired rows of wa.auth_key).';
COMMENT ON COLUMN wa.maintenance_job.result IS 'What it did, as counts.';
