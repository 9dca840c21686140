-- Whether the functions, triggers, views and grants were made by the files with hash $1, for the group roles that exist
-- now. Locks nothing.
SELECT EXISTS (
    SELECT FROM wa.schema_state
    WHERE hash = sha256($1::bytea || convert_to((
        SELECT coalesce(string_agg(rolname || ' ' || oid, ',' ORDER BY rolname), '') FROM pg_roles WHERE rolname IN ('wa_app', 'wa_worker', 'wa_admin', 'wa_readonly', 'wa_web', 'wa_web_viewer', 'wa_web_operator', 'wa_web_admin')
    ), 'UTF8'))
) AS "current!"
