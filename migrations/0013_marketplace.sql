-- The marketplace (H6): companies that come from the partner, what the partner is told, and what it has told.
--
-- Applications write none of these tables. Web processes write wa.company, wa.partner_call, wa.partner_key and
-- wa.partner_hook by functions of 57_companies.sql and 58_onboarding.sql; workers write what came of a call.

CREATE TABLE wa.company (
    company_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    salon_id         bigint NOT NULL UNIQUE,
    session_id       bigint NOT NULL UNIQUE,
    tenant           text NOT NULL,
    name             text,
    business_type    text,
    status           text NOT NULL DEFAULT 'registered',
    status_at        timestamptz NOT NULL DEFAULT now(),
    created_at       timestamptz NOT NULL DEFAULT now(),
    entered_at       timestamptz NOT NULL DEFAULT now(),
    activated_at     timestamptz,
    tested_at        timestamptz,
    api_key_hash     bytea,
    api_key_at       timestamptz,
    FOREIGN KEY (session_id, tenant) REFERENCES wa.session (session_id, tenant) ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT company_salon_id_check CHECK (salon_id > 0),
    CONSTRAINT company_status_check CHECK (status IN ('registered', 'activating', 'active', 'failed', 'frozen', 'uninstalled')),
    CONSTRAINT company_api_key_check CHECK ((api_key_hash IS NULL) = (api_key_at IS NULL))
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX company_api_key ON wa.company (api_key_hash) WHERE api_key_hash IS NOT NULL;
CREATE INDEX company_tenant ON wa.company (tenant);
CREATE INDEX company_untested ON wa.company (session_id) WHERE tested_at IS NULL;
COMMENT ON TABLE wa.company IS 'Companies that came from the partner''s marketplace, each with one session. wa.companies shows them with their connection.';
COMMENT ON COLUMN wa.company.company_id IS 'Number of the company.';
COMMENT ON COLUMN wa.company.salon_id IS 'The partner''s number of the company.';
COMMENT ON COLUMN wa.company.session_id IS 'The session that the company links, named company_<salon_id>.';
COMMENT ON COLUMN wa.company.tenant IS 'Tenant of the session; a new company gets one of its own, named as the session.';
COMMENT ON COLUMN wa.company.name IS 'Name, as the partner says; null until it has.';
COMMENT ON COLUMN wa.company.business_type IS 'Kind of business, as the partner says; null until it has.';
COMMENT ON COLUMN wa.company.status IS 'registered (came from the partner), activating (the partner is being told), active, failed (the partner could not be told), frozen or uninstalled (by the partner).';
COMMENT ON COLUMN wa.company.status_at IS 'When status last changed.';
COMMENT ON COLUMN wa.company.created_at IS 'When the company first came.';
COMMENT ON COLUMN wa.company.entered_at IS 'When somebody last came from the partner for it; an activation is possible for 60 minutes after that.';
COMMENT ON COLUMN wa.company.activated_at IS 'When the partner last accepted an activation.';
COMMENT ON COLUMN wa.company.tested_at IS 'When the test message was queued, after its phone was first linked; null: not yet, or marketplace.test_phone is not set.';
COMMENT ON COLUMN wa.company.api_key_hash IS 'SHA-256 of the company''s API key, which a new activation replaces; null without one. Readable by the owner of the schema and workers alone.';
COMMENT ON COLUMN wa.company.api_key_at IS 'When that key was made.';
ALTER TABLE wa.company ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.company USING ((SELECT wa.sees_all(current_user)) OR tenant = ANY ((SELECT wa.my_tenants(current_user))::text[]));

CREATE TABLE wa.company_numbers (
    company_id  bigint REFERENCES wa.company ON DELETE CASCADE,
    day         date,
    entered     integer NOT NULL DEFAULT 0,
    links       integer NOT NULL DEFAULT 0,
    activations integer NOT NULL DEFAULT 0,
    activated   integer NOT NULL DEFAULT 0,
    failed      integer NOT NULL DEFAULT 0,
    frozen      integer NOT NULL DEFAULT 0,
    uninstalled integer NOT NULL DEFAULT 0,
    PRIMARY KEY (company_id, day)
) WITH (fillfactor = 50);
CREATE INDEX company_numbers_age ON wa.company_numbers (day);
COMMENT ON TABLE wa.company_numbers IS 'Connection statistics of companies by day (UTC): how far each came on its way from the partner.';
COMMENT ON COLUMN wa.company_numbers.company_id IS 'The company.';
COMMENT ON COLUMN wa.company_numbers.day IS 'The day, in UTC.';
COMMENT ON COLUMN wa.company_numbers.entered IS 'How often somebody came from the partner.';
COMMENT ON COLUMN wa.company_numbers.links IS 'How often a program began to link a phone; links of the link page stand in wa.session_job.';
COMMENT ON COLUMN wa.company_numbers.activations IS 'Activations that were asked for.';
COMMENT ON COLUMN wa.company_numbers.activated IS 'Activations that the partner accepted.';
COMMENT ON COLUMN wa.company_numbers.failed IS 'Activations that failed for good.';
COMMENT ON COLUMN wa.company_numbers.frozen IS 'How often the partner froze the company.';
COMMENT ON COLUMN wa.company_numbers.uninstalled IS 'How often the partner uninstalled it.';
ALTER TABLE wa.company_numbers ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.company_numbers
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.company c WHERE c.company_id = company_numbers.company_id));

