-- Tokens of the web pages (H2): making and revoking them, signing in, and the link page of one session.
--
-- Each request of a web process is one transaction: SELECT wa.web_enter(secret), SET LOCAL ROLE wa_web_<scope>, and then
-- the statements of the page, with the rights of that role and the rows of that token (see wa.token_tenants).

CREATE OR REPLACE FUNCTION wa.new_secret(letter text) RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
    SELECT 'wa' || letter || '_' || replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')
$$;
COMMENT ON FUNCTION wa.new_secret(text) IS 'A new secret: wat_ (token), wal_ (login link), wac_ (cookie) or wak_ (link page), and 64 hex digits.';

CREATE OR REPLACE FUNCTION wa.register_web(url text, guessed boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE address CONSTANT text := rtrim(register_web.url, '/');
BEGIN
    IF address IS NULL OR length(address) > 2000 OR address !~ '^https?://[A-Za-z0-9.:_\[\]-]+(/[A-Za-z0-9._~%/-]*)?$' THEN
        -- Not repeated, because it may hold a password.
        RAISE EXCEPTION 'url: not the address of a web page'
            USING ERRCODE = 'WA052', COLUMN = 'url', HINT = 'Accepted: http:// or https://, a host, a port if it is not the usual one, and a path without a query, such as https://wa.example.com.';
    END IF;
    INSERT INTO wa.web AS w (url, guessed) VALUES (address, register_web.guessed)
    ON CONFLICT (one) DO UPDATE SET url = EXCLUDED.url, guessed = EXCLUDED.guessed, updated_at = now()
    WHERE (w.url, w.guessed) IS DISTINCT FROM (EXCLUDED.url, EXCLUDED.guessed) AND (w.guessed OR NOT EXCLUDED.guessed);
END $$;
COMMENT ON FUNCTION wa.register_web(text, boolean) IS 'Says where people reach the web pages; wa.link_url and wa.login_link begin with it. Web processes call it when they start: guessed is what they listen on, which replaces no address that somebody has set. SELECT wa.register_web(''https://wa.example.com'');';

CREATE OR REPLACE FUNCTION wa.web_url() RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM wa.web) THEN
        RAISE EXCEPTION 'url: no web process has registered its address'
            USING ERRCODE = 'WA052', COLUMN = 'url', HINT = 'Start wagres web or wagres up, which registers its address, or SELECT wa.register_web(''https://wa.example.com'').';
    END IF;
    RETURN (SELECT w.url FROM wa.web w);
END $$;
COMMENT ON FUNCTION wa.web_url() IS 'The address of the web pages; error WA052 without one.';

CREATE OR REPLACE FUNCTION wa.check_valid(valid interval, most interval) RETURNS void
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF valid IS NULL OR valid < interval '1 second' OR valid > most THEN
        RAISE EXCEPTION 'valid: % is out of range', coalesce('"' || valid || '"', 'null')
            USING ERRCODE = 'WA051', COLUMN = 'valid', HINT = format('Accepted: 1 second to %s, such as ''30 min''.', most);
    END IF;
END $$;
COMMENT ON FUNCTION wa.check_valid(interval, interval) IS 'Refuses a time for which a secret is valid that is below a second or above most; error WA051.';

-- Making and revoking tokens. With their owner's rights, because nobody else may read or write a hash.

CREATE OR REPLACE FUNCTION wa.must_administer() RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Only administrators may execute what calls this; the web process may take their role without a token.
    IF NOT wa.sees_all() THEN
        RAISE EXCEPTION 'permission denied: % does not see all tenants', wa.caller()
            USING ERRCODE = 'insufficient_privilege', HINT = 'Accepted: members of wa_admin, and web tokens of an admin.';
    END IF;
END $$;
COMMENT ON FUNCTION wa.must_administer() IS 'Raises an error for callers that do not see all tenants.';

