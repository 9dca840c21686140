-- Group and contact actions: session jobs with arguments and a result (M2, M9).

ALTER TABLE wa.session_job
    ADD COLUMN args   jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN result jsonb,
    ADD COLUMN action boolean GENERATED ALWAYS AS (kind NOT IN ('link', 'connect', 'reconnect', 'passkey', 'close', 'logout')) STORED;
COMMENT ON COLUMN wa.session_job.args IS 'What an action takes, by field: see wa.action_fields(). Checked when it is inserted; numbers of people become JIDs.';
COMMENT ON COLUMN wa.session_job.result IS 'What an action has found or made, see wa.actions().';
COMMENT ON COLUMN wa.session_job.action IS 'Whether it is one of wa.actions(), which run in order while the session is connected; the others are about the connection itself.';
COMMENT ON COLUMN wa.session_job.kind IS 'link (show a QR unless already linked), connect, reconnect (made by the worker when a connection is lost), passkey, close (keeps the link), logout (unlinks the device and deletes its auth state); or one of wa.actions().';
-- One of each waits, but of actions as many as were asked for.
DROP INDEX wa.session_job_queued;
CREATE UNIQUE INDEX session_job_queued ON wa.session_job (session_id, kind) WHERE status = 'queued' AND NOT action;