-- Requests to the partner, consumed by any worker. A claim is a lease with a number of its own: a worker that comes back
-- finds another number, and its outcome is discarded.
CREATE TABLE wa.partner_call (
    call_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id   bigint NOT NULL REFERENCES wa.company ON DELETE CASCADE,
    claim        uuid,
    worker_id    uuid,
    created_at   timestamptz NOT NULL DEFAULT now(),
    run_at       timestamptz NOT NULL DEFAULT now(),
    leased_until timestamptz,
    finished_at  timestamptz,
    attempts     integer NOT NULL DEFAULT 0,
    code         integer,
    kind         text NOT NULL,
    status       text NOT NULL DEFAULT 'queued',
    last_error   text,
    response     text,
    CONSTRAINT partner_call_kind_check CHECK (kind IN ('profile', 'callback')),
    CONSTRAINT partner_call_status_check CHECK (status IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    CONSTRAINT partner_call_claim_check CHECK ((status = 'running') = (claim IS NOT NULL))
) WITH (fillfactor = 70);
-- One of a kind at a time: a second activation finds the first one.
CREATE UNIQUE INDEX partner_call_live ON wa.partner_call (company_id, kind) WHERE status IN ('queued', 'running');
CREATE INDEX partner_call_due ON wa.partner_call (run_at, call_id) WHERE status = 'queued';
CREATE INDEX partner_call_running ON wa.partner_call (leased_until) WHERE status = 'running';
CREATE INDEX partner_call_company ON wa.partner_call (company_id, call_id);
CREATE INDEX partner_call_age ON wa.partner_call (finished_at) WHERE finished_at IS NOT NULL;
COMMENT ON TABLE wa.partner_call IS 'Requests to the partner''s API as jobs: any worker makes them. SELECT kind, status, attempts, code, last_error FROM wa.partner_call ORDER BY call_id DESC LIMIT 20;';
COMMENT ON COLUMN wa.partner_call.call_id IS 'Number of the call.';
COMMENT ON COLUMN wa.partner_call.company_id IS 'The company that the call concerns.';
COMMENT ON COLUMN wa.partner_call.claim IS 'Which claim the call runs under; only that one may write its outcome. Null unless running.';
COMMENT ON COLUMN wa.partner_call.worker_id IS 'The worker that makes the call, or made its last attempt.';
COMMENT ON COLUMN wa.partner_call.created_at IS 'When it was queued.';
COMMENT ON COLUMN wa.partner_call.run_at IS 'Not before this moment; moved forward by a retry''s backoff.';
COMMENT ON COLUMN wa.partner_call.leased_until IS 'While running: another worker may make the call after this moment.';
COMMENT ON COLUMN wa.partner_call.finished_at IS 'When it ended as done, failed or cancelled.';
COMMENT ON COLUMN wa.partner_call.attempts IS 'Attempts so far; one that died with its worker does not count.';
COMMENT ON COLUMN wa.partner_call.code IS 'HTTP status of the last attempt; null if there was no answer.';
COMMENT ON COLUMN wa.partner_call.kind IS 'profile (asks for the company''s name and kind of business) or callback (says that the company is active, with its API key).';
COMMENT ON COLUMN wa.partner_call.status IS 'queued, running, done, failed (refused, or out of attempts), cancelled (the partner uninstalled the company meanwhile).';
COMMENT ON COLUMN wa.partner_call.last_error IS 'Error of the last failed attempt.';
COMMENT ON COLUMN wa.partner_call.response IS 'Beginning of the partner''s answer to the last failed attempt, at most 4 kB.';
ALTER TABLE wa.partner_call ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.partner_call
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.company c WHERE c.company_id = partner_call.company_id));

