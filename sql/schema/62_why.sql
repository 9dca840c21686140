-- Why does it not send (S12)? A reason is a code and its arguments, in jsonb: {"code": "paused", "by": "anna", "since": "…"}. Its
-- English words are made from wa.reason_kinds(), the one list; pages have their other languages' words in src/web/words, and a test
-- compares the two. One definition for sessions, wa.session_reasons, which wa.why and wa.reasons read; a message adds what it waits
-- for itself. What a person must do first comes first.

CREATE OR REPLACE FUNCTION wa.reason_kinds() RETURNS TABLE (code text, words text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ VALUES
    -- Between a session and WhatsApp.
    ('logged_out', 'logged out since {since}[: {because}] (wa.link)'),
    ('not_linked', 'not linked[: {because}] (wa.link)'),
    ('stopped', 'stopped since {since}[: {because}] (wa.connect)'),
    ('stops', 'should be stopped (wa.connect)'),
    ('no_worker', 'no worker runs (wagres worker)'),
    ('banned', 'banned by WhatsApp[ until {until}][: {because}]'),
    ('proxy', 'no connection through its proxy {proxy}, {failures} failed in a row[: {because}][; the next attempt is at {next}] (wa.set_proxy)'),
    ('resting', 'rests until {until}[ after {failures} failed connections][: {because}]'),
    ('full', 'no worker has room (worker.max_sessions)'),
    ('free', 'waits for a worker'),
    ('passkey', 'waits for a passkey (wa.answer_passkey)'),
    ('passkey_code', 'waits until somebody compares the code of its passkey (wa.confirm_passkey)'),
    ('pairing_code', 'waits until somebody types its pairing code or scans its QR code'),
    ('qr_code', 'waits until somebody scans its QR code'),
    ('linking', 'is being linked'),
    ('disconnected', 'disconnected since {since}[: {because}][; the next attempt is at {next}]'),
    ('connecting', 'connecting since {since}[: {because}]'),
    -- In the way of sending.
    ('tenant_paused', 'tenant {tenant} paused[ by {by}] since {since}[: {reason}] (wa.resume_tenant)'),
    ('paused', 'paused by {by} since {since}[: {reason}] (wa.resume)'),
    ('paused_by_worker', 'paused by its worker since {since}[: {because}] (wa.resume)'),
    ('time_zone', 'the server does not know the time zone {time_zone} of its quiet hours (wa.set_pacing)'),
    ('unsettled', 'an open transaction has locked messages that an earlier worker had in hand'),
    ('transaction', 'an open transaction of role {role}[, {application}][, pid {pid}] has locked its sending[ since {since}]'),
    ('quiet_hours', 'quiet hours until {until}'),
    ('limited', 'limited by WhatsApp, no new chats[ until {until}]: {limit}'),
    ('gate', 'pacing, the next message goes at {at}'),
    ('used_up', 'first contacts of today used up ({limit}), new chats wait until {until}'),
    ('campaign_paused', 'campaign {campaign} paused[ by {by}] since {since} (wa.resume_campaign)'),
    ('nothing', 'nothing is in its way'),
    -- What a message waits for.
    ('scheduled', 'scheduled until {until}'),
    ('retry', 'retry at {at} after attempt {attempt} of {of}[: {because}]'),
    ('paced', 'pacing, goes at {at}'),
    ('first_contact', 'a new chat, and the first contacts of today are used up until {until}'),
    ('of_session', 'session {session}: {reasons}'),
    ('new_chat', 'session {session}: {reasons}, and this chat is new'),
    ('in_hand', 'in the hands of worker {worker}[ since {since}][, behind message {behind} of this chat]'),
    ('behind', 'behind message {behind} of this chat[: {reasons}]'),
    ('turn', 'nothing is in its way; it waits for its turn'),
    -- What became of it.
    ('failed', 'failed at {at}, attempt {attempt} of {of}[: {because}] (wa.retry)'),
    ('cancelled', 'cancelled at {at} (wa.retry)'),
    ('expired', 'expired at {at} (wa.retry)'),
    ('sent', 'sent at {sent}[, delivered at {delivered}][, read at {read}][, played at {played}]')
$$;
COMMENT ON FUNCTION wa.reason_kinds() IS 'The codes of reasons of wa.why and wa.reasons, and the English words of each: {name} is an argument, and what stands in brackets is said only with its argument. SELECT * FROM wa.reason_kinds();';

-- An argument is a word, a number, a reason, or several; because is {"code", "text"}: what a worker or WhatsApp said in English, with the
-- code of it that other languages have words for.
CREATE OR REPLACE FUNCTION wa.reason_text(reason jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    kind text;
    part text[];
    told text := '';
    said text;
BEGIN
    CASE jsonb_typeof(reason)
        WHEN 'array' THEN
            RETURN (SELECT string_agg(wa.reason_text(one), '; ' ORDER BY place) FROM jsonb_array_elements(reason) WITH ORDINALITY o (one, place));
        WHEN 'object' THEN
            IF reason ? 'text' THEN RETURN reason ->> 'text'; END IF;
        ELSE
            RETURN reason #>> '{}';
    END CASE;
    SELECT k.words INTO kind FROM wa.reason_kinds() k WHERE k.code = reason ->> 'code';
    FOR part IN SELECT m FROM regexp_matches(kind, '\[([^{\]]*)\{(\w+)\}([^\]]*)\]|\{(\w+)\}|([^[{]+)', 'g') m LOOP
        IF part[5] IS NOT NULL THEN
            told := told || part[5];
        ELSE
            said := wa.reason_text(reason -> coalesce(part[2], part[4]));
            told := told || coalesce(CASE WHEN part[2] IS NULL THEN said ELSE part[1] || said || part[3] END, '');
        END IF;
    END LOOP;
    RETURN told;
END $$;
COMMENT ON FUNCTION wa.reason_text(jsonb) IS 'A reason, or several, in English; null for none. SELECT wa.reason_text(''{"code": "no_worker"}'');';

CREATE OR REPLACE FUNCTION wa.reason_list(VARIADIC reasons jsonb[]) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_agg(each.one ORDER BY o.place, each.place)
    FROM unnest(reasons) WITH ORDINALITY o (one, place)
    CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(o.one) WHEN 'array' THEN o.one WHEN 'object' THEN jsonb_build_array(o.one) END)
        WITH ORDINALITY each (one, place)
$$;
COMMENT ON FUNCTION wa.reason_list(jsonb[]) IS 'The given reasons, each one or a list, as one list without the nulls; null for none.';

CREATE OR REPLACE FUNCTION wa.campaign_reason(paused wa.campaign) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('code', 'campaign_paused', 'campaign', paused.campaign, 'by', paused.paused_by, 'since', paused.paused_at::timestamptz(0)::text))
$$;
COMMENT ON FUNCTION wa.campaign_reason(wa.campaign) IS 'The reason that a paused campaign is.';

