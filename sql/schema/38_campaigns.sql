-- Campaigns: many messages from one template, followed, paused, resumed and cancelled as one.

-- Whoever pauses or resumes a campaign takes this lock alone, whoever inserts for it shares it, so that no transaction which is
-- still open inserts past them.
CREATE OR REPLACE FUNCTION wa.campaign_lock(session_id bigint, campaign text) RETURNS bigint
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
    SELECT hashtextextended(campaign_lock.campaign, campaign_lock.session_id)
$$;
COMMENT ON FUNCTION wa.campaign_lock(bigint, text) IS 'Number of the advisory lock of a campaign.';

CREATE OR REPLACE FUNCTION wa.is_paused(session_id bigint, campaign text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(wa.campaign_lock(is_paused.session_id, is_paused.campaign));
    RETURN EXISTS (
        SELECT FROM wa.paused_campaign c WHERE c.session_id = is_paused.session_id AND c.campaign = is_paused.campaign
    );
END $$;
COMMENT ON FUNCTION wa.is_paused(bigint, text) IS 'Whether a campaign is paused, which it stays or not until the caller''s transaction ends.';

CREATE OR REPLACE FUNCTION wa.render(template text, data jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made  text := '';
    rest  text := template;
    parts text[];
BEGIN
    -- From left to right, so that braces in what is filled in stay what they are.
    LOOP
        parts := regexp_match(rest, '^(.*?)\{\{\s*([[:alnum:]_]+)\s*\}\}(.*)$');
        EXIT WHEN parts IS NULL;
        IF data ->> parts[2] IS NULL THEN
            RAISE EXCEPTION 'template: there is no % in the data', left(parts[2], 80)
                USING ERRCODE = 'WA038', COLUMN = 'template', HINT = 'Accepted: names between double braces that the data has, and not null.';
        END IF;
        made := made || parts[1] || (data ->> parts[2]);
        rest := parts[3];
    END LOOP;
    RETURN made || rest;
END $$;
COMMENT ON FUNCTION wa.render(text, jsonb) IS 'A text with what stands in data for each {{name}}; error WA038 for a name that it has not. SELECT wa.render(''Hello {{name}}'', ''{"name": "Anna"}'');';

CREATE OR REPLACE VIEW wa.campaigns WITH (security_invoker = on) AS
SELECT o.session, o.campaign, count(*) AS messages,
       count(*) FILTER (WHERE o.live) AS waiting,
       count(*) FILTER (WHERE o.sent_at IS NOT NULL) AS sent,
       count(*) FILTER (WHERE o.delivered_at IS NOT NULL) AS delivered,
       count(*) FILTER (WHERE o.read_at IS NOT NULL) AS read,
       count(*) FILTER (WHERE o.status = 'failed') AS failed,
       count(*) FILTER (WHERE o.status IN ('cancelled', 'expired')) AS withdrawn,
       min(o.created_at) AS created_at, max(o.sent_at) AS last_sent_at,
       count(*) FILTER (WHERE o.waits_for = 'paused') AS held, min(p.paused_at) AS paused_at
FROM wa.outbound o LEFT JOIN wa.paused_campaign p USING (session_id, campaign)
WHERE o.campaign IS NOT NULL GROUP BY o.session_id, o.session, o.campaign;
COMMENT ON VIEW wa.campaigns IS 'How far each campaign came. SELECT * FROM wa.campaigns WHERE campaign = ''may'';';
COMMENT ON COLUMN wa.campaigns.session IS 'Who sends it.';
COMMENT ON COLUMN wa.campaigns.campaign IS 'As wa.outbound.campaign has it.';
COMMENT ON COLUMN wa.campaigns.messages IS 'How many there are.';
COMMENT ON COLUMN wa.campaigns.waiting IS 'How many are queued or on their way.';
COMMENT ON COLUMN wa.campaigns.sent IS 'How many the server has.';
COMMENT ON COLUMN wa.campaigns.delivered IS 'How many came to a phone.';
COMMENT ON COLUMN wa.campaigns.read IS 'How many were read.';
COMMENT ON COLUMN wa.campaigns.failed IS 'How many failed.';
COMMENT ON COLUMN wa.campaigns.withdrawn IS 'How many were cancelled or expired.';
COMMENT ON COLUMN wa.campaigns.created_at IS 'When the first was inserted.';
COMMENT ON COLUMN wa.campaigns.last_sent_at IS 'When the last that was sent was.';
COMMENT ON COLUMN wa.campaigns.held IS 'How many of those that wait are held back by wa.pause_campaign.';
COMMENT ON COLUMN wa.campaigns.paused_at IS 'Since when wa.pause_campaign holds it back.';

CREATE OR REPLACE FUNCTION wa.cancel_campaign(session text, campaign text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_session CONSTANT bigint := wa.session_id(cancel_campaign.session);
BEGIN
    RETURN cardinality(wa.withdraw(ARRAY(
        SELECT o.id FROM wa.outbound o
        WHERE o.session_id = of_session AND o.live AND o.campaign = cancel_campaign.campaign
    ), 'cancelled'));
END $$;
COMMENT ON FUNCTION wa.cancel_campaign(text, text) IS 'Cancels what a session has queued of a campaign; returns how many. What is on its way stays. SELECT wa.cancel_campaign(''shop'', ''may'');';

CREATE OR REPLACE FUNCTION wa.pause_campaign(session text, campaign text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_session CONSTANT bigint := wa.session_id(pause_campaign.session);
    paused     bigint;
BEGIN
    PERFORM wa.must_send();
    IF pause_campaign.campaign IS NULL OR octet_length(pause_campaign.campaign) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'campaign: % bytes are too few or too many', coalesce(octet_length(pause_campaign.campaign), 0)
            USING ERRCODE = 'WA011', COLUMN = 'campaign', HINT = 'Accepted: 1 to 255 bytes.';
    END IF;
    PERFORM pg_advisory_xact_lock(wa.campaign_lock(of_session, pause_campaign.campaign));
    INSERT INTO wa.paused_campaign (session_id, campaign) VALUES (of_session, pause_campaign.campaign)
    ON CONFLICT ON CONSTRAINT paused_campaign_pkey DO NOTHING;
    -- As wa.withdraw: a claim that waits for us finds withdrawals changed, and looks again.
    PERFORM FROM wa.sending b WHERE b.session_id = of_session FOR UPDATE;
    UPDATE wa.outbound o SET waits_for = 'paused'
    FROM wa.sending b
    WHERE b.session_id = of_session AND o.session_id = of_session AND o.live AND o.campaign = pause_campaign.campaign
      AND o.status = 'queued' AND o.waits_for IS DISTINCT FROM 'paused' AND o.id <> ALL (b.taken);
    GET DIAGNOSTICS paused = ROW_COUNT;
    UPDATE wa.sending b SET withdrawals = b.withdrawals + 1 WHERE b.session_id = of_session AND paused > 0;
    RETURN paused;
END $$;
COMMENT ON FUNCTION wa.pause_campaign(text, text) IS 'Holds back what a session has queued of a campaign, and what is inserted for it until wa.resume_campaign; returns how many messages are held from now on. What is on its way goes out, and other messages to the same chats do not wait for it. Waits for transactions that insert for the campaign. SELECT wa.pause_campaign(''shop'', ''may'');';

CREATE OR REPLACE FUNCTION wa.resume_campaign(session text, campaign text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_session CONSTANT bigint := wa.session_id(resume_campaign.session);
    resumed    bigint;
BEGIN
    PERFORM wa.must_send();
    PERFORM pg_advisory_xact_lock(wa.campaign_lock(of_session, resume_campaign.campaign));
    DELETE FROM wa.paused_campaign c WHERE c.session_id = of_session AND c.campaign = resume_campaign.campaign;
    UPDATE wa.outbound o SET waits_for = CASE WHEN o.send_at > now() THEN 'scheduled'::wa.wait_reason END
    WHERE o.session_id = of_session AND o.live AND o.campaign = resume_campaign.campaign AND o.waits_for = 'paused';
    GET DIAGNOSTICS resumed = ROW_COUNT;
    PERFORM wa.wake();
    RETURN resumed;
END $$;
COMMENT ON FUNCTION wa.resume_campaign(text, text) IS 'Lets go what wa.pause_campaign holds back; returns how many messages. SELECT wa.resume_campaign(''shop'', ''may'');';