CREATE OR REPLACE FUNCTION wa.add_token(
    name text, scope text DEFAULT 'operator', tenant text DEFAULT NULL, valid interval DEFAULT NULL, proxy_user boolean DEFAULT false
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
    secret   CONSTANT text := wa.new_secret('t');
    added_id bigint;
BEGIN
    PERFORM wa.must_administer();
    IF add_token.name IS NULL OR add_token.name !~ '^[A-Za-z0-9][A-Za-z0-9._@+-]{0,99}$' THEN
        RAISE EXCEPTION 'name: % is not the name of a token', coalesce('"' || left(add_token.name, 80) || '"', 'null')
            USING ERRCODE = 'WA051', COLUMN = 'name', HINT = 'Accepted: 1 to 100 letters, digits, and . _ @ + -, the first a letter or digit.';
    ELSIF add_token.scope IS NULL OR add_token.scope NOT IN ('viewer', 'operator', 'admin') THEN
        RAISE EXCEPTION 'scope: % is not a scope', coalesce('"' || left(add_token.scope, 80) || '"', 'null')
            USING ERRCODE = 'WA051', COLUMN = 'scope', HINT = 'Accepted: viewer, operator or admin.';
    ELSIF add_token.tenant IS NOT NULL THEN
        PERFORM wa.existing_tenant(add_token.tenant);
        IF add_token.scope = 'admin' THEN
            RAISE EXCEPTION 'tenant: an admin is one of all tenants'
                USING ERRCODE = 'WA051', COLUMN = 'tenant', HINT = 'Accepted: null with the scope admin; for one tenant the scope operator or viewer.';
        END IF;
    END IF;
    IF add_token.valid IS NOT NULL THEN
        PERFORM wa.check_valid(add_token.valid, interval '10 years');
    END IF;
    -- An expired token leaves its name to the next one.
    UPDATE wa.token t SET revoked_at = now()
    WHERE t.name = add_token.name AND t.purpose = 'token' AND t.revoked_at IS NULL AND t.expires_at <= now();
    INSERT INTO wa.token AS t (name, purpose, scope, tenant, hash, expires_at, proxy_user)
    VALUES (add_token.name, 'token', add_token.scope::wa.token_scope, add_token.tenant, wa.secret_hash(secret), now() + add_token.valid,
            coalesce(add_token.proxy_user, false))
    ON CONFLICT (name) WHERE purpose = 'token' AND revoked_at IS NULL DO NOTHING
    RETURNING t.token_id INTO added_id;
    IF added_id IS NULL THEN
        RAISE EXCEPTION 'name: a live token is named "%"', add_token.name
            USING ERRCODE = 'WA051', COLUMN = 'name', HINT = format('Accepted: a name that no live token has; SELECT wa.revoke_token(%L) frees this one.', add_token.name);
    END IF;
    RETURN secret;
END $$;
COMMENT ON FUNCTION wa.add_token(text, text, text, interval, boolean) IS 'Adds a token for the web pages and returns its secret, which nothing can show again. scope is viewer, operator or admin; without a tenant it sees all tenants; without valid it never expires. With proxy_user a web process whose proxy signs people in lets in the user of this name. SELECT wa.add_token(''anna'', ''operator'', ''acme'', ''90 days'');';

CREATE OR REPLACE FUNCTION wa.revoke_token(name text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM wa.must_administer();
    UPDATE wa.token t SET revoked_at = now()
    WHERE t.name = revoke_token.name AND t.purpose = 'token' AND t.revoked_at IS NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'name: no live token is named %', coalesce('"' || left(revoke_token.name, 80) || '"', 'null')
            USING ERRCODE = 'WA051', COLUMN = 'name', HINT = 'Accepted: the name of a row of wa.token that is not revoked.';
    END IF;
END $$;
COMMENT ON FUNCTION wa.revoke_token(text) IS 'Revokes a token, its login links, and the browsers that are signed in with it, at once; pages that are open end within some seconds. SELECT wa.revoke_token(''anna'');';

CREATE OR REPLACE FUNCTION wa.login_link(name text, valid interval DEFAULT '10 min') RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    secret CONSTANT text := wa.new_secret('l');
    base   text;
BEGIN
    PERFORM wa.must_administer();
    PERFORM wa.check_valid(login_link.valid, interval '1 day');
    base := wa.web_url();
    INSERT INTO wa.token (name, purpose, scope, tenant, parent_id, hash, expires_at)
    SELECT t.name, 'login', t.scope, t.tenant, t.token_id, wa.secret_hash(secret), least(now() + login_link.valid, t.expires_at)
    FROM wa.token t
    WHERE t.name = login_link.name AND t.purpose = 'token' AND t.revoked_at IS NULL AND wa.is_live(t);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'name: no live token is named %', coalesce('"' || left(login_link.name, 80) || '"', 'null')
            USING ERRCODE = 'WA051', COLUMN = 'name', HINT = 'Accepted: the name of a token that is neither revoked nor expired; SELECT wa.add_token(…) adds one.';
    END IF;
    RETURN base || '/login/' || secret;
END $$;
COMMENT ON FUNCTION wa.login_link(text, interval) IS 'A link that signs one browser in, once, with the rights of the token of this name; valid for a day at most. SELECT wa.login_link(''anna'');';

-- Signing in.

CREATE OR REPLACE FUNCTION wa.enter_as(token wa.token, wanted text) RETURNS TABLE (token_id bigint, name text, scope text, tenant text)
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    IF token.token_id IS NULL THEN
        RAISE EXCEPTION '%: not valid', wanted
            USING ERRCODE = 'WA050', COLUMN = wanted, HINT = 'Accepted: a live token, or a login link that nobody has used; an administrator makes a new one.';
    END IF;
    -- Waits for nobody who uses the same token.
    IF NOT current_setting('transaction_read_only')::boolean THEN
        UPDATE wa.token t SET last_used_at = now()
        FROM (
            SELECT k.token_id FROM wa.token k
            WHERE k.token_id IN (token.token_id, token.parent_id) AND coalesce(k.last_used_at < now() - interval '1 minute', true)
            FOR NO KEY UPDATE SKIP LOCKED
        ) used
        WHERE t.token_id = used.token_id;
    END IF;
    RETURN QUERY SELECT token.token_id, token.name, token.scope::text, token.tenant;
END $$;
COMMENT ON FUNCTION wa.enter_as(wa.token, text) IS 'Shared by wa.web_enter and wa.web_user: moves last_used_at, at most once a minute; error WA050 for a row of nulls, in the words of what was given.';

CREATE OR REPLACE FUNCTION wa.web_enter(secret text) RETURNS TABLE (token_id bigint, name text, scope text, tenant text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT * FROM wa.enter_as(wa.live_token(web_enter.secret, '{token,cookie}'), 'secret');
    PERFORM set_config('wagres.token', web_enter.secret, true), set_config('wagres.user', '', true);
END $$;
COMMENT ON FUNCTION wa.web_enter(text) IS 'Begins a request of a web page with the secret of a token or cookie; SET LOCAL ROLE wa_web_<scope> then gives its rights for the rest of the transaction. Error WA050 for any secret that is not valid.';

CREATE OR REPLACE FUNCTION wa.web_user(proxy_user text) RETURNS TABLE (token_id bigint, name text, scope text, tenant text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN QUERY SELECT * FROM wa.enter_as(wa.live_proxy_user(web_user.proxy_user), 'proxy_user');
    PERFORM set_config('wagres.token', '', true), set_config('wagres.user', web_user.proxy_user, true);
END $$;
COMMENT ON FUNCTION wa.web_user(text) IS 'As wa.web_enter, by the name of a token that was added with proxy_user: for a web process whose proxy has signed this user in. Error WA050 for any other name.';

CREATE OR REPLACE FUNCTION wa.live_claims(claims text[], are_users boolean[]) RETURNS TABLE (place bigint, scope text, tenant text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT c.place, t.scope::text, t.tenant
    FROM unnest(live_claims.claims, live_claims.are_users) WITH ORDINALITY AS c (claim, is_user, place)
    CROSS JOIN LATERAL (
        SELECT k.* FROM wa.live_token(c.claim, '{token,cookie}') k WHERE NOT c.is_user
        UNION ALL
        SELECT k.* FROM wa.live_proxy_user(c.claim) k WHERE c.is_user
    ) t
    WHERE t.token_id IS NOT NULL
$$;
COMMENT ON FUNCTION wa.live_claims(text[], boolean[]) IS 'Which of these secrets of tokens and cookies, or names of users of a proxy, are valid now, by their places from 1, and the rights of each. For the readers of live pages.';

CREATE OR REPLACE FUNCTION wa.web_login(secret text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    cookie CONSTANT text := wa.new_secret('c');
    used   wa.token := wa.live_token(web_login.secret, '{token,login}');
BEGIN
    IF used.purpose = 'login' THEN
        -- Of two that use the link at the same time, the second one waits here and finds it spent.
        UPDATE wa.token t SET spent_at = now() WHERE t.token_id = used.token_id AND t.spent_at IS NULL;
        IF NOT FOUND THEN
            used := NULL;
        END IF;
    END IF;
    PERFORM wa.enter_as(used, 'secret');
    INSERT INTO wa.token (name, purpose, scope, tenant, parent_id, hash, expires_at)
    SELECT t.name, 'cookie', t.scope, t.tenant, t.token_id, wa.secret_hash(cookie), least(now() + interval '12 hours', t.expires_at)
    FROM wa.token t WHERE t.token_id = coalesce(used.parent_id, used.token_id);
    RETURN cookie;
END $$;
COMMENT ON FUNCTION wa.web_login(text) IS 'Signs a browser in with the secret of a token or of a login link, which is spent by it; returns the secret of a cookie, valid for 12 hours and not longer than the token. Error WA050 for any secret that is not valid.';

CREATE OR REPLACE FUNCTION wa.web_logout(secret text) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    UPDATE wa.token t SET revoked_at = now()
    WHERE t.hash = wa.secret_hash(web_logout.secret) AND t.purpose = 'cookie' AND t.revoked_at IS NULL
$$;
COMMENT ON FUNCTION wa.web_logout(text) IS 'Ends a cookie; does nothing for any other secret.';

-- The link page. The web process knows its secret and no role may be taken for it; the functions below act for the
-- session of the link, see wa.page_session.

CREATE OR REPLACE FUNCTION wa.link_url(session text, valid interval DEFAULT '30 min') RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    secret CONSTANT text := wa.new_secret('k');
    own_id bigint;
    base   text;
BEGIN
    PERFORM wa.must_send();
    own_id := wa.session_id(link_url.session);
    PERFORM wa.check_valid(link_url.valid, interval '7 days');
    base := wa.web_url();
    -- Without a lock, which would wait for other transactions: calls at the same moment may make a few more.
    IF (SELECT count(*) FROM wa.token t JOIN wa.session s USING (session_id)
        WHERE t.session_id = own_id AND t.purpose = 'link'
          AND (wa.link_state(t, s.connected_at) = 'open' OR t.created_at > clock_timestamp() - interval '1 minute')) >= 20
    THEN
        RAISE EXCEPTION 'session: "%" has 20 link pages already', left(link_url.session, 80)
            USING ERRCODE = 'WA028', COLUMN = 'session',
                  HINT = format('Accepted: up to 20 link pages that are open or were made within a minute; SELECT wa.revoke_link(%L) ends the open ones.', link_url.session);
    END IF;
    -- The moment of the call, because a transaction may have begun long before.
    INSERT INTO wa.token (name, purpose, tenant, session_id, hash, created_at, expires_at)
    SELECT s.name, 'link', s.tenant, s.session_id, wa.secret_hash(secret), clock_timestamp(), clock_timestamp() + link_url.valid
    FROM wa.session s WHERE s.session_id = own_id;
    RETURN base || '/link/' || secret;
END $$;
COMMENT ON FUNCTION wa.link_url(text, interval) IS 'The address of a page on which whoever holds it links a phone to this session: QR code, pairing code and passkey. Valid for seven days at most, and until the session is connected; at most 20 of a session at a time. SELECT wa.link_url(''shop'', valid => ''2 hours'');';

CREATE OR REPLACE FUNCTION wa.revoke_link(session text) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own_id  bigint;
    revoked integer;
BEGIN
    PERFORM wa.must_send();
    own_id := wa.session_id(revoke_link.session);
    UPDATE wa.token t SET revoked_at = now()
    WHERE t.session_id = own_id AND t.purpose = 'link' AND t.revoked_at IS NULL AND t.spent_at IS NULL AND t.expires_at > now();
    GET DIAGNOSTICS revoked = ROW_COUNT;
    RETURN revoked;
END $$;
COMMENT ON FUNCTION wa.revoke_link(text) IS 'Revokes all links of wa.link_url for this session, and returns how many. SELECT wa.revoke_link(''shop'');';

CREATE OR REPLACE FUNCTION wa.link_page(secret text) RETURNS TABLE (
    state text, session text, status text, status_reason text, phone text, qr text, qr_expires_at timestamptz, code text,
    code_expires_at timestamptz, passkey_stage text, passkey_request jsonb, passkey_code text, passkey_error text,
    passkey_expires_at timestamptz, job_status text, job_error text, expires_at timestamptz, ended text, session_id bigint
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    token wa.token;
    own   wa.session;
BEGIN
    SELECT t.* INTO token FROM wa.token t WHERE t.hash = wa.secret_hash(link_page.secret) AND t.purpose = 'link';
    IF NOT FOUND THEN
        state := 'unknown';
        RETURN NEXT;
        RETURN;
    END IF;
    SELECT s.* INTO own FROM wa.session s WHERE s.session_id = token.session_id;
    state := CASE WHEN wa.is_left(token.session_id) THEN 'revoked' ELSE wa.link_state(token, own.connected_at) END;
    session := own.name;
    session_id := own.session_id;
    expires_at := token.expires_at;
    IF state = 'spent' THEN
        IF token.spent_at IS NULL THEN
            token.spent_at := own.connected_at;
            -- A later connection moves connected_at. Waits for nobody; the next look writes it otherwise.
            IF NOT current_setting('transaction_read_only')::boolean THEN
                UPDATE wa.token t SET spent_at = token.spent_at
                FROM (SELECT k.token_id FROM wa.token k WHERE k.token_id = token.token_id AND k.spent_at IS NULL FOR NO KEY UPDATE SKIP LOCKED) seen
                WHERE t.token_id = seen.token_id;
            END IF;
        END IF;
        IF token.spent_at > now() - interval '10 minutes' THEN
            status := own.status;
            status_reason := own.status_reason;
            phone := own.phone;
        END IF;
    ELSIF state = 'open' THEN
        status := own.status;
        status_reason := own.status_reason;
        phone := CASE own.status WHEN 'connected' THEN own.phone END;
        qr := own.qr;
        qr_expires_at := own.qr_expires_at;
        code := own.code;
        code_expires_at := own.code_expires_at;
        SELECT p.stage, p.request, p.code, p.error, p.expires_at
        INTO passkey_stage, passkey_request, passkey_code, passkey_error, passkey_expires_at
        FROM wa.passkey p
        -- A linking that ended before the link was made is none of its holder's.
        WHERE p.session_id = own.session_id AND p.stage <> 'done' AND (p.expires_at > now() AND p.stage <> 'failed' OR p.updated_at > token.created_at);
        SELECT j.status, j.last_error INTO job_status, job_error
        FROM wa.session_job j
        WHERE j.session_id = own.session_id AND j.kind = 'link' AND (j.status IN ('queued', 'running') OR coalesce(j.finished_at, j.created_at) > token.created_at)
        ORDER BY j.id DESC LIMIT 1;
        SELECT e.data ->> 'end' INTO ended
        FROM (SELECT k.* FROM wa.event k WHERE k.session_id = own.session_id ORDER BY k.id DESC LIMIT 50) e
        WHERE e.kind = 'connection_ended' AND e.created_at > token.created_at ORDER BY e.id DESC LIMIT 1;
    END IF;
    RETURN NEXT;
END $$;
COMMENT ON FUNCTION wa.link_page(text) IS 'What the link page with this secret shows, in one row. state: open (with the codes to show now), expired, revoked (also of a company that the partner froze or uninstalled), spent (the session has connected; with its phone for ten minutes), unknown. job_status and job_error are those of the session''s last job of the kind link, ended is the end of its last connection_ended; what ended before the link was made is none of its holder''s.';

CREATE OR REPLACE FUNCTION wa.is_left(session_id bigint) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT EXISTS (SELECT FROM wa.company c WHERE c.session_id = is_left.session_id AND c.status IN ('frozen', 'uninstalled'))
$$;
COMMENT ON FUNCTION wa.is_left(bigint) IS 'Whether a session is that of a company that the partner froze or uninstalled: no link page links it until somebody comes from the partner for it.';

CREATE OR REPLACE FUNCTION wa.open_link(secret text) RETURNS text
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    found text;
    state text;
BEGIN
    -- What the partner tells at the same moment is heard before or after this step, and not beside it.
    PERFORM FROM wa.company c WHERE c.session_id = (
        SELECT t.session_id FROM wa.token t WHERE t.hash = wa.secret_hash(open_link.secret) AND t.purpose = 'link') FOR SHARE;
    SELECT s.name, CASE WHEN wa.is_left(s.session_id) THEN 'revoked' ELSE wa.link_state(t, s.connected_at) END INTO found, state
    FROM wa.token t JOIN wa.session s ON s.session_id = t.session_id
    WHERE t.hash = wa.secret_hash(open_link.secret) AND t.purpose = 'link';
    IF state IS DISTINCT FROM 'open' THEN
        RAISE EXCEPTION 'secret: the link is %', coalesce(state, 'unknown')
            USING ERRCODE = 'WA053', COLUMN = 'secret', HINT = 'Accepted: the secret of a link that is open; SELECT wa.link_url(…) makes a new one.';
    END IF;
    PERFORM set_config('wagres.token', open_link.secret, true);
    RETURN found;
END $$;
COMMENT ON FUNCTION wa.open_link(text) IS 'The name of the session of an open link, which wa.page_session then returns for the rest of the transaction; error WA053 otherwise.';

CREATE OR REPLACE FUNCTION wa.link_page_start(secret text, phone text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN wa.link(wa.open_link(link_page_start.secret), link_page_start.phone);
END $$;
COMMENT ON FUNCTION wa.link_page_start(text, text) IS 'wa.link for the session of an open link, with the same limits: without a phone shows QR codes, with one also a pairing code. Returns the job''s id.';

CREATE OR REPLACE FUNCTION wa.link_page_answer(secret text, answer jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN wa.answer_passkey(wa.open_link(link_page_answer.secret), link_page_answer.answer);
END $$;
COMMENT ON FUNCTION wa.link_page_answer(text, jsonb) IS 'wa.answer_passkey for the session of an open link. Returns the job''s id.';

CREATE OR REPLACE FUNCTION wa.link_page_confirm(secret text, code text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN wa.confirm_passkey(wa.open_link(link_page_confirm.secret), link_page_confirm.code);
END $$;
COMMENT ON FUNCTION wa.link_page_confirm(text, text) IS 'wa.confirm_passkey for the session of an open link. Returns the job''s id.';

CREATE OR REPLACE FUNCTION wa.link_page_refuse(secret text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    RETURN wa.refuse_passkey(wa.open_link(link_page_refuse.secret));
END $$;
COMMENT ON FUNCTION wa.link_page_refuse(text) IS 'wa.refuse_passkey for the session of an open link; wa.link_page_start begins another linking. Returns the job''s id.';
