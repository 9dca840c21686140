-- Campaigns: many messages with one template, followed and cancelled as one.

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
       min(o.created_at) AS created_at, max(o.sent_at) AS last_sent_at
FROM wa.outbound o WHERE o.campaign IS NOT NULL GROUP BY o.session_id, o.session, o.campaign;
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
