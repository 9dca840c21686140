-- Group roles without login and their grants (Q14): GRANT wa_app TO my_application, then wa.grant_tenant('my_application',
-- 'default') for the rows. Roles belong to the whole server, so they may exist already, and whoever migrates may lack the
-- right to make them; then nothing is granted and a warning says so.

DO $$
DECLARE
    missing    name;
    taken      name;
    attributes text;
BEGIN
    FOREACH missing IN ARRAY wa.group_roles() LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = missing);
        -- A web process has the rights of a web role only while it takes that role.
        attributes := CASE missing WHEN 'wa_web' THEN 'NOLOGIN NOINHERIT' ELSE 'NOLOGIN' END;
        BEGIN
            EXECUTE format('CREATE ROLE %I %s', missing, attributes);
        EXCEPTION
            -- Another process migrates another database of this server.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'the role % does not exist, and % may not create it', missing, current_user
                    USING HINT = format('Run CREATE ROLE %I %s as a role that may, and migrate again.', missing, attributes);
        END;
    END LOOP;
    -- Made by hand, perhaps. With the rights of the web roles it would see the fleet without a token.
    IF EXISTS (SELECT FROM pg_roles r WHERE r.rolname = 'wa_web' AND r.rolinherit) THEN
        BEGIN
            ALTER ROLE wa_web NOINHERIT;
        EXCEPTION WHEN insufficient_privilege THEN
            RAISE WARNING 'the role wa_web has INHERIT, and % may not change that', current_user
                USING HINT = 'Run ALTER ROLE wa_web NOINHERIT as a role that may.';
        END;
    END IF;
    FOR taken IN
        SELECT DISTINCT w.web FROM wa.web_roles() w
        JOIN pg_roles r ON r.rolname = w.web JOIN pg_roles web ON web.rolname = 'wa_web'
        WHERE NOT EXISTS (SELECT FROM pg_auth_members m WHERE m.roleid = r.oid AND m.member = web.oid)
    LOOP
        BEGIN
            EXECUTE format('GRANT %I TO wa_web', taken);
        EXCEPTION
            WHEN unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'the role wa_web may not take the role %, and % may not allow it', taken, current_user
                    USING HINT = format('Run GRANT %I TO wa_web as a role that may.', taken);
        END;
    END LOOP;
END $$;

DO $$
DECLARE
    grants CONSTANT text[] := ARRAY[
        'GRANT USAGE ON SCHEMA wa TO %I',
        'wa_app', 'GRANT SELECT ON wa.tenant, wa.my_tenant, wa.session, wa.auth_size, wa.outbound, wa.outbound_queue, wa.outbound_failed, wa.inbox, wa.event, wa.session_job, wa.pacing, wa.queue, wa.rate, wa.failure, wa.retries, wa.session_health, wa.consumer, wa.unread, wa.consumers, wa.media, wa.download_rule, wa.receipt, wa.region, wa.history, wa.past, wa.campaigns, wa.campaign_waiting, wa.campaign, wa.numbers, wa.webhook, wa.webhooks, wa.webhook_lease, wa.delivery, wa.webhook_replay, wa.webhook_numbers, wa.companies, wa.company_numbers, wa.partner_call, wa.partner_hook TO %I',
        -- For wa.queue.
        'wa_app', 'GRANT SELECT (session_id, taken) ON wa.sending TO %I',
        'wa_app', 'GRANT INSERT (session, recipient, kind, body, content, message_id, priority, send_at, expires_at, dedupe_key, max_attempts, campaign) ON wa.outbound TO %I',
        'wa_app', 'GRANT INSERT (session, kind, reason, run_at, args) ON wa.session_job TO %I',
        'wa_app', 'GRANT SELECT ON wa.schedule TO %I',
        'wa_app', 'GRANT INSERT (name, cron, time_zone, kind, session, args, missed, enabled) ON wa.schedule TO %I',
        'wa_app', 'GRANT UPDATE (cron, time_zone, kind, session, args, missed, enabled) ON wa.schedule TO %I',
        'wa_readonly', 'GRANT SELECT ON ALL TABLES IN SCHEMA wa TO %I',
        'wa_readonly', 'REVOKE SELECT ON wa.auth, wa.auth_key, wa.auth_quarantine, wa.proxy, wa.webhook_secret, wa.partner_key, wa.session_line FROM %I',
        'wa_admin', 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA wa TO %I',
        'wa_admin', 'REVOKE SELECT, INSERT, UPDATE, DELETE ON wa.auth, wa.auth_key, wa.auth_quarantine, wa.proxy, wa.webhook_secret, wa.partner_key, wa.session_line FROM %I',
        -- Rows that workers lock for each other, or whose keys they insert: an open transaction that has locked one would hold up
        -- all sessions (R8).
        'wa_admin', 'REVOKE UPDATE, DELETE ON wa.worker, wa.lease, wa.sending, wa.webhook_lease, wa.delivery, wa.partner, wa.partner_call FROM %I',
        'wa_admin', 'REVOKE INSERT, UPDATE, DELETE ON wa.auth_home, wa.sealing, wa.witness, wa.contacted, wa.receipt, wa.outbound_queue, wa.outbound_failed, wa.schedule_tick, wa.unread, wa.schema_state, wa.region, wa.numbers, wa.numbers_batch, wa.campaign_waiting, wa.webhook_lease, wa.delivery, wa.webhook_numbers, wa.company, wa.company_numbers, wa.company_watch, wa.partner, wa.partner_call, wa.partner_hook FROM %I',
        'wa_readonly', 'REVOKE SELECT ON wa.passkey FROM %I',
        'wa_admin', 'REVOKE SELECT, INSERT, UPDATE, DELETE ON wa.passkey FROM %I',
        'wa_app', 'GRANT SELECT (session_id, session, stage, request, code, error, requested_at, expires_at, updated_at) ON wa.passkey TO %I',
        'wa_readonly', 'GRANT SELECT (session_id, session, stage, request, code, error, requested_at, expires_at, updated_at) ON wa.passkey TO %I',
        'wa_admin', 'GRANT SELECT (session_id, session, stage, request, code, error, requested_at, expires_at, updated_at) ON wa.passkey TO %I',
        'wa_worker', 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA wa TO %I',
        -- Hashes are for the functions of 70_web.sql alone, which alone write tokens. Workers delete those that have ended.
        'wa_readonly', 'REVOKE SELECT ON wa.token FROM %I',
        'wa_admin', 'REVOKE SELECT, INSERT, UPDATE, DELETE ON wa.token FROM %I',
        'wa_worker', 'REVOKE SELECT, INSERT, UPDATE ON wa.token FROM %I',
        'wa_readonly', 'GRANT SELECT (token_id, name, purpose, scope, tenant, session_id, parent_id, proxy_user, created_at, expires_at, last_used_at, spent_at, revoked_at) ON wa.token TO %I',
        'wa_admin', 'GRANT SELECT (token_id, name, purpose, scope, tenant, session_id, parent_id, proxy_user, created_at, expires_at, last_used_at, spent_at, revoked_at) ON wa.token TO %I',
        'wa_worker', 'GRANT SELECT (token_id, name, purpose, scope, tenant, session_id, parent_id, proxy_user, created_at, expires_at, last_used_at, spent_at, revoked_at) ON wa.token TO %I',
        -- Without it they could not lock what they delete.
        'wa_worker', 'GRANT UPDATE (last_used_at) ON wa.token TO %I',
        'wa_admin', 'REVOKE INSERT, UPDATE, DELETE ON wa.web FROM %I',
        -- The same for hashes of API keys.
        'wa_readonly', 'REVOKE SELECT ON wa.company FROM %I',
        'wa_admin', 'REVOKE SELECT ON wa.company FROM %I',
        'wa_app', 'GRANT SELECT (company_id, salon_id, session_id, tenant, name, business_type, status, status_at, created_at, entered_at, activated_at, api_key_at) ON wa.company TO %I',
        'wa_readonly', 'GRANT SELECT (company_id, salon_id, session_id, tenant, name, business_type, status, status_at, created_at, entered_at, activated_at, api_key_at) ON wa.company TO %I',
        'wa_admin', 'GRANT SELECT (company_id, salon_id, session_id, tenant, name, business_type, status, status_at, created_at, entered_at, activated_at, api_key_at) ON wa.company TO %I',
        -- Whoever may write this table may lock it, and then nobody migrates.
        'wa_worker', 'REVOKE INSERT, UPDATE, DELETE ON wa.schema_state FROM %I'
    ];
    granted text;
