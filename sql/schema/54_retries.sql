-- Failed messages that are queued again, as one job however many they are (H2).

-- With its owner's rights, because wa.maintenance_job is for those who see all tenants.
CREATE OR REPLACE VIEW wa.retries WITH (security_barrier = true) AS
SELECT j.id, j.status, j.tenants, j.args ->> 'session' AS session, j.args ->> 'failure' AS failure, j.args ->> 'campaign' AS campaign,
       (j.args ->> 'since')::timestamptz AS since, (j.result ->> 'found')::bigint AS found, (j.result ->> 'done')::bigint AS done,
       (j.result ->> 'retried')::bigint AS retried, j.last_error, j.created_at, j.started_at, j.finished_at
FROM wa.maintenance_job j
WHERE j.kind = 'retry_failed' AND ((SELECT wa.sees_all(current_user)) OR j.tenants <@ (SELECT wa.my_tenants(current_user))::text[]);
COMMENT ON VIEW wa.retries IS 'Jobs of wa.retry_failed, with their progress. SELECT id, status, done, found, retried FROM wa.retries ORDER BY id DESC LIMIT 5;';
COMMENT ON COLUMN wa.retries.id IS 'Number of the job, as wa.retry_failed returned it.';
COMMENT ON COLUMN wa.retries.status IS 'queued, running, done; failed after the last attempt; cancelled by wa.cancel_retry.';
COMMENT ON COLUMN wa.retries.tenants IS 'The tenants whose messages it may change; null is all.';
COMMENT ON COLUMN wa.retries.session IS 'Only messages of this session; null is all sessions.';
COMMENT ON COLUMN wa.retries.failure IS 'Only failures of this class; null is all classes.';
COMMENT ON COLUMN wa.retries.campaign IS 'Only messages of this campaign; null is all messages.';
COMMENT ON COLUMN wa.retries.since IS 'Only messages that failed from this moment on; null is all.';
COMMENT ON COLUMN wa.retries.found IS 'Failed messages that the worker counted at the start; null before it starts.';
COMMENT ON COLUMN wa.retries.done IS 'Those of them that it has looked at.';
COMMENT ON COLUMN wa.retries.retried IS 'Messages that are queued again. Those that an application had locked are left as they are.';
COMMENT ON COLUMN wa.retries.last_error IS 'Error of the last attempt of the job.';
COMMENT ON COLUMN wa.retries.created_at IS 'When the job was added.';
COMMENT ON COLUMN wa.retries.started_at IS 'When its last attempt began.';
COMMENT ON COLUMN wa.retries.finished_at IS 'When it ended for good.';

CREATE OR REPLACE FUNCTION wa.retry_failed(
    session text DEFAULT NULL, failure text DEFAULT NULL, since timestamptz DEFAULT NULL, campaign text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    of_session bigint;
    of_tenants text[];
    job        bigint;
BEGIN
    PERFORM wa.must_send();
    IF retry_failed.session IS NOT NULL THEN
        of_session := wa.session_id(retry_failed.session);
        of_tenants := ARRAY(SELECT s.tenant FROM wa.session s WHERE s.session_id = of_session);
    ELSIF NOT wa.sees_all() THEN
        of_tenants := wa.my_tenants();
    END IF;
    IF retry_failed.failure NOT IN (SELECT c.class FROM wa.failure_classes() c) THEN
        RAISE EXCEPTION 'failure: "%" is not a class of failures', left(retry_failed.failure, 80)
            USING ERRCODE = 'WA049', COLUMN = 'failure',
                  HINT = 'Accepted: ' || (SELECT string_agg(c.class::text, ', ' ORDER BY c.class) FROM wa.failure_classes() c) || '.';
    END IF;
    IF (SELECT count(*) FROM wa.maintenance_job j
        WHERE j.kind = 'retry_failed' AND j.status = 'queued' AND coalesce(j.tenants, '{}') = coalesce(of_tenants, '{}')) >= 10
    THEN
        RAISE EXCEPTION 'status: 10 retries are queued already'
            USING ERRCODE = 'WA049', COLUMN = 'status', HINT = 'Accepted: another one when fewer rows of wa.retries are queued; SELECT wa.cancel_retry(id) cancels one.';
    END IF;
    INSERT INTO wa.maintenance_job (kind, tenants, args) VALUES ('retry_failed', of_tenants, jsonb_strip_nulls(jsonb_build_object(
        'session', retry_failed.session, 'failure', retry_failed.failure, 'campaign', retry_failed.campaign,
        'since', CASE WHEN isfinite(retry_failed.since) THEN retry_failed.since END,
        -- What fails again while the job runs stays failed.
        'until', now())))
    RETURNING id INTO job;
    RETURN job;
END $$;
COMMENT ON FUNCTION wa.retry_failed(text, text, timestamptz, text) IS 'Queues all messages again that are failed now, or only those of a session, of a class (wa.failure_classes()), that failed since a moment, of a campaign: as one job, which a worker carries out in batches. Returns its id; wa.retries shows the progress, wa.cancel_retry stops it. Messages of paused campaigns are held again. At most ten of a tenant''s jobs wait. SELECT wa.retry_failed(''shop'', ''connection'', since => now() - interval ''1 day'');';

CREATE OR REPLACE FUNCTION wa.cancel_retry(id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    PERFORM wa.must_send();
    IF NOT EXISTS (SELECT FROM wa.retries r WHERE r.id = cancel_retry.id) THEN
        RAISE EXCEPTION 'status: retry % does not exist', cancel_retry.id
            USING ERRCODE = 'WA024', COLUMN = 'status', HINT = 'Accepted: the id of a row of wa.retries that is queued or running.';
    END IF;
    PERFORM wa.change_maintenance_job(cancel_retry.id, 'cancelled');
END $$;
COMMENT ON FUNCTION wa.cancel_retry(bigint) IS 'Cancels a job of wa.retry_failed that is queued or running; a running one stops before its next batch. Messages that are queued again stay queued. SELECT wa.cancel_retry(7);';

CREATE OR REPLACE FUNCTION wa.is_paused_now(session_id bigint, campaign text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
    -- SHARE goes with the locks of those who insert (KEY SHARE), but not with a change of the row, which a pause begins with
    -- (38_campaigns.sql). An open transaction may also be making the row, and nobody can see that without waiting for it.
    RETURN (
        SELECT c.paused_at IS NOT NULL FROM wa.campaign c
        WHERE c.session_id = is_paused_now.session_id AND c.campaign = is_paused_now.campaign
        FOR SHARE SKIP LOCKED
    );
END $$;
COMMENT ON FUNCTION wa.is_paused_now(bigint, text) IS 'Whether a campaign is paused, for a worker, which waits for nobody; the answer stays true or false until its transaction ends. Null while a transaction that pauses or resumes the campaign is open, and for a campaign without a row in wa.campaign.';
