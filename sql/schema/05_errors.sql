-- Errors that this schema raises. This is the one list of their SQLSTATEs; a test compares it with the codes in sql/
-- and makes the table in docs/errors.md from it.

CREATE OR REPLACE FUNCTION wa.errors() RETURNS TABLE (code text, name text, meaning text, remedy text)
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$ VALUES
    ('WA001', 'session', 'No session has this name, the caller may not see it, or the name is missing.', 'Take a name from wa.session, or add the session with wa.add_session.'),
    ('WA002', 'recipient', 'The value is neither a phone number nor a JID.', 'Write an international number of 7 to 15 digits, or a JID; wa.set_region lets a session take national numbers.'),
    ('WA003', 'body', 'The body is missing, is too long, or does not belong to this kind of message.', 'wa.message_kinds() says which kinds take a body; it has 1 to 65536 characters.'),
    ('WA004', 'kind', 'The kind of message, job, action or file does not exist, or is not possible here.', 'Take one of the kinds that the hint lists.'),
    ('WA005', 'name', 'The name of a session or schedule has the wrong form, or the name of a session is taken.', 'Write 1 to 63 letters, digits, dots, underscores and hyphens; a letter or digit comes first. Names of sessions are unique in the database.'),
    ('WA006', 'message_id', 'The value is not a WhatsApp message id.', 'Leave message_id out, or write 8 to 40 digits and capital letters.'),
    ('WA011', 'option', 'priority, max_attempts, send_at, expires_at, dedupe_key, campaign or most is out of range.', 'The error names the column, the hint its range.'),
    ('WA012', 'tenant', 'The tenant or role does not exist, has a wrong name, or the caller does not see it; or the caller sees several tenants and named none.', 'Take a name from wa.tenant, add the tenant with wa.add_tenant, or let the role see it with wa.grant_tenant.'),
    ('WA013', 'pacing', 'A value of wa.set_pacing is out of range.', 'The error names the column, the hint its range.'),
    ('WA014', 'job', 'run_at or max_attempts of a job is out of range.', 'The error names the column, the hint its range.'),
    ('WA020', 'cron', 'The cron expression cannot be read, or never fires.', 'Write minute, hour, day of month, month, day of week; wa.cron_error checks an expression.'),
    ('WA021', 'time_zone', 'The time zone does not exist, or is a file of the system beside the zones, such as localtime.', 'Take a name from pg_timezone_names, in the same spelling.'),
    ('WA022', 'args', 'The arguments do not fit the kind of maintenance job or schedule.', 'The comment of wa.maintenance_job.args lists them.'),
    ('WA023', 'missed', 'The rule for missed ticks is not possible for this kind.', 'For connect and close, write skip or once.'),
    ('WA024', 'job_status', 'No job has this id, or its status does not allow the change.', 'Retry jobs that are failed or cancelled; cancel jobs that are queued, or maintenance jobs that are running.'),
    ('WA025', 'schedule', 'No schedule has this name, or schedules of several tenants have it.', 'Take a name from wa.schedule; acme/night is the schedule night of the tenant acme.'),
    ('WA026', 'passkey', 'The session does not wait for this step, or the answer or code is wrong.', 'wa.passkey shows the stage; after a failure scan the QR code again.'),
    ('WA027', 'worker', 'No live worker has this id.', 'Take an id from wa.worker.'),
    ('WA028', 'link_limit', 'The session or the phone has asked for too many codes within the hour.', 'Wait: WhatsApp blocks numbers that ask again and again.'),
    ('WA029', 'status', 'The status of the session cannot become this one.', 'wa.next_statuses lists the statuses that may follow.'),
    ('WA030', 'crypto_limit', 'A limit of wa.set_crypto_limits is out of range.', 'Write 1 to 1000000 errors, and true or false for relink.'),
    ('WA031', 'proxy', 'The address of the proxy cannot be read. The error does not repeat it, because it may hold a password.', 'Write http:// or socks5://, then user:password@ if the proxy needs them, then host:port.'),
    ('WA032', 'content', 'A field of content is missing, unknown or out of range for the kind of message.', 'The error names the field; wa.message_fields() lists them all.'),
    ('WA033', 'consumer', 'The consumer does not exist, exists already, is paused, or was called with a value out of range.', 'wa.consumers lists the consumers; the hint has the range, or ends the pause.'),
    ('WA034', 'action_args', 'A field of args is missing, unknown or out of range for the action.', 'The error names the field; wa.action_fields() lists them all.'),
    ('WA035', 'media', 'The file for wa.add_media is empty, too large, or has a wrong type.', 'Give 1 to 67108864 bytes; for more, a large object or a file in the media store.'),
    ('WA036', 'download', 'The message has no file, or the size limit of a download rule is below 1.', 'Give the id of a row of wa.inbox whose column media is set.'),
    ('WA037', 'region', 'The country does not exist.', 'Write the two letters of a country, such as DE, or null.'),
    ('WA038', 'template', 'The template names a field that the data lacks.', 'Add the field to the data, not null, or remove it from the template.'),
    ('WA039', 'keep', 'keep is null.', 'Write true or false.'),
    ('WA045', 'quarantine', 'The auth state of the session cannot be taken back from the quarantine.', 'The session is logged out, no worker holds it, and wagres auth quarantine lists its creds.')
$$;
COMMENT ON FUNCTION wa.errors() IS 'SQLSTATEs that wa raises: what each means and what helps. Each error also names the column and says in its hint what is accepted. SELECT * FROM wa.errors() WHERE code = ''WA002'';';
