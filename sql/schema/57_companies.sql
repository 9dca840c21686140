-- Companies of the marketplace (H6): coming from the partner, linking, and what programs are shown of them. Web processes
-- alone call these; 58_onboarding.sql activates, and hears and tells the partner.

CREATE OR REPLACE FUNCTION wa.count_company(company_id bigint, what text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    INSERT INTO wa.company_numbers AS n (company_id, day, entered, links, activations, activated, failed, frozen, uninstalled)
    SELECT count_company.company_id, (now() AT TIME ZONE 'UTC')::date,
           (what = 'entered')::integer, (what = 'links')::integer, (what = 'activations')::integer, (what = 'activated')::integer,
           (what = 'failed')::integer, (what = 'frozen')::integer, (what = 'uninstalled')::integer
    ON CONFLICT (company_id, day) DO UPDATE
    SET entered = n.entered + EXCLUDED.entered, links = n.links + EXCLUDED.links, activations = n.activations + EXCLUDED.activations,
        activated = n.activated + EXCLUDED.activated, failed = n.failed + EXCLUDED.failed, frozen = n.frozen + EXCLUDED.frozen,
        uninstalled = n.uninstalled + EXCLUDED.uninstalled
$$;
COMMENT ON FUNCTION wa.count_company(bigint, text) IS 'Adds one to a column of wa.company_numbers for today.';

-- A web process has no session of its own, so it acts by a link of the company's session that lives for this call alone:
-- wa.page_session then returns the session, as on a link page.
CREATE OR REPLACE FUNCTION wa.act_for_company(company_id bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    secret CONSTANT text := wa.new_secret('k');
    found  text;
BEGIN
    INSERT INTO wa.token (name, purpose, tenant, session_id, hash, created_at, expires_at)
    SELECT s.name, 'link', s.tenant, s.session_id, wa.secret_hash(secret), clock_timestamp(), clock_timestamp() + interval '1 minute'
    FROM wa.company c JOIN wa.session s USING (session_id) WHERE c.company_id = act_for_company.company_id
    RETURNING name INTO found;
    PERFORM set_config('wagres.token', secret, true);
    RETURN found;
END $$;
COMMENT ON FUNCTION wa.act_for_company(bigint) IS 'The name of a company''s session, which wa.page_session then returns until wa.end_act_for_company.';

CREATE OR REPLACE FUNCTION wa.end_act_for_company() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    DELETE FROM wa.token t WHERE t.hash = wa.secret_hash(current_setting('wagres.token')) AND t.purpose = 'link';
    PERFORM set_config('wagres.token', '', true);
END $$;
COMMENT ON FUNCTION wa.end_act_for_company() IS 'Ends what wa.act_for_company began.';

CREATE OR REPLACE FUNCTION wa.check_salon(salon_id bigint) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF salon_id IS NULL OR salon_id < 1 THEN
        RAISE EXCEPTION 'salon_id: % is out of range', coalesce(salon_id::text, 'null')
            USING ERRCODE = 'WA061', COLUMN = 'salon_id', HINT = 'Accepted: a positive number.';
    END IF;
END $$;
COMMENT ON FUNCTION wa.check_salon(bigint) IS 'Refuses a number that no company of the partner has; error WA061.';

CREATE OR REPLACE FUNCTION wa.enter_company(salon_id bigint, name text DEFAULT NULL) RETURNS TABLE (company_id bigint, session text, secret text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    own wa.session;
    c   wa.company;
BEGIN
    PERFORM wa.check_salon(enter_company.salon_id);
    session := 'company_' || enter_company.salon_id;
    SELECT s.* INTO own FROM wa.session s WHERE s.name = session;
    IF own.session_id IS NULL THEN
        PERFORM wa.add_tenant(session);
        INSERT INTO wa.session (name, tenant) VALUES (session, session) ON CONFLICT ON CONSTRAINT session_name_key DO NOTHING;
        SELECT s.* INTO own FROM wa.session s WHERE s.name = session;
    END IF;
    INSERT INTO wa.company AS k (salon_id, session_id, tenant, name)
    VALUES (enter_company.salon_id, own.session_id, own.tenant, nullif(left(enter_company.name, 200), ''))
    ON CONFLICT (salon_id) DO UPDATE
    SET entered_at = clock_timestamp(), name = coalesce(k.name, EXCLUDED.name),
        -- A company that the partner froze or uninstalled begins again.
        status = CASE WHEN k.status IN ('failed', 'frozen', 'uninstalled') THEN 'registered' ELSE k.status END,
        status_at = CASE WHEN k.status IN ('failed', 'frozen', 'uninstalled') THEN now() ELSE k.status_at END
    RETURNING k.* INTO c;
    company_id := c.company_id;
    INSERT INTO wa.partner_call (company_id, kind) VALUES (c.company_id, 'profile')
    ON CONFLICT (company_id, kind) WHERE status IN ('queued', 'running') DO NOTHING;
    PERFORM pg_notify('wa_work', 'partner');
    PERFORM wa.count_company(c.company_id, 'entered');
    secret := wa.new_secret('k');
    INSERT INTO wa.token (name, purpose, tenant, session_id, hash, created_at, expires_at)
    VALUES (own.name, 'link', own.tenant, own.session_id, wa.secret_hash(secret), clock_timestamp(), clock_timestamp() + interval '1 hour');
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION wa.enter_company(bigint, text) IS 'Somebody comes from the partner for this company: adds it with a tenant and a session named company_<salon_id>, unless they exist, asks the partner for its name, and returns the secret of a link page, valid for an hour. For web processes, which have checked who comes.';

CREATE OR REPLACE FUNCTION wa.known_company(company_id bigint, salon_id bigint) RETURNS wa.company
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE found wa.company;
BEGIN
    SELECT c.* INTO found FROM wa.company c
    WHERE c.company_id = known_company.company_id AND (known_company.salon_id IS NULL OR c.salon_id = known_company.salon_id)
    FOR NO KEY UPDATE;
    IF found.company_id IS NULL OR found.status IN ('frozen', 'uninstalled') THEN
        RAISE EXCEPTION 'company: %', coalesce('the partner has ' || CASE found.status WHEN 'frozen' THEN 'frozen' ELSE 'uninstalled' END || ' it', 'does not exist')
            USING ERRCODE = 'WA060', COLUMN = 'company_id', HINT = 'Accepted: a company that came from the partner and that the partner has neither frozen nor uninstalled since.';
    END IF;
    RETURN found;
END $$;
COMMENT ON FUNCTION wa.known_company(bigint, bigint) IS 'The company with this number, and with this number of the partner unless that is null; locks its row. Error WA060 without one.';

CREATE OR REPLACE FUNCTION wa.start_company(company_id bigint, salon_id bigint, phone text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    c   CONSTANT wa.company := wa.known_company(start_company.company_id, start_company.salon_id);
    own wa.session;
BEGIN
    SELECT s.* INTO own FROM wa.session s WHERE s.session_id = c.session_id;
    IF own.status = 'connected' OR EXISTS (
        SELECT FROM wa.session_job j
        WHERE j.session_id = c.session_id AND j.kind IN ('link', 'connect', 'reconnect', 'passkey') AND j.status IN ('queued', 'running')
    ) OR own.status IN ('linking', 'connecting')
         AND (start_company.phone IS NULL OR own.link_phone = regexp_replace(start_company.phone, '[^0-9]', '', 'g')) THEN
        RETURN false;
    END IF;
    PERFORM wa.link(wa.act_for_company(c.company_id), start_company.phone);
    PERFORM wa.end_act_for_company();
    PERFORM wa.count_company(c.company_id, 'links');
    RETURN true;
END $$;
COMMENT ON FUNCTION wa.start_company(bigint, bigint, text) IS 'wa.link for the session of a company, with the same limits, unless it is being linked already or is connected; whether it was. Error WA060 for a company that does not exist, or that the partner froze or uninstalled. For web processes.';

CREATE OR REPLACE FUNCTION wa.company_state(company_id bigint, salon_id bigint DEFAULT NULL) RETURNS TABLE (
    salon_id bigint, session text, session_id bigint, name text, business_type text, status text, session_status text, status_reason text, phone text,
    qr text, qr_seconds double precision, code text, code_seconds double precision, link_phone text, connected_at timestamptz,
    activated_at timestamptz, job_error text, call_status text, call_error text
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.salon_id, s.name, s.session_id, c.name, c.business_type, c.status, s.status, s.status_reason, s.phone, s.qr,
           extract(epoch FROM s.qr_expires_at - clock_timestamp())::float8, s.code, extract(epoch FROM s.code_expires_at - clock_timestamp())::float8,
           s.link_phone, s.connected_at, c.activated_at, j.last_error, p.status, p.last_error
    FROM wa.company c
    JOIN wa.session s USING (session_id)
    LEFT JOIN LATERAL (
        SELECT CASE k.status WHEN 'failed' THEN k.last_error END AS last_error FROM wa.session_job k
        WHERE k.session_id = c.session_id AND k.kind = 'link' ORDER BY k.id DESC LIMIT 1
    ) j ON true
    LEFT JOIN LATERAL (
        SELECT k.status, k.last_error FROM wa.partner_call k
        WHERE k.company_id = c.company_id AND k.kind = 'callback' ORDER BY k.call_id DESC LIMIT 1
    ) p ON true
    WHERE c.company_id = company_state.company_id AND (company_state.salon_id IS NULL OR c.salon_id = company_state.salon_id)
$$;
COMMENT ON FUNCTION wa.company_state(bigint, bigint) IS 'What a program is shown of a company, which must have this number at the partner unless that is null: its status, that of its session with the codes to show now and the seconds for which they are valid, and that of the last callback to the partner. For web processes.';

CREATE OR REPLACE FUNCTION wa.company_of_link(secret text) RETURNS TABLE (company_id bigint, salon_id bigint, status text, entered_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.company_id, c.salon_id, CASE WHEN c.status = 'active' AND c.activated_at < c.entered_at THEN 'registered' ELSE c.status END, c.entered_at
    FROM wa.token t JOIN wa.company c USING (session_id)
    WHERE t.hash = wa.secret_hash(company_of_link.secret) AND t.purpose = 'link' AND t.revoked_at IS NULL AND t.created_at > now() - interval '1 hour'
$$;
COMMENT ON FUNCTION wa.company_of_link(text) IS 'The company whose link page has this secret, for an hour after it was made, also when its phone is linked. A company that is active and that somebody has come for since is registered again. For web processes.';

CREATE OR REPLACE FUNCTION wa.company_of_key(api_key text) RETURNS TABLE (company_id bigint, salon_id bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.company_id, c.salon_id FROM wa.company c WHERE c.api_key_hash = wa.secret_hash(company_of_key.api_key)
$$;
COMMENT ON FUNCTION wa.company_of_key(text) IS 'The company with this API key. For web processes.';

CREATE OR REPLACE FUNCTION wa.company_counts() RETURNS TABLE (session_status text, companies bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT kinds.status, count(c.company_id)
    FROM unnest(enum_range(NULL::wa.session_status)::text[]) AS kinds (status)
    LEFT JOIN (wa.company c JOIN wa.session s USING (session_id)) ON s.status::text = kinds.status
    GROUP BY kinds.status
$$;
COMMENT ON FUNCTION wa.company_counts() IS 'How many companies have a session of each status. For web processes.';

CREATE OR REPLACE VIEW wa.companies WITH (security_invoker = true) AS
SELECT c.company_id, c.salon_id, c.name, c.business_type, c.tenant, c.status, s.name AS session, s.status::text AS session_status, s.phone,
       s.connected_at, c.activated_at, c.entered_at, e.connections, e.disconnections, n.entered, n.links, n.activations
FROM wa.company c
JOIN wa.session s USING (session_id)
CROSS JOIN LATERAL (
    SELECT count(*) FILTER (WHERE k.kind = 'session_connected') AS connections,
           count(*) FILTER (WHERE k.kind = 'connection_ended') AS disconnections
    FROM wa.event k WHERE k.session_id = c.session_id
) e
CROSS JOIN LATERAL (
    SELECT coalesce(sum(d.entered), 0) AS entered, coalesce(sum(d.links), 0) AS links, coalesce(sum(d.activations), 0) AS activations
    FROM wa.company_numbers d WHERE d.company_id = c.company_id
) n;
COMMENT ON VIEW wa.companies IS 'Companies of the marketplace with the connection of each and its statistics. SELECT salon_id, name, status, session_status, connections FROM wa.companies;';
COMMENT ON COLUMN wa.companies.company_id IS 'wa.company.company_id.';
COMMENT ON COLUMN wa.companies.salon_id IS 'The partner''s number of the company.';
COMMENT ON COLUMN wa.companies.name IS 'Name, as the partner says.';
COMMENT ON COLUMN wa.companies.business_type IS 'Kind of business, as the partner says.';
COMMENT ON COLUMN wa.companies.tenant IS 'Tenant of the session.';
COMMENT ON COLUMN wa.companies.status IS 'wa.company.status.';
COMMENT ON COLUMN wa.companies.session IS 'Name of the session.';
COMMENT ON COLUMN wa.companies.phone IS 'Number of the linked phone.';
COMMENT ON COLUMN wa.companies.connected_at IS 'When the session last connected.';
COMMENT ON COLUMN wa.companies.activated_at IS 'When the partner last accepted an activation.';
COMMENT ON COLUMN wa.companies.entered_at IS 'When somebody last came from the partner for it.';
COMMENT ON COLUMN wa.companies.session_status IS 'wa.session.status.';
COMMENT ON COLUMN wa.companies.connections IS 'How often the session connected, as far back as wa.event reaches.';
COMMENT ON COLUMN wa.companies.disconnections IS 'How often a connection ended, or could not be made, without being asked to; as far back.';
COMMENT ON COLUMN wa.companies.entered IS 'How often somebody came from the partner for it, as far back as wa.company_numbers reaches.';
COMMENT ON COLUMN wa.companies.links IS 'How often a program began to link a phone; as far back.';
COMMENT ON COLUMN wa.companies.activations IS 'Activations that were asked for; as far back.';

CREATE OR REPLACE FUNCTION wa.list_companies(only_company bigint DEFAULT NULL, after bigint DEFAULT 0) RETURNS TABLE (
    company_id bigint, salon_id bigint, name text, business_type text, status text, session text, session_status text, phone text,
    connected_at timestamptz, activated_at timestamptz, connections bigint, disconnections bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT v.company_id, v.salon_id, v.name, v.business_type, v.status, v.session, v.session_status, v.phone, v.connected_at, v.activated_at,
           v.connections, v.disconnections
    FROM wa.companies v
    WHERE v.company_id > list_companies.after AND (list_companies.only_company IS NULL OR v.company_id = list_companies.only_company)
    ORDER BY v.company_id LIMIT 500
$$;
COMMENT ON FUNCTION wa.list_companies(bigint, bigint) IS 'Companies as wa.companies shows them, or only one of them; 500 at a time, those after a number. For web processes.';
