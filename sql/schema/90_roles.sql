-- Group roles without login and their grants (Q14): GRANT wa_app TO my_application, then wa.grant_tenant('my_application',
-- 'default') for the rows. Roles belong to the whole server, so they may exist already, and whoever migrates may lack the
-- right to make them; then nothing is granted and a warning says so.

DO $$
DECLARE missing name;
BEGIN
    FOREACH missing IN ARRAY ARRAY['wa_app', 'wa_worker', 'wa_admin', 'wa_readonly'] LOOP
        CONTINUE WHEN EXISTS (SELECT FROM pg_roles WHERE rolname = missing);
        BEGIN
            EXECUTE format('CREATE ROLE %I NOLOGIN', missing);
        EXCEPTION
            -- Another process migrates another database of this server.
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE WARNING 'the role % does not exist, and % may not create it', missing, current_user
                    USING HINT = format('Run CREATE ROLE %I NOLOGIN as a role that may, and migrate again.', missing);
        END;
    END LOOP;
END $$;

DO $$
DECLARE
    grants CONSTANT text[] := ARRAY[
        'GRANT USAGE ON SCHEMA wa TO %I',
        'wa_app', 'GRANT SELECT ON wa.tenant, wa.session, wa.auth_size, wa.outbound, wa.inbox, wa.event, wa.session_job, wa.pacing, wa.queue, wa.rate, wa.failure, wa.session_health, wa.consumer, wa.unread, wa.consumers, wa.media, wa.download_rule, wa.receipt, wa.region, wa.history, wa.past, wa.campaigns, wa.campaign TO %I',
        'wa_app', 'GRANT INSERT (session, recipient, kind, body, content, message_id, priority, send_at, expires_at, dedupe_key, max_attempts, campaign) ON wa.outbound TO %I',
        'wa_app', 'GRANT INSERT (session, kind, reason, run_at, args) ON wa.session_job TO %I',
        'wa_app', 'GRANT SELECT ON wa.schedule TO %I',
        'wa_app', 'GRANT INSERT (name, cron, time_zone, kind, session, args, missed, enabled) ON wa.schedule TO %I',
        'wa_app', 'GRANT UPDATE (cron, time_zone, kind, session, args, missed, enabled) ON wa.schedule TO %I',
        'wa_readonly', 'GRANT SELECT ON ALL TABLES IN SCHEMA wa TO %I',
        'wa_readonly', 'REVOKE SELECT ON wa.auth, wa.auth_key, wa.auth_quarantine, wa.proxy FROM %I',
        'wa_admin', 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA wa TO %I',
        'wa_admin', 'REVOKE SELECT, INSERT, UPDATE, DELETE ON wa.auth, wa.auth_key, wa.auth_quarantine, wa.proxy FROM %I',
        -- Rows that workers lock for each other, or whose keys they insert: an open transaction that has locked one would hold up
        -- all sessions (R8).
        'wa_admin', 'REVOKE UPDATE, DELETE ON wa.worker, wa.lease, wa.sending FROM %I',
        'wa_admin', 'REVOKE INSERT, UPDATE, DELETE ON wa.auth_home, wa.sealing, wa.witness, wa.contacted, wa.receipt, wa.schedule_tick, wa.unread, wa.schema_state FROM %I',
        'wa_readonly', 'REVOKE SELECT ON wa.passkey FROM %I',
        'wa_admin', 'REVOKE SELECT, INSERT, UPDATE, DELETE ON wa.passkey FROM %I',
        'wa_app', 'GRANT SELECT (session_id, session, stage, request, code, error, requested_at, expires_at, updated_at) ON wa.passkey TO %I',
        'wa_readonly', 'GRANT SELECT (session_id, session, stage, request, code, error, requested_at, expires_at, updated_at) ON wa.passkey TO %I',
        'wa_admin', 'GRANT SELECT (session_id, session, stage, request, code, error, requested_at, expires_at, updated_at) ON wa.passkey TO %I',
        'wa_worker', 'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA wa TO %I',
        -- Whoever may write this table may lock it, and then nobody migrates.
        'wa_worker', 'REVOKE INSERT, UPDATE, DELETE ON wa.schema_state FROM %I'
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

-- Functions, by the list in 80_function_grants.sql. Changes only what differs, because each change writes the catalog.
DO $$
DECLARE change text;
BEGIN
    FOR change IN SELECT c FROM wa.grant_changes() c LOOP
        EXECUTE change;
    END LOOP;
END $$;