BEGIN
    FOREACH granted IN ARRAY wa.group_roles() LOOP
        CONTINUE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = granted);
        EXECUTE format(grants[1], granted);
        FOR i IN 2 .. cardinality(grants) - 1 BY 2 LOOP
            -- A web role has the grants of its roles.
            IF grants[i] = granted OR EXISTS (SELECT FROM wa.web_roles() w WHERE w.web = granted AND w.role = grants[i]) THEN
                EXECUTE format(grants[i + 1], granted);
            END IF;
        END LOOP;
    END LOOP;
END $$;

-- Workers and administrators see every tenant. Postgres finds that out while it plans, and then leaves out the other policies
-- of the table, whose functions would run for each table of each statement. A table gets its policy once.
DO $$
DECLARE
    seeing CONSTANT text := (SELECT string_agg(quote_ident(r.rolname), ', ') FROM pg_roles r WHERE r.rolname IN ('wa_worker', 'wa_admin'));
    kept   name;
BEGIN
    FOR kept IN
        SELECT c.relname FROM pg_class c
        WHERE c.relnamespace = 'wa'::regnamespace AND c.relrowsecurity
          AND NOT EXISTS (SELECT FROM pg_policy p WHERE p.polrelid = c.oid AND p.polname = 'every_tenant')
    LOOP
        EXIT WHEN seeing IS NULL;
        EXECUTE format('CREATE POLICY every_tenant ON wa.%I TO ', kept) || seeing || ' USING (true)';
    END LOOP;
END $$;

-- The version of the tables, which wagres doctor compares with its own. The table is not of this schema.
DO $$
DECLARE reader name;
BEGIN
    FOREACH reader IN ARRAY ARRAY['wa_worker', 'wa_admin', 'wa_readonly'] LOOP
        IF to_regclass('_sqlx_migrations') IS NOT NULL AND EXISTS (SELECT FROM pg_roles WHERE rolname = reader) THEN
            EXECUTE format('GRANT SELECT ON _sqlx_migrations TO %I', reader);
        END IF;
    END LOOP;
END $$;

-- Functions, by the list in 80_function_grants.sql. Changes only what differs, because each change writes the catalog.
DO $$
DECLARE change text;
BEGIN
    FOR change IN SELECT c FROM wa.grant_changes() c LOOP
        EXECUTE change;
    END LOOP;
END $$;
