-- Which role may execute which function (Q14, R9). This is the one list: 90_roles.sql makes the catalog agree with it at
-- each migrate, in the transaction that replaces the functions, and a test compares the two. A function that stands in
-- no group is executable by nobody but the owner of the schema.
--
-- PUBLIC may execute none: anybody who may create a temporary table could make a trigger of a function with its owner's
-- rights. ALTER DEFAULT PRIVILEGES cannot say so for one schema; Postgres adds what it grants there to PUBLIC's default.
--
-- A function with its caller's rights needs the grants of all that it calls. A trigger needs no grant, because Postgres
-- asks for one only when the trigger is made; what a trigger with its caller's rights calls needs one.

CREATE OR REPLACE FUNCTION wa.function_grants() RETURNS TABLE (function text, roles name[])
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH listed (function, roles) AS (
    -- Reading, and what policies and checks call.
    SELECT f, '{wa_app,wa_readonly,wa_admin,wa_worker}'::name[] FROM unnest(ARRAY[
        'wa.action_fields()',
        'wa.actions()',
        'wa.caller()',
        'wa.caller_name()',
        'wa.campaign_numbers(text,interval,text)',
        'wa.chat_history(text,text,timestamp with time zone,integer,text)',
        'wa.chat_jid(text,text)',
        'wa.chat_page(bigint,text,timestamp with time zone,text,integer)',
        'wa.check_most(integer)',
        'wa.check_reason(text)',
        'wa.check_series(interval,interval,text)',
        'wa.cron_error(text)',
        'wa.cron_value(integer,text,boolean)',
        'wa.errors()',
        'wa.event_kinds()',
        'wa.existing_tenant(text)',
        'wa.failure_classes()',
        'wa.failures_since(text,interval,text)',
        'wa.fields(text,text)',
        'wa.find_schedule(text)',
        'wa.function_grants()',
        'wa.help(text)',
        'wa.help_function(text)',
        'wa.help_names()',
        'wa.help_nearest(text)',
        'wa.help_overview(text)',
        'wa.help_rest(text)',
        'wa.help_subjects()',
        'wa.jid(text,text)',
        'wa.known_zone(wa.pacing)',
        'wa.latency_bounds()',
        'wa.latency_percentile(bigint[],double precision,double precision)',
        'wa.maintenance_kinds()',
        'wa.media_kinds()',
        'wa.message_fields()',
        'wa.message_kinds()',
        'wa.my_tenants(name)',
        'wa.needs_holder(wa.session_status)',
        'wa.next_statuses(wa.session_status)',
        'wa.numbers_since(text,interval,interval,text,text)',
        'wa.phone(text,text)',
        'wa.reasons()',
        'wa.reasons(text[])',
        'wa.reason_kinds()',
        'wa.reason_text(jsonb)',
        'wa.stuck(text[])',
        'wa.message_reasons(bigint)',
        'wa.status_code(text)',
        'wa.region_of(text)',
        'wa.render(text,jsonb)',
        'wa.schedule_id(text)',
        'wa.search(text,text,text,integer)',
        'wa.roles_of(name)',
        'wa.seen_tenants(text)',
        'wa.sees(bigint)',
        'wa.sees_all(name)',
        'wa.session_id(text)',
        'wa.session_numbers(interval,text)',
        'wa.today(wa.pacing)',
        'wa.tomorrow(wa.pacing)',
        'wa.web_roles()',
        'wa.why(bigint)',
        'wa.why(text)',
        'wa.webhook_type(text)',
        'wa.webhook_types()',
        'wa.without_national_prefix(wa.region,text)',
        'wa.wrapped(text,text,text)'
    ]) f
    UNION ALL
    -- Sending, for the caller's own tenants: each of these finds its rows by session and tenant.
    SELECT f, '{wa_app,wa_admin,wa_worker}'::name[] FROM unnest(ARRAY[
        'wa.acknowledge_messages(text,bigint[])',
        'wa.act(text,text,jsonb)',
        'wa.add_consumer(text,text,text[],timestamp with time zone)',
        'wa.add_download_rule(text,text[],bigint,text)',
        'wa.add_media(text,bytea,text)',
        'wa.add_session_job(text,text,text,jsonb)',
        'wa.add_webhook(text,text,text[],text,text,text,integer,interval,jsonb,timestamp with time zone,text[])',
        'wa.alter_webhook(text,text,text[],text,text,integer,interval,jsonb,text[])',
        'wa.answer_passkey(text,jsonb)',
        'wa.cancel(bigint)',
        'wa.cancel_all(text,text)',
        'wa.cancel_campaign(text,text)',
        'wa.cancel_campaigns(text,text,bigint,integer)',
        'wa.cancel_retry(bigint)',
        'wa.cancel_session_job(bigint)',
        'wa.check_fields(text,text,jsonb,text)',
        'wa.check_media(text,jsonb)',
        'wa.check_message(text,text,text,text,jsonb)',
        'wa.check_outbound_orders(wa.outbound)',
        'wa.claim_messages(text,integer,integer)',
        'wa.clear_pacing(text,text)',
        'wa.close(text,text)',
        'wa.confirm_passkey(text,text)',
        'wa.connect(text)',
        'wa.content_value(text,numeric,numeric,jsonb,text)',
        'wa.cron_now()',
        'wa.disable_schedule(text)',
        'wa.disable_webhook(text,text)',
        'wa.download(bigint)',
        'wa.drop_consumer(text)',
        'wa.drop_webhook(text)',
        'wa.enable_schedule(text)',
        'wa.enable_webhook(text,timestamp with time zone)',
        'wa.is_moment(timestamp with time zone)',
        'wa.is_time_zone(text)',
        'wa.keep_past(text,boolean)',
        'wa.link(text,text)',
        'wa.link_url(text,interval)',
        'wa.logout(text,text,boolean)',
        'wa.maintenance_args_error(text,jsonb)',
        'wa.pause(text,text)',
        'wa.pause_campaign(text,text)',
        'wa.pause_campaigns(text,text,bigint,integer)',
        'wa.remove_download_rule(bigint)',
        'wa.replay_webhook(text,timestamp with time zone,timestamp with time zone,boolean)',
        'wa.restore_auth(text)',
        'wa.resume(text)',
        'wa.resume_campaign(text,text)',
        'wa.resume_campaigns(text,text,bigint,integer)',
        'wa.retry(bigint)',
        'wa.retry_failed(text,text,timestamp with time zone,text)',
        'wa.retry_session_job(bigint)',
        'wa.revoke_link(text)',
        'wa.refuse_shared_schedule(text)',
        'wa.refuse_passkey(text)',
        'wa.rewind_consumer(text,timestamp with time zone)',
        'wa.rotate_webhook(text,interval)',
        'wa.schedule(text,text,text,jsonb,text,text,wa.missed_rule,boolean)',
        'wa.scheduled_text_error(jsonb,text)',
        'wa.send(text,text,text,text,jsonb,integer,timestamp with time zone,timestamp with time zone,text,integer)',
        'wa.set_crypto_limits(text,integer,integer,boolean)',
        'wa.set_pacing(text,double precision,integer,interval,integer,time without time zone,time without time zone,text,boolean)',
        'wa.set_proxy(text,text)',
        'wa.set_region(text,text)',
        'wa.test_webhook(text)',
        'wa.unschedule(text)',
        'wa.outbound_id(bigint,text)',
        'wa.made_id(text,text)',
        'wa.wake(bigint[])'
    ]) f
    UNION ALL
    -- Operating, too; these say themselves which roles may.
    SELECT f, '{wa_app,wa_readonly,wa_admin,wa_worker}'::name[] FROM unnest(ARRAY[
        'wa.add_session(text,text)',
        'wa.must_write(text,text)',
        'wa.run_now(text)'
    ]) f
    UNION ALL
    -- What wagres doctor and the pages ask.
    SELECT f, '{wa_readonly,wa_admin,wa_worker}'::name[] FROM unnest(ARRAY[
        'wa.current_home()',
        'wa.home()',
        'wa.home_change(wa.auth_home)',
        'wa.status_now(bigint,wa.session_status)'
    ]) f
    UNION ALL
    -- Operating, for all tenants.
    SELECT f, '{wa_admin,wa_worker}'::name[] FROM unnest(ARRAY[
        'wa.add_scheduled_job(wa.schedule,timestamp with time zone)',
        'wa.add_tenant(text)',
        'wa.announce_status(bigint[],bigint[])',
        'wa.notify_status(bigint[],bigint[])',
        'wa.attempt_error(integer,text)',
        'wa.cancel_maintenance_job(bigint)',
        'wa.change_maintenance_job(bigint,wa.job_status)',
        'wa.check_run_at(timestamp with time zone)',
        'wa.chosen_tenant(text)',
        'wa.deliver_status(bigint[])',
        'wa.drain_worker(uuid)',
        'wa.grant_tenant(name,text)',
        'wa.had_begun(wa.outbound)',
        'wa.is_paused_now(bigint,text)',
        'wa.job_lives(text,bigint,bigint)',
        'wa.move_session(text,uuid)',
        'wa.pause_tenant(text,text)',
        'wa.resume_tenant(text)',
        'wa.restored()',
        'wa.retry_maintenance_job(bigint)',
        'wa.revoke_tenant(name,text)',
        'wa.room(uuid)',
        'wa.has_hung_up(wa.worker)',
        'wa.share(uuid)',
        'wa.worker_ended()'
    ]) f
    UNION ALL
    -- Tokens of the web pages.
    SELECT f, '{wa_admin}'::name[] FROM unnest(ARRAY[
        'wa.add_token(text,text,text,interval,boolean)',
        'wa.login_link(text,interval)',
        'wa.mend_queue()',
        'wa.revoke_token(text)'
    ]) f
    UNION ALL
    -- What a web process does before it takes the role of a token, and on the link page.
    SELECT f, '{wa_web}'::name[] FROM unnest(ARRAY[
        'wa.activate_company(bigint,bigint)',
        'wa.company_counts()',
        'wa.company_of_key(text)',
        'wa.company_of_link(text)',
        'wa.company_page_link(bigint,bigint,text)',
        'wa.company_pages(bigint[],bigint[],double precision)',
        'wa.company_state(bigint,bigint)',
        'wa.enter_company(bigint,text)',
        'wa.hear_partner(bigint,text,bigint)',
        'wa.link_page(text)',
        'wa.link_page_answer(text,jsonb)',
        'wa.link_page_confirm(text,text)',
        'wa.link_page_refuse(text)',
        'wa.link_page_start(text,text)',
        'wa.list_companies(bigint,bigint)',
        'wa.start_company(bigint,bigint,text)',
        'wa.live_claims(text[],boolean[])',
        'wa.web_enter(text)',
        'wa.web_login(text)',
        'wa.web_logout(text)',
        'wa.web_user(text)'
    ]) f
    UNION ALL
    SELECT 'wa.register_web(text,boolean)', '{wa_web,wa_admin}'
    UNION ALL
    SELECT 'wa.close_unwatched(interval)', '{wa_web,wa_worker}'
    UNION ALL
    -- The worker's own statements.
    SELECT f, '{wa_worker}'::name[] FROM unnest(ARRAY[
        'wa.announce_company(bigint)',
        'wa.claim_partner_calls(uuid,integer,integer,integer,interval)',
        'wa.consumes(wa.consumer,bigint,text)',
        'wa.contacts_left(wa.pacing,wa.sending)',
        'wa.count_company(bigint,text)',
        'wa.detect_restore(uuid,bigint,bigint)',
        'wa.end_worker(uuid)',
        'wa.fill_webhook(bigint,bigint)',
        'wa.fill_consumer(wa.consumer,timestamp with time zone)',
        'wa.fire_schedule(bigint,text,text,wa.missed_rule,timestamp with time zone,timestamp with time zone[],timestamp with time zone,timestamp with time zone)',
        'wa.first_since(text,timestamp with time zone)',
        'wa.gate(wa.pacing,wa.wait_reason,double precision)',
        'wa.generation(wa.lease)',
        'wa.hears(wa.webhook,bigint,text,text[])',
        'wa.heed_partner(boolean,interval)',
        'wa.is_disabled(wa.webhook)',
        'wa.is_quiet(wa.pacing)',
        'wa.hold_back(bigint,bigint[])',
        'wa.may_read_large_object(text,oid)',
        'wa.move_home(wa.auth_home,text)',
        'wa.next_epoch(bigint)',
        'wa.next_home(bigint)',
        'wa.pace(wa.pacing,wa.sending)',
        'wa.quiet_end(wa.pacing)',
        'wa.record_partner_call(bigint,uuid,text,integer,text,text,interval,text,text)',
        'wa.reset_ratchets(bigint,text)',
        'wa.set_wish(wa.session_job)',
        'wa.settle(bigint)',
        'wa.status_changes(bigint[])',
        'wa.stored_beside(pg_snapshot,bigint)',
        'wa.test_companies(text,text)',
        'wa.use_ratchets(bigint)',
        'wa.will_connect(wa.session_job,boolean)'
    ]) f
    UNION ALL
    -- Called by triggers, or by functions with their owner's rights: by no role.
    SELECT f, '{}'::name[] FROM unnest(ARRAY[
        'wa.act_on_campaign(text,text,text,bigint,integer)',
        'wa.act_for_company(bigint)',
        'wa.check_salon(bigint)',
        'wa.check_valid(interval,interval)',
        'wa.check_webhook(text,text[],text,text,integer,interval,jsonb)',
        'wa.consumer_id(text)',
        'wa.consumer_tenants()',
        'wa.end_act_for_company()',
        'wa.enter_as(wa.token,text)',
        'wa.event_after_insert()',
        'wa.event_consumed()',
        'wa.grant_changes()',
        'wa.group_roles()',
        'wa.inbox_consumed()',
        'wa.inbox_download()',
        'wa.is_live(wa.token)',
        'wa.known_company(bigint,bigint)',
        'wa.is_host(text)',
        'wa.is_left(bigint)',
        'wa.lease_ended()',
        'wa.link_state(wa.token,timestamp with time zone)',
        'wa.listeners(bigint,text,text[])',
        'wa.live_proxy_user(text)',
        'wa.live_token(text,wa.token_purpose[])',
        'wa.locked_consumer(text)',
        'wa.maintenance_job_before_insert()',
        'wa.media_dropped()',
        'wa.must_administer()',
        'wa.message_reason(wa.outbound,wa.outbound_queue)',
        'wa.campaign_reason(wa.campaign)',
        'wa.campaign_reasons(bigint[])',
        'wa.reason_list(jsonb[])',
        'wa.must_not_be_lowered()',
        'wa.must_not_be_paused(wa.consumer)',
        'wa.must_send()',
        'wa.new_secret(text)',
        'wa.new_signing_secret()',
        'wa.open_link(text)',
        'wa.outbound_after_delete()',
        'wa.outbound_after_failure()',
        'wa.outbound_after_insert()',
        'wa.outbound_before_insert()',
        'wa.outbound_campaign()',
        'wa.pacing_before_write()',
        'wa.page_session()',
        'wa.passkey_after_change()',
        'wa.passkey_waits(text,text)',
        'wa.put_webhook_secret(bigint,text,text)',
        'wa.queue(wa.outbound,boolean)',
        'wa.request_token(name)',
        'wa.ring()',
        'wa.schedule_before_write()',
        'wa.schedule_limit()',
        'wa.schedule_ring()',
        'wa.secret_hash(text)',
        'wa.session_after_delete()',
        'wa.session_after_insert()',
        'wa.session_announce()',
        'wa.session_becomes()',
        'wa.session_leaves_webhooks()',
        'wa.session_before_insert()',
        'wa.session_job_before_insert()',
        'wa.session_role()',
        'wa.token_tenants(name)',
        'wa.session_reasons(bigint[])',
        'wa.sessions_of_campaign(text,text,bigint,integer)',
        'wa.set_paused(bigint,text,boolean)',
        'wa.unpace(bigint)',
        'wa.webhook_id(text)',
        'wa.webhook_sessions(text[])',
        'wa.web_url()',
        'wa.withdraw(bigint[],wa.outbound_status)'
    ]) f
    UNION ALL
    -- Made from the lists of kinds and actions, with their fields as arguments.
    SELECT p.oid::regprocedure::text, '{wa_app,wa_admin,wa_worker}'::name[]
    FROM pg_proc p
    WHERE p.pronamespace = 'wa'::regnamespace
      AND p.proname IN (SELECT 'send_' || k.kind FROM wa.message_kinds() k UNION SELECT a.kind FROM wa.actions() a WHERE a.kind <> 'download')
    )
    -- Each web role may execute what its roles may.
    SELECT l.function, l.roles || ARRAY(SELECT DISTINCT w.web FROM wa.web_roles() w WHERE w.role = ANY (l.roles) ORDER BY w.web)
    FROM listed l
