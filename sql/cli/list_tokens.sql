-- Tokens of the web pages, by name. Locks nothing.
SELECT name, scope::text AS "scope!", tenant, proxy_user, created_at, expires_at, last_used_at,
       CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'live' END AS "state!"
FROM wa.token WHERE purpose = 'token' ORDER BY name, created_at
