-- Roles (Q14). Group roles without login: GRANT wa_app TO my_application. They belong to the whole server, so they may be
-- there already, and whoever migrates may not be allowed to make them; then nothing is granted and a warning says so.

-- Functions with their owner's rights ask who calls; SET ROLE counts, as it does everywhere else.
CREATE OR REPLACE FUNCTION wa.caller() RETURNS name
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role')::name END
$$;
COMMENT ON FUNCTION wa.caller() IS 'The role that calls, also within functions that run with their owner''s rights.';

CREATE OR REPLACE FUNCTION wa.sees_all() RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (
        SELECT FROM pg_roles r
        WHERE (r.rolname IN ('wa_worker', 'wa_admin') OR r.rolname = current_user) AND pg_has_role(wa.caller(), r.oid, 'member')
    )
$$;
COMMENT ON FUNCTION wa.sees_all() IS 'Whether the caller sees every tenant: members of wa_worker and wa_admin, and the owner of the schema.';

CREATE OR REPLACE FUNCTION wa.my_tenants() RETURNS text[]
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT coalesce(array_agg(m.tenant), ARRAY['default'])
    FROM wa.tenant_member m JOIN pg_roles r ON r.rolname = m.role
    WHERE pg_has_role(wa.caller(), r.oid, 'member')
$$;
COMMENT ON FUNCTION wa.my_tenants() IS 'The tenants that the caller sees, if it does not see all.';

CREATE OR REPLACE FUNCTION wa.sees(session_id bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT wa.sees_all() OR EXISTS (
        SELECT FROM wa.session s WHERE s.session_id = sees.session_id AND s.tenant = ANY (wa.my_tenants())
    )
$$;
COMMENT ON FUNCTION wa.sees(bigint) IS 'Whether the caller sees the session with this id.';

-- Functions with their owner's rights give them to those who may send, not to everybody who may look.
CREATE OR REPLACE FUNCTION wa.must_send() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT has_any_column_privilege(wa.caller(), 'wa.outbound', 'INSERT') THEN
        RAISE EXCEPTION 'permission denied: % may not send', wa.caller()
            USING ERRCODE = 'insufficient_privilege', HINT = 'Who may: members of wa_app, wa_admin and wa_worker.';
    END IF;
END $$;
COMMENT ON FUNCTION wa.must_send() IS 'Refuses callers that may not insert messages.';

CREATE OR REPLACE FUNCTION wa.grant_tenant(role name, tenant text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = grant_tenant.role) THEN
        RAISE EXCEPTION 'role: there is no role "%"', grant_tenant.role
            USING ERRCODE = 'WA012', COLUMN = 'role', HINT = 'Accepted: a role of this server.';
    END IF;
    INSERT INTO wa.tenant_member (role, tenant) VALUES (grant_tenant.role, wa.existing_tenant(grant_tenant.tenant))
    ON CONFLICT ON CONSTRAINT tenant_member_pkey DO NOTHING;
END $$;
COMMENT ON FUNCTION wa.grant_tenant(name, text) IS 'Lets a database role see a tenant, and no longer "default" unless that is granted as well. SELECT wa.grant_tenant(''acme_app'', ''acme'');';

CREATE OR REPLACE FUNCTION wa.revoke_tenant(role name, tenant text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM wa.tenant_member m WHERE m.role = revoke_tenant.role AND m.tenant = revoke_tenant.tenant
$$;
COMMENT ON FUNCTION wa.revoke_tenant(name, text) IS 'Takes wa.grant_tenant back.';

DO $$
DECLARE missing name;
BEGIN
    FOREACH missing IN ARRAY ARRAY['wa_app', 'wa_worker', 'wa_admin', 'wa_readonly'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = missing);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', missing);
        EXCEPTION
            -- Somebody else migrates another database of this server.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'the role % is not there and may not be made by %', missing, current_user
                    USING HINT = format('CREATE ROLE %I NOLOGIN, as a role that may, and migrate again.', missing);
        END;
    END LOOP;
END $$;

DO $$
DECLARE
    grants CONSTANT text[] := ARRAY[
        'GRANT USAGE ON SCHEMA wa TO %I',
        'wa_app', 'GRANT SELECT ON wa.tenant, wa.session, wa.auth_size, wa.outbound, wa.inbox, wa.event, wa.session_job, wa.pacing, wa.queue, wa.rate, wa.failure, wa.session_health, wa.consumer, wa.unread, wa.consumers, wa.media, wa.download_rule, wa.receipt, wa.region, wa.history, wa.past, wa.campaigns, wa.paused_campaign TO %I',
        'wa_app', 'GRANT INSERT (session, recipient, kind, body, content, message_id, priority, send_at, expires_at, dedupe_key, max_attempts, campaign) ON wa.outbound TO %I',
        'wa_app', 'GRANT INSERT (session, kind, reason, run_at, args) ON wa.session_job TO %I',
        'wa_app', 'GRANT SELECT, DELETE ON wa.schedule TO %I',
        'wa_app', 'GRANT INSERT (name, cron, time_zone, kind, session, args, missed, enabled) ON wa.schedule TO %I',
        'wa_app', 'GRANT UPDATE (cron, time_zone, kind, session, args, missed, enabled) ON wa.schedule TO %I',
        'wa_readonly', 'GRANT SELECT ON ALL TABLES IN SCHEMA wa TO %I',
        'wa_readonly', 'REVOKE SELECT ON wa.auth, wa.auth_key, wa.auth_quarantine, wa.proxy FROM %I',
        'wa_admin', 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA wa TO %I',
        'wa_admin', 'REVOKE SELECT, INSERT, UPDATE, DELETE ON wa.auth, wa.auth_key, wa.auth_quarantine, wa.proxy FROM %I',
        'wa_readonly', 'REVOKE SELECT ON wa.passkey FROM %I',
        'wa_admin', 'REVOKE SELECT, INSERT, UPDATE, DELETE ON wa.passkey FROM %I',
        'wa_app', 'GRANT SELECT (session_id, session, stage, request, code, error, requested_at, expires_at, updated_at) ON wa.passkey TO %I',
        'wa_readonly', 'GRANT SELECT (session_id, session, stage, request, code, error, requested_at, expires_at, updated_at) ON wa.passkey TO %I',
        'wa_admin', 'GRANT SELECT (session_id, session, stage, request, code, error, requested_at, expires_at, updated_at) ON wa.passkey TO %I',
        'wa_worker', 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA wa TO %I'
    ];
    granted text;
BEGIN
    FOREACH granted IN ARRAY ARRAY['wa_app', 'wa_worker', 'wa_admin', 'wa_readonly'] LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = granted);
        EXECUTE format(grants[1], granted);
        FOR i IN 2 .. cardinality(grants) - 1 BY 2 LOOP
            IF grants[i] = granted THEN
                EXECUTE format(grants[i + 1], granted);
            END IF;
        END LOOP;
    END LOOP;
END $$;
