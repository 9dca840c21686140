-- Sessions, the workers that hold them, and the lease between the two.

CREATE TYPE wa.session_status AS ENUM (
    'new', 'linking', 'connecting', 'connected', 'disconnected', 'logged_out', 'banned', 'stopped'
);
COMMENT ON TYPE wa.session_status IS 'State of a session: new, linking, connecting, connected, disconnected, logged_out, banned, stopped.';
CREATE TYPE wa.session_wish AS ENUM ('connected', 'stopped');
COMMENT ON TYPE wa.session_wish IS 'The state that you want for a session: connected or stopped.';

-- How people of each country write phone numbers (M2). sql/schema fills it.
CREATE TABLE wa.region (
    region               text PRIMARY KEY,
    code                 text NOT NULL,
    main                 boolean NOT NULL,
    international_prefix text,
    national_prefix      text,
    transform            text,
    pattern              text NOT NULL
);
COMMENT ON TABLE wa.region IS 'How numbers are written in each country: the data of Google''s libphonenumber. See wa.phone.';
COMMENT ON COLUMN wa.region.region IS 'ISO 3166 code of the country, in capitals.';
COMMENT ON COLUMN wa.region.code IS 'Calling code of the country.';
COMMENT ON COLUMN wa.region.main IS 'Whether this is the main one of the countries that share the code.';
COMMENT ON COLUMN wa.region.international_prefix IS 'Digits that are dialled before the code of another country, as a regular expression.';
COMMENT ON COLUMN wa.region.national_prefix IS 'Digits that are dialled before a number within the country, as a regular expression.';
COMMENT ON COLUMN wa.region.transform IS 'Replacement for national_prefix; null removes it.';
COMMENT ON COLUMN wa.region.pattern IS 'Numbers without prefix, as a regular expression.';

