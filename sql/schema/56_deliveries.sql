-- Deliveries (H5): what happens becomes rows of wa.delivery in the transaction in which it happens, so nothing is
-- delivered that was rolled back, and nothing is lost that was committed. Without webhooks each of these costs a look at
-- an empty table.

CREATE OR REPLACE FUNCTION wa.hears(webhook wa.webhook, session_id bigint, type text, tenants text[] DEFAULT NULL) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT (webhook.session_ids IS NULL OR coalesce(hears.session_id = ANY (webhook.session_ids), false))
        AND webhook.kinds && ARRAY['*', hears.type, split_part(hears.type, '.', 1) || '.*']
        AND (webhook.tenants IS NULL
             OR coalesce((SELECT s.tenant = ANY (webhook.tenants) FROM wa.session s WHERE s.session_id = hears.session_id), false)
             OR hears.session_id IS NULL AND coalesce(hears.tenants <@ webhook.tenants, false))
$$;
COMMENT ON FUNCTION wa.hears(wa.webhook, bigint, text, text[]) IS 'Whether a webhook gets events of this session and type. Those without a session are for webhooks of all sessions: of all tenants, and of at least these tenants unless there are none.';

CREATE OR REPLACE FUNCTION wa.listeners(session_id bigint, type text, tenants text[] DEFAULT NULL) RETURNS SETOF bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    -- Only those of the session's tenant, and of all: as in wa.inbox_consumed.
    SELECT w.webhook_id
    FROM (
        SELECT t.* FROM wa.webhook t
        WHERE t.tenants @> coalesce(listeners.tenants, ARRAY(SELECT s.tenant FROM wa.session s WHERE s.session_id = listeners.session_id))
          AND (listeners.session_id IS NOT NULL OR listeners.tenants IS NOT NULL)
        UNION ALL
        SELECT a.* FROM wa.webhook a WHERE a.tenants IS NULL
    ) w
    WHERE NOT wa.is_disabled(w) AND wa.hears(w, listeners.session_id, listeners.type, listeners.tenants)
$$;
COMMENT ON FUNCTION wa.listeners(bigint, text, text[]) IS 'The webhooks that get events of this session and type now; without a session of these tenants, or of none.';

CREATE OR REPLACE FUNCTION wa.event_consumed() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- As for wa.inbox_consumed.
    IF TG_RELID <> 'wa.event'::regclass THEN
        RAISE EXCEPTION 'wa.event_consumed is the trigger of wa.event alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF NOT EXISTS (SELECT FROM wa.webhook) THEN
        RETURN NULL;
    END IF;
    INSERT INTO wa.delivery (webhook_id, event_id, type, source, source_id, session_id, chat, happened_at)
    SELECT l, 'event_' || n.id, wa.webhook_type(n.kind), 'event', n.id, n.session_id, coalesce(n.data ->> 'chat', n.data ->> 'group', ''), n.created_at
    FROM stored n CROSS JOIN LATERAL wa.listeners(n.session_id, wa.webhook_type(n.kind), n.tenants) l
    ORDER BY n.id
    ON CONFLICT (webhook_id, event_id) DO NOTHING;
    IF FOUND THEN
        PERFORM pg_notify('wa_work', 'webhooks');
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.event_consumed() IS 'Statement trigger of wa.event: inserts deliveries for the webhooks that get these events.';
CREATE OR REPLACE TRIGGER consumed AFTER INSERT ON wa.event
    REFERENCING NEW TABLE AS stored FOR EACH STATEMENT EXECUTE FUNCTION wa.event_consumed();