-- Set-based, as wa.session_reasons is.
CREATE OR REPLACE FUNCTION wa.campaign_reasons(session_ids bigint[]) RETURNS TABLE (session_id bigint, reasons jsonb)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT p.session_id, jsonb_agg(wa.campaign_reason(p.campaign) ORDER BY p.place)
    FROM (
        SELECT c.session_id, c AS campaign, row_number() OVER (PARTITION BY c.session_id ORDER BY c.paused_at DESC, c.campaign) AS place
        FROM wa.campaign c
        WHERE c.paused_at IS NOT NULL AND c.session_id = ANY (campaign_reasons.session_ids)
          AND (SELECT true FROM wa.outbound_queue q
               WHERE q.session_id = c.session_id AND q.campaign = c.campaign AND q.waits_for = 'paused' ORDER BY q.id LIMIT 1)
    ) p
    WHERE p.place <= 5
    GROUP BY p.session_id
$$;
COMMENT ON FUNCTION wa.campaign_reasons(bigint[]) IS 'The paused campaigns that hold messages back in sessions, by their ids: of each session the five that were paused last. Sessions without one are left out.';

-- What lies between each session and WhatsApp, without words. A view, because the planner leaves out what is not asked for:
-- wa.stuck costs a third of wa.session_reasons.
CREATE OR REPLACE VIEW wa.session_line WITH (security_invoker = on) AS
SELECT f.*,
       CASE f.connection
           WHEN 'linking' THEN f.has_qr OR f.has_code OR coalesce(f.passkey IN ('requested', 'code'), false)
           WHEN 'resting' THEN f.failures >= 5
           WHEN 'proxy' THEN f.failures >= 5 OR coalesce(f.status_reason LIKE 'proxy: %', false)
           ELSE f.connection IN ('logged_out', 'not_linked', 'stopped', 'no_worker', 'full')
       END AS by_a_person