CREATE TABLE wa.session (
    session_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name              text NOT NULL UNIQUE,
    tenant            text NOT NULL REFERENCES wa.tenant,
    created_at        timestamptz NOT NULL DEFAULT now(),
    -- The state, the wish, and what lies between them.
    status            wa.session_status NOT NULL DEFAULT 'new',
    status_reason     text,
    status_code       text,
    status_at         timestamptz NOT NULL DEFAULT now(),
    desired           wa.session_wish NOT NULL DEFAULT 'stopped',
    wished_at         timestamptz,
    connected_at      timestamptz,
    checked_at        timestamptz,
    failures          integer NOT NULL DEFAULT 0,
    rest_until        timestamptz,
    -- The account.
    phone             text,
    jid               text,
    lid               text,
    limit_reason      text,
    limited_until     timestamptz,
    -- Linking.
    link_phone        text,
    qr                text,
    qr_expires_at     timestamptz,
    code              text,
    code_expires_at   timestamptz,
    -- Crypto errors since the last connection, and their limits (S8).
    bad_macs          integer NOT NULL DEFAULT 0,
    bad_mac_limit     integer NOT NULL DEFAULT 3 CONSTRAINT session_bad_mac_limit_check CHECK (bad_mac_limit BETWEEN 1 AND 1000000),
    bad_decrypts      integer NOT NULL DEFAULT 0,
    bad_decrypt_limit integer NOT NULL DEFAULT 5 CONSTRAINT session_bad_decrypt_limit_check CHECK (bad_decrypt_limit BETWEEN 1 AND 1000000),
    relink_at_limit   boolean NOT NULL DEFAULT false,
    -- Settings.
    paused_at         timestamptz,
    paused_reason     text,
    paused_by         text,
    proxy             text,
    region            text REFERENCES wa.region,
    keep_past         boolean NOT NULL DEFAULT false,
    message_key       text NOT NULL DEFAULT md5(gen_random_uuid()::text),
    CONSTRAINT session_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    -- Readers compute with these moments, and their calendars have no infinity.
    CONSTRAINT session_times_check CHECK (least(created_at, status_at, wished_at, connected_at, checked_at, rest_until, limited_until, qr_expires_at, code_expires_at, paused_at) > '-infinity'
        AND greatest(created_at, status_at, wished_at, connected_at, checked_at, rest_until, limited_until, qr_expires_at, code_expires_at, paused_at) < '10000-01-01Z'),
    -- Rows that have the session and the tenant refer to both together.
    UNIQUE (session_id, tenant)
) WITH (fillfactor = 70);
CREATE INDEX session_tenant ON wa.session (tenant);
-- What the reconcilers look at (P12). Sessions that are stopped are not in it.
CREATE INDEX session_wanted ON wa.session (session_id) WHERE desired = 'connected' OR status IN ('linking', 'connecting', 'connected');
COMMENT ON TABLE wa.session IS 'Linked WhatsApp devices, one row each. Add with wa.add_session(name), link with wa.link(name), close with wa.close(name, reason).';
COMMENT ON COLUMN wa.session.session_id IS 'Number that other tables refer to.';
COMMENT ON COLUMN wa.session.name IS 'Chosen by you, unique in the database; 1 to 63 of letters, digits, dot, underscore, hyphen. Other tables have it in the column "session".';
COMMENT ON COLUMN wa.session.tenant IS 'Tenant of the session (wa.tenant). Decides who sees the session, its messages and its jobs. Without one at INSERT: the only tenant that the caller sees, else "default".';
COMMENT ON COLUMN wa.session.created_at IS 'When the session was added.';
COMMENT ON COLUMN wa.session.status IS 'Current state: new, linking, connecting, connected, disconnected, logged_out, banned, stopped; wa.next_statuses lists the states that may follow each. Written by workers alone.';
COMMENT ON COLUMN wa.session.status_reason IS 'Reason for the status, in words.';
COMMENT ON COLUMN wa.session.status_code IS 'The same as a code, for pages in other languages: the end of a connection (docs/sessions.md), or one of wa.status_code(); null for words of a person.';
COMMENT ON COLUMN wa.session.status_at IS 'Since when the session has this status.';
COMMENT ON COLUMN wa.session.desired IS 'The state that you want: connected or stopped. Workers bring the status there, also after a crash.';
COMMENT ON COLUMN wa.session.wished_at IS 'Since when desired is connected; null while it is stopped.';
COMMENT ON COLUMN wa.session.connected_at IS 'When the session last became connected.';
COMMENT ON COLUMN wa.session.checked_at IS 'When WhatsApp last answered the health check of this session. A session without an answer is connected again.';
COMMENT ON COLUMN wa.session.failures IS 'Connections in a row that failed or ended soon; sets the backoff, see rest_until. 0 after a connection that has lasted for a minute or has sent a message.';
COMMENT ON COLUMN wa.session.rest_until IS 'After five failed connections in a row the session rests until then, about 5 minutes and twice as long after each further failure, up to an hour; a banned session until its ban ends, one that WhatsApp limits for 5 minutes. The next connection is a probe. Null when the session does not rest. wa.connect tries at once.';
COMMENT ON COLUMN wa.session.phone IS 'Phone number in digits, known once linked.';
COMMENT ON COLUMN wa.session.jid IS 'The device''s JID, user:device@s.whatsapp.net, known once linked.';
COMMENT ON COLUMN wa.session.lid IS 'The device''s LID, the number-hiding address of the same account.';
COMMENT ON COLUMN wa.session.limit_reason IS 'Why WhatsApp lets this account start no new chats, in WhatsApp''s word, such as WEB_COMPANION_ONLY; null is no limit. A worker asks for it at each connect, after a refusal, and when the limit ends.';
COMMENT ON COLUMN wa.session.limited_until IS 'When that limit ends; null if WhatsApp did not say.';
COMMENT ON COLUMN wa.session.link_phone IS 'Phone number to link by pairing code, in digits; null links by QR code alone.';
COMMENT ON COLUMN wa.session.qr IS 'Text of the QR code to scan now, while linking. Changes every 20 to 60 s; wa_session announces that it did.';
COMMENT ON COLUMN wa.session.qr_expires_at IS 'The QR code is invalid after this moment.';
COMMENT ON COLUMN wa.session.code IS 'XXXX-XXXX, to be typed into the phone now: Settings, Linked devices, Link with phone number. wa_session announces that it changed.';
COMMENT ON COLUMN wa.session.code_expires_at IS 'The pairing code is invalid after this moment.';
COMMENT ON COLUMN wa.session.bad_macs IS 'Messages since the last connect whose ratchet did not fit (Bad MAC). Each is requested again and comes in a new Signal session. 0 after a successful connect.';
COMMENT ON COLUMN wa.session.bad_mac_limit IS 'This many Bad MACs make the session unhealthy, see wa.session_health. Set by wa.set_crypto_limits.';
COMMENT ON COLUMN wa.session.bad_decrypts IS 'How often since the last connect app state (names, archive, mutes …) did not fit its key. 0 after a successful connect.';
COMMENT ON COLUMN wa.session.bad_decrypt_limit IS 'This many Bad Decrypts make the session unhealthy, see wa.session_health. Set by wa.set_crypto_limits.';
COMMENT ON COLUMN wa.session.relink_at_limit IS 'Whether a session that reaches a limit is closed and its auth state quarantined for 30 days, so that it has to be linked again (or taken back by wa.restore_auth). Otherwise the session continues.';
COMMENT ON COLUMN wa.session.paused_at IS 'Since when the session sends nothing, though it stays connected and receives; null is not paused. Use wa.pause and wa.resume.';
COMMENT ON COLUMN wa.session.paused_reason IS 'Reason, as given to wa.pause.';
COMMENT ON COLUMN wa.session.paused_by IS 'Role, or token of the web pages, that called wa.pause; null when a worker paused the session, because WhatsApp refused a message.';
COMMENT ON COLUMN wa.session.proxy IS 'Proxy between the session and WhatsApp, without user and password; null is none. Set by wa.set_proxy.';
COMMENT ON COLUMN wa.session.region IS 'Country of numbers that are written without a calling code; null reads every number as international. Set by wa.set_region.';
COMMENT ON COLUMN wa.session.message_key IS 'Key of the message ids that wagres makes for this session: with it an id tells its row (wa.made_id), without it the id looks random.';
COMMENT ON COLUMN wa.session.keep_past IS 'Whether messages from before the link are kept in wa.past. Set by wa.keep_past.';
ALTER TABLE wa.session ENABLE ROW LEVEL SECURITY;
-- In the order of cost: the sessions of an application are found without a call of a function.
CREATE POLICY tenant ON wa.session USING (
    tenant = ANY (ARRAY(SELECT m.tenant FROM wa.my_tenant m))
    OR (SELECT wa.sees_all(current_user)) OR tenant = ANY ((SELECT wa.my_tenants(current_user))::text[]));