CREATE TABLE wa.partner_key (
    call_id bigint PRIMARY KEY REFERENCES wa.partner_call ON DELETE CASCADE,
    value   jsonb NOT NULL
);
COMMENT ON TABLE wa.partner_key IS 'API keys that callbacks have yet to carry to the partner, readable by workers alone, which encrypt them with the key in force. Deleted when the call ends.';
COMMENT ON COLUMN wa.partner_key.call_id IS 'The callback.';
COMMENT ON COLUMN wa.partner_key.value IS 'The API key as bytes: {"type":"Buffer","data":"<base64>"}. Secret.';
ALTER TABLE wa.partner_key ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.partner_key
    USING ((SELECT wa.sees_all(current_user))
        OR EXISTS (SELECT FROM wa.partner_call p JOIN wa.company c USING (company_id) WHERE p.call_id = partner_key.call_id));

-- One row, so that the limits hold over all workers.
CREATE TABLE wa.partner (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    tokens     double precision NOT NULL DEFAULT 1,
    tokens_at  timestamptz NOT NULL DEFAULT now(),
    failures   integer NOT NULL DEFAULT 0,
    open_until timestamptz
) WITH (fillfactor = 20);
INSERT INTO wa.partner DEFAULT VALUES;
COMMENT ON TABLE wa.partner IS 'The pace of requests to the partner over all workers, and the breaker. Written by workers.';
COMMENT ON COLUMN wa.partner.one IS 'Always true: the table has one row.';
COMMENT ON COLUMN wa.partner.tokens IS 'Requests that may be made at once at tokens_at.';
COMMENT ON COLUMN wa.partner.tokens_at IS 'When tokens was last counted.';
COMMENT ON COLUMN wa.partner.failures IS 'Failed requests in a row.';
COMMENT ON COLUMN wa.partner.open_until IS 'After 5 failures in a row nothing is asked before this moment, and then one request at a time until one succeeds; null while the breaker is closed.';
ALTER TABLE wa.partner ENABLE ROW LEVEL SECURITY;
-- As for the other tables of the fleet in 0010_web.sql.
CREATE POLICY fleet ON wa.partner
    USING (current_user NOT IN ('wa_web_viewer', 'wa_web_operator', 'wa_web_admin') OR (SELECT wa.sees_all(current_user)) OR (SELECT wa.my_tenants(current_user)) <> '{}')
    WITH CHECK (current_user NOT IN ('wa_web_viewer', 'wa_web_operator', 'wa_web_admin') OR (SELECT wa.sees_all(current_user)));

CREATE TABLE wa.partner_hook (
    hook_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    company_id  bigint NOT NULL REFERENCES wa.company ON DELETE CASCADE,
    entered_at  timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    seen        integer NOT NULL DEFAULT 1,
    event       text NOT NULL,
    UNIQUE (company_id, event, entered_at)
) WITH (fillfactor = 70);
CREATE INDEX partner_hook_age ON wa.partner_hook (received_at);
COMMENT ON TABLE wa.partner_hook IS 'Notices of the partner about companies, each once within 24 hours.';
COMMENT ON COLUMN wa.partner_hook.hook_id IS 'Number of the row.';
COMMENT ON COLUMN wa.partner_hook.company_id IS 'The company.';
COMMENT ON COLUMN wa.partner_hook.entered_at IS 'wa.company.entered_at of that moment: what is told again after somebody came back is new.';
COMMENT ON COLUMN wa.partner_hook.received_at IS 'When it was acted upon.';
COMMENT ON COLUMN wa.partner_hook.seen IS 'How often it was told.';
COMMENT ON COLUMN wa.partner_hook.event IS 'uninstall or freeze.';
ALTER TABLE wa.partner_hook ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.partner_hook
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.company c WHERE c.company_id = partner_hook.company_id));

-- The pages of the marketplace that are open (H3).
CREATE TABLE wa.company_watch (
    company_id bigint PRIMARY KEY REFERENCES wa.company ON DELETE CASCADE,
    until      timestamptz NOT NULL
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE wa.company_watch IS 'Companies for which a page of the marketplace is open at some web process. A web process renews its rows; whoever finds that one has expired deletes it, and closes the session if it is not linked.';
COMMENT ON COLUMN wa.company_watch.company_id IS 'The company.';
COMMENT ON COLUMN wa.company_watch.until IS 'When it no longer counts as open, unless a web process renews the row.';
ALTER TABLE wa.company_watch ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.company_watch
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.company c WHERE c.company_id = company_watch.company_id));
