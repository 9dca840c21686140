-- Sessions that talk to WhatsApp through a proxy.

CREATE TABLE wa.proxy (
    session_id bigint PRIMARY KEY REFERENCES wa.session ON DELETE CASCADE,
    url        text NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.proxy IS 'Proxies of sessions with what opens them. Secret; written by wa.set_proxy.';
COMMENT ON COLUMN wa.proxy.session_id IS 'The session.';
COMMENT ON COLUMN wa.proxy.url IS 'http:// or socks5:// with user, password, host and port. Secret.';
COMMENT ON COLUMN wa.proxy.updated_at IS 'When it was set.';

ALTER TABLE wa.session ADD proxy text;
COMMENT ON COLUMN wa.session.proxy IS 'The proxy through which it talks to WhatsApp, without user and password; null when it has none. Set by wa.set_proxy.';
