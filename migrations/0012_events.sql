-- What happened, for whoever looks after it; and what the auth state needs to be kept small and moved safely.

CREATE TABLE wa.event (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session    text,
    session_id bigint REFERENCES wa.session ON DELETE CASCADE,
    kind       text NOT NULL,
    data       jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX event_session ON wa.event (session_id, id);
COMMENT ON TABLE wa.event IS 'What happened, oldest first by id. LISTEN wa_event tells of new rows by {"id","session","kind"}.';
COMMENT ON COLUMN wa.event.id IS 'Number of the event.';
COMMENT ON COLUMN wa.event.session IS 'Name of the session that it is about; null when it is about none.';
COMMENT ON COLUMN wa.event.session_id IS 'The session that it is about; null when it is about none.';
COMMENT ON COLUMN wa.event.kind IS 'What happened: key_quarantined (a key could not be read and was put aside), keys_swept (expired keys were deleted), keys_resealed (keys were encrypted anew), ratchets_reset (chats begin new Signal sessions, see data.reason).';
COMMENT ON COLUMN wa.event.data IS 'What there is to say about it, by kind; never a secret.';
COMMENT ON COLUMN wa.event.created_at IS 'When it happened.';

ALTER TABLE wa.event ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.event
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = event.session_id));

ALTER TABLE wa.auth ADD exported_at timestamptz;
COMMENT ON COLUMN wa.auth.exported_at IS 'When the auth state was given to another program, as long as no connection has used it here since. The next one begins new Signal sessions: the other program may have turned the ratchets on.';

CREATE TABLE wa.auth_home (
    one               boolean PRIMARY KEY DEFAULT true CHECK (one),
    system_identifier bigint NOT NULL,
    database_oid      oid NOT NULL,
    timeline          integer NOT NULL,
    seen_at           timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.auth_home IS 'In which database the auth state was last used. When it finds itself in another, it was restored, and ratchets may stand where they stood before.';
COMMENT ON COLUMN wa.auth_home.one IS 'There is one row.';
COMMENT ON COLUMN wa.auth_home.system_identifier IS 'Of the server''s data directory (pg_control_system).';
COMMENT ON COLUMN wa.auth_home.database_oid IS 'Of the database (pg_database).';
COMMENT ON COLUMN wa.auth_home.timeline IS 'Of the server''s history (pg_control_checkpoint); a recovery from an archive and a promoted standby begin a new one.';
COMMENT ON COLUMN wa.auth_home.seen_at IS 'When it was first found there.';

-- Keys with a time to live have it from the moment they were last written.
UPDATE wa.auth_key k
SET expires_at = k.updated_at + ttl.ttl
FROM (VALUES ('lid-mapping', interval '7 days'), ('device-list', '30 days'), ('group-metadata', '7 days'), ('base-key', '7 days'),
             ('sent-message', '1 day'), ('pending-inbound', '7 days'), ('tctoken', '182 days')) AS ttl (kind, ttl)
WHERE k.kind = ttl.kind AND k.expires_at IS NULL;

COMMENT ON COLUMN wa.maintenance_job.kind IS 'sweep_keys (deletes expired rows of wa.auth_key), reseal_keys (encrypts the auth state with the key in force, or decrypts it), retention (deletes old finished rows of wa.outbound, wa.inbox, wa.session_job, wa.maintenance_job, wa.schedule_tick and wa.event).';
COMMENT ON COLUMN wa.maintenance_job.args IS 'All kinds: batch (rows of one statement, 1 to 1000, default 1000), pause_ms (between statements, 0 to 60000, default 20). retention: outbound_days, inbox_days, event_days (default 90), session_job_days, maintenance_job_days, schedule_tick_days (default 30), 1 to 36500, null keeps for ever; dry_run (true: only count).';