-- A worker proves that it lives by moving lease_until forward. A dead worker is a deleted row: whoever notices that
-- lease_until has passed deletes it, and foreign keys release everything that it held in the same statement.
CREATE TABLE wa.worker (
    worker_id    uuid PRIMARY KEY,
    host         text NOT NULL,
    pid          integer NOT NULL,
    version      text NOT NULL,
    started_at   timestamptz NOT NULL DEFAULT now(),
    lease_until  timestamptz NOT NULL,
    parked       boolean NOT NULL DEFAULT false,
    max_sessions integer NOT NULL DEFAULT 1000,
    draining     boolean NOT NULL DEFAULT false,
    check_at     timestamptz,
    home         bigint,
    memory_mb    integer,
    beat_at      timestamptz NOT NULL DEFAULT now(),
    backend_pid  integer,
    backend_started timestamptz
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE wa.worker IS 'Worker processes that are alive now.';
COMMENT ON COLUMN wa.worker.worker_id IS 'New at each start of a process, so that nothing can mistake a restarted worker for its predecessor.';
COMMENT ON COLUMN wa.worker.host IS 'Name of the machine.';
COMMENT ON COLUMN wa.worker.pid IS 'Process id on that machine.';
COMMENT ON COLUMN wa.worker.version IS 'Version of wagres.';
COMMENT ON COLUMN wa.worker.started_at IS 'When the worker registered.';
COMMENT ON COLUMN wa.worker.lease_until IS 'The worker is dead after this moment, by the clock of the database. Never revived: a late worker registers again under a new id.';
COMMENT ON COLUMN wa.worker.parked IS 'Whether the worker sleeps and wants a notification on the channel wa_work. Inserters send one only when some row is true here.';
COMMENT ON COLUMN wa.worker.max_sessions IS 'Most sessions that the worker holds; its share of all sessions is in proportion to this.';
COMMENT ON COLUMN wa.worker.draining IS 'Whether the worker gives its sessions to the others and then ends. Set by wa.drain_worker, or by the worker itself when it is stopped.';
COMMENT ON COLUMN wa.worker.check_at IS 'When the job check_sessions last asked the worker to check its sessions.';
COMMENT ON COLUMN wa.worker.home IS 'wa.auth_home.home when the worker registered. A worker of an earlier home is dead.';
COMMENT ON COLUMN wa.worker.beat_at IS 'When the worker last sent a heartbeat.';
COMMENT ON COLUMN wa.worker.backend_pid IS 'Server process of the connection over which it did so or registered, pg_stat_activity.pid. When that process has ended and no heartbeat comes within seconds, the worker is dead before lease_until. Null through a pooler.';
COMMENT ON COLUMN wa.worker.backend_started IS 'When that server process began, because numbers of processes come again; null through a pooler.';
COMMENT ON COLUMN wa.worker.memory_mb IS 'Memory of the process at its last heartbeat, in MB of 1,000,000 bytes; null before the first one.';

-- The fencing token. Every fenced write share-locks this row; a change of status must not wait for those writes, so the
-- lease is a table apart from wa.session. Workers alone write wa.worker and wa.lease, so that no open transaction of
-- anybody else can hold up a heartbeat or a takeover (R8); what operators ask for is in tables of its own.
CREATE TABLE wa.lease (
    session_id bigint PRIMARY KEY REFERENCES wa.session ON DELETE CASCADE,
    holder     uuid REFERENCES wa.worker ON DELETE SET NULL,
    epoch      bigint NOT NULL DEFAULT 0,
    taken_at   timestamptz,
    unsettled  boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
CREATE INDEX lease_holder ON wa.lease (holder);
CREATE INDEX lease_unsettled ON wa.lease (session_id) WHERE unsettled;
COMMENT ON TABLE wa.lease IS 'Which worker holds a session, and the fencing epoch of that hold.';
COMMENT ON COLUMN wa.lease.session_id IS 'The session.';
COMMENT ON COLUMN wa.lease.holder IS 'The one worker that may act for the session; null when the session is free.';
COMMENT ON COLUMN wa.lease.epoch IS 'Grows by one with each new holder. A write for a session is valid only while this still is the writer''s epoch and holder is not null.';
COMMENT ON COLUMN wa.lease.taken_at IS 'When the holder took the lease.';
COMMENT ON COLUMN wa.lease.unsettled IS 'Whether an earlier hold left messages in wa.sending.taken that could not be returned to the queue, because somebody had locked a row. The reconciler returns them as soon as it can; until then the session sends nothing.';
ALTER TABLE wa.lease ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.lease
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = lease.session_id));

