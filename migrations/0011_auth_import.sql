-- Auth state that came from elsewhere, and values that could not be read.

ALTER TABLE wa.auth ADD imported_at timestamptz;
COMMENT ON COLUMN wa.auth.imported_at IS 'When the credentials came from another program, as long as no connection has used them: until then the import may be repeated, and later that would take ratchets back.';

CREATE TABLE wa.auth_quarantine (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    kind       text NOT NULL,
    key_id     text NOT NULL,
    value      jsonb NOT NULL,
    reason     text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL DEFAULT now() + interval '30 days'
);
CREATE INDEX auth_quarantine_session ON wa.auth_quarantine (session_id);
CREATE INDEX auth_quarantine_expires ON wa.auth_quarantine (expires_at);
COMMENT ON TABLE wa.auth_quarantine IS 'Values of the auth state that could not be used, as they were, for a while. Secret.';
COMMENT ON COLUMN wa.auth_quarantine.id IS 'Number of the entry.';
COMMENT ON COLUMN wa.auth_quarantine.session_id IS 'The session that it belongs to.';
COMMENT ON COLUMN wa.auth_quarantine.kind IS 'What it is, in the words of where it came from.';
COMMENT ON COLUMN wa.auth_quarantine.key_id IS 'Which one of its kind.';
COMMENT ON COLUMN wa.auth_quarantine.value IS 'As it was found. Secret.';
COMMENT ON COLUMN wa.auth_quarantine.reason IS 'Why it could not be used; never holds the value.';
COMMENT ON COLUMN wa.auth_quarantine.created_at IS 'When it was put here.';
COMMENT ON COLUMN wa.auth_quarantine.expires_at IS 'When the sweep of expired keys deletes it.';
