-- Webhooks (H5): receivers over HTTP, and what each has yet to be told.
--
-- Who may write a row decides its table (R8): applications write what they ask for (wa.webhook, wa.webhook_secret,
-- wa.webhook_replay), workers what they did (wa.webhook_lease, wa.delivery, wa.webhook_numbers). Workers only read the
-- first three, or skip what is locked there, so no open transaction of an application holds up a delivery.

CREATE TABLE wa.webhook (
    webhook_id      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name            text NOT NULL,
    session_ids     bigint[],
    tenants         text[],
    url             text NOT NULL,
    kinds           text[] NOT NULL,
    lanes           text NOT NULL DEFAULT 'chat',
    format          text NOT NULL DEFAULT 'standard',
    batch_size      integer NOT NULL DEFAULT 1,
    batch_wait      interval NOT NULL DEFAULT '1 second',
    header_names    text[] NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL DEFAULT now(),
    enabled_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    disabled_at     timestamptz,
    disabled_reason text,
    seen            pg_snapshot NOT NULL DEFAULT pg_current_snapshot(),
    CONSTRAINT webhook_name_check CHECK (name ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$'),
    CONSTRAINT webhook_lanes_check CHECK (lanes IN ('chat', 'none')),
    CONSTRAINT webhook_format_check CHECK (format IN ('standard', 'cloudevents')),
    CONSTRAINT webhook_session_ids_check CHECK (cardinality(session_ids) > 0),
    CONSTRAINT webhook_batch_size_check CHECK (batch_size BETWEEN 1 AND 100),
    CONSTRAINT webhook_batch_wait_check CHECK (batch_wait BETWEEN interval '0' AND interval '1 minute')
);
-- By a hash, as for consumers.
CREATE UNIQUE INDEX webhook_name ON wa.webhook (name, hash_array_extended(tenants, 0)) NULLS NOT DISTINCT;
CREATE INDEX webhook_tenants ON wa.webhook USING gin (tenants) WITH (fastupdate = off);
CREATE INDEX webhook_of_all ON wa.webhook (webhook_id) WHERE tenants IS NULL;
CREATE INDEX webhook_sessions ON wa.webhook USING gin (session_ids) WITH (fastupdate = off);
COMMENT ON TABLE wa.webhook IS 'Receivers of events over HTTP. Added by wa.add_webhook; wa.webhooks shows the backlog and the health of each.';
COMMENT ON COLUMN wa.webhook.webhook_id IS 'Number of the webhook.';
COMMENT ON COLUMN wa.webhook.name IS 'Name; 1 to 63 of letters, digits, dot, underscore, hyphen. Unique among webhooks of the same tenants.';
COMMENT ON COLUMN wa.webhook.session_ids IS 'The sessions whose events the webhook gets; null is all. A webhook is dropped with its last session.';
COMMENT ON COLUMN wa.webhook.tenants IS 'Tenants whose events the webhook gets: those that its creator saw; null is all.';
COMMENT ON COLUMN wa.webhook.url IS 'Address that events are posted to.';
COMMENT ON COLUMN wa.webhook.kinds IS 'Types of events that the webhook gets, see wa.webhook_types(): a type, all types with a beginning such as session.*, or * for all.';
COMMENT ON COLUMN wa.webhook.lanes IS 'chat: events of one chat arrive in their order, and wait for each other; none: each goes when it can.';
COMMENT ON COLUMN wa.webhook.format IS 'standard: bodies of Standard Webhooks; cloudevents: structured JSON of CloudEvents 1.0. Both are signed in the same way.';
COMMENT ON COLUMN wa.webhook.batch_size IS 'Most events in one request, 1 to 100; 1 sends each event by itself.';
COMMENT ON COLUMN wa.webhook.batch_wait IS 'How long an event waits for others to share its request, at most 1 minute.';
COMMENT ON COLUMN wa.webhook.header_names IS 'Names of your own headers; their values are secret.';
COMMENT ON COLUMN wa.webhook.created_at IS 'When the webhook was added.';
COMMENT ON COLUMN wa.webhook.enabled_at IS 'When the webhook was added, or last enabled by wa.enable_webhook.';
COMMENT ON COLUMN wa.webhook.disabled_at IS 'When wa.disable_webhook disabled it; null is not. A worker may have disabled it, too: wa.webhooks shows both.';
COMMENT ON COLUMN wa.webhook.disabled_reason IS 'Reason, as given to wa.disable_webhook.';
COMMENT ON COLUMN wa.webhook.seen IS 'Transactions that were over at enabled_at. What others store after that is delivered.';
ALTER TABLE wa.webhook ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.webhook USING ((SELECT wa.sees_all(current_user)) OR tenants <@ (SELECT wa.my_tenants(current_user))::text[]);

CREATE TABLE wa.webhook_secret (
    secret_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id bigint NOT NULL REFERENCES wa.webhook ON DELETE CASCADE,
    purpose    text NOT NULL,
    value      jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    CONSTRAINT webhook_secret_purpose_check CHECK (purpose IN ('signing', 'headers'))
);
CREATE INDEX webhook_secret_webhook ON wa.webhook_secret (webhook_id);
COMMENT ON TABLE wa.webhook_secret IS 'Secrets of webhooks, readable by workers alone, which encrypt them with the key in force.';
COMMENT ON COLUMN wa.webhook_secret.secret_id IS 'Number of the secret.';
COMMENT ON COLUMN wa.webhook_secret.webhook_id IS 'The webhook.';
COMMENT ON COLUMN wa.webhook_secret.purpose IS 'signing (signs each request; while two are valid, each request has both signatures) or headers (your own headers, as a JSON object).';
COMMENT ON COLUMN wa.webhook_secret.value IS 'The secret as bytes: {"type":"Buffer","data":"<base64>"}. Secret.';
COMMENT ON COLUMN wa.webhook_secret.created_at IS 'When the secret was made.';
COMMENT ON COLUMN wa.webhook_secret.expires_at IS 'From this moment on the secret signs nothing; null is never. Set when another one takes its place.';

-- No foreign key here and below: a webhook that is being dropped would hold up whoever stores a message (R8). Rows of
-- dropped webhooks are deleted by retention, leases by workers.
CREATE TABLE wa.webhook_lease (
    webhook_id      bigint PRIMARY KEY,
    worker_id       uuid,
    epoch           bigint NOT NULL DEFAULT 0,
    taken_at        timestamptz,
    enabled_at      timestamptz,
    seen            pg_snapshot,
    seen_until      bigint,
    failures        integer NOT NULL DEFAULT 0,
    failing_since   timestamptz,
    open_until      timestamptz,
    not_before      timestamptz,
    attempted_at    timestamptz,
    delivered_at    timestamptz,
    last_code       integer,
    last_error      text,
    disabled_at     timestamptz,
    disabled_reason text
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);
COMMENT ON TABLE wa.webhook_lease IS 'Which worker delivers for a webhook, and how its receiver answers. Written by workers alone.';
COMMENT ON COLUMN wa.webhook_lease.webhook_id IS 'The webhook.';
COMMENT ON COLUMN wa.webhook_lease.worker_id IS 'The one worker that delivers for it; null, or no longer in wa.worker: any worker may take it.';
COMMENT ON COLUMN wa.webhook_lease.epoch IS 'Grows by one with each new holder. A write for the webhook is valid only under this epoch.';
COMMENT ON COLUMN wa.webhook_lease.taken_at IS 'When the worker took it.';
COMMENT ON COLUMN wa.webhook_lease.enabled_at IS 'wa.webhook.enabled_at that seen belongs to.';
COMMENT ON COLUMN wa.webhook_lease.seen IS 'Transactions whose messages are delivered, or need no delivery; null once no transaction is left that did not see the webhook.';
COMMENT ON COLUMN wa.webhook_lease.seen_until IS 'Transactions from this number on have seen the webhook.';
COMMENT ON COLUMN wa.webhook_lease.failures IS 'Failed attempts in a row.';
COMMENT ON COLUMN wa.webhook_lease.failing_since IS 'The first of them; null after a success.';
COMMENT ON COLUMN wa.webhook_lease.open_until IS 'After several failures in a row only one delivery at a time is tried, and none before this moment.';
COMMENT ON COLUMN wa.webhook_lease.not_before IS 'Nothing is posted before this moment, because the receiver wants a pause or fails.';
COMMENT ON COLUMN wa.webhook_lease.attempted_at IS 'The last attempt.';
COMMENT ON COLUMN wa.webhook_lease.delivered_at IS 'The last success.';
COMMENT ON COLUMN wa.webhook_lease.last_code IS 'HTTP status of the last failure; null if there was no answer.';
COMMENT ON COLUMN wa.webhook_lease.last_error IS 'The last failure, in words.';
COMMENT ON COLUMN wa.webhook_lease.disabled_at IS 'When a worker disabled the webhook. Counts only if it is later than wa.webhook.enabled_at.';
COMMENT ON COLUMN wa.webhook_lease.disabled_reason IS 'Why: the receiver answered 410, or failed for too many days.';
ALTER TABLE wa.webhook_lease ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.webhook_lease
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.webhook w WHERE w.webhook_id = webhook_lease.webhook_id));

