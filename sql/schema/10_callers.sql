-- Who calls, and what they may see and do (Q14). The policies of the tables and the functions with their owner's
-- rights ask here.

-- Two ways to ask who calls:
--
-- - Policies, and views with their owner's rights, give current_user to wa.sees_all and wa.my_tenants. It is the role whose
--   rights the statement has, also where Postgres lowers them: a function in an index of somebody's table runs with that
--   somebody's rights in the superuser's ANALYZE, and in autovacuum.
-- - A function with its owner's rights cannot ask for the role that called it, so it takes that of the session. Postgres
--   does not lower that one, so such a function refuses to run where rights are lowered.
--
-- Its names are looked up here and not at the call, so it needs no search_path of its own, and Postgres puts the expression
-- in the place of the call: nearly every statement of an application asks.
CREATE OR REPLACE FUNCTION wa.session_role() RETURNS name LANGUAGE sql STABLE
RETURN CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role')::name END;
COMMENT ON FUNCTION wa.session_role() IS 'The role of the session; SET ROLE counts, as elsewhere in Postgres.';

CREATE OR REPLACE FUNCTION wa.must_not_be_lowered() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- What Postgres refuses in a security-restricted operation, and nowhere else. Nothing in SQL tells of one.
    EXECUTE 'DECLARE "wa.must_not_be_lowered" CURSOR WITH HOLD FOR SELECT';
    EXECUTE 'CLOSE "wa.must_not_be_lowered"';
EXCEPTION WHEN insufficient_privilege THEN
    RAISE EXCEPTION 'permission denied: called by an index, a materialized view or the like'
        USING ERRCODE = 'insufficient_privilege', HINT = 'Accepted: a call from a statement of your own.';
END $$;
COMMENT ON FUNCTION wa.must_not_be_lowered() IS 'Raises an error within a security-restricted operation, such as ANALYZE of a table whose index has a function: there the role of the session says nothing about who calls.';

CREATE OR REPLACE FUNCTION wa.caller() RETURNS name
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM wa.must_not_be_lowered();
    RETURN wa.session_role();
END $$;
COMMENT ON FUNCTION wa.caller() IS 'The calling role, within functions that run with their owner''s rights.';

-- The web roles and the roles whose grants each has (H2); 80_function_grants.sql and 90_roles.sql grant by this list. A web
-- role is a member of none of them, and sees only what its token shows it.
CREATE OR REPLACE FUNCTION wa.web_roles() RETURNS TABLE (web name, role name)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ VALUES
    ('wa_web_viewer'::name, 'wa_readonly'::name),
    ('wa_web_operator', 'wa_readonly'),
    ('wa_web_operator', 'wa_app'),
    ('wa_web_admin', 'wa_admin')
$$;
COMMENT ON FUNCTION wa.web_roles() IS 'The roles that requests of the web pages run as, and those whose grants each has. Their rows are those of the request''s token.';

