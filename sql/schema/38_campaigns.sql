-- Campaigns: many messages from one template, followed, paused, resumed and cancelled as one.

-- No insert misses a pause. Whoever inserts for a campaign share-locks its row in wa.campaign (KEY SHARE) until the
-- transaction ends; whoever pauses or resumes it waits for all of them. Only functions of the schema's owner lock these
-- rows, each for the caller's own session, so a transaction that stays open holds up its own campaign and nobody else
-- (R8, R9). An advisory lock would not do: everybody may take any of them.
--
-- A pause changes the row first, which waits for no inserter, and then waits for the inserters. Later ones wait for the
-- pause: their INSERT … ON CONFLICT waits for a change of the row that is not committed. Otherwise inserts that overlap
-- without end would put the pause off for ever. So a transaction must do this once for each campaign only, or it would
-- wait for a pause that waits for it: it notes what it has locked in a setting that ends with it (or with its savepoint).
-- Whoever sets that by hand lets messages of their own miss their own pause.
CREATE OR REPLACE FUNCTION wa.outbound_campaign() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    key    CONSTANT text := NEW.session_id || ' ' || NEW.campaign;
    locked CONSTANT jsonb := coalesce(nullif(current_setting('wagres.campaigns', true), ''), '{}');
    paused boolean := locked -> key;
BEGIN
    IF TG_RELID <> 'wa.outbound'::regclass THEN
        RAISE EXCEPTION 'wa.outbound_campaign is the trigger of wa.outbound alone' USING ERRCODE = 'insufficient_privilege';
    END IF;
    WHILE paused IS NULL LOOP
        INSERT INTO wa.campaign (session_id, campaign) VALUES (NEW.session_id, NEW.campaign)
        ON CONFLICT ON CONSTRAINT campaign_pkey DO NOTHING;
        -- Retention may have deleted it between the two.
        PERFORM FROM wa.campaign c WHERE c.session_id = NEW.session_id AND c.campaign = NEW.campaign FOR KEY SHARE;
        -- A statement of its own, because the one before does not see a change that it waited for.
        SELECT c.paused_at IS NOT NULL INTO paused FROM wa.campaign c
        WHERE FOUND AND c.session_id = NEW.session_id AND c.campaign = NEW.campaign;
        IF paused IS NOT NULL THEN
            PERFORM set_config('wagres.campaigns', (locked || jsonb_build_object(key, paused))::text, true);
        END IF;
    END LOOP;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION wa.outbound_campaign() IS 'Row trigger of wa.outbound: notes whether the campaign is paused, for wa.outbound_after_insert, and keeps wa.pause_campaign and wa.resume_campaign waiting until the transaction ends.';
-- After "validate", by its name: that fills session_id with a session of the caller.
CREATE OR REPLACE TRIGGER validate_campaign BEFORE INSERT ON wa.outbound
    FOR EACH ROW WHEN (NEW.campaign IS NOT NULL) EXECUTE FUNCTION wa.outbound_campaign();

