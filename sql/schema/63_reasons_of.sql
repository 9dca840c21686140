-- Why some sessions do not send (S12): what pages that list a part of a fleet ask. wa.reasons() has all sessions, and reads
-- all of them.

CREATE OR REPLACE FUNCTION wa.reasons(sessions text[]) RETURNS TABLE (session text, reason text, stuck boolean, reasons jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    WITH seen AS MATERIALIZED (
        SELECT own.session_id FROM wa.session own
        WHERE own.name = ANY (reasons.sessions)
          AND ((SELECT wa.sees_all()) OR own.tenant = ANY ((SELECT wa.my_tenants())::text[]))
    )
    SELECT s.name, wa.reason_text(all_of.reasons), r.stuck, all_of.reasons
    FROM wa.session_reasons(ARRAY(SELECT session_id FROM seen)) r
    JOIN wa.session s USING (session_id)
    LEFT JOIN wa.campaign_reasons(ARRAY(SELECT session_id FROM seen)) c USING (session_id)
    CROSS JOIN LATERAL (SELECT wa.reason_list(r.blocked, r.delayed, r.limited, r.paced, r.used_up, c.reasons) OFFSET 0) all_of (reasons)
$$;
COMMENT ON FUNCTION wa.reasons(text[]) IS 'As wa.reasons(), of the sessions with these names; names that you do not see are left out. SELECT * FROM wa.reasons(ARRAY[''shop'', ''office'']);';

CREATE OR REPLACE FUNCTION wa.stuck(sessions text[]) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off AS $$
    SELECT f.name FROM wa.session_line f
    WHERE f.name = ANY (stuck.sessions)
      AND ((SELECT wa.sees_all()) OR f.tenant = ANY ((SELECT wa.my_tenants())::text[]))
      -- Blocked, as in wa.session_reasons,
      AND (f.by_a_person OR f.tenant_paused_at IS NOT NULL OR f.paused_at IS NOT NULL OR f.unsettled
           OR f.quiet AND wa.quiet_end(f.pacing) IS NULL)
      -- and somebody waits for it.
      AND (f.connection = 'logged_out' OR f.desired = 'connected' AND f.connection IS NOT NULL
           OR (SELECT true FROM wa.outbound_queue q WHERE q.session_id = f.session_id ORDER BY q.chat, q.id LIMIT 1))
$$;
COMMENT ON FUNCTION wa.stuck(text[]) IS 'Which of the sessions with these names are stuck (see wa.reasons), without the words, so that many cost little; names that you do not see are left out. SELECT wa.stuck(ARRAY[''shop'', ''office'']);';
