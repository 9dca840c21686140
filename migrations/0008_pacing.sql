-- A pacing that cannot be computed would stop the claims of every session beside it, so none may stand in the table,
-- whoever writes it; what is wrong is said by the trigger "validate" (sql/schema/35_pacing.sql), by column.
ALTER TABLE wa.pacing
    ADD CONSTRAINT pacing_per_minute_check CHECK (per_minute > 0 AND per_minute <= 6000),
    ADD CONSTRAINT pacing_burst_check CHECK (burst BETWEEN 1 AND 10000),
    ADD CONSTRAINT pacing_jitter_check CHECK (jitter BETWEEN interval '0' AND interval '10 minutes'),
    ADD CONSTRAINT pacing_first_contacts_check CHECK (first_contacts >= 0),
    ADD CONSTRAINT pacing_quiet_check CHECK ((quiet_from IS NULL) = (quiet_until IS NULL) AND quiet_from <> quiet_until);

-- What the schema files dropped at each migrate, which locks the tables.
DROP TRIGGER IF EXISTS announce ON wa.outbound;
DROP FUNCTION IF EXISTS wa.outbound_announce();
DROP TRIGGER IF EXISTS taken ON wa.lease;
DROP FUNCTION IF EXISTS wa.lease_taken();
DROP FUNCTION IF EXISTS wa.add_session(text);
DROP FUNCTION IF EXISTS wa.send_text(text, text, text);
