-- Auth state: what keeps a linked device linked. No other place holds any of it, so any machine can take a session
-- over.

CREATE TABLE wa.auth (
    session_id  bigint PRIMARY KEY REFERENCES wa.session ON DELETE CASCADE,
    creds       jsonb NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    imported_at timestamptz,
    exported_at timestamptz,
    home        bigint
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE wa.auth IS 'Credentials of a session, one row each; a session without a row has never been linked. Written by the holder alone, under its epoch.';
COMMENT ON COLUMN wa.auth.session_id IS 'The session that these credentials log in.';
COMMENT ON COLUMN wa.auth.creds IS 'Credentials under the field names of Baileys'' creds.json; fields that only this client needs are under "wagres". Bytes are {"type":"Buffer","data":"<base64>"}. Secret.';
COMMENT ON COLUMN wa.auth.updated_at IS 'When the client last wrote the credentials.';
COMMENT ON COLUMN wa.auth.imported_at IS 'When the credentials were imported from another program; null after the first connection that used them. While set, the import may be repeated; later an import would turn ratchets back.';
COMMENT ON COLUMN wa.auth.exported_at IS 'When the auth state was exported to another program; null after the next connection here. That connection starts new Signal sessions, because the other program may have moved the ratchets forward.';
COMMENT ON COLUMN wa.auth.home IS 'wa.auth_home.home when the ratchets were last reset, linked or imported. If the database has another home now, it was restored since; the next connection starts new Signal sessions.';

-- key_id compares by byte: prefixes of a composite id are ranges of the primary key, and every batch locks its rows in
-- the order of that key, so that two batches cannot deadlock.
CREATE TABLE wa.auth_key (
    session_id bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    kind       text NOT NULL,
    key_id     text COLLATE "C" NOT NULL,
    value      jsonb NOT NULL,
    expires_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (session_id, kind, key_id),
    CONSTRAINT auth_key_id_check CHECK (octet_length(key_id) <= 1024)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX auth_key_expires ON wa.auth_key (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX auth_key_lid_of_pn ON wa.auth_key (session_id, (value->>'pn')) WHERE kind = 'lid-mapping';
COMMENT ON TABLE wa.auth_key IS 'All other auth state that a session keeps between connections, one row per key. Written by the holder alone, under its epoch.';
COMMENT ON COLUMN wa.auth_key.session_id IS 'The session that the key belongs to.';
COMMENT ON COLUMN wa.auth_key.kind IS 'pre-key, signed-pre-key, session, identity-key, sender-key, sender-key-memory, app-state-sync-key, app-state-sync-version, app-state-mac, lid-mapping, device-list, tctoken, group-metadata, base-key, sent-message, pending-inbound, message-secret.';
COMMENT ON COLUMN wa.auth_key.key_id IS 'Id within the kind. Parts of a composite id are joined by "|"; "%", "|" and control characters within a part are percent-encoded.';
COMMENT ON COLUMN wa.auth_key.value IS 'The key, in the shape of its kind. Bytes are {"type":"Buffer","data":"<base64>"}. Secret.';
COMMENT ON COLUMN wa.auth_key.expires_at IS 'The key may be deleted after this moment; null is never.';
COMMENT ON COLUMN wa.auth_key.updated_at IS 'When the client last wrote the key. Maintenance that rewrites a value leaves this unchanged, because the age of a key and "the latest key" are read from here.';

CREATE TABLE wa.auth_quarantine (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    kind       text NOT NULL,
    key_id     text NOT NULL,
    value      jsonb NOT NULL,
    reason     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '30 days',
    key_expires_at timestamptz
);
CREATE INDEX auth_quarantine_session ON wa.auth_quarantine (session_id);
CREATE INDEX auth_quarantine_expires ON wa.auth_quarantine (expires_at);
COMMENT ON TABLE wa.auth_quarantine IS 'Values of the auth state that could not be used, and the auth state of sessions that were unlinked without being asked, unchanged, until expires_at. Secret. wa.restore_auth takes a whole auth state back.';
COMMENT ON COLUMN wa.auth_quarantine.id IS 'Number of the entry.';
COMMENT ON COLUMN wa.auth_quarantine.session_id IS 'The session that the value belongs to.';
COMMENT ON COLUMN wa.auth_quarantine.kind IS 'Kind of the value, in the words of its origin.';
COMMENT ON COLUMN wa.auth_quarantine.key_id IS 'Id within the kind.';
COMMENT ON COLUMN wa.auth_quarantine.value IS 'The value, unchanged. Secret.';
COMMENT ON COLUMN wa.auth_quarantine.reason IS 'Why the value could not be used; never contains the value.';
COMMENT ON COLUMN wa.auth_quarantine.created_at IS 'When the value was quarantined.';
COMMENT ON COLUMN wa.auth_quarantine.expires_at IS 'When the sweep of expired keys deletes it.';
COMMENT ON COLUMN wa.auth_quarantine.key_expires_at IS 'The deadline that a key had in wa.auth_key, for wa.restore_auth; null is none.';

-- How a restored database is detected (R7).
CREATE TABLE wa.auth_home (
    one               boolean PRIMARY KEY DEFAULT true CHECK (one),
    home              bigint NOT NULL,
    system_identifier bigint,
    database_oid      oid,
    timeline          integer,
    auth_oid          oid,
    first_epoch       bigint NOT NULL DEFAULT 0,
    reason            text,
    seen_at           timestamptz NOT NULL DEFAULT now(),
    free_at           timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.auth_home IS 'The database in which the auth state is used. When workers find that this is another one, or that it went back in time, they give it a new number; ratchets that were used under an earlier number are reset when their session connects.';
COMMENT ON COLUMN wa.auth_home.one IS 'Always true: the table has one row.';
COMMENT ON COLUMN wa.auth_home.home IS 'Number of this home: the moment when it was given, in milliseconds since 1970, so that it grows, also after a restore.';
COMMENT ON COLUMN wa.auth_home.system_identifier IS 'Id of the server''s data directory (pg_control_system); null where the server hides it. Unknown parts are not compared.';
COMMENT ON COLUMN wa.auth_home.database_oid IS 'Id of the database (pg_database).';
COMMENT ON COLUMN wa.auth_home.timeline IS 'Timeline of the server''s history; a recovery from an archive and a promoted standby start a new one. Null where the server hides it.';
COMMENT ON COLUMN wa.auth_home.auth_oid IS 'Id of the table wa.auth_key (pg_class), which pg_restore --clean creates again.';
COMMENT ON COLUMN wa.auth_home.first_epoch IS 'The lowest epoch of leases that are taken from now on: higher than any that a former holder may have had in the history that the restore undid.';
COMMENT ON COLUMN wa.auth_home.reason IS 'Why the home before this one ended; null for the first.';
COMMENT ON COLUMN wa.auth_home.seen_at IS 'Since when the database has this home.';
COMMENT ON COLUMN wa.auth_home.free_at IS 'From when on leases are taken in this home: by then, workers of the one before have stopped by their own clocks, also those that do not know of the change.';

-- Workers alone write wa.auth_home. What operators ask for is in a table of its own, so that no open transaction of theirs
-- can hold up a worker (R8).
CREATE TABLE wa.restore_request (
    home         bigint NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.restore_request IS 'Restores that somebody has reported with wa.restored. Workers read it with each heartbeat, and give the database a new home.';
COMMENT ON COLUMN wa.restore_request.home IS 'The home that the restore has ended. Requests with an earlier one than that of wa.auth_home are done.';
COMMENT ON COLUMN wa.restore_request.requested_at IS 'When somebody reported it.';

-- A restored snapshot of a volume looks like the database that it was. But what a process has seen committed is then
-- missing, and the process remembers it.
CREATE TABLE wa.witness (
    witness uuid PRIMARY KEY,
    beats   bigint NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE wa.witness IS 'Heartbeats that each worker process has counted. A process that remembers more than is here has seen a part of the history that a restore undid.';
COMMENT ON COLUMN wa.witness.witness IS 'The process; unlike wa.worker.worker_id it stays the same when the process registers again.';
COMMENT ON COLUMN wa.witness.beats IS 'Number of its heartbeats.';
COMMENT ON COLUMN wa.witness.seen_at IS 'The last one. A row is deleted when its process stops, or after 30 days.';

-- One row while the auth state has to be sealed.
CREATE TABLE wa.sealing (
    one   boolean PRIMARY KEY DEFAULT true CHECK (one),
    key   text NOT NULL,
    since timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.sealing IS 'A row says that the auth state has to be sealed: workers without the key refuse to start. Written by the first worker with a key in force; wagres auth plain deletes it.';
COMMENT ON COLUMN wa.sealing.one IS 'Always true: the table has at most one row.';
COMMENT ON COLUMN wa.sealing.key IS 'Id of the key that was last in force, as in encryption.keys.';
COMMENT ON COLUMN wa.sealing.since IS 'When a worker first sealed.';