-- Called by wa.announce_status in the statement that has changed the rows; being VOLATILE, it sees them changed.
CREATE OR REPLACE FUNCTION wa.deliver_status(ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    INSERT INTO wa.delivery (webhook_id, event_id, type, source, source_id, session_id, chat, happened_at, data)
    SELECT l, c.event_id, 'message.status', 'outbound', c.id, c.session_id, c.chat, c.at, c.data
    FROM wa.status_changes(ids) c CROSS JOIN LATERAL wa.listeners(c.session_id, 'message.status') l
    ORDER BY c.id
    ON CONFLICT (webhook_id, event_id) DO NOTHING;
    IF FOUND THEN
        PERFORM pg_notify('wa_work', 'webhooks');
    END IF;
END $$;
COMMENT ON FUNCTION wa.deliver_status(bigint[]) IS 'Inserts deliveries of the present status of these messages, for the webhooks that get it and have not got it.';

CREATE OR REPLACE FUNCTION wa.status_changes(ids bigint[]) RETURNS TABLE (id bigint, event_id text, session_id bigint, chat text, at timestamptz, data jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT o.id, 'status_' || o.id || '_' || o.status || '_' || floor(extract(epoch FROM t.at) * 1000), o.session_id, o.chat, t.at,
           jsonb_strip_nulls(jsonb_build_object('status', o.status, 'attempts', o.attempts, 'failure', o.failure, 'error', CASE WHEN o.status = 'failed' THEN left(o.last_error, 1000) END,
               'sent_at', o.sent_at, 'delivered_at', o.delivered_at, 'read_at', o.read_at, 'played_at', o.played_at))
    FROM wa.outbound o
    CROSS JOIN LATERAL (
        SELECT CASE o.status WHEN 'sent' THEN o.sent_at WHEN 'delivered' THEN o.delivered_at WHEN 'read' THEN o.read_at WHEN 'played' THEN o.played_at
                             WHEN 'failed' THEN o.failed_at WHEN 'cancelled' THEN o.cancelled_at WHEN 'expired' THEN o.expired_at END AS at
    ) t
    WHERE o.id = ANY (ids) AND t.at IS NOT NULL
$$;
COMMENT ON FUNCTION wa.status_changes(bigint[]) IS 'The present status of messages as events of webhooks. None while a message is queued or sending.';

-- As wa.locked_consumer does it for consumers: a message whose transaction did not see the webhook is found by the
-- number of its transaction. Only the holder calls this, and it writes only the lease, which no application can lock.
CREATE OR REPLACE FUNCTION wa.fill_webhook(webhook_id bigint, epoch bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    webhook  wa.webhook;
    lease    wa.webhook_lease;
    now_seen pg_snapshot;
BEGIN
    SELECT w.* INTO webhook FROM wa.webhook w WHERE w.webhook_id = fill_webhook.webhook_id;
    -- The lock gives this transaction its number, after the webhook was seen committed.
    SELECT l.* INTO lease FROM wa.webhook_lease l WHERE l.webhook_id = fill_webhook.webhook_id AND l.epoch = fill_webhook.epoch AND l.worker_id IS NOT NULL FOR UPDATE;
    IF webhook.webhook_id IS NULL OR lease.webhook_id IS NULL THEN
        RETURN true;
    ELSIF lease.enabled_at IS DISTINCT FROM webhook.enabled_at THEN
        lease.seen := webhook.seen;
        lease.seen_until := NULL;
    ELSIF lease.seen IS NULL THEN
        RETURN true;
    END IF;
    lease.seen_until := coalesce(lease.seen_until, pg_current_xact_id()::text::bigint);
    -- One statement, so that the messages and the snapshot fit.
    WITH given AS (
        INSERT INTO wa.delivery (webhook_id, event_id, type, source, source_id, session_id, chat, happened_at)
        SELECT webhook.webhook_id, 'msg_' || i.id, 'message.received', 'inbox', i.id, i.session_id, i.chat, i.received_at
        FROM wa.stored_beside(lease.seen, lease.seen_until) i WHERE wa.hears(webhook, i.session_id, 'message.received')
        ORDER BY i.id
        ON CONFLICT (webhook_id, event_id) DO NOTHING
    )
    SELECT pg_current_snapshot() INTO now_seen;
    UPDATE wa.webhook_lease l
    SET enabled_at = webhook.enabled_at,
        seen = CASE WHEN pg_snapshot_xmin(now_seen)::text::bigint < lease.seen_until THEN now_seen END,
        seen_until = CASE WHEN pg_snapshot_xmin(now_seen)::text::bigint < lease.seen_until THEN lease.seen_until END
    WHERE l.webhook_id = lease.webhook_id;
    RETURN pg_snapshot_xmin(now_seen)::text::bigint >= lease.seen_until;
END $$;
COMMENT ON FUNCTION wa.fill_webhook(bigint, bigint) IS 'Inserts deliveries of messages that were being stored when a webhook was added or enabled. False while more may come.';

-- A row has the time at which its transaction began, so among the rows of a long transaction, and those that were
-- inserted beside it, ids do not grow with time. An index of the times finds those that are late enough. To look for the
-- smallest id is left to it by OFFSET: Postgres would read all rows in the order of their ids up to the first one.
CREATE OR REPLACE FUNCTION wa.first_since(source text, since timestamptz) RETURNS bigint
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    first bigint;
BEGIN
    -- Often the first row is late enough.
    IF (CASE source
        WHEN 'inbox' THEN (SELECT i.received_at FROM wa.inbox i ORDER BY i.id LIMIT 1)
        WHEN 'event' THEN (SELECT e.created_at FROM wa.event e ORDER BY e.id LIMIT 1)
        ELSE (SELECT d.happened_at FROM wa.delivery d ORDER BY d.id LIMIT 1) END) >= since THEN
        RETURN 0;
    END IF;
    first := CASE source
        WHEN 'inbox' THEN (SELECT min(r.id) FROM (SELECT i.id FROM wa.inbox i WHERE i.received_at >= since OFFSET 0) r)
        WHEN 'event' THEN (SELECT min(r.id) FROM (SELECT e.id FROM wa.event e WHERE e.created_at >= since OFFSET 0) r)
        ELSE (SELECT min(r.id) FROM (SELECT d.id FROM wa.delivery d WHERE d.happened_at >= since OFFSET 0) r) END;
    RETURN coalesce(first - 1, 9223372036854775807);
END $$;
COMMENT ON FUNCTION wa.first_since(text, timestamptz) IS 'The id after which the rows of inbox, event or delivery begin that are of a moment or later: received, inserted, happened.';