CREATE OR REPLACE FUNCTION wa.group_roles() RETURNS name[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT ARRAY['wa_app', 'wa_worker', 'wa_admin', 'wa_readonly', 'wa_web']::name[] || ARRAY(SELECT DISTINCT w.web FROM wa.web_roles() w ORDER BY w.web)
$$;
COMMENT ON FUNCTION wa.group_roles() IS 'The group roles that migrate makes. wa_web is for the logins of web processes and may take each of the web roles.';

CREATE OR REPLACE FUNCTION wa.secret_hash(secret text) RETURNS bytea
LANGUAGE sql IMMUTABLE STRICT SET search_path = pg_catalog, pg_temp AS $$ SELECT sha256(convert_to(secret, 'UTF8')) $$;
COMMENT ON FUNCTION wa.secret_hash(text) IS 'What wa.token keeps of a secret. Secrets are random, so they need no salt.';

CREATE OR REPLACE FUNCTION wa.is_live(token wa.token) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT token.revoked_at IS NULL AND token.spent_at IS NULL AND coalesce(token.expires_at > now(), true)
$$;
COMMENT ON FUNCTION wa.is_live(wa.token) IS 'Whether a token is neither revoked, spent nor expired. Its parent may be.';

CREATE OR REPLACE FUNCTION wa.live_token(secret text, purposes wa.token_purpose[]) RETURNS wa.token
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE found wa.token;
BEGIN
    SELECT t.* INTO found FROM wa.token t LEFT JOIN wa.token parent ON parent.token_id = t.parent_id
    WHERE t.hash = wa.secret_hash(live_token.secret) AND t.purpose = ANY (purposes)
      AND wa.is_live(t) AND (t.parent_id IS NULL OR wa.is_live(parent));
    RETURN found;
END $$;
COMMENT ON FUNCTION wa.live_token(text, wa.token_purpose[]) IS 'The token with this secret, if it is for one of these purposes and it and its parent are live; else a row of nulls.';

CREATE OR REPLACE FUNCTION wa.live_proxy_user(name text) RETURNS wa.token
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE found wa.token;
BEGIN
    SELECT t.* INTO found FROM wa.token t
    WHERE t.name = live_proxy_user.name AND t.purpose = 'token' AND t.revoked_at IS NULL AND t.proxy_user AND wa.is_live(t);
    RETURN found;
END $$;
COMMENT ON FUNCTION wa.live_proxy_user(text) IS 'The live token of this name that a proxy may sign in; else a row of nulls.';

-- Looked up again for each statement: whoever sets wagres.token without a valid secret sees nothing.
CREATE OR REPLACE FUNCTION wa.request_token(role name) RETURNS wa.token
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    secret CONSTANT text := nullif(current_setting('wagres.token', true), '');
    found  wa.token;
BEGIN
    IF secret IS NULL THEN
        found := wa.live_proxy_user(nullif(current_setting('wagres.user', true), ''));
    ELSE
        found := wa.live_token(secret, '{token,cookie}');
    END IF;
    IF found.scope >= substr(request_token.role, length('wa_web_') + 1)::wa.token_scope THEN
        RETURN found;
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION wa.request_token(name) IS 'For a web role: the live token that wa.web_enter or wa.web_user has found for this request; a row of nulls without one, or when its scope is below the role''s.';

CREATE OR REPLACE FUNCTION wa.caller_name() RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE role CONSTANT name := wa.caller();
BEGIN
    IF role IN ('wa_web_viewer', 'wa_web_operator', 'wa_web_admin') THEN
        RETURN coalesce((wa.request_token(role)).name, role::text);
    END IF;
    RETURN role;
END $$;
COMMENT ON FUNCTION wa.caller_name() IS 'Who calls, for people: the role, or for a request of the web pages the name of its token.';

CREATE OR REPLACE FUNCTION wa.token_tenants(role name) RETURNS text[]
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE found CONSTANT wa.token := wa.request_token(token_tenants.role);
BEGIN
    RETURN CASE WHEN found.token_id IS NULL THEN NULL WHEN found.tenant IS NULL THEN '{}' ELSE ARRAY[found.tenant] END;
END $$;
COMMENT ON FUNCTION wa.token_tenants(name) IS 'For a web role: the tenants of the token that wa.web_enter or wa.web_user has found, empty for all tenants; null without a live token, or when its scope is below the role''s.';

CREATE OR REPLACE FUNCTION wa.link_state(token wa.token, connected_at timestamptz) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT CASE
        WHEN token.revoked_at IS NOT NULL THEN 'revoked'
        WHEN token.spent_at IS NOT NULL OR link_state.connected_at > token.created_at AND link_state.connected_at <= token.expires_at THEN 'spent'
        WHEN token.expires_at <= now() THEN 'expired'
        ELSE 'open'
    END
$$;
COMMENT ON FUNCTION wa.link_state(wa.token, timestamptz) IS 'State of a link page whose session last connected at this moment: revoked, spent (the session has connected since the link was made), expired, open. No statement of a worker has to write that a link is spent, so none waits for it (R8).';

CREATE OR REPLACE FUNCTION wa.page_session() RETURNS bigint
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT s.session_id FROM wa.token t JOIN wa.session s ON s.session_id = t.session_id
    WHERE t.hash = wa.secret_hash(current_setting('wagres.token', true)) AND wa.link_state(t, s.connected_at) = 'open'
      AND pg_has_role(wa.caller(), to_regrole('wa_web')::oid, 'member')
$$;
COMMENT ON FUNCTION wa.page_session() IS 'The session of the open link page that a member of wa_web serves, see wa.link_page_start; else null. Of the functions that treat it as the caller''s session wa_web may execute only those of the link page.';

-- Both answer for the given role if the role of the session is a member of it, else for the caller: nobody asks for other
-- roles, and an application's function with its owner's rights sees what its caller sees.
-- In PL/pgSQL, which keeps its plans: almost every statement asks these two.
CREATE OR REPLACE FUNCTION wa.sees_all(role name DEFAULT wa.caller()) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE known CONSTANT name := CASE WHEN pg_has_role(wa.session_role(), sees_all.role, 'member') THEN sees_all.role ELSE wa.caller() END;
BEGIN
    IF known IN ('wa_web_viewer', 'wa_web_operator', 'wa_web_admin') THEN
        RETURN coalesce(wa.token_tenants(known) = '{}', false);
    END IF;
    RETURN pg_has_role(known, current_user, 'member')
        OR coalesce(pg_has_role(known, to_regrole('wa_worker')::oid, 'member') OR pg_has_role(known, to_regrole('wa_admin')::oid, 'member'), false);
END $$;
COMMENT ON FUNCTION wa.sees_all(name) IS 'Whether a role, by default the caller, sees every tenant: members of wa_worker and wa_admin, the owner of the schema, and a web role whose token is for all tenants.';

-- Inlined, hence without a search_path.
CREATE OR REPLACE FUNCTION wa.roles_of(role name) RETURNS SETOF name LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH RECURSIVE mine AS (
        SELECT to_regrole(quote_ident(roles_of.role))::oid AS role
        UNION
        SELECT a.roleid FROM mine m JOIN pg_auth_members a ON a.member = m.role
    )
    SELECT pg_get_userbyid(mine.role) FROM mine;
END;
COMMENT ON FUNCTION wa.roles_of(name) IS 'The role with this name, and those that it is a member of.';

CREATE OR REPLACE FUNCTION wa.my_tenants(role name DEFAULT wa.caller()) RETURNS text[]
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE known CONSTANT name := CASE WHEN pg_has_role(wa.session_role(), my_tenants.role, 'member') THEN my_tenants.role ELSE wa.caller() END;
BEGIN
    IF known IN ('wa_web_viewer', 'wa_web_operator', 'wa_web_admin') THEN
        RETURN coalesce(wa.token_tenants(known), '{}');
    END IF;
    -- From the role to its memberships: to ask of each entry whether the role is a member would read those of all tenants.
    RETURN (
        SELECT coalesce(array_agg(m.tenant), '{}') FROM wa.tenant_member m
        WHERE m.role = ANY (ARRAY(SELECT wa.roles_of(known)))
    );
END $$;
COMMENT ON FUNCTION wa.my_tenants(name) IS 'The tenants that a role, by default the caller, sees, unless it sees all: those that wa.grant_tenant gave to it or to a role that it is a member of, or that of its web token. None for a role without any.';

-- For the policy of wa.session, which every INSERT of a message asks: no function runs for it (P9b). Of no rows but the
-- caller's own does a condition of the caller learn anything (security_barrier).
CREATE OR REPLACE VIEW wa.my_tenant WITH (security_barrier = true) AS
    SELECT m.tenant FROM wa.tenant_member m WHERE m.role = ANY (ARRAY(SELECT r FROM wa.roles_of(current_user) r));
COMMENT ON VIEW wa.my_tenant IS 'The tenants that wa.grant_tenant gave to the current role, or to a role that it is a member of.';

CREATE OR REPLACE FUNCTION wa.sees(session_id bigint) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT wa.sees_all() OR EXISTS (
        SELECT FROM wa.session s WHERE s.session_id = sees.session_id AND s.tenant = ANY (wa.my_tenants())
    ) OR coalesce(wa.page_session() = sees.session_id, false)
$$;
COMMENT ON FUNCTION wa.sees(bigint) IS 'Whether the caller sees the session with this id.';

-- Functions with their owner's rights serve roles that may send, not every role that may read.
CREATE OR REPLACE FUNCTION wa.must_send() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE may_insert CONSTANT boolean := has_any_column_privilege(wa.caller(), 'wa.outbound', 'INSERT');
BEGIN
    IF may_insert AND (wa.sees_all() OR wa.my_tenants() <> '{}') OR wa.page_session() IS NOT NULL THEN
        RETURN;
    ELSIF NOT may_insert THEN
        RAISE EXCEPTION 'permission denied: % may not send', wa.caller()
            USING ERRCODE = 'insufficient_privilege', HINT = 'Accepted: members of wa_app, wa_admin and wa_worker, and web tokens of an operator or admin.';
    ELSIF wa.caller() IN ('wa_web_operator', 'wa_web_admin') THEN
        RAISE EXCEPTION 'permission denied: % has no valid token', wa.caller()
            USING ERRCODE = 'insufficient_privilege', HINT = 'Accepted: after wa.web_enter in the same transaction, with a token of that scope; sign in again.';
    END IF;
    RAISE EXCEPTION 'permission denied: % has no tenant', wa.caller()
        USING ERRCODE = 'insufficient_privilege', HINT = format('An administrator gives it one: SELECT wa.grant_tenant(%L, ''default'');', wa.caller());
END $$;
COMMENT ON FUNCTION wa.must_send() IS 'Raises an error for callers that may not insert messages, or that have no tenant. A link page may link its own session.';

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
