-- Who may do what (Q14): tenants are kept apart by row-level security, whose policies ask the functions below. These, and
-- what the roles are granted, are replaced at each migrate (sql/schema/90_roles.sql).

CREATE TABLE wa.tenant_member (
    role   name NOT NULL,
    tenant text NOT NULL REFERENCES wa.tenant ON DELETE CASCADE,
    PRIMARY KEY (role, tenant)
);
COMMENT ON TABLE wa.tenant_member IS 'Which database roles see which tenants; a role without an entry, of its own or of a role that it belongs to, sees the tenant "default". Members of wa_worker and wa_admin see all. Use wa.grant_tenant.';
COMMENT ON COLUMN wa.tenant_member.role IS 'Name of a database role.';
COMMENT ON COLUMN wa.tenant_member.tenant IS 'A tenant that it sees.';

CREATE FUNCTION wa.sees_all() RETURNS boolean LANGUAGE sql STABLE AS 'SELECT false';
CREATE FUNCTION wa.my_tenants() RETURNS text[] LANGUAGE sql STABLE AS 'SELECT ''{}''::text[]';

ALTER TABLE wa.tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE wa.session ENABLE ROW LEVEL SECURITY;
ALTER TABLE wa.outbound ENABLE ROW LEVEL SECURITY;
ALTER TABLE wa.inbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE wa.session_job ENABLE ROW LEVEL SECURITY;
ALTER TABLE wa.pacing ENABLE ROW LEVEL SECURITY;
ALTER TABLE wa.contacted ENABLE ROW LEVEL SECURITY;
-- The subselects run once for a statement, not for each row.
CREATE POLICY tenant ON wa.tenant USING ((SELECT wa.sees_all()) OR tenant = ANY ((SELECT wa.my_tenants())::text[]));
CREATE POLICY tenant ON wa.session USING ((SELECT wa.sees_all()) OR tenant = ANY ((SELECT wa.my_tenants())::text[]));
-- What is seen of wa.session is what its own policy lets through.
CREATE POLICY tenant ON wa.outbound
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = outbound.session_id));
CREATE POLICY tenant ON wa.inbox
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = inbox.session_id));
CREATE POLICY tenant ON wa.session_job
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = session_job.session_id));
CREATE POLICY tenant ON wa.pacing
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = pacing.session_id));
CREATE POLICY tenant ON wa.contacted
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = contacted.session_id));

-- For the views of rates and failures. Neither column changes when receipts come, so those updates stay cheap.
CREATE INDEX outbound_sent_at ON wa.outbound USING brin (sent_at) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX outbound_failed ON wa.outbound (session_id, failed_at) WHERE failed_at IS NOT NULL;

-- What the first migrations left unsaid.
COMMENT ON COLUMN wa.lease.session_id IS 'The session.';
COMMENT ON COLUMN wa.lease.taken_at IS 'When the holder took it.';
COMMENT ON COLUMN wa.worker.host IS 'Name of the machine.';
COMMENT ON COLUMN wa.worker.pid IS 'Process id on that machine.';
COMMENT ON COLUMN wa.worker.version IS 'Version of wagres.';
COMMENT ON COLUMN wa.worker.started_at IS 'When it registered.';
COMMENT ON COLUMN wa.session.session_id IS 'What other tables refer to.';
COMMENT ON COLUMN wa.session.status_at IS 'When the status was written.';
COMMENT ON COLUMN wa.session.created_at IS 'When it was added.';
COMMENT ON COLUMN wa.session.connected_at IS 'When it last became connected.';
COMMENT ON COLUMN wa.session_job.id IS 'Number of the job.';
COMMENT ON COLUMN wa.session_job.session IS 'Name of the session (wa.session.name).';
COMMENT ON COLUMN wa.session_job.session_id IS 'Filled from session.';
COMMENT ON COLUMN wa.session_job.reason IS 'Why, in the words of whoever asked.';
COMMENT ON COLUMN wa.session_job.status IS 'queued, running, done, failed, cancelled (superseded by a later job).';
COMMENT ON COLUMN wa.session_job.attempts IS 'How often it was begun.';
COMMENT ON COLUMN wa.session_job.last_error IS 'What the last attempt failed with.';
COMMENT ON COLUMN wa.session_job.created_at IS 'When the row was inserted.';
COMMENT ON COLUMN wa.session_job.started_at IS 'When the last attempt began.';
COMMENT ON COLUMN wa.session_job.finished_at IS 'When it ended for good.';
COMMENT ON COLUMN wa.inbox.id IS 'Number of the message, in the order of arrival.';
COMMENT ON COLUMN wa.inbox.session_id IS 'The session that received it.';
COMMENT ON COLUMN wa.inbox.received_at IS 'When it was written here.';
