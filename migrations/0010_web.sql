-- The web (H2): the tokens by which its pages sign in, and its address.

CREATE TYPE wa.token_purpose AS ENUM ('token', 'login', 'cookie', 'link');
COMMENT ON TYPE wa.token_purpose IS 'What a secret is for: token (made by wa.add_token), login (signs in once), cookie (a signed-in browser), link (the link page of one session).';
-- In this order, each may do what those before it may.
CREATE TYPE wa.token_scope AS ENUM ('viewer', 'operator', 'admin');
COMMENT ON TYPE wa.token_scope IS 'What a web token may do: viewer (read), operator (what wa_app may, and read), admin (what wa_admin may).';

CREATE TABLE wa.token (
    token_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name         text NOT NULL,
    purpose      wa.token_purpose NOT NULL,
    scope        wa.token_scope,
    tenant       text REFERENCES wa.tenant ON DELETE CASCADE,
    session_id   bigint,
    parent_id    bigint REFERENCES wa.token ON DELETE CASCADE,
    proxy_user   boolean NOT NULL DEFAULT false,
    hash         bytea NOT NULL UNIQUE,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    last_used_at timestamptz,
    spent_at     timestamptz,
    revoked_at   timestamptz,
    FOREIGN KEY (session_id, tenant) REFERENCES wa.session (session_id, tenant) ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT token_scope_check CHECK ((scope IS NULL) = (purpose = 'link') AND (scope <> 'admin' OR tenant IS NULL)),
    CONSTRAINT token_session_check CHECK ((session_id IS NOT NULL) = (purpose = 'link') AND (session_id IS NULL OR tenant IS NOT NULL)),
    CONSTRAINT token_parent_check CHECK ((parent_id IS NOT NULL) = (purpose IN ('login', 'cookie'))),
    CONSTRAINT token_proxy_user_check CHECK (NOT proxy_user OR purpose = 'token'),
    CONSTRAINT token_expires_at_check CHECK (expires_at IS NOT NULL OR purpose = 'token')
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX token_name ON wa.token (name) WHERE purpose = 'token' AND revoked_at IS NULL;
CREATE INDEX token_session ON wa.token (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX token_parent ON wa.token (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX token_end ON wa.token ((least(revoked_at, spent_at, expires_at)));
COMMENT ON TABLE wa.token IS 'Secrets for the web pages; only their hashes are kept. Use wa.add_token, wa.revoke_token, wa.login_link, wa.link_url.';
COMMENT ON COLUMN wa.token.token_id IS 'Number of the token.';
COMMENT ON COLUMN wa.token.name IS 'As given to wa.add_token, unique among tokens that are not revoked; also of the login links and cookies of the token. Of a link page the name of the session.';
COMMENT ON COLUMN wa.token.purpose IS 'token (made by wa.add_token), login (a login link, which signs in once), cookie (a browser that has signed in), link (the link page of one session).';
COMMENT ON COLUMN wa.token.scope IS 'viewer, operator or admin; null for a link page.';
COMMENT ON COLUMN wa.token.tenant IS 'The tenant whose rows the token sees; null is all tenants. Of a link page the tenant of the session.';
COMMENT ON COLUMN wa.token.session_id IS 'The session of a link page; null for other tokens.';
COMMENT ON COLUMN wa.token.parent_id IS 'The token that a login link or a cookie belongs to, and ends with.';
COMMENT ON COLUMN wa.token.proxy_user IS 'Whether a web process may sign in a user with this name because its proxy says so, without the secret.';
COMMENT ON COLUMN wa.token.hash IS 'SHA-256 of the secret. Readable by the owner of the schema alone.';
COMMENT ON COLUMN wa.token.created_at IS 'When the token was made.';
COMMENT ON COLUMN wa.token.expires_at IS 'The token is invalid from this moment; null is never.';
COMMENT ON COLUMN wa.token.last_used_at IS 'When the token, or one of its cookies, was last used, to the minute; null is never.';
COMMENT ON COLUMN wa.token.spent_at IS 'When a login link signed somebody in, or the session of a link page was linked.';
COMMENT ON COLUMN wa.token.revoked_at IS 'When the token was revoked, or a cookie was signed out.';
ALTER TABLE wa.token ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.token USING ((SELECT wa.sees_all(current_user)) OR tenant = ANY ((SELECT wa.my_tenants(current_user))::text[]));

CREATE TABLE wa.web (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    url        text NOT NULL,
    guessed    boolean NOT NULL DEFAULT false,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.web IS 'Where people reach the web pages. Written by web processes when they start, see wa.register_web.';
COMMENT ON COLUMN wa.web.one IS 'Always true: the table has at most one row.';
COMMENT ON COLUMN wa.web.url IS 'Public address of the pages, without a slash at the end.';
COMMENT ON COLUMN wa.web.guessed IS 'Whether it is what a web process listens on, and nobody has set one.';
COMMENT ON COLUMN wa.web.updated_at IS 'When the address last changed.';

-- The link page shows the last job that linked its session. Few rows, because links are limited by the hour.
CREATE INDEX session_job_link ON wa.session_job (session_id, id) WHERE kind = 'link';

-- Rows that belong to no tenant. Other roles see them by their grants; a web role also needs a token, because the web
-- process may take the role without one.
DO $$
DECLARE fleet text;
BEGIN
    FOREACH fleet IN ARRAY ARRAY['auth_home', 'drain_request', 'restore_request', 'schema_state', 'sealing', 'web', 'witness', 'worker'] LOOP
        EXECUTE format('ALTER TABLE wa.%I ENABLE ROW LEVEL SECURITY', fleet);
        EXECUTE format($policy$CREATE POLICY fleet ON wa.%I
            USING (current_user NOT IN ('wa_web_viewer', 'wa_web_operator', 'wa_web_admin') OR (SELECT wa.sees_all(current_user)) OR (SELECT wa.my_tenants(current_user)) <> '{}')
            WITH CHECK (current_user NOT IN ('wa_web_viewer', 'wa_web_operator', 'wa_web_admin') OR (SELECT wa.sees_all(current_user)))$policy$, fleet);
    END LOOP;
END $$;