FROM (
    SELECT s.session_id, s.name, s.tenant, s.status, s.status_at, s.status_reason, s.status_code, s.desired, s.proxy, s.failures, s.rest_until,
           s.qr IS NOT NULL AS has_qr, s.code IS NOT NULL AS has_code, s.paused_at, s.paused_by, s.paused_reason, s.limit_reason, s.limited_until,
           t.paused_at AS tenant_paused_at, t.paused_by AS tenant_paused_by, t.paused_reason AS tenant_paused_reason, l.unsettled,
           p AS pacing, b AS sending, p.session_id IS NOT NULL AS is_paced, b.xmax::text AS sending_locked_by,
           coalesce(p.quiet_from IS NOT NULL AND wa.is_quiet(p), false) AS quiet,
           CASE WHEN s.jid IS NULL THEN (
               SELECT k.stage FROM wa.passkey k
               WHERE k.session_id = s.session_id AND k.stage NOT IN ('done', 'failed') AND k.expires_at > now()) END AS passkey,
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
) f;
COMMENT ON VIEW wa.session_line IS 'What lies between each session and WhatsApp (connection; null for nothing), whether a person has to look after it (by_a_person), and what else wa.session_reasons makes its words from.';

-- Set-based, and with one look-up in each index for each session, so that a list of 10,000 sessions takes a fraction of a
-- second and a queue of ten million messages costs nothing. Subselects with an order and a limit instead of joins with
-- wa.outbound: for a join the planner would read all messages that wait.
-- Without just-in-time compilation, which takes seconds for these statements where the planner knows little of the tables.
CREATE OR REPLACE FUNCTION wa.session_reasons(session_ids bigint[])
RETURNS TABLE (session_id bigint, blocked jsonb, delayed jsonb, limited jsonb, paced jsonb, used_up jsonb, stuck boolean)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH transaction AS MATERIALIZED (
        -- Open transactions that may have locked rows, but for those of workers, which are short. A prepared one has no process.
        SELECT k.transactionid::text AS id, jsonb_strip_nulls(jsonb_build_object('code', 'transaction',
                   'role', coalesce(a.usename, x.owner), 'application', coalesce(nullif(a.application_name, ''), x.gid), 'pid', a.pid,
                   'since', coalesce(a.xact_start, x.prepared)::timestamptz(0)::text)) AS reason
        FROM pg_locks k LEFT JOIN pg_stat_activity a ON a.pid = k.pid LEFT JOIN pg_prepared_xacts x ON x.transaction = k.transactionid
        WHERE k.locktype = 'transactionid' AND k.mode = 'ExclusiveLock' AND k.granted AND k.pid IS DISTINCT FROM pg_backend_pid()
          AND a.application_name IS DISTINCT FROM 'wagres worker' AND a.application_name IS DISTINCT FROM 'wagres claims'
    ), found AS MATERIALIZED (
        SELECT f.session_id, f.tenant, f.status, f.status_at::timestamptz(0)::text AS since, f.desired, f.proxy, f.failures,
               f.rest_until::timestamptz(0)::text AS rest_until, f.has_qr, f.has_code,
               f.paused_at::timestamptz(0)::text AS paused_at, f.paused_by, f.paused_reason,
               f.limit_reason, f.limited_until, f.tenant_paused_at::timestamptz(0)::text AS tenant_paused_at,
               f.tenant_paused_by, f.tenant_paused_reason, f.unsettled, f.pacing, f.sending, f.is_paced,
               (f.pacing).first_contacts, (f.sending).contacts_today, (f.sending).gate_until > now() AS gated, (f.sending).gate_until,
               (SELECT x.reason FROM transaction x WHERE x.id = f.sending_locked_by LIMIT 1) AS transaction,
               f.quiet, f.passkey, f.connection, f.by_a_person,
               CASE WHEN f.status_code IS NULL THEN to_jsonb(f.status_reason)
                    ELSE jsonb_build_object('code', f.status_code, 'text', f.status_reason) END AS because
        FROM wa.session_line f
        WHERE f.session_id = ANY (session_reasons.session_ids)
    ), told AS MATERIALIZED (
        SELECT f.*,
               CASE WHEN f.connection IS NOT NULL THEN jsonb_strip_nulls(jsonb_build_object('code', CASE
                   WHEN f.connection = 'stopped' AND f.status <> 'stopped' THEN 'stops'
                   WHEN f.connection <> 'linking' THEN f.connection
                   WHEN f.passkey = 'requested' THEN 'passkey'
                   WHEN f.passkey = 'code' THEN 'passkey_code'
                   WHEN f.has_code THEN 'pairing_code'
                   WHEN f.has_qr THEN 'qr_code'
                   ELSE 'linking' END)) || jsonb_strip_nulls(CASE
                   WHEN f.connection = 'not_linked' THEN jsonb_build_object('because', f.because)
                   WHEN f.connection IN ('logged_out', 'connecting') OR f.connection = 'stopped' AND f.status = 'stopped'
                       THEN jsonb_build_object('since', f.since, 'because', f.because)
                   WHEN f.connection = 'banned' THEN jsonb_build_object('until', f.rest_until, 'because', f.because)
                   WHEN f.connection = 'resting' THEN jsonb_build_object('until', f.rest_until,
                       'failures', CASE WHEN f.failures > 1 THEN f.failures END, 'because', f.because)
                   WHEN f.connection IN ('proxy', 'disconnected') THEN jsonb_build_object('since', f.since, 'proxy', f.proxy, 'failures', f.failures,
                       'because', f.because, 'next', (
                           SELECT min(j.run_at)::timestamptz(0)::text FROM wa.session_job j
                           WHERE j.session_id = f.session_id AND j.status = 'queued' AND NOT j.action
                             AND j.kind IN ('link', 'connect', 'reconnect') AND j.run_at > now()))
                   ELSE '{}' END) END AS line,
               CASE WHEN f.tenant_paused_at IS NOT NULL THEN jsonb_strip_nulls(jsonb_build_object('code', 'tenant_paused', 'tenant', f.tenant,
                   'by', f.tenant_paused_by, 'since', f.tenant_paused_at, 'reason', f.tenant_paused_reason)) END AS tenant_paused,
               -- A worker pauses for what WhatsApp has said.
               CASE WHEN f.paused_at IS NULL THEN NULL
                    WHEN f.paused_by IS NULL THEN jsonb_build_object('code', 'paused_by_worker', 'since', f.paused_at)
                        || CASE WHEN f.paused_reason IS NULL THEN '{}' ELSE jsonb_build_object('because', jsonb_build_object('code', 'worker', 'text', f.paused_reason)) END
                    ELSE jsonb_strip_nulls(jsonb_build_object('code', 'paused', 'by', f.paused_by, 'since', f.paused_at, 'reason', f.paused_reason)) END AS paused,
               CASE WHEN f.quiet THEN wa.quiet_end(f.pacing)::timestamptz(0)::text END AS quiet_until
        FROM found f
    ), parted AS MATERIALIZED (
        SELECT t.*,
               -- Most have one reason, and a call costs more than the rest of a session.
               CASE num_nonnulls(o.first, t.tenant_paused, t.paused, o.zone, o.unsettled)
                   WHEN 0 THEN NULL WHEN 1 THEN jsonb_build_array(coalesce(o.first, t.tenant_paused, t.paused, o.zone, o.unsettled))
                   ELSE wa.reason_list(o.first, t.tenant_paused, t.paused, o.zone, o.unsettled) END AS blocked,
               CASE num_nonnulls(o.by_itself, o.quiet, t.transaction)
                   WHEN 0 THEN NULL WHEN 1 THEN jsonb_build_array(coalesce(o.by_itself, o.quiet, t.transaction))
                   ELSE wa.reason_list(o.by_itself, o.quiet, t.transaction) END AS delayed
        FROM told t
        CROSS JOIN LATERAL (
            SELECT CASE WHEN t.by_a_person THEN t.line END AS first, CASE WHEN NOT t.by_a_person THEN t.line END AS by_itself,
                   CASE WHEN t.quiet AND t.quiet_until IS NULL THEN jsonb_build_object('code', 'time_zone', 'time_zone', (t.pacing).time_zone) END AS zone,
                   CASE WHEN t.unsettled THEN '{"code": "unsettled"}'::jsonb END AS unsettled,
                   CASE WHEN t.quiet_until IS NOT NULL THEN jsonb_build_object('code', 'quiet_hours', 'until', t.quiet_until) END AS quiet
            OFFSET 0
        ) o
    )
    SELECT p.session_id, p.blocked, p.delayed,
           CASE WHEN p.limit_reason IS NOT NULL AND coalesce(p.limited_until > now(), true)
                THEN jsonb_strip_nulls(jsonb_build_object('code', 'limited', 'until', p.limited_until::timestamptz(0)::text, 'limit', p.limit_reason)) END,
           CASE WHEN NOT p.quiet AND p.is_paced AND p.gated AND waiting.messages
                THEN jsonb_build_object('code', 'gate', 'at', p.gate_until::timestamptz(0)::text) END,
           -- These messages have the moment that the claim gave them, so one look-up finds whether there is one.
           CASE WHEN p.contacts_today >= p.first_contacts AND wa.contacts_left(p.pacing, p.sending) <= 0 AND (
                    SELECT true FROM wa.outbound_queue q
                    WHERE q.session_id = p.session_id AND q.waits_for = 'first_contact' AND q.waits_for <> 'paused' AND q.run_at = wa.tomorrow(p.pacing)
                    ORDER BY q.run_at LIMIT 1)
                THEN jsonb_build_object('code', 'used_up', 'limit', p.first_contacts, 'until', wa.tomorrow(p.pacing)::timestamptz(0)::text) END,
           p.blocked IS NOT NULL AND (
               coalesce(p.connection = 'logged_out', false) OR p.desired = 'connected' AND p.connection IS NOT NULL OR coalesce(waiting.messages, false))
    FROM parted p
    CROSS JOIN LATERAL (
        SELECT CASE WHEN p.blocked IS NOT NULL OR p.gated THEN (
            SELECT true FROM wa.outbound_queue q WHERE q.session_id = p.session_id ORDER BY q.chat, q.id LIMIT 1) END AS messages
        OFFSET 0
    ) waiting
