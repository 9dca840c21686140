-- The schema, the customers that sessions belong to (tenants), and who may see which of them (Q14).
-- Row-level security keeps tenants apart: each table has its policy beside it.

CREATE SCHEMA IF NOT EXISTS wa;
COMMENT ON SCHEMA wa IS 'wagres: a WhatsApp gateway in rows. Start with wa.add_session, wa.link and INSERT INTO wa.outbound.';

-- What migrate last put here, so that it does nothing, and takes no lock, when nothing has changed.
CREATE TABLE wa.schema_state (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    hash       bytea NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE wa.schema_state IS 'The version of the functions, triggers, views and grants in this database.';
COMMENT ON COLUMN wa.schema_state.one IS 'Always true: there is one row.';
COMMENT ON COLUMN wa.schema_state.hash IS 'Hash of the files that made them, and of the group roles that exist.';
COMMENT ON COLUMN wa.schema_state.applied_at IS 'When migrate last replaced them.';

CREATE TABLE wa.tenant (
    tenant        text PRIMARY KEY,
    paused_at     timestamptz,
    paused_reason text,
    paused_by     text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT tenant_check CHECK (tenant ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$')
);
COMMENT ON TABLE wa.tenant IS 'Customers that sessions belong to. With one customer, "default" is enough.';
COMMENT ON COLUMN wa.tenant.tenant IS 'Name; 1 to 63 of letters, digits, dot, underscore, hyphen.';
COMMENT ON COLUMN wa.tenant.paused_at IS 'Since when the sessions of this tenant send nothing; null is not paused. Use wa.pause_tenant and wa.resume_tenant.';
COMMENT ON COLUMN wa.tenant.paused_reason IS 'Reason, as given to wa.pause_tenant.';
COMMENT ON COLUMN wa.tenant.paused_by IS 'Role, or token of the web pages, that called wa.pause_tenant.';
COMMENT ON COLUMN wa.tenant.created_at IS 'When the tenant was added.';
INSERT INTO wa.tenant (tenant) VALUES ('default');

CREATE TABLE wa.tenant_member (
    role   name NOT NULL,
    tenant text NOT NULL REFERENCES wa.tenant ON DELETE CASCADE,
    PRIMARY KEY (role, tenant)
);
COMMENT ON TABLE wa.tenant_member IS 'Which database roles see which tenants. A role without an entry, of its own or of a role that it is a member of, sees nothing. Members of wa_worker and wa_admin see all. Use wa.grant_tenant.';
COMMENT ON COLUMN wa.tenant_member.role IS 'Name of a database role.';
COMMENT ON COLUMN wa.tenant_member.tenant IS 'A tenant that the role sees.';

-- Policies ask these three. They show nothing until sql/schema/90_roles.sql replaces them, in the same run of migrate.
CREATE FUNCTION wa.sees_all(role name) RETURNS boolean LANGUAGE sql STABLE AS 'SELECT false';
CREATE FUNCTION wa.my_tenants(role name) RETURNS text[] LANGUAGE sql STABLE AS 'SELECT ''{}''::text[]';
CREATE VIEW wa.my_tenant AS SELECT m.tenant FROM wa.tenant_member m WHERE false;

-- In every policy the functions stand in subselects, which run once for a statement and not for each row. Members of
-- wa_worker and wa_admin have a policy of their own on each table, which shows them everything (sql/schema/90_roles.sql).
ALTER TABLE wa.tenant ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.tenant USING ((SELECT wa.sees_all(current_user)) OR tenant = ANY ((SELECT wa.my_tenants(current_user))::text[]));
ALTER TABLE wa.tenant_member ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.tenant_member USING ((SELECT wa.sees_all(current_user)) OR tenant = ANY ((SELECT wa.my_tenants(current_user))::text[]));
