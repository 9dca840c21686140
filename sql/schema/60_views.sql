-- Views for operators.

CREATE OR REPLACE VIEW wa.queue WITH (security_invoker = on) AS
SELECT s.name AS session, s.tenant, s.status, s.paused_at IS NOT NULL OR t.paused_at IS NOT NULL AS paused,
       coalesce(q.ready, 0) AS ready, coalesce(q.sending, 0) AS sending, coalesce(q.scheduled, 0) AS scheduled,
       coalesce(q.retrying, 0) AS retrying, coalesce(q.paced, 0) AS paced, coalesce(q.chats, 0) AS chats,
       q.oldest, now() - q.oldest AS age, q.next_run_at,
       coalesce(q.held, 0) AS held
FROM wa.session s
JOIN wa.tenant t USING (tenant)
-- Of each session by itself, so that a question for one reads the queue of no other (P12).
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE q.waits_for IS NULL) - coalesce(max(b.sending), 0) AS ready, max(b.sending) AS sending,
           count(*) FILTER (WHERE q.waits_for = 'scheduled') AS scheduled,
           count(*) FILTER (WHERE q.waits_for = 'retry') AS retrying,
           count(*) FILTER (WHERE q.waits_for IN ('paced', 'quiet_hours', 'first_contact')) AS paced,
           count(DISTINCT q.chat) AS chats,
           (SELECT o.created_at FROM wa.outbound o
            WHERE o.id = min(q.id) FILTER (WHERE q.waits_for IS NULL OR q.waits_for NOT IN ('scheduled', 'paused'))) AS oldest,
           min(q.run_at) FILTER (WHERE q.waits_for <> 'paused') AS next_run_at,
           count(*) FILTER (WHERE q.waits_for = 'paused') AS held
    FROM wa.outbound_queue q
    LEFT JOIN LATERAL (
        -- Only messages in hand can be on their way.
        SELECT (SELECT count(*) FROM wa.outbound o WHERE o.id = ANY (b.taken) AND o.status = 'sending') AS sending
        FROM wa.sending b WHERE b.session_id = s.session_id
    ) b ON true
    WHERE q.session_id = s.session_id
) q;
COMMENT ON VIEW wa.queue IS 'Backlog of each session: how many messages, why they wait, and the age of the oldest. SELECT * FROM wa.queue ORDER BY age DESC NULLS LAST;';
COMMENT ON COLUMN wa.queue.paused IS 'Whether wa.pause or wa.pause_tenant holds the session back.';
COMMENT ON COLUMN wa.queue.ready IS 'Messages that go as soon as the session can send.';
COMMENT ON COLUMN wa.queue.sending IS 'Messages on their way whose attempt takes longer than a moment.';
COMMENT ON COLUMN wa.queue.scheduled IS 'Messages for later (send_at).';
COMMENT ON COLUMN wa.queue.retrying IS 'Messages that failed and wait for a retry.';
COMMENT ON COLUMN wa.queue.paced IS 'Messages that pacing holds back. Only the next ones have this reason; those behind them count as ready.';
COMMENT ON COLUMN wa.queue.chats IS 'Number of chats.';
COMMENT ON COLUMN wa.queue.oldest IS 'When the oldest message was inserted that is neither for later nor held.';
COMMENT ON COLUMN wa.queue.age IS 'Time since oldest.';
COMMENT ON COLUMN wa.queue.next_run_at IS 'When the next waiting message may go.';
COMMENT ON COLUMN wa.queue.held IS 'Messages of paused campaigns.';

CREATE OR REPLACE VIEW wa.failure WITH (security_invoker = on) AS
SELECT o.session, f.id, o.recipient, o.kind, o.attempts, o.last_error, f.failed_at, o.created_at,
       f.failure, f.session_id
FROM wa.outbound_failed f JOIN wa.outbound o USING (id);
COMMENT ON VIEW wa.failure IS 'Failed messages, with the class of the failure and the last error. SELECT * FROM wa.failure WHERE session_id = wa.session_id(''shop'') AND failure = ''media'' ORDER BY failed_at DESC LIMIT 20; then SELECT wa.retry(id);';
COMMENT ON COLUMN wa.failure.failure IS 'Class of the failure: wa.failure_classes() says what each means and what helps.';
COMMENT ON COLUMN wa.failure.session_id IS 'The session; a search by it uses an index, one by name does not.';

CREATE OR REPLACE VIEW wa.session_health WITH (security_invoker = on) AS
SELECT s.name AS session, s.tenant, s.status, s.bad_macs, s.bad_mac_limit, s.bad_decrypts, s.bad_decrypt_limit, s.relink_at_limit,
       s.bad_macs < s.bad_mac_limit AND s.bad_decrypts < s.bad_decrypt_limit AS is_healthy,
       s.failures, s.rest_until, s.connected_at, s.checked_at
FROM wa.session s;
COMMENT ON VIEW wa.session_health IS 'Whether each session can decrypt and connect. SELECT * FROM wa.session_health WHERE NOT is_healthy;';
COMMENT ON COLUMN wa.session_health.is_healthy IS 'Both counts of decryption errors are below their limits. Each successful connect sets them to 0.';

-- With its owner's rights, because roles that may read the view may not read the auth state itself.
CREATE OR REPLACE VIEW wa.auth_size WITH (security_barrier = true) AS
SELECT s.name AS session, s.tenant, k.kind, count(*) AS keys, sum(k.bytes)::bigint AS bytes,
       count(k.expires_at) AS with_deadline, min(k.expires_at) AS next_deadline, max(k.updated_at) AS updated_at
FROM wa.session s
JOIN (
    SELECT session_id, 'creds' AS kind, pg_column_size(creds) AS bytes, NULL::timestamptz AS expires_at, updated_at FROM wa.auth
    UNION ALL
    SELECT session_id, kind, pg_column_size(value) + pg_column_size(key_id), expires_at, updated_at FROM wa.auth_key
    UNION ALL
    SELECT session_id, 'quarantine', pg_column_size(value) + pg_column_size(key_id), expires_at, created_at FROM wa.auth_quarantine
) AS k USING (session_id)
WHERE (SELECT wa.sees_all(current_user)) OR s.tenant = ANY ((SELECT wa.my_tenants(current_user))::text[])
GROUP BY s.name, s.tenant, k.kind;
COMMENT ON VIEW wa.auth_size IS 'Amount of auth state of each session, by kind of key. SELECT * FROM wa.auth_size ORDER BY bytes DESC; reads all of wa.auth_key.';
COMMENT ON COLUMN wa.auth_size.kind IS 'A kind of wa.auth_key, or creds, or quarantine.';
COMMENT ON COLUMN wa.auth_size.keys IS 'Number of keys.';
COMMENT ON COLUMN wa.auth_size.bytes IS 'Stored bytes of ids and values, without indexes and row headers.';
COMMENT ON COLUMN wa.auth_size.with_deadline IS 'Keys that the sweep will delete.';
COMMENT ON COLUMN wa.auth_size.next_deadline IS 'The first deadline of those.';
COMMENT ON COLUMN wa.auth_size.updated_at IS 'When one of them was last written.';
