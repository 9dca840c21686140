-- Sessions, the workers that hold them, and the lease between the two.

CREATE SCHEMA IF NOT EXISTS wa;
COMMENT ON SCHEMA wa IS 'wagres: WhatsApp by rows. Start with wa.add_session, wa.link and INSERT INTO wa.outbound.';

CREATE TYPE wa.session_status AS ENUM (
    'new', 'linking', 'connecting', 'connected', 'disconnected', 'logged_out', 'banned', 'stopped'
);
CREATE TYPE wa.session_wish AS ENUM ('connected', 'stopped');

-- A worker proves that it lives by moving lease_until on. A dead worker is a deleted row: whoever notices that
-- lease_until has passed deletes it, and by foreign key everything that it held falls free in the same statement.
CREATE TABLE wa.worker (
    worker_id   uuid PRIMARY KEY,
    host        text NOT NULL,
    pid         integer NOT NULL,
    version     text NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    lease_until timestamptz NOT NULL,
    parked      boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE wa.worker IS 'Worker processes that are alive now.';
COMMENT ON COLUMN wa.worker.worker_id IS 'Fresh at each start of a process, so that nothing can mistake a restarted worker for its predecessor.';
COMMENT ON COLUMN wa.worker.lease_until IS 'The worker is dead after this moment, by the clock of the database. Never revived: a worker that finds itself late starts anew.';
COMMENT ON COLUMN wa.worker.parked IS 'The worker sleeps and wants to be rung on the channel wa_work. Inserters ring only when a row has true here.';

CREATE TABLE wa.session (
    session_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name           text NOT NULL UNIQUE,
    status         wa.session_status NOT NULL DEFAULT 'new',
    status_reason  text,
    status_at      timestamptz NOT NULL DEFAULT now(),
    desired        wa.session_wish NOT NULL DEFAULT 'stopped',
    phone          text,
    jid            text,
    lid            text,
    qr             text,
    qr_expires_at  timestamptz,
    failures       integer NOT NULL DEFAULT 0,
    created_at     timestamptz NOT NULL DEFAULT now(),
    connected_at   timestamptz,
    CONSTRAINT session_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$')
) WITH (fillfactor = 70);
COMMENT ON TABLE wa.session IS 'Linked WhatsApp devices, one row each. Made by wa.add_session(name), linked by wa.link(name), closed by wa.close(name, reason).';
COMMENT ON COLUMN wa.session.name IS 'Chosen by you; 1 to 63 of letters, digits, dot, underscore, hyphen. What every other table calls "session".';
COMMENT ON COLUMN wa.session.status IS 'What is: new, linking, connecting, connected, disconnected, logged_out, banned, stopped. Written by the holder alone.';
COMMENT ON COLUMN wa.session.status_reason IS 'Why the status is what it is, in words.';
COMMENT ON COLUMN wa.session.desired IS 'What is wished: connected or stopped. Workers bring the status to the wish, also after a crash.';
COMMENT ON COLUMN wa.session.phone IS 'Phone number in digits, known once linked.';
COMMENT ON COLUMN wa.session.jid IS 'The device''s JID, user:device@s.whatsapp.net, known once linked.';
COMMENT ON COLUMN wa.session.lid IS 'The device''s LID, the number-hiding address of the same account.';
COMMENT ON COLUMN wa.session.qr IS 'Text of the QR code to scan now, while linking. Changes every 20 to 60 s; listen on wa_session.';
COMMENT ON COLUMN wa.session.qr_expires_at IS 'The QR code is of no use after this moment.';
COMMENT ON COLUMN wa.session.failures IS 'Connections that failed in a row; sets the wait before the next one. 0 after a successful connect.';

-- The fencing token. Apart from wa.session because every fenced write share-locks this row, and a status change must
-- not wait for those.
CREATE TABLE wa.lease (
    session_id bigint PRIMARY KEY REFERENCES wa.session ON DELETE CASCADE,
    holder     uuid REFERENCES wa.worker ON DELETE SET NULL,
    epoch      bigint NOT NULL DEFAULT 0,
    taken_at   timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
CREATE INDEX lease_holder ON wa.lease (holder);
COMMENT ON TABLE wa.lease IS 'Which worker holds a session, and the fencing epoch of that hold.';
COMMENT ON COLUMN wa.lease.holder IS 'The one worker that may act for the session; null when free.';
COMMENT ON COLUMN wa.lease.epoch IS 'Grows by one with each new holder. A write made for a session is valid only while this still is the writer''s epoch and holder is not null.';
