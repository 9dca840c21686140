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
COMMENT ON TABLE wa.media IS 'Files of a tenant, each once: put here by wa.add_media to be sent, or by wa.download to be read. Retention deletes files older than its days, unless a waiting message names them.';
COMMENT ON COLUMN wa.media.media_id IS 'Number for content.media of wa.outbound.';
COMMENT ON COLUMN wa.media.tenant IS 'Owner; sessions of other tenants cannot send the file.';
COMMENT ON COLUMN wa.media.sha256 IS 'SHA-256 of the bytes.';
COMMENT ON COLUMN wa.media.size IS 'Bytes.';
COMMENT ON COLUMN wa.media.mime IS 'Media type, as given by the sender or to wa.add_media.';
COMMENT ON COLUMN wa.media.data IS 'The bytes; null when the media store has them.';
COMMENT ON COLUMN wa.media.path IS 'Path in the media store (media.store of the configuration).';
COMMENT ON COLUMN wa.media.created_at IS 'When the file was last put here.';
ALTER TABLE wa.media ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.media USING ((SELECT wa.sees_all(current_user)) OR tenant = ANY ((SELECT wa.my_tenants(current_user))::text[]));

CREATE INDEX media_path ON wa.media (path) WHERE path IS NOT NULL;

-- A row cannot delete a file, so a deleted row of wa.media leaves the path here for the retention job.
CREATE TABLE wa.dropped_file (
    path       text PRIMARY KEY,
    dropped_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.dropped_file IS 'Files of the media store that wagres began to write, and those whose row in wa.media was deleted. Retention deletes the file after its days, unless a row names it.';
COMMENT ON COLUMN wa.dropped_file.path IS 'Path in the media store.';
COMMENT ON COLUMN wa.dropped_file.dropped_at IS 'When the row was deleted, or the file was written last.';
ALTER TABLE wa.dropped_file ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.dropped_file USING ((SELECT wa.sees_all(current_user)));

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
COMMENT ON TABLE wa.upload IS 'Files on WhatsApp''s servers, so that a file for many recipients is uploaded once. Used by workers alone.';
COMMENT ON COLUMN wa.upload.upload_id IS 'Number for wa.outbound.upload_id.';
COMMENT ON COLUMN wa.upload.session_id IS 'The session that uploaded the file.';
COMMENT ON COLUMN wa.upload.kind IS 'Kind of message that the file was uploaded for.';
COMMENT ON COLUMN wa.upload.sha256 IS 'SHA-256 of the bytes.';
COMMENT ON COLUMN wa.upload.message IS 'The message without caption and quote, as in wa.inbox.message.';
COMMENT ON COLUMN wa.upload.url IS 'Where the file was fetched from; null when it was not fetched.';
COMMENT ON COLUMN wa.upload.etag IS 'ETag of that fetch, to ask whether the file has changed.';
COMMENT ON COLUMN wa.upload.modified IS 'Last-Modified of that fetch.';
COMMENT ON COLUMN wa.upload.uploaded_at IS 'When the file was last uploaded; after a day it is uploaded again.';
ALTER TABLE wa.upload ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.upload
    USING ((SELECT wa.sees_all(current_user)) OR session_id IN (SELECT s.session_id FROM wa.session s WHERE s.tenant = ANY ((SELECT wa.my_tenants(current_user))::text[])));

CREATE TABLE wa.download_rule (
    rule_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant     text NOT NULL REFERENCES wa.tenant,
    session_id bigint REFERENCES wa.session ON DELETE CASCADE,
    kinds      text[],
    max_bytes  bigint CHECK (max_bytes > 0),
    created_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.download_rule IS 'Which files of received messages are downloaded automatically. See wa.add_download_rule.';
COMMENT ON COLUMN wa.download_rule.rule_id IS 'Number for wa.remove_download_rule.';
COMMENT ON COLUMN wa.download_rule.tenant IS 'Tenant of the sessions.';
COMMENT ON COLUMN wa.download_rule.session_id IS 'The session; null is all sessions of the tenant.';
COMMENT ON COLUMN wa.download_rule.kinds IS 'Kinds of messages; null is all.';
COMMENT ON COLUMN wa.download_rule.max_bytes IS 'Largest file, in bytes; null is media.max_bytes of the worker''s configuration.';
COMMENT ON COLUMN wa.download_rule.created_at IS 'When the rule was added; files of earlier messages are not downloaded by it.';
ALTER TABLE wa.download_rule ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.download_rule USING ((SELECT wa.sees_all(current_user)) OR tenant = ANY ((SELECT wa.my_tenants(current_user))::text[]));
