-- A one-time link that signs in with the token $1, of an administrator; adds the token first if there is none, and nobody
-- ever knows its secret.
WITH added AS MATERIALIZED (
    SELECT wa.add_token($1, 'admin') AS secret
    WHERE NOT EXISTS (
        SELECT FROM wa.token t
        WHERE t.name = $1 AND t.purpose = 'token' AND t.revoked_at IS NULL AND (t.expires_at IS NULL OR t.expires_at > now())
    )
)
SELECT wa.login_link($1) AS "link!" FROM (SELECT count(secret) FROM added) once
