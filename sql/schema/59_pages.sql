-- The pages of the marketplace (H3): a page shows the linking of one company's session. The web process has checked the
-- page's token, and calls the functions below with the number of the company that the token names.

CREATE OR REPLACE FUNCTION wa.company_pages(companies bigint[], salons bigint[], hold double precision DEFAULT NULL) RETURNS TABLE (
    company_id bigint, salon_id bigint, session text, status text, status_reason text, is_wanted boolean, phone text, link_phone text, qr text,
    qr_seconds double precision, code text, code_seconds double precision, job_id bigint, job_status text, job_error text,
    connection_end text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    IF hold IS NOT NULL THEN
        -- In one order, so that no two processes wait for each other.
        INSERT INTO wa.company_watch AS w (company_id, until)
        SELECT c.company_id, clock_timestamp() + hold * interval '1 second'
        FROM unnest(companies, salons) AS page (company_id, salon_id)
        JOIN wa.company c ON c.company_id = page.company_id AND c.salon_id = page.salon_id
        WHERE c.status NOT IN ('frozen', 'uninstalled') ORDER BY c.company_id
        ON CONFLICT ON CONSTRAINT company_watch_pkey DO UPDATE SET until = greatest(w.until, EXCLUDED.until);
    END IF;
    -- A statement of its own, because it must see what a sweep that the first one waited for has closed.
    RETURN QUERY
    SELECT c.company_id, c.salon_id, s.name, s.status::text, s.status_reason, s.desired = 'connected', s.phone, s.link_phone, s.qr,
           extract(epoch FROM s.qr_expires_at - clock_timestamp())::float8, s.code,
           extract(epoch FROM s.code_expires_at - clock_timestamp())::float8, job.id, job.status::text, job.last_error, ended.name
    FROM unnest(companies, salons) AS page (company_id, salon_id)
    JOIN wa.company c ON c.company_id = page.company_id AND c.salon_id = page.salon_id
    JOIN wa.session s ON s.session_id = c.session_id
    LEFT JOIN LATERAL (
        SELECT j.id, j.status, j.last_error FROM wa.session_job j
        WHERE j.session_id = s.session_id AND j.kind = 'link' ORDER BY j.id DESC LIMIT 1
    ) job ON true
    LEFT JOIN LATERAL (
        SELECT e.data ->> 'end' AS name
        FROM (SELECT k.* FROM wa.event k WHERE k.session_id = s.session_id ORDER BY k.id DESC LIMIT 50) e
        WHERE s.desired = 'stopped' AND e.kind = 'connection_ended' ORDER BY e.id DESC LIMIT 1
    ) ended ON true
    WHERE c.status NOT IN ('frozen', 'uninstalled');
END $$;
COMMENT ON FUNCTION wa.company_pages(bigint[], bigint[], double precision) IS 'What the pages of these companies show, a row each. The arrays are parallel: numbers of companies, and those that they have at the partner. None for a company that does not exist, that has another number there, or that the partner froze or uninstalled. With hold they count as open for so many seconds. is_wanted: workers should link or connect the session. job_… are those of its last job of the kind link; connection_end is the end in its last connection_ended, if nobody wants another connection.';

CREATE OR REPLACE FUNCTION wa.company_page_link(company_id bigint, salon_id bigint, phone text DEFAULT NULL) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    c CONSTANT wa.company := wa.known_company(company_page_link.company_id, company_page_link.salon_id);
BEGIN
    -- A page that connects again continues the linking, and does not use up the links of an hour. While a close is queued
    -- nobody wants the session, and the link supersedes it.
    IF company_page_link.phone IS NULL AND EXISTS (
        SELECT FROM wa.session s WHERE s.session_id = c.session_id AND s.desired = 'connected'
    ) THEN
        RETURN false;
    END IF;
    PERFORM wa.link(wa.act_for_company(c.company_id), company_page_link.phone);
    PERFORM wa.end_act_for_company();
    PERFORM wa.count_company(c.company_id, 'links');
    RETURN true;
END $$;
COMMENT ON FUNCTION wa.company_page_link(bigint, bigint, text) IS 'wa.link for the session of a company, with the same limits; without a phone it does nothing while the session is being linked or connected, or is. Returns whether it did something. Error WA060 for a company that does not exist, that has another number at the partner, or that the partner froze or uninstalled. For web processes.';

CREATE OR REPLACE FUNCTION wa.close_unwatched(margin interval DEFAULT '0') RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    gone   record;
    closed integer := 0;
BEGIN
    FOR gone IN
        SELECT w.company_id, s.jid IS NULL AND s.desired = 'connected' AS is_unlinked
        FROM wa.company_watch w JOIN wa.company c USING (company_id) JOIN wa.session s USING (session_id)
        WHERE w.until < clock_timestamp() - margin
        ORDER BY w.company_id
        FOR UPDATE OF w SKIP LOCKED FOR NO KEY UPDATE OF s SKIP LOCKED
    LOOP
        DELETE FROM wa.company_watch w WHERE w.company_id = gone.company_id;
        IF gone.is_unlinked THEN
            PERFORM wa.close(wa.act_for_company(gone.company_id), 'no page of the marketplace is open any more');
            PERFORM wa.end_act_for_company();
            closed := closed + 1;
        END IF;
    END LOOP;
    RETURN closed;
END $$;
COMMENT ON FUNCTION wa.close_unwatched(interval) IS 'Closes the sessions of companies whose pages have all gone, if they are not linked; only those that went longer than margin ago. Leaves what somebody has locked to the next call. Returns how many it closed.';
