-- Media: files that are kept here or in the media store, and files that were uploaded to WhatsApp (M1, M6).

CREATE TABLE wa.media (
    media_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant     text NOT NULL REFERENCES wa.tenant,
    sha256     bytea NOT NULL CHECK (octet_length(sha256) = 32),
    size       bigint NOT NULL CHECK (size > 0),
    mime       text,
    data       bytea,
    path       text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant, sha256),
    CHECK (num_nonnulls(data, path) = 1)
);
-- Media is compressed already; stored uncompressed, a part can be read without the rest.
ALTER TABLE wa.media ALTER COLUMN data SET STORAGE EXTERNAL;
COMMENT ON TABLE wa.media IS 'Media of a tenant, each file once: put here by wa.add_media to be sent, or by wa.download to be read. Retention deletes what is older than its days and waits for no message.';
COMMENT ON COLUMN wa.media.media_id IS 'What content.media of wa.outbound names.';
COMMENT ON COLUMN wa.media.tenant IS 'Whose it is; sessions of others cannot send it.';
COMMENT ON COLUMN wa.media.sha256 IS 'Of the bytes.';
COMMENT ON COLUMN wa.media.size IS 'In bytes.';
COMMENT ON COLUMN wa.media.mime IS 'Its type, as its sender or whoever put it here says.';
COMMENT ON COLUMN wa.media.data IS 'The bytes, unless the media store has them.';
COMMENT ON COLUMN wa.media.path IS 'Where it stands in the media store (media.store of the configuration).';
COMMENT ON COLUMN wa.media.created_at IS 'When it was put here, or put here again.';
ALTER TABLE wa.media ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.media USING ((SELECT wa.sees_all()) OR tenant = ANY ((SELECT wa.my_tenants())::text[]));

CREATE TABLE wa.upload (
    upload_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    session_id  bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    kind        text NOT NULL,
    sha256      bytea NOT NULL,
    message     jsonb NOT NULL,
    url         text,
    etag        text,
    modified    text,
    uploaded_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (session_id, kind, sha256)
);
CREATE INDEX upload_url ON wa.upload (session_id, kind, md5(url)) WHERE url IS NOT NULL;
COMMENT ON TABLE wa.upload IS 'Media on WhatsApp''s servers, so that what goes to many is uploaded once. The worker''s own.';
COMMENT ON COLUMN wa.upload.upload_id IS 'What wa.outbound.upload_id names.';
COMMENT ON COLUMN wa.upload.session_id IS 'Who uploaded it.';
COMMENT ON COLUMN wa.upload.kind IS 'As which kind of message it was uploaded.';
COMMENT ON COLUMN wa.upload.sha256 IS 'Of the bytes.';
COMMENT ON COLUMN wa.upload.message IS 'The message without caption and quote, as in wa.inbox.message.';
COMMENT ON COLUMN wa.upload.url IS 'Where it was fetched from; etag and modified are what that server said of it.';
COMMENT ON COLUMN wa.upload.etag IS 'With what the server at url would say that it has not changed.';
COMMENT ON COLUMN wa.upload.modified IS 'Since when it has not, as that server says.';
COMMENT ON COLUMN wa.upload.uploaded_at IS 'When it was uploaded last; a day later it is uploaded anew.';
ALTER TABLE wa.upload ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.upload
    USING ((SELECT wa.sees_all()) OR session_id IN (SELECT s.session_id FROM wa.session s WHERE s.tenant = ANY ((SELECT wa.my_tenants())::text[])));

CREATE TABLE wa.download_rule (
    rule_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant     text NOT NULL REFERENCES wa.tenant,
    session_id bigint REFERENCES wa.session ON DELETE CASCADE,
    kinds      text[],
    max_bytes  bigint CHECK (max_bytes > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.download_rule IS 'Which files of received messages are downloaded without being asked for. See wa.add_download_rule.';
COMMENT ON COLUMN wa.download_rule.rule_id IS 'What wa.remove_download_rule takes.';
COMMENT ON COLUMN wa.download_rule.tenant IS 'Whose sessions.';
COMMENT ON COLUMN wa.download_rule.session_id IS 'Of this session; null is all sessions of the tenant.';
COMMENT ON COLUMN wa.download_rule.kinds IS 'Of these kinds of messages; null is all.';
COMMENT ON COLUMN wa.download_rule.max_bytes IS 'Up to this size; null is up to media.max_bytes of the worker''s configuration.';
COMMENT ON COLUMN wa.download_rule.created_at IS 'When it was made; what had come before is not downloaded by it.';
ALTER TABLE wa.download_rule ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.download_rule USING ((SELECT wa.sees_all()) OR tenant = ANY ((SELECT wa.my_tenants())::text[]));
