-- Activating companies, hearing the partner, and the calls to the partner that workers make (H6).
--
-- Rows are locked in one order: wa.company, wa.partner_call, wa.partner.

CREATE OR REPLACE FUNCTION wa.announce_company(session_id bigint) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT pg_notify('wa_session', json_build_object('session_id', announce_company.session_id)::text)
$$;
COMMENT ON FUNCTION wa.announce_company(bigint) IS 'NOTIFY wa_session for a company''s session, so that its link page shows what has changed.';

CREATE OR REPLACE FUNCTION wa.activate_company(company_id bigint, salon_id bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    c        CONSTANT wa.company := wa.known_company(activate_company.company_id, activate_company.salon_id);
    own      wa.session;
    call     bigint;
    api_key  CONSTANT text := encode(sha256(convert_to(gen_random_uuid()::text || gen_random_uuid()::text || gen_random_uuid()::text, 'UTF8')), 'hex');
BEGIN
    SELECT s.* INTO own FROM wa.session s WHERE s.session_id = c.session_id;
    IF EXISTS (SELECT FROM wa.partner_call p WHERE p.company_id = c.company_id AND p.kind = 'callback' AND p.status IN ('queued', 'running')) THEN
        RETURN 'busy';
    ELSIF c.status = 'active' AND c.activated_at > c.entered_at THEN
        RETURN 'active';
    ELSIF c.entered_at < now() - interval '60 minutes' THEN
        RETURN 'expired';
    ELSIF own.jid IS NULL THEN
        RETURN 'not_linked';
    END IF;
    UPDATE wa.company k SET status = 'activating', status_at = now(), api_key_hash = wa.secret_hash(api_key), api_key_at = now()
    WHERE k.company_id = c.company_id;
    INSERT INTO wa.partner_call (company_id, kind) VALUES (c.company_id, 'callback') RETURNING call_id INTO call;
    INSERT INTO wa.partner_key (call_id, value)
    VALUES (call, jsonb_build_object('type', 'Buffer', 'data', translate(encode(convert_to(api_key, 'UTF8'), 'base64'), E'\n', '')));
    PERFORM wa.count_company(c.company_id, 'activations');
    PERFORM pg_notify('wa_work', 'partner');
    PERFORM wa.announce_company(c.session_id);
    RETURN 'activating';
END $$;
COMMENT ON FUNCTION wa.activate_company(bigint, bigint) IS 'Makes a new API key for a company whose phone is linked, and queues the callback that tells it to the partner. Returns activating; or busy (a callback is on its way), active (the partner has accepted one since somebody came from it), expired (nobody has come from it for 60 minutes), not_linked. Error WA060 for a company that does not exist, or that the partner froze or uninstalled. For web processes.';

CREATE OR REPLACE FUNCTION wa.test_companies(phone text, body text) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c      wa.company;
    tested integer := 0;
BEGIN
    FOR c IN
        SELECT k.* FROM wa.company k JOIN wa.session s ON s.session_id = k.session_id
        WHERE k.tested_at IS NULL AND s.status = 'connected' AND k.status NOT IN ('frozen', 'uninstalled')
        ORDER BY k.company_id LIMIT 100 FOR NO KEY UPDATE OF k SKIP LOCKED
    LOOP
        UPDATE wa.company k SET tested_at = now() WHERE k.company_id = c.company_id;
        BEGIN
            PERFORM wa.send(wa.act_for_company(c.company_id), test_companies.phone, 'text', test_companies.body, dedupe_key => 'marketplace-test');
            PERFORM wa.end_act_for_company();
            tested := tested + 1;
        EXCEPTION WHEN OTHERS THEN
            -- What the schema refuses for this company, it refuses again.
            IF SQLSTATE NOT LIKE 'WA%' THEN
                RAISE;
            END IF;
            RAISE WARNING 'no test message for company %: %', c.company_id, SQLERRM;
        END;
    END LOOP;
    RETURN tested;
END $$;
COMMENT ON FUNCTION wa.test_companies(text, text) IS 'Queues a test message to this number for each company whose session is connected for the first time; leaves companies that somebody has locked to the next call. Returns how many it queued.';

CREATE OR REPLACE FUNCTION wa.hear_partner(salon_id bigint, event text, only_company bigint DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    c     wa.company;
    own   wa.session;
    heard wa.partner_hook;
    why   CONSTANT text := 'the partner ' || CASE hear_partner.event WHEN 'uninstall' THEN 'uninstalled' ELSE 'froze' END || ' the company';
BEGIN
    SELECT k.* INTO c FROM wa.company k
    WHERE k.salon_id = hear_partner.salon_id AND (hear_partner.only_company IS NULL OR k.company_id = hear_partner.only_company)
    FOR NO KEY UPDATE;
    IF c.company_id IS NULL THEN
        RETURN 'unknown_company';
    ELSIF hear_partner.event IS NULL OR hear_partner.event NOT IN ('uninstall', 'freeze') THEN
        RETURN 'ignored';
    END IF;
    SELECT h.* INTO heard FROM wa.partner_hook h
    WHERE h.company_id = c.company_id AND h.event = hear_partner.event AND h.entered_at = c.entered_at;
    SELECT s.* INTO own FROM wa.session s WHERE s.session_id = c.session_id;
    -- A session that somebody has connected or linked since is closed or logged out once more.
    IF heard.received_at > now() - interval '24 hours' AND own.desired = 'stopped'
       AND (hear_partner.event = 'freeze' OR own.jid IS NULL OR EXISTS (
           SELECT FROM wa.session_job j WHERE j.session_id = c.session_id AND j.kind = 'logout' AND j.status IN ('queued', 'running'))) THEN
        UPDATE wa.partner_hook h SET seen = h.seen + 1 WHERE h.hook_id = heard.hook_id;
        RETURN 'duplicate';
    END IF;
    INSERT INTO wa.partner_hook AS h (company_id, event, entered_at) VALUES (c.company_id, hear_partner.event, c.entered_at)
    ON CONFLICT (company_id, event, entered_at) DO UPDATE SET received_at = now(), seen = h.seen + 1;
    WITH cancelled AS (
        UPDATE wa.partner_call p SET status = 'cancelled', claim = NULL, leased_until = NULL, finished_at = now(), last_error = why
        WHERE p.company_id = c.company_id AND p.status IN ('queued', 'running') RETURNING p.call_id
    )
    DELETE FROM wa.partner_key k USING cancelled WHERE k.call_id = cancelled.call_id;
    -- One that is uninstalled stays so.
    UPDATE wa.company k SET status = CASE WHEN hear_partner.event = 'uninstall' OR k.status = 'uninstalled' THEN 'uninstalled' ELSE 'frozen' END,
        status_at = now(), api_key_hash = NULL, api_key_at = NULL
    WHERE k.company_id = c.company_id;
    UPDATE wa.token t SET revoked_at = now()
    WHERE t.session_id = c.session_id AND t.purpose = 'link' AND t.revoked_at IS NULL;
    IF hear_partner.event = 'uninstall' THEN
        PERFORM wa.logout(wa.act_for_company(c.company_id), why, force => true);
    ELSE
        PERFORM wa.close(wa.act_for_company(c.company_id), why);
    END IF;
    PERFORM wa.end_act_for_company();
    PERFORM wa.count_company(c.company_id, CASE hear_partner.event WHEN 'uninstall' THEN 'uninstalled' ELSE 'frozen' END);
    PERFORM wa.announce_company(c.session_id);
    RETURN CASE hear_partner.event WHEN 'uninstall' THEN 'logged_out' ELSE 'closed' END;
END $$;
COMMENT ON FUNCTION wa.hear_partner(bigint, text, bigint) IS 'Carries out an event that the partner sent for a company: uninstall logs the session out and deletes its auth state, freeze closes the session. Both cancel the calls to the partner, revoke the link pages and delete the API key. Returns logged_out, closed, unknown_company, ignored (another event), or duplicate: the same event came within 24 hours, and since then nobody came from the partner or connected the session. For web processes, which have checked the partner''s token.';

CREATE OR REPLACE FUNCTION wa.claim_partner_calls(worker uuid, most integer, per_minute integer, at_once integer, lease interval)
RETURNS TABLE (call_id bigint, company_id bigint, salon_id bigint, session_id bigint, kind text, claim uuid, attempts integer, api_key jsonb)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    pace    wa.partner;
    rate    CONSTANT double precision := greatest(per_minute - at_once, 1) / 60.0;
    under   integer;
    allowed integer;
    taken   integer;
BEGIN
    -- Most looks end here, without a lock.
    IF NOT EXISTS (SELECT FROM wa.partner_call p WHERE p.status = 'queued' AND p.run_at <= now())
       AND NOT EXISTS (SELECT FROM wa.partner_call p WHERE p.status = 'running' AND (p.leased_until < now() OR NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = p.worker_id))) THEN
        RETURN;
    END IF;
    -- Another worker claims now, and rings nobody for what it leaves: whoever finds this asks again at the next poll.
    SELECT p.* INTO pace FROM wa.partner p FOR UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    UPDATE wa.partner_call p SET status = 'queued', claim = NULL, leased_until = NULL
    FROM (
        SELECT k.call_id FROM wa.partner_call k
        WHERE k.status = 'running' AND (k.leased_until < now() OR NOT EXISTS (SELECT FROM wa.worker w WHERE w.worker_id = k.worker_id))
        FOR UPDATE SKIP LOCKED
    ) lost
    WHERE p.call_id = lost.call_id;
    IF pace.open_until > now() THEN
        RETURN;
    END IF;
    SELECT count(*) INTO under FROM wa.partner_call p WHERE p.status = 'running';
    pace.tokens := least(least(at_once, per_minute), pace.tokens + rate * greatest(extract(epoch FROM now() - pace.tokens_at), 0));
    -- A half-open breaker lets one request pass.
    allowed := least(most, floor(pace.tokens)::integer, CASE WHEN pace.open_until IS NULL THEN at_once ELSE 1 END - under);
    IF allowed < 1 THEN
        RETURN;
    END IF;
    RETURN QUERY
    WITH due AS (
        SELECT p.call_id FROM wa.partner_call p WHERE p.status = 'queued' AND p.run_at <= now()
        ORDER BY p.run_at, p.call_id LIMIT allowed FOR UPDATE SKIP LOCKED
    )
    UPDATE wa.partner_call p
    SET status = 'running', claim = gen_random_uuid(), worker_id = claim_partner_calls.worker, leased_until = now() + claim_partner_calls.lease
    FROM due, wa.company c
    WHERE p.call_id = due.call_id AND c.company_id = p.company_id
    RETURNING p.call_id, p.company_id, c.salon_id, c.session_id, p.kind, p.claim, p.attempts, (SELECT k.value FROM wa.partner_key k WHERE k.call_id = p.call_id);
    GET DIAGNOSTICS taken = ROW_COUNT;
    UPDATE wa.partner p SET tokens = pace.tokens - taken, tokens_at = now();
END $$;
COMMENT ON FUNCTION wa.claim_partner_calls(uuid, integer, integer, integer, interval) IS 'Takes calls to the partner that are due, as many as the pace of all workers and the breaker allow. Calls of workers that are gone are free again.';

CREATE OR REPLACE FUNCTION wa.record_partner_call(
    call_id bigint, claim uuid, outcome text, code integer, error text, response text, pause interval, name text, business_type text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    c wa.company;
    p wa.partner_call;
BEGIN
    SELECT k.* INTO c FROM wa.company k
    WHERE k.company_id = (SELECT o.company_id FROM wa.partner_call o WHERE o.call_id = record_partner_call.call_id) FOR NO KEY UPDATE;
    UPDATE wa.partner_call o
    SET status = CASE outcome WHEN 'retry' THEN 'queued' ELSE outcome END, claim = NULL, leased_until = NULL, attempts = o.attempts + 1,
        run_at = CASE outcome WHEN 'retry' THEN now() + record_partner_call.pause ELSE o.run_at END,
        finished_at = CASE WHEN outcome <> 'retry' THEN now() END,
        code = record_partner_call.code, last_error = record_partner_call.error, response = record_partner_call.response
    WHERE o.call_id = record_partner_call.call_id AND o.claim = record_partner_call.claim AND o.status = 'running'
    RETURNING o.* INTO p;
    IF p.call_id IS NULL THEN
        RETURN false;
    ELSIF outcome = 'retry' THEN
        RETURN true;
    END IF;
    DELETE FROM wa.partner_key k WHERE k.call_id = p.call_id;
    IF p.kind = 'profile' THEN
        UPDATE wa.company k
        SET name = coalesce(left(record_partner_call.name, 200), k.name), business_type = coalesce(left(record_partner_call.business_type, 200), k.business_type)
        WHERE k.company_id = c.company_id AND outcome = 'done';
        RETURN true;
    END IF;
    UPDATE wa.company k
    SET status = CASE outcome WHEN 'done' THEN 'active' ELSE 'failed' END, status_at = now(),
        activated_at = CASE outcome WHEN 'done' THEN clock_timestamp() ELSE k.activated_at END
    WHERE k.company_id = c.company_id AND k.status = 'activating';
    IF FOUND THEN
        PERFORM wa.count_company(c.company_id, CASE outcome WHEN 'done' THEN 'activated' ELSE 'failed' END);
    END IF;
    PERFORM wa.announce_company(c.session_id);
    RETURN true;
END $$;
COMMENT ON FUNCTION wa.record_partner_call(bigint, uuid, text, integer, text, text, interval, text, text) IS 'Writes what came of a call to the partner: done, retry after a pause, or failed. Returns false, and does nothing, when the call is no longer run under this claim.';

CREATE OR REPLACE FUNCTION wa.heed_partner(failed boolean, rest interval) RETURNS integer
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    UPDATE wa.partner p
    SET failures = CASE WHEN failed THEN p.failures + 1 ELSE 0 END,
        open_until = CASE WHEN failed AND p.failures + 1 >= 5 THEN now() + rest END
    WHERE failed OR p.failures > 0
    RETURNING p.failures
$$;
COMMENT ON FUNCTION wa.heed_partner(boolean, interval) IS 'Counts a request to the partner that failed, or ends the count. The fifth failure in a row opens the breaker for a time; so does a failed probe. Returns the failures in a row; null when there were none before.';