-- The fourth job table: inserted in the transaction of what happened, consumed by the holder of the webhook. It refers
-- to the row that has the content, and keeps only what that row does not. Statuses are texts, because under row-level
-- security a comparison of enums is no condition of an index.
CREATE TABLE wa.delivery (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id   bigint NOT NULL,
    source_id    bigint,
    session_id   bigint,
    happened_at  timestamptz NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    replayed_at  timestamptz,
    run_at       timestamptz NOT NULL DEFAULT now(),
    attempted_at timestamptz,
    finished_at  timestamptz,
    attempts     integer NOT NULL DEFAULT 0,
    code         integer,
    event_id     text COLLATE "C" NOT NULL,
    type         text NOT NULL,
    source       text NOT NULL,
    status       text NOT NULL DEFAULT 'queued',
    chat         text NOT NULL DEFAULT '',
    batch        text,
    data         jsonb,
    last_error   text,
    response     text,
    UNIQUE (webhook_id, event_id),
    CONSTRAINT delivery_source_check CHECK (source IN ('inbox', 'outbound', 'event', 'test')),
    CONSTRAINT delivery_status_check CHECK (status IN ('queued', 'waiting', 'done', 'dead', 'cancelled'))
) WITH (
    fillfactor = 70,
    -- As for wa.outbound: by count, because dead versions gather in the live part alone.
    autovacuum_vacuum_scale_factor = 0.005, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02
);
CREATE INDEX delivery_age ON wa.delivery USING brin (happened_at) WITH (pages_per_range = 32, autosummarize = on);
-- The first four hold the live part alone, each for one question of the holder: what is new, what is due again, what waits
-- behind another one of its chat, and what belongs to one request. The others are for operators: what ended last.
CREATE INDEX delivery_fresh ON wa.delivery (webhook_id, id) WHERE status = 'queued' AND attempts = 0;
CREATE INDEX delivery_retry ON wa.delivery (webhook_id, run_at, id) WHERE status = 'queued' AND attempts > 0;
CREATE INDEX delivery_waiting ON wa.delivery (webhook_id, chat, id) WHERE status = 'waiting';
CREATE INDEX delivery_batch ON wa.delivery (webhook_id, batch) WHERE status = 'queued' AND batch IS NOT NULL;
CREATE INDEX delivery_done ON wa.delivery (webhook_id, id) WHERE status = 'done';
CREATE INDEX delivery_dead ON wa.delivery (webhook_id, id) WHERE status = 'dead';
COMMENT ON TABLE wa.delivery IS 'What each webhook has to be told, and what became of it. SELECT type, status, attempts, code, last_error FROM wa.delivery ORDER BY id DESC LIMIT 20;';
COMMENT ON COLUMN wa.delivery.id IS 'Number of the delivery; grows in the order in which events of a chat happened.';
COMMENT ON COLUMN wa.delivery.webhook_id IS 'The webhook (wa.webhook).';
COMMENT ON COLUMN wa.delivery.source_id IS 'Id of the row that the event is about, in wa.inbox, wa.outbound or wa.event; null for a test.';
COMMENT ON COLUMN wa.delivery.session_id IS 'The session; null for an event without one.';
COMMENT ON COLUMN wa.delivery.happened_at IS 'When the event happened; timestamp in the body.';
COMMENT ON COLUMN wa.delivery.created_at IS 'When the row was inserted.';
COMMENT ON COLUMN wa.delivery.replayed_at IS 'When wa.replay_webhook last queued it again.';
COMMENT ON COLUMN wa.delivery.run_at IS 'Not before this moment; moved forward by a retry''s backoff.';
COMMENT ON COLUMN wa.delivery.attempted_at IS 'When the last attempt ended.';
COMMENT ON COLUMN wa.delivery.finished_at IS 'When the delivery ended as done, dead or cancelled.';
COMMENT ON COLUMN wa.delivery.attempts IS 'Number of attempts so far; 0 again after wa.replay_webhook.';
COMMENT ON COLUMN wa.delivery.code IS 'HTTP status of the last attempt; null if there was no answer.';
COMMENT ON COLUMN wa.delivery.event_id IS 'webhook-id of the event, the same over all attempts and replays: msg_<id>, status_<id>_<status>_<milliseconds>, event_<id> or test_<uuid>.';
COMMENT ON COLUMN wa.delivery.type IS 'Type of the event, see wa.webhook_types().';
COMMENT ON COLUMN wa.delivery.source IS 'Table of the row that the event is about: inbox, outbound, event; or test.';
COMMENT ON COLUMN wa.delivery.status IS 'queued, waiting (behind another one of its chat that is retried), done, dead (out of attempts, or its row was deleted), cancelled (the webhook may no longer get it).';
COMMENT ON COLUMN wa.delivery.chat IS 'JID of the chat, which decides the order; empty is the session itself.';
COMMENT ON COLUMN wa.delivery.batch IS 'webhook-id of the request that the event shares with others; null is a request of its own.';
COMMENT ON COLUMN wa.delivery.data IS 'What the source row does not keep: the status of that moment, with its times.';
COMMENT ON COLUMN wa.delivery.last_error IS 'Error of the last failed attempt.';
COMMENT ON COLUMN wa.delivery.response IS 'Beginning of the receiver''s answer to the last attempt: at most 4 kB of a failure, 512 bytes of a success.';
ALTER TABLE wa.delivery ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.delivery
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.webhook w WHERE w.webhook_id = delivery.webhook_id));

