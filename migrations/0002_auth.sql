-- Auth state: what keeps a linked device linked. Nothing of it lives anywhere else, so any machine can take a session over.

CREATE TABLE wa.auth (
    session_id bigint PRIMARY KEY REFERENCES wa.session ON DELETE CASCADE,
    creds      jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
COMMENT ON TABLE wa.auth IS 'Credentials of a session, one row each; a session without a row has never been linked. Written by the holder alone, under its epoch.';
COMMENT ON COLUMN wa.auth.session_id IS 'The session that these credentials log in.';
COMMENT ON COLUMN wa.auth.creds IS 'Credentials under the field names of Baileys'' creds.json; what this client needs besides stands under "wagres". Bytes are {"type":"Buffer","data":"<base64>"}. Secret.';
COMMENT ON COLUMN wa.auth.updated_at IS 'When the client last wrote the credentials.';

-- key_id compares by byte: prefixes of a composite id are ranges of the primary key, and its order is the order in
-- which every batch locks its rows, so that two batches cannot deadlock.
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
COMMENT ON TABLE wa.auth_key IS 'Everything else that a session must remember between connections, one row per key. Written by the holder alone, under its epoch.';
COMMENT ON COLUMN wa.auth_key.session_id IS 'The session that the key belongs to.';
COMMENT ON COLUMN wa.auth_key.kind IS 'What it is: pre-key, signed-pre-key, session, identity-key, sender-key, sender-key-memory, app-state-sync-key, app-state-sync-version, app-state-mac, lid-mapping, device-list, tctoken, group-metadata, base-key, sent-message, pending-inbound, message-secret.';
COMMENT ON COLUMN wa.auth_key.key_id IS 'Which one of its kind. Parts of a composite id are joined by "|"; "%", "|" and control characters within a part are percent-encoded.';
COMMENT ON COLUMN wa.auth_key.value IS 'The key, in the shape of its kind. Bytes are {"type":"Buffer","data":"<base64>"}. Secret.';
COMMENT ON COLUMN wa.auth_key.expires_at IS 'Of no use after this moment, and may be deleted then; null is never.';
COMMENT ON COLUMN wa.auth_key.updated_at IS 'When the client last wrote the key. Maintenance that rewrites a value leaves this alone: ages and "the latest key" are read from it.';
