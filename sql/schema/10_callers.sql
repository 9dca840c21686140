-- Who calls, and what they may see and do (Q14). The policies of the tables and the functions with their owner's rights ask here.

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