CREATE TABLE wa.webhook_replay (
    replay_id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    webhook_id   bigint NOT NULL,
    since        timestamptz NOT NULL,
    until        timestamptz NOT NULL,
    only_dead    boolean NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX webhook_replay_webhook ON wa.webhook_replay (webhook_id);
COMMENT ON TABLE wa.webhook_replay IS 'Replays that somebody asked for with wa.replay_webhook and that are not done yet.';
COMMENT ON COLUMN wa.webhook_replay.replay_id IS 'Number of the replay.';
COMMENT ON COLUMN wa.webhook_replay.webhook_id IS 'The webhook.';
COMMENT ON COLUMN wa.webhook_replay.since IS 'Events that happened at this moment or later are delivered again,';
COMMENT ON COLUMN wa.webhook_replay.until IS 'and before this moment.';
COMMENT ON COLUMN wa.webhook_replay.only_dead IS 'Only deliveries that are dead.';
COMMENT ON COLUMN wa.webhook_replay.requested_at IS 'When it was asked for.';
ALTER TABLE wa.webhook_replay ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.webhook_replay
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.webhook w WHERE w.webhook_id = webhook_replay.webhook_id));

CREATE TABLE wa.webhook_numbers (
    webhook_id      bigint,
    at              timestamptz,
    delivered       integer NOT NULL DEFAULT 0,
    failed          integer NOT NULL DEFAULT 0,
    dead            integer NOT NULL DEFAULT 0,
    latency_seconds double precision NOT NULL DEFAULT 0,
    latency         integer[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (webhook_id, at)
) WITH (fillfactor = 50);
CREATE INDEX webhook_numbers_age ON wa.webhook_numbers (at);
COMMENT ON TABLE wa.webhook_numbers IS 'Counts of deliveries by webhook and minute.';
COMMENT ON COLUMN wa.webhook_numbers.webhook_id IS 'The webhook.';
COMMENT ON COLUMN wa.webhook_numbers.at IS 'Start of the minute.';
COMMENT ON COLUMN wa.webhook_numbers.delivered IS 'Events that the receiver accepted.';
COMMENT ON COLUMN wa.webhook_numbers.failed IS 'Failed attempts, one for each event of a request.';
COMMENT ON COLUMN wa.webhook_numbers.dead IS 'Deliveries that ended as dead.';
COMMENT ON COLUMN wa.webhook_numbers.latency_seconds IS 'Sum over the events in delivered: seconds from the event to its acceptance.';
COMMENT ON COLUMN wa.webhook_numbers.latency IS 'How many of the events in delivered took how long: up to each of wa.latency_bounds(), and longer.';
ALTER TABLE wa.webhook_numbers ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.webhook_numbers
    USING ((SELECT wa.sees_all(current_user)) OR EXISTS (SELECT FROM wa.webhook w WHERE w.webhook_id = webhook_numbers.webhook_id));