-- No foreign key to wa.worker in these two: it would lock the row of a worker, and its end would wait for that.
CREATE TABLE wa.move_request (
    session_id   bigint PRIMARY KEY REFERENCES wa.session ON DELETE CASCADE,
    worker_id    uuid NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.move_request IS 'Which worker should hold a session, see wa.move_session. The view wa.wanted has those that hold.';
COMMENT ON COLUMN wa.move_request.session_id IS 'The session.';
COMMENT ON COLUMN wa.move_request.worker_id IS 'The worker that should hold it for as long as that worker lives.';
COMMENT ON COLUMN wa.move_request.requested_at IS 'When somebody asked for it.';
ALTER TABLE wa.move_request ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.move_request
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = move_request.session_id));

CREATE TABLE wa.drain_request (
    worker_id    uuid PRIMARY KEY,
    requested_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.drain_request IS 'Workers that should end in order, see wa.drain_worker. Each reads it with its heartbeat.';
COMMENT ON COLUMN wa.drain_request.worker_id IS 'The worker.';
COMMENT ON COLUMN wa.drain_request.requested_at IS 'When somebody asked for it.';

-- A table apart from wa.session, because the URL holds a password.
CREATE TABLE wa.proxy (
    session_id bigint PRIMARY KEY REFERENCES wa.session ON DELETE CASCADE,
    url        jsonb NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.proxy IS 'Proxies of sessions with user and password. Secret; written by wa.set_proxy.';
COMMENT ON COLUMN wa.proxy.session_id IS 'The session.';
COMMENT ON COLUMN wa.proxy.url IS 'Bytes of http:// or socks5:// with user, password, host and port, in the form of wa.auth_key.value. With encryption configured the worker that first uses the address seals it. Secret.';
COMMENT ON COLUMN wa.proxy.updated_at IS 'When the proxy was set.';

-- Linking of accounts that demand a passkey (S2).
CREATE TABLE wa.passkey (
    session_id   bigint PRIMARY KEY REFERENCES wa.session ON DELETE CASCADE,
    session      text NOT NULL,
    stage        text NOT NULL DEFAULT 'requested'
                 CHECK (stage IN ('requested', 'answered', 'proven', 'code', 'confirmed', 'done', 'failed')),
    request      jsonb NOT NULL,
    answer       jsonb,
    code         text,
    error        text,
    requested_at timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.passkey IS 'The last linking of each session for which WhatsApp demanded a passkey. Answer with wa.answer_passkey, then compare code with the phone and call wa.confirm_passkey. Changes are announced on wa_session.';
COMMENT ON COLUMN wa.passkey.session_id IS 'The session.';
COMMENT ON COLUMN wa.passkey.session IS 'Name of the session.';
COMMENT ON COLUMN wa.passkey.stage IS 'requested (waits for wa.answer_passkey), answered, proven (WhatsApp accepted the answer; the phone comes next), code (waits for wa.confirm_passkey), confirmed, done (linked), failed (see error).';
COMMENT ON COLUMN wa.passkey.request IS 'PublicKeyCredentialRequestOptionsJSON, for the passkey prompt of a browser on https://web.whatsapp.com.';
COMMENT ON COLUMN wa.passkey.answer IS 'The answer of the browser, until WhatsApp has accepted it. Secret.';
COMMENT ON COLUMN wa.passkey.code IS 'XXXX-XXXX, which the phone must show too.';
COMMENT ON COLUMN wa.passkey.error IS 'Why the linking failed.';
COMMENT ON COLUMN wa.passkey.requested_at IS 'When WhatsApp demanded the passkey.';
COMMENT ON COLUMN wa.passkey.expires_at IS 'Until when the linking may be finished.';
COMMENT ON COLUMN wa.passkey.updated_at IS 'When the stage last changed.';
ALTER TABLE wa.passkey ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.passkey
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = passkey.session_id));
