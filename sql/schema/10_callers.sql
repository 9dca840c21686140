-- Who calls, and what they may see and do (Q14). The policies of the tables and the functions with their owner's
-- rights ask here.

-- Functions with their owner's rights ask for the calling role; SET ROLE counts, as elsewhere in Postgres.
CREATE OR REPLACE FUNCTION wa.caller() RETURNS name
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role')::name END
$$;
COMMENT ON FUNCTION wa.caller() IS 'The calling role, also within functions that run with their owner''s rights.';

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
    SELECT coalesce(array_agg(m.tenant), '{}')
    FROM wa.tenant_member m JOIN pg_roles r ON r.rolname = m.role
    WHERE pg_has_role(wa.caller(), r.oid, 'member')
$$;
COMMENT ON FUNCTION wa.my_tenants() IS 'The tenants that the caller sees, unless it sees all: those that wa.grant_tenant gave to it or to a role that it is a member of. None without such a grant.';

CREATE OR REPLACE FUNCTION wa.sees(session_id bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT wa.sees_all() OR EXISTS (
        SELECT FROM wa.session s WHERE s.session_id = sees.session_id AND s.tenant = ANY (wa.my_tenants())
    )
$$;
COMMENT ON FUNCTION wa.sees(bigint) IS 'Whether the caller sees the session with this id.';

-- Functions with their owner's rights serve roles that may send, not every role that may read.
CREATE OR REPLACE FUNCTION wa.must_send() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT has_any_column_privilege(wa.caller(), 'wa.outbound', 'INSERT') THEN
        RAISE EXCEPTION 'permission denied: % may not send', wa.caller()
            USING ERRCODE = 'insufficient_privilege', HINT = 'Accepted: members of wa_app, wa_admin and wa_worker.';
    ELSIF NOT wa.sees_all() AND wa.my_tenants() = '{}' THEN
        RAISE EXCEPTION 'permission denied: % has no tenant', wa.caller()
            USING ERRCODE = 'insufficient_privilege', HINT = format('An administrator gives it one: SELECT wa.grant_tenant(%L, ''default'');', wa.caller());
    END IF;
END $$;
COMMENT ON FUNCTION wa.must_send() IS 'Raises an error for callers that may not insert messages, or that have no tenant.';

-- Functions with their caller's rights that everybody may call say so, too, before Postgres refuses a table that the caller
-- need not know.
CREATE OR REPLACE FUNCTION wa.must_write(relation text, what text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT has_any_column_privilege(relation, 'INSERT') THEN
        RAISE EXCEPTION 'permission denied: % may not %', current_user, what
            USING ERRCODE = 'insufficient_privilege', HINT = 'Accepted: members of wa_admin and wa_worker.';
    END IF;
END $$;
COMMENT ON FUNCTION wa.must_write(text, text) IS 'Raises an error for callers that may not insert into a table of operators; it names the roles that may.';