$$;
COMMENT ON FUNCTION wa.session_reasons(bigint[]) IS 'Why sessions, by their ids, do not send: blocked (a person must act), delayed (ends by itself), limited (WhatsApp lets the account start no new chats), paced, used_up (first contacts of today); null where that is not in the way; blocked and delayed are lists. stuck: see wa.reasons.';

CREATE OR REPLACE FUNCTION wa.reasons() RETURNS TABLE (session text, reason text, stuck boolean, reasons jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH seen AS MATERIALIZED (
        SELECT own.session_id FROM wa.session own
        WHERE (SELECT wa.sees_all()) OR own.tenant = ANY ((SELECT wa.my_tenants())::text[])
    )
    SELECT s.name, wa.reason_text(all_of.reasons), r.stuck, all_of.reasons
    FROM wa.session_reasons(ARRAY(SELECT session_id FROM seen)) r
    JOIN wa.session s USING (session_id)
    LEFT JOIN wa.campaign_reasons(ARRAY(SELECT session_id FROM seen)) c USING (session_id)
    CROSS JOIN LATERAL (SELECT wa.reason_list(r.blocked, r.delayed, r.limited, r.paced, r.used_up, c.reasons) OFFSET 0) all_of (reasons)
$$;
COMMENT ON FUNCTION wa.reasons() IS 'Why each session that you see does not send; null if nothing is in its way; reasons has the same as codes with their arguments (wa.reason_kinds). stuck: a person must act, and messages wait, or the session should be connected and is not, or was logged out. SELECT * FROM wa.reasons() WHERE stuck;';

CREATE OR REPLACE FUNCTION wa.why(session text) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT wa.reason_text(coalesce(wa.reason_list(r.blocked, r.delayed, r.limited, r.paced, r.used_up, c.reasons), '{"code": "nothing"}'))
    FROM wa.session_reasons(ARRAY[wa.session_id(why.session)]) r
    LEFT JOIN wa.campaign_reasons(ARRAY[r.session_id]) c USING (session_id)
$$;
COMMENT ON FUNCTION wa.why(text) IS 'Why a session does not send, in one line; what a person must do first comes first. wa.reasons() has all sessions. SELECT wa.why(''shop'');';

CREATE OR REPLACE FUNCTION wa.message_reason(message wa.outbound, entry wa.outbound_queue) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN entry.waits_for = 'paused' THEN (
            SELECT wa.campaign_reason(c) FROM wa.campaign c
            WHERE c.session_id = message.session_id AND c.campaign = message.campaign AND c.paused_at IS NOT NULL)
        -- Released as soon as the session can send.
        WHEN entry.run_at <= now() THEN NULL
        WHEN entry.waits_for = 'scheduled' THEN jsonb_build_object('code', 'scheduled', 'until', entry.run_at::timestamptz(0)::text)
        WHEN entry.waits_for = 'retry' THEN jsonb_strip_nulls(jsonb_build_object('code', 'retry', 'at', entry.run_at::timestamptz(0)::text,
            'attempt', message.attempts, 'of', message.max_attempts,
            'because', CASE WHEN message.last_error IS NOT NULL THEN jsonb_build_object('code', 'worker', 'text', message.last_error) END))
        WHEN entry.waits_for = 'paced' THEN jsonb_build_object('code', 'paced', 'at', entry.run_at::timestamptz(0)::text)
        WHEN entry.waits_for = 'quiet_hours' THEN jsonb_build_object('code', 'quiet_hours', 'until', entry.run_at::timestamptz(0)::text)
        WHEN entry.waits_for = 'first_contact' THEN jsonb_build_object('code', 'first_contact', 'until', entry.run_at::timestamptz(0)::text)
    END
$$;
COMMENT ON FUNCTION wa.message_reason(wa.outbound, wa.outbound_queue) IS 'What a queued message waits for by itself, whatever its session and the messages before it do; null for nothing.';

CREATE OR REPLACE FUNCTION wa.message_reasons(message bigint) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
DECLARE
    own    wa.outbound;
    entry  wa.outbound_queue;
    first  wa.outbound;
    before wa.outbound_queue;
    taken  bigint[];
    worker uuid;
    of_session record;
    mine   jsonb;
    found  jsonb;
BEGIN
    SELECT * INTO own FROM wa.outbound o WHERE o.id = message_reasons.message;
    IF own.id IS NULL OR NOT wa.sees(own.session_id) THEN
        RAISE EXCEPTION 'message: no message has the id %', coalesce(message_reasons.message::text, 'null')
            USING ERRCODE = 'WA048', COLUMN = 'message', HINT = 'Accepted: the id of a row of wa.outbound, which shows a role the messages of its tenants.';
    END IF;
    SELECT * INTO entry FROM wa.outbound_queue q WHERE q.session_id = own.session_id AND q.chat = own.chat AND q.id = own.id;
    IF entry.id IS NULL THEN
        RETURN jsonb_build_array(jsonb_strip_nulls(CASE own.status
            WHEN 'failed' THEN jsonb_build_object('code', 'failed', 'at', own.failed_at::timestamptz(0)::text, 'attempt', own.attempts,
                'of', own.max_attempts, 'because', CASE WHEN own.last_error IS NOT NULL THEN jsonb_build_object('code', own.failure, 'text', own.last_error) END)
            WHEN 'cancelled' THEN jsonb_build_object('code', 'cancelled', 'at', own.cancelled_at::timestamptz(0)::text)
            WHEN 'expired' THEN jsonb_build_object('code', 'expired', 'at', own.expired_at::timestamptz(0)::text)
            ELSE jsonb_build_object('code', 'sent', 'sent', coalesce(own.sent_at, own.delivered_at, own.read_at, own.played_at)::timestamptz(0)::text,
                'delivered', own.delivered_at::timestamptz(0)::text, 'read', own.read_at::timestamptz(0)::text, 'played', own.played_at::timestamptz(0)::text)
        END));
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
        RETURN jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('code', 'in_hand', 'worker', worker,
            'since', CASE WHEN own.status = 'sending' THEN own.sending_at::timestamptz(0)::text END, 'behind', first.id)));
    END IF;
    SELECT * INTO of_session FROM wa.session_reasons(ARRAY[own.session_id]);
    mine := wa.message_reason(own, entry);
    found := wa.reason_list(
        CASE WHEN of_session.blocked IS NOT NULL THEN jsonb_build_object('code', 'of_session', 'session', own.session, 'reasons', of_session.blocked) END,
        CASE WHEN entry.waits_for IN ('paused', 'scheduled') THEN mine END,
        CASE WHEN of_session.delayed IS NOT NULL THEN jsonb_build_object('code', 'of_session', 'session', own.session, 'reasons', of_session.delayed) END,
        CASE WHEN of_session.limited IS NOT NULL AND own.chat ~ '@(s\.whatsapp\.net|lid)$'
                  AND NOT EXISTS (SELECT FROM wa.outbound e WHERE e.session_id = own.session_id AND e.chat = own.chat AND e.sent_at IS NOT NULL)
                  AND NOT EXISTS (SELECT FROM wa.inbox i WHERE i.session_id = own.session_id AND i.chat = own.chat)
             THEN jsonb_build_object('code', 'new_chat', 'session', own.session, 'reasons', of_session.limited) END,
        CASE WHEN first.id IS NOT NULL THEN jsonb_strip_nulls(jsonb_build_object('code', 'behind', 'behind', first.id, 'reasons', CASE
                 WHEN first.id = ANY (taken) THEN jsonb_build_object('code', 'in_hand', 'worker', worker)
                 ELSE coalesce(wa.message_reason(first, before), of_session.paced) END)) END,
        -- The moment of the session's quiet hours is said once.
        CASE WHEN entry.waits_for NOT IN ('paused', 'scheduled') AND NOT coalesce(of_session.delayed @> jsonb_build_array(mine), false) THEN mine
             WHEN first.id IS NULL THEN of_session.paced END);
    RETURN coalesce(found, '[{"code": "turn"}]');
END $$;
COMMENT ON FUNCTION wa.message_reasons(bigint) IS 'What wa.why says of a message, as codes with their arguments (wa.reason_kinds). SELECT wa.message_reasons(42);';

CREATE OR REPLACE FUNCTION wa.why(message bigint) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT wa.reason_text(wa.message_reasons(why.message))
$$;
COMMENT ON FUNCTION wa.why(bigint) IS 'What a message waits for, or what became of it, in one line, by its id in wa.outbound. SELECT wa.why(42);';