CREATE OR REPLACE FUNCTION wa.set_paused(session_id bigint, campaign text, paused boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- Always changes the row: see above.
    INSERT INTO wa.campaign AS c (session_id, campaign, paused_at, paused_by)
    VALUES (set_paused.session_id, set_paused.campaign, CASE WHEN paused THEN now() END, CASE WHEN paused THEN wa.caller_name() END)
    ON CONFLICT ON CONSTRAINT campaign_pkey DO UPDATE
    SET paused_at = CASE WHEN paused THEN coalesce(c.paused_at, now()) END,
        paused_by = CASE WHEN NOT paused THEN NULL WHEN c.paused_at IS NULL THEN wa.caller_name() ELSE c.paused_by END;
    PERFORM FROM wa.campaign c WHERE c.session_id = set_paused.session_id AND c.campaign = set_paused.campaign FOR UPDATE;
    PERFORM set_config('wagres.campaigns', (coalesce(nullif(current_setting('wagres.campaigns', true), ''), '{}')::jsonb
                                            - (set_paused.session_id || ' ' || set_paused.campaign))::text, true);
END $$;
COMMENT ON FUNCTION wa.set_paused(bigint, text, boolean) IS 'Sets whether a campaign is paused, and waits for the transactions that insert for it.';

CREATE OR REPLACE FUNCTION wa.render(template text, data jsonb) RETURNS text
LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    made  text := '';
    rest  text := template;
    parts text[];
BEGIN
    -- From left to right, so that braces within the data are not filled again.
    LOOP
        parts := regexp_match(rest, '^(.*?)\{\{\s*([[:alnum:]_]+)\s*\}\}(.*)$');
        EXIT WHEN parts IS NULL;
        IF data ->> parts[2] IS NULL THEN
            RAISE EXCEPTION 'template: the data has no %', left(parts[2], 80)
                USING ERRCODE = 'WA038', COLUMN = 'template', HINT = 'Accepted: names in double braces that the data has, not null.';
        END IF;
        made := made || parts[1] || (data ->> parts[2]);
        rest := parts[3];
    END LOOP;
    RETURN made || rest;
END $$;
COMMENT ON FUNCTION wa.render(text, jsonb) IS 'Fills each {{name}} of a template from data; error WA038 for a name that data lacks. SELECT wa.render(''Hello {{name}}'', ''{"name": "Anna"}'');';

CREATE OR REPLACE VIEW wa.campaigns WITH (security_invoker = on) AS
SELECT o.session, o.campaign, count(*) AS messages,
       count(*) FILTER (WHERE o.status IN ('queued', 'sending')) AS waiting,
       count(*) FILTER (WHERE o.sent_at IS NOT NULL) AS sent,
       count(*) FILTER (WHERE o.delivered_at IS NOT NULL) AS delivered,
       count(*) FILTER (WHERE o.read_at IS NOT NULL) AS read,
       count(*) FILTER (WHERE o.status = 'failed') AS failed,
       count(*) FILTER (WHERE o.status IN ('cancelled', 'expired')) AS withdrawn,
       min(o.created_at) AS created_at, max(o.sent_at) AS last_sent_at,
       (SELECT count(*) FROM wa.outbound_queue q WHERE q.session_id = o.session_id AND q.campaign = o.campaign AND q.waits_for = 'paused') AS held,
       min(p.paused_at) AS paused_at
FROM wa.outbound o LEFT JOIN wa.campaign p USING (session_id, campaign)
WHERE o.campaign IS NOT NULL GROUP BY o.session_id, o.session, o.campaign;
COMMENT ON VIEW wa.campaigns IS 'Progress of each campaign. SELECT * FROM wa.campaigns WHERE campaign = ''may'';';
COMMENT ON COLUMN wa.campaigns.session IS 'Name of the session that sends the campaign.';
COMMENT ON COLUMN wa.campaigns.campaign IS 'As in wa.outbound.campaign.';
COMMENT ON COLUMN wa.campaigns.messages IS 'Messages in all.';
COMMENT ON COLUMN wa.campaigns.waiting IS 'Messages that are queued or on their way.';
COMMENT ON COLUMN wa.campaigns.sent IS 'Messages that WhatsApp''s server accepted.';
COMMENT ON COLUMN wa.campaigns.delivered IS 'Messages that a phone received.';
COMMENT ON COLUMN wa.campaigns.read IS 'Messages that were read.';
COMMENT ON COLUMN wa.campaigns.failed IS 'Messages that failed.';
COMMENT ON COLUMN wa.campaigns.withdrawn IS 'Messages that were cancelled or expired.';
COMMENT ON COLUMN wa.campaigns.created_at IS 'When the first message was inserted.';
COMMENT ON COLUMN wa.campaigns.last_sent_at IS 'When the last message was sent.';
COMMENT ON COLUMN wa.campaigns.held IS 'Waiting messages that wa.pause_campaign holds back.';
COMMENT ON COLUMN wa.campaigns.paused_at IS 'Since when the campaign is paused; null is not paused.';

CREATE OR REPLACE FUNCTION wa.cancel_campaign(session text, campaign text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE of_session CONSTANT bigint := wa.session_id(cancel_campaign.session);
BEGIN
    RETURN cardinality(wa.withdraw(ARRAY(
        SELECT q.id FROM wa.outbound_queue q WHERE q.session_id = of_session AND q.campaign = cancel_campaign.campaign
    ), 'cancelled'));
END $$;
COMMENT ON FUNCTION wa.cancel_campaign(text, text) IS 'Cancels the queued messages of a campaign; returns how many. Messages on their way stay. SELECT wa.cancel_campaign(''shop'', ''may'');';

CREATE OR REPLACE FUNCTION wa.pause_campaign(session text, campaign text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_session CONSTANT bigint := wa.session_id(pause_campaign.session);
    paused     bigint;
BEGIN
    PERFORM wa.must_send();
    IF pause_campaign.campaign IS NULL OR octet_length(pause_campaign.campaign) NOT BETWEEN 1 AND 255 THEN
        RAISE EXCEPTION 'campaign: % bytes are out of range', coalesce(octet_length(pause_campaign.campaign), 0)
            USING ERRCODE = 'WA011', COLUMN = 'campaign', HINT = 'Accepted: 1 to 255 bytes.';
    END IF;
    PERFORM wa.set_paused(of_session, pause_campaign.campaign, true);
    -- As in wa.withdraw: a claim that waits for this lock finds withdrawals changed, and reads again.
    PERFORM FROM wa.sending b WHERE b.session_id = of_session FOR UPDATE;
    UPDATE wa.outbound_queue q SET waits_for = 'paused', run_at = coalesce(q.run_at, now())
    FROM wa.sending b
    WHERE b.session_id = of_session AND q.session_id = of_session AND q.campaign = pause_campaign.campaign
      AND q.waits_for IS DISTINCT FROM 'paused' AND q.id <> ALL (b.taken);
    GET DIAGNOSTICS paused = ROW_COUNT;
    UPDATE wa.sending b SET withdrawals = b.withdrawals + 1 WHERE b.session_id = of_session AND paused > 0;
    RETURN paused;
END $$;
COMMENT ON FUNCTION wa.pause_campaign(text, text) IS 'Holds back the queued messages of a campaign, and messages that are inserted for it until wa.resume_campaign; returns how many messages are newly held. Messages on their way go out, and other messages to the same chats do not wait for held ones. Waits for transactions that insert for the campaign. SELECT wa.pause_campaign(''shop'', ''may'');';

CREATE OR REPLACE FUNCTION wa.resume_campaign(session text, campaign text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_session CONSTANT bigint := wa.session_id(resume_campaign.session);
    resumed    bigint;
BEGIN
    PERFORM wa.must_send();
    IF EXISTS (SELECT FROM wa.campaign c WHERE c.session_id = of_session AND c.campaign = resume_campaign.campaign) THEN
        PERFORM wa.set_paused(of_session, resume_campaign.campaign, false);
    END IF;
    UPDATE wa.outbound_queue q
    SET waits_for = CASE WHEN o.send_at > now() THEN 'scheduled'::wa.wait_reason END, run_at = CASE WHEN o.send_at > now() THEN o.send_at END
    FROM wa.outbound o
    WHERE q.session_id = of_session AND q.campaign = resume_campaign.campaign AND q.waits_for = 'paused' AND o.id = q.id;
    GET DIAGNOSTICS resumed = ROW_COUNT;
    PERFORM wa.wake(ARRAY[of_session]);
    RETURN resumed;
END $$;
COMMENT ON FUNCTION wa.resume_campaign(text, text) IS 'Releases the messages that wa.pause_campaign holds back; returns how many. SELECT wa.resume_campaign(''shop'', ''may'');';

-- A campaign on all sessions. In bounded calls, because each locks its sessions until its transaction ends: the function
-- returns where to go on, so a program calls it until that is null.
CREATE OR REPLACE FUNCTION wa.sessions_of_campaign(campaign text, tenant text, after bigint, most integer) RETURNS TABLE (session_id bigint, session text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
    PERFORM wa.must_send();
    PERFORM wa.check_most(sessions_of_campaign.most);
    RETURN QUERY
    SELECT s.session_id, s.name FROM wa.campaign c JOIN wa.session s USING (session_id)
    WHERE c.campaign = sessions_of_campaign.campaign AND c.session_id > coalesce(sessions_of_campaign.after, 0)
      AND ((SELECT wa.sees_all()) OR s.tenant = ANY ((SELECT wa.my_tenants())::text[]))
      AND (sessions_of_campaign.tenant IS NULL OR s.tenant = sessions_of_campaign.tenant)
    ORDER BY s.session_id LIMIT sessions_of_campaign.most;
END $$;
COMMENT ON FUNCTION wa.sessions_of_campaign(text, text, bigint, integer) IS 'The sessions that you see and that have messages of a campaign: of one tenant or of all, behind a session''s id, at most so many.';

CREATE OR REPLACE FUNCTION wa.act_on_campaign(act text, campaign text, tenant text, after bigint, most integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    own  record;
    last bigint;
    done bigint := 0;
BEGIN
    FOR own IN SELECT * FROM wa.sessions_of_campaign(act_on_campaign.campaign, act_on_campaign.tenant, act_on_campaign.after, act_on_campaign.most) LOOP
        CASE act_on_campaign.act
            WHEN 'pause' THEN PERFORM wa.pause_campaign(own.session, act_on_campaign.campaign);
            WHEN 'resume' THEN PERFORM wa.resume_campaign(own.session, act_on_campaign.campaign);
            WHEN 'cancel' THEN PERFORM wa.cancel_campaign(own.session, act_on_campaign.campaign);
        END CASE;
        last := own.session_id;
        done := done + 1;
    END LOOP;
    RETURN CASE WHEN done = act_on_campaign.most THEN last END;
END $$;
COMMENT ON FUNCTION wa.act_on_campaign(text, text, text, bigint, integer) IS 'Pauses, resumes or cancels (act) a campaign on at most so many of its sessions, behind a session''s id; returns the id of the last one, or null when none is left.';

CREATE OR REPLACE FUNCTION wa.pause_campaigns(campaign text, tenant text DEFAULT NULL, after bigint DEFAULT NULL, most integer DEFAULT 50) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT wa.act_on_campaign('pause', pause_campaigns.campaign, pause_campaigns.tenant, pause_campaigns.after, pause_campaigns.most)
$$;
COMMENT ON FUNCTION wa.pause_campaigns(text, text, bigint, integer) IS 'Pauses a campaign on all sessions that you see, or on those of one tenant, as wa.pause_campaign does on each: on at most so many in a call (null is all). Returns the id of the last session, to be passed as after, or null when none is left. SELECT wa.pause_campaigns(''may'');';

CREATE OR REPLACE FUNCTION wa.resume_campaigns(campaign text, tenant text DEFAULT NULL, after bigint DEFAULT NULL, most integer DEFAULT 50) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT wa.act_on_campaign('resume', resume_campaigns.campaign, resume_campaigns.tenant, resume_campaigns.after, resume_campaigns.most)
$$;
COMMENT ON FUNCTION wa.resume_campaigns(text, text, bigint, integer) IS 'Resumes a campaign on all sessions that you see, or on those of one tenant, as wa.resume_campaign does on each: on at most so many in a call (null is all). Returns the id of the last session, to be passed as after, or null when none is left. SELECT wa.resume_campaigns(''may'');';

CREATE OR REPLACE FUNCTION wa.cancel_campaigns(campaign text, tenant text DEFAULT NULL, after bigint DEFAULT NULL, most integer DEFAULT 50) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    SELECT wa.act_on_campaign('cancel', cancel_campaigns.campaign, cancel_campaigns.tenant, cancel_campaigns.after, cancel_campaigns.most)
$$;
COMMENT ON FUNCTION wa.cancel_campaigns(text, text, bigint, integer) IS 'Cancels a campaign on all sessions that you see, or on those of one tenant, as wa.cancel_campaign does on each: on at most so many in a call (null is all). Returns the id of the last session, to be passed as after, or null when none is left. SELECT wa.cancel_campaigns(''may'');';
