-- Tenants: adding, pausing, and which database role sees which.

CREATE OR REPLACE FUNCTION wa.existing_tenant(tenant text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM wa.tenant t WHERE t.tenant = existing_tenant.tenant) THEN
        RAISE EXCEPTION 'tenant: % does not exist', coalesce('"' || left(existing_tenant.tenant, 80) || '"', 'null')
            USING ERRCODE = 'WA012', COLUMN = 'tenant', HINT = 'Accepted: a name in wa.tenant; SELECT wa.add_tenant(''acme'') adds one.';
    END IF;
    RETURN existing_tenant.tenant;
END $$;
COMMENT ON FUNCTION wa.existing_tenant(text) IS 'The name of a tenant that exists; error WA012 without one.';

CREATE OR REPLACE FUNCTION wa.chosen_tenant(tenant text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    -- Without the policy of wa.tenant, because functions with their owner's rights ask, too.
    seen CONSTANT text[] := ARRAY(
        SELECT t.tenant FROM wa.tenant t
        WHERE (chosen_tenant.tenant IS NULL OR t.tenant = chosen_tenant.tenant) AND (wa.sees_all() OR t.tenant = ANY (wa.my_tenants())
               -- Inserts nothing by itself, only by functions that name the tenant.
               OR chosen_tenant.tenant IS NOT NULL AND wa.caller() = 'wa_web')
        ORDER BY t.tenant);
BEGIN
    IF chosen_tenant.tenant IS NULL AND cardinality(seen) > 1 AND 'default' = ANY (seen) THEN
        RETURN 'default';
    ELSIF cardinality(seen) = 1 THEN
        RETURN seen[1];
    END IF;
    RAISE EXCEPTION 'tenant: %', CASE
            WHEN cardinality(seen) > 1 THEN 'missing; ' || wa.caller() || ' sees several'
            WHEN chosen_tenant.tenant IS NULL THEN wa.caller() || ' sees none'
            ELSE '"' || left(chosen_tenant.tenant, 80) || '" does not exist, or ' || wa.caller() || ' does not see it' END
        USING ERRCODE = 'WA012', COLUMN = 'tenant', HINT = CASE
            WHEN cardinality(seen) > 1 THEN 'Accepted: ' || array_to_string(seen[1:20], ', ') || CASE WHEN cardinality(seen) > 20 THEN ' …' ELSE '' END || '.'
            ELSE 'Accepted: a name in wa.tenant; wa.add_tenant(''acme'') adds one, and wa.grant_tenant lets a role see it.' END;
END $$;
COMMENT ON FUNCTION wa.chosen_tenant(text) IS 'The tenant with this name, if the caller sees it. For null: the only tenant that the caller sees, else "default". Error WA012 otherwise.';

CREATE OR REPLACE FUNCTION wa.add_tenant(tenant text) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF tenant IS NULL OR tenant !~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$' THEN
        RAISE EXCEPTION 'tenant: % is not a name', coalesce('"' || left(tenant, 80) || '"', 'null')
            USING ERRCODE = 'WA012', COLUMN = 'tenant',
                  HINT = 'Accepted: 1 to 63 letters, digits, dots, underscores and hyphens, the first a letter or digit.';
    END IF;
    INSERT INTO wa.tenant (tenant) VALUES (add_tenant.tenant) ON CONFLICT ON CONSTRAINT tenant_pkey DO NOTHING;
    RETURN tenant;
END $$;
COMMENT ON FUNCTION wa.add_tenant(text) IS 'Adds a tenant, unless it exists. SELECT wa.add_tenant(''acme'');';

-- Pages and events show reasons whole.
CREATE OR REPLACE FUNCTION wa.check_reason(reason text) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF octet_length(check_reason.reason) > 1000 THEN
        RAISE EXCEPTION 'reason: % bytes are out of range', octet_length(check_reason.reason)
            USING ERRCODE = 'WA011', COLUMN = 'reason', HINT = 'Accepted: up to 1000 bytes, or null.';
    END IF;
END $$;
COMMENT ON FUNCTION wa.check_reason(text) IS 'Refuses a reason of more than 1000 bytes; error WA011.';

CREATE OR REPLACE FUNCTION wa.pause_tenant(tenant text, reason text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE known CONSTANT text := wa.existing_tenant(pause_tenant.tenant);
BEGIN
    PERFORM wa.check_reason(pause_tenant.reason);
    -- Of two pauses the first one counts; a reason may be added later.
    UPDATE wa.tenant t
    SET paused_at = coalesce(t.paused_at, now()), paused_reason = coalesce(pause_tenant.reason, t.paused_reason),
        paused_by = CASE WHEN t.paused_at IS NULL THEN wa.caller_name() ELSE t.paused_by END
    WHERE t.tenant = known;
END $$;
COMMENT ON FUNCTION wa.pause_tenant(text, text) IS 'Pauses the sending of all sessions of a tenant. SELECT wa.pause_tenant(''default'');';

CREATE OR REPLACE FUNCTION wa.resume_tenant(tenant text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE known CONSTANT text := wa.existing_tenant(resume_tenant.tenant);
BEGIN
    UPDATE wa.tenant t SET paused_at = NULL, paused_reason = NULL, paused_by = NULL
    WHERE t.tenant = known;
    PERFORM wa.wake();
END $$;
COMMENT ON FUNCTION wa.resume_tenant(text) IS 'Resumes the sending of all sessions of a tenant. SELECT wa.resume_tenant(''default'');';

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
COMMENT ON FUNCTION wa.grant_tenant(name, text) IS 'Lets a database role, and the members of that role, see a tenant. A role without any tenant sees nothing. SELECT wa.grant_tenant(''my_app'', ''default'');';

CREATE OR REPLACE FUNCTION wa.revoke_tenant(role name, tenant text) RETURNS void
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    DELETE FROM wa.tenant_member m WHERE m.role = revoke_tenant.role AND m.tenant = revoke_tenant.tenant
$$;
COMMENT ON FUNCTION wa.revoke_tenant(name, text) IS 'Reverses wa.grant_tenant; after its last tenant the role sees nothing. Call it before DROP ROLE, because a new role of the same name would see the tenant.';
