-- Why does it not send (S12)? One definition for sessions, wa.session_reasons, which wa.why and wa.reasons read; a message
-- adds what it waits for itself. What a person must do first comes first.

-- Set-based, and with one look-up in each index for each session, so that a list of 10,000 sessions takes a fraction of a
-- second and a queue of ten million messages costs nothing. Subselects with an order and a limit instead of joins with
-- wa.outbound: for a join the planner would read all messages that wait.
-- Without just-in-time compilation, which takes seconds for these statements where the planner knows little of the tables.
CREATE OR REPLACE FUNCTION wa.session_reasons(session_ids bigint[])
RETURNS TABLE (session_id bigint, blocked text, delayed text, limited text, paced text, used_up text, stuck boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH found AS MATERIALIZED (
        SELECT s.session_id, s.status, s.status_at::timestamptz(0) AS since, s.desired, s.proxy, s.failures, s.status_reason,
               s.rest_until::timestamptz(0) AS rest_until, s.qr IS NOT NULL AS has_qr, s.code IS NOT NULL AS has_code,
               s.paused_at::timestamptz(0) AS paused_at, s.paused_by, s.paused_reason,
               s.limit_reason, s.limited_until, t.tenant, t.paused_at::timestamptz(0) AS tenant_paused_at,
               t.paused_by AS tenant_paused_by, t.paused_reason AS tenant_paused_reason, l.unsettled,
               p AS pacing, b AS sending, p.session_id IS NOT NULL AS is_paced, p.first_contacts, b.contacts_today,
               b.gate_until > now() AS gated, b.gate_until,
               coalesce(p.quiet_from IS NOT NULL AND wa.is_quiet(p), false) AS quiet,
               coalesce(': ' || s.status_reason, '') AS because,
               CASE WHEN s.jid IS NULL THEN (
                   SELECT k.stage FROM wa.passkey k
                   WHERE k.session_id = s.session_id AND k.stage NOT IN ('done', 'failed') AND k.expires_at > now()) END AS passkey,
               -- What lies between the session and WhatsApp.
               CASE
                   WHEN s.status = 'logged_out' THEN 'logged_out'
                   WHEN s.jid IS NULL AND s.desired = 'stopped' THEN 'not_linked'
                   WHEN s.desired = 'stopped' THEN 'stopped'
                   WHEN w.worker_id IS NULL AND NOT (
                       SELECT EXISTS (SELECT FROM wa.worker o WHERE o.lease_until > now() AND NOT o.draining)) THEN 'no_worker'
                   WHEN s.status = 'banned' THEN 'banned'
                   WHEN s.proxy IS NOT NULL AND s.failures > 0 AND s.status IN ('disconnected', 'connecting') THEN 'proxy'
                   WHEN s.rest_until > now() AND s.status = 'disconnected' THEN 'resting'
                   WHEN w.worker_id IS NULL AND NOT (
                       SELECT EXISTS (
                           SELECT FROM wa.worker o
                           WHERE o.lease_until > now() AND NOT o.draining
                             AND (SELECT count(*) FROM (SELECT FROM wa.lease h WHERE h.holder = o.worker_id LIMIT o.max_sessions) held)
                                 < o.max_sessions)) THEN 'full'
                   WHEN w.worker_id IS NULL THEN 'free'
                   WHEN s.status = 'linking' THEN 'linking'
                   WHEN s.status = 'disconnected' THEN 'disconnected'
                   WHEN s.status <> 'connected' THEN 'connecting'
               END AS connection
        FROM wa.session s
        JOIN wa.tenant t USING (tenant)
        LEFT JOIN wa.lease l USING (session_id)
        LEFT JOIN wa.worker w ON w.worker_id = l.holder AND w.lease_until > now()
        LEFT JOIN wa.sending b USING (session_id)
        LEFT JOIN wa.pacing p USING (session_id)
        WHERE s.session_id = ANY (session_reasons.session_ids)
    ), told AS MATERIALIZED (
        SELECT f.*,
               CASE f.connection
                   WHEN 'logged_out' THEN format('logged out since %s%s (wa.link)', f.since, f.because)
                   WHEN 'not_linked' THEN format('not linked%s (wa.link)', f.because)
                   WHEN 'stopped' THEN CASE WHEN f.status = 'stopped'
                       THEN format('stopped since %s%s (wa.connect)', f.since, f.because)
                       ELSE 'should be stopped (wa.connect)' END
                   WHEN 'no_worker' THEN 'no worker runs (wagres worker)'
                   WHEN 'banned' THEN format('banned by WhatsApp until %s%s', f.rest_until, f.because)
                   WHEN 'proxy' THEN format('no connection through its proxy %s, %s failed in a row%s%s (wa.set_proxy)',
                       f.proxy, f.failures, f.because, '; the next attempt is at ' || (
                           SELECT min(j.run_at)::timestamptz(0) FROM wa.session_job j
                           WHERE j.session_id = f.session_id AND j.status = 'queued' AND NOT j.action
                             AND j.kind IN ('link', 'connect', 'reconnect') AND j.run_at > now()))
                   WHEN 'resting' THEN format('rests until %s%s%s', f.rest_until,
                       CASE WHEN f.failures > 1 THEN format(' after %s failed connections', f.failures) ELSE '' END, f.because)
                   WHEN 'full' THEN 'no worker has room (worker.max_sessions)'
                   WHEN 'free' THEN 'waits for a worker'
                   WHEN 'linking' THEN CASE
                       WHEN f.passkey = 'requested' THEN 'waits for a passkey (wa.answer_passkey)'
                       WHEN f.passkey = 'code' THEN 'waits until somebody compares the code of its passkey (wa.confirm_passkey)'
                       WHEN f.has_code THEN 'waits until somebody types its pairing code or scans its QR code'
                       WHEN f.has_qr THEN 'waits until somebody scans its QR code'
                       ELSE 'is being linked' END
                   WHEN 'disconnected' THEN format('disconnected since %s%s%s', f.since, f.because,
                       '; the next attempt is at ' || (
                           SELECT min(j.run_at)::timestamptz(0) FROM wa.session_job j
                           WHERE j.session_id = f.session_id AND j.status = 'queued' AND NOT j.action
                             AND j.kind IN ('link', 'connect', 'reconnect') AND j.run_at > now()))
                   WHEN 'connecting' THEN format('connecting since %s%s', f.since, f.because)
               END AS line,
               -- Whether a person has to look after it.
               CASE f.connection
                   WHEN 'linking' THEN f.has_qr OR f.has_code OR coalesce(f.passkey IN ('requested', 'code'), false)
                   WHEN 'resting' THEN f.failures >= 5
                   WHEN 'proxy' THEN f.failures >= 5 OR coalesce(f.status_reason LIKE 'proxy: %', false)
                   ELSE f.connection IN ('logged_out', 'not_linked', 'stopped', 'no_worker', 'full')
               END AS by_a_person,
               CASE WHEN f.tenant_paused_at IS NOT NULL THEN format('tenant %s paused by %s since %s%s (wa.resume_tenant)',
                   f.tenant, coalesce(f.tenant_paused_by, 'somebody'), f.tenant_paused_at,
                   ': ' || f.tenant_paused_reason) END AS tenant_paused,
               CASE WHEN f.paused_at IS NOT NULL THEN format('paused by %s since %s%s (wa.resume)',
                   coalesce(f.paused_by, 'its worker'), f.paused_at, ': ' || f.paused_reason) END AS paused,
               CASE WHEN f.quiet THEN wa.quiet_end(f.pacing)::timestamptz(0) END AS quiet_until
        FROM found f
    ), parted AS MATERIALIZED (
        SELECT t.*,
               nullif(concat_ws('; ', CASE WHEN t.by_a_person THEN t.line END, t.tenant_paused, t.paused,
                   CASE WHEN t.quiet AND t.quiet_until IS NULL THEN format('the server does not know the time zone %s of its quiet hours (wa.set_pacing)',
                       (t.pacing).time_zone) END,
                   CASE WHEN t.unsettled THEN 'an open transaction has locked messages that an earlier worker had in hand' END), '') AS blocked,
               nullif(concat_ws('; ', CASE WHEN NOT t.by_a_person THEN t.line END, 'quiet hours until ' || t.quiet_until), '') AS delayed
        FROM told t
    )
    SELECT p.session_id, p.blocked, p.delayed,
           CASE WHEN p.limit_reason IS NOT NULL AND coalesce(p.limited_until > now(), true)
                THEN format('limited by WhatsApp, no new chats%s: %s', ' until ' || p.limited_until::timestamptz(0), p.limit_reason) END,
           CASE WHEN NOT p.quiet AND p.is_paced AND p.gated AND waiting.messages
                THEN format('pacing, the next message goes at %s', p.gate_until::timestamptz(0)) END,
           -- These messages have the moment that the claim gave them, so one look-up finds whether there is one.
           CASE WHEN p.contacts_today >= p.first_contacts AND wa.contacts_left(p.pacing, p.sending) <= 0 AND (
                    SELECT true FROM wa.outbound_queue q
                    WHERE q.session_id = p.session_id AND q.waits_for = 'first_contact' AND q.waits_for <> 'paused' AND q.run_at = wa.tomorrow(p.pacing)
                    ORDER BY q.run_at LIMIT 1)
                THEN format('first contacts of today used up (%s), new chats wait until %s',
                    p.first_contacts, wa.tomorrow(p.pacing)::timestamptz(0)) END,
           p.blocked IS NOT NULL AND (
               coalesce(p.connection = 'logged_out', false) OR p.desired = 'connected' AND p.connection IS NOT NULL OR coalesce(waiting.messages, false))
    FROM parted p
    CROSS JOIN LATERAL (
        SELECT CASE WHEN p.blocked IS NOT NULL OR p.gated THEN (
            SELECT true FROM wa.outbound_queue q WHERE q.session_id = p.session_id ORDER BY q.chat, q.id LIMIT 1) END AS messages
        OFFSET 0
    ) waiting
$$;
COMMENT ON FUNCTION wa.session_reasons(bigint[]) IS 'Why sessions, by their ids, do not send: blocked (a person must act), delayed (ends by itself), limited (WhatsApp lets the account start no new chats), paced, used_up (first contacts of today); null where that is not in the way. stuck: see wa.reasons.';

CREATE OR REPLACE FUNCTION wa.reasons() RETURNS TABLE (session text, reason text, stuck boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT s.name, nullif(concat_ws('; ', r.blocked, r.delayed, r.limited, r.paced, r.used_up), ''), r.stuck
    FROM wa.session_reasons(ARRAY(
        SELECT own.session_id FROM wa.session own
        WHERE (SELECT wa.sees_all()) OR own.tenant = ANY ((SELECT wa.my_tenants())::text[]))) r
    JOIN wa.session s USING (session_id)
$$;
COMMENT ON FUNCTION wa.reasons() IS 'Why each session that you see does not send; null if nothing is in its way. stuck: a person must act, and messages wait, or the session should be connected and is not, or was logged out. SELECT * FROM wa.reasons() WHERE stuck;';

CREATE OR REPLACE FUNCTION wa.why(session text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT coalesce(nullif(concat_ws('; ', r.blocked, r.delayed, r.limited, r.paced, r.used_up, (
               SELECT string_agg(format('campaign %s paused by %s since %s (wa.resume_campaign)', c.campaign, coalesce(c.paused_by, 'somebody'), c.paused_at::timestamptz(0)), '; ')
               FROM (SELECT p.* FROM wa.campaign p WHERE p.session_id = r.session_id AND p.paused_at IS NOT NULL ORDER BY p.paused_at DESC LIMIT 5) c
           )), ''), 'nothing is in its way')
    FROM wa.session_reasons(ARRAY[wa.session_id(why.session)]) r
$$;
COMMENT ON FUNCTION wa.why(text) IS 'Why a session does not send, in one line; what a person must do first comes first. wa.reasons() has all sessions. SELECT wa.why(''shop'');';

CREATE OR REPLACE FUNCTION wa.message_reason(message wa.outbound, entry wa.outbound_queue) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN entry.waits_for = 'paused' THEN (
            SELECT format('campaign %s paused by %s since %s (wa.resume_campaign)', c.campaign, coalesce(c.paused_by, 'somebody'), c.paused_at::timestamptz(0))
            FROM wa.campaign c WHERE c.session_id = message.session_id AND c.campaign = message.campaign AND c.paused_at IS NOT NULL)
        -- Released as soon as the session can send.
        WHEN entry.run_at <= now() THEN NULL
        WHEN entry.waits_for = 'scheduled' THEN format('scheduled until %s', entry.run_at::timestamptz(0))
        WHEN entry.waits_for = 'retry' THEN format('retry at %s after attempt %s of %s%s',
            entry.run_at::timestamptz(0), message.attempts, message.max_attempts, ': ' || message.last_error)
        WHEN entry.waits_for = 'paced' THEN format('pacing, goes at %s', entry.run_at::timestamptz(0))
        WHEN entry.waits_for = 'quiet_hours' THEN format('quiet hours until %s', entry.run_at::timestamptz(0))
        WHEN entry.waits_for = 'first_contact' THEN format('a new chat, and the first contacts of today are used up until %s', entry.run_at::timestamptz(0))
    END
$$;
COMMENT ON FUNCTION wa.message_reason(wa.outbound, wa.outbound_queue) IS 'What a queued message waits for by itself, whatever its session and the messages before it do; null for nothing.';

CREATE OR REPLACE FUNCTION wa.why(message bigint) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    own    wa.outbound;
    entry  wa.outbound_queue;
    first  wa.outbound;
    before wa.outbound_queue;
    taken  bigint[];
    worker uuid;
    begun  timestamptz;
    of_session record;
    mine   text;
BEGIN
    SELECT * INTO own FROM wa.outbound o WHERE o.id = why.message;
    IF own.id IS NULL OR NOT wa.sees(own.session_id) THEN
        RAISE EXCEPTION 'message: no message has the id %', coalesce(why.message::text, 'null')
            USING ERRCODE = 'WA048', COLUMN = 'message', HINT = 'Accepted: the id of a row of wa.outbound, which shows a role the messages of its tenants.';
    END IF;
    SELECT * INTO entry FROM wa.outbound_queue q WHERE q.session_id = own.session_id AND q.chat = own.chat AND q.id = own.id;
    IF entry.id IS NULL THEN
        RETURN CASE own.status
            WHEN 'failed' THEN format('failed at %s, attempt %s of %s%s (wa.retry)',
                own.failed_at::timestamptz(0), own.attempts, own.max_attempts, ': ' || own.last_error)
            WHEN 'cancelled' THEN format('cancelled at %s (wa.retry)', own.cancelled_at::timestamptz(0))
            WHEN 'expired' THEN format('expired at %s (wa.retry)', own.expired_at::timestamptz(0))
            ELSE concat_ws(', ', 'sent at ' || own.sent_at::timestamptz(0), 'delivered at ' || own.delivered_at::timestamptz(0),
                           'read at ' || own.read_at::timestamptz(0), 'played at ' || own.played_at::timestamptz(0)) END;
    END IF;
    -- As in the claim: scheduled and paused messages hold back nothing.
    SELECT * INTO before FROM wa.outbound_queue e
    WHERE e.session_id = own.session_id AND e.chat = own.chat AND e.id < own.id
      AND (e.waits_for IS NULL OR e.waits_for NOT IN ('scheduled', 'paused'))
    ORDER BY e.id LIMIT 1;
    SELECT * INTO first FROM wa.outbound e WHERE e.id = before.id;
    SELECT w.worker_id, b.taken INTO worker, taken
    FROM wa.sending b JOIN wa.lease l USING (session_id) JOIN wa.worker w ON w.worker_id = l.holder AND w.lease_until > now()
    WHERE b.session_id = own.session_id;
    IF own.id = ANY (taken) THEN
        RETURN format('in the hands of worker %s%s%s', worker,
            CASE WHEN own.status = 'sending' THEN ' since ' || own.sending_at::timestamptz(0) END,
            ', behind message ' || first.id || ' of this chat');
    END IF;
    SELECT * INTO of_session FROM wa.session_reasons(ARRAY[own.session_id]);
    mine := wa.message_reason(own, entry);
    RETURN coalesce(nullif(concat_ws('; ',
        format('session %s: ', own.session) || of_session.blocked,
        CASE WHEN entry.waits_for IN ('paused', 'scheduled') THEN mine END,
        format('session %s: ', own.session) || of_session.delayed,
        CASE WHEN of_session.limited IS NOT NULL AND own.chat ~ '@(s\.whatsapp\.net|lid)$'
                  AND NOT EXISTS (SELECT FROM wa.outbound e WHERE e.session_id = own.session_id AND e.chat = own.chat AND e.sent_at IS NOT NULL)
                  AND NOT EXISTS (SELECT FROM wa.inbox i WHERE i.session_id = own.session_id AND i.chat = own.chat)
             THEN format('session %s: %s, and this chat is new', own.session, of_session.limited) END,
        CASE WHEN first.id IS NOT NULL THEN format('behind message %s of this chat%s', first.id, ': ' || CASE
                 WHEN first.id = ANY (taken) THEN 'in the hands of worker ' || worker
                 ELSE coalesce(wa.message_reason(first, before), of_session.paced) END) END,
        CASE WHEN entry.waits_for NOT IN ('paused', 'scheduled') AND position(mine IN coalesce(of_session.delayed, '')) = 0 THEN mine
             WHEN first.id IS NULL THEN of_session.paced END
    ), ''), 'nothing is in its way; it waits for its turn');
END $$;
COMMENT ON FUNCTION wa.why(bigint) IS 'What a message waits for, or what became of it, in one line, by its id in wa.outbound. SELECT wa.why(42);';