$$;
COMMENT ON FUNCTION wa.function_grants() IS 'Which roles may execute each function of this schema. SELECT function FROM wa.function_grants() WHERE ''wa_app'' = ANY (roles);';

CREATE OR REPLACE FUNCTION wa.grant_changes() RETURNS SETOF text
-- The path writes signatures as in the list.
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
    WITH wanted AS (
        SELECT p.oid AS function, r.oid AS grantee
        FROM wa.function_grants() g
        JOIN pg_proc p ON p.pronamespace = 'wa'::regnamespace AND p.oid::regprocedure::text = g.function
        JOIN pg_roles r ON r.rolname = ANY (g.roles)
    ), given AS (
        SELECT p.oid AS function, a.grantee
        FROM pg_proc p CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
        WHERE p.pronamespace = 'wa'::regnamespace AND a.grantee <> p.proowner
    )
    SELECT format('GRANT EXECUTE ON FUNCTION %s TO %s', function::regprocedure, grantee::regrole)
    FROM (TABLE wanted EXCEPT TABLE given) missing
    UNION ALL
    SELECT format('REVOKE ALL ON FUNCTION %s FROM %s', function::regprocedure, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END)
    FROM (TABLE given EXCEPT TABLE wanted) surplus
    WHERE grantee = 0 OR grantee IN (SELECT r.oid FROM pg_roles r WHERE r.rolname = ANY (wa.group_roles()))
$$;
COMMENT ON FUNCTION wa.grant_changes() IS 'What has to be granted and revoked so that the catalog agrees with wa.function_grants(). Grants that an operator gave to other roles stay.';
