-- How far a message came with each of those who get it (M3).

CREATE TABLE wa.receipt (
    session_id   bigint NOT NULL,
    outbound_id  bigint NOT NULL,
    participant  text NOT NULL,
    delivered_at timestamptz NOT NULL,
    read_at      timestamptz,
    played_at    timestamptz,
    PRIMARY KEY (outbound_id, participant),
    FOREIGN KEY (outbound_id) REFERENCES wa.outbound (id) ON DELETE CASCADE
) WITH (fillfactor = 80);
COMMENT ON TABLE wa.receipt IS 'How far messages to groups and statuses came with each participant. The times of wa.outbound are those of the first. SELECT * FROM wa.receipt WHERE outbound_id = 42;';
COMMENT ON COLUMN wa.receipt.session_id IS 'Of the session that sent it.';
COMMENT ON COLUMN wa.receipt.outbound_id IS 'Id of the message in wa.outbound.';
COMMENT ON COLUMN wa.receipt.participant IS 'JID of who got it: with the phone number where it is known, else the LID.';
COMMENT ON COLUMN wa.receipt.delivered_at IS 'When a device of theirs had it.';
COMMENT ON COLUMN wa.receipt.read_at IS 'When they read it, if they let others know.';
COMMENT ON COLUMN wa.receipt.played_at IS 'When they played it, of what is spoken or filmed.';
ALTER TABLE wa.receipt ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.receipt
    USING ((SELECT wa.sees_all()) OR session_id IN (SELECT s.session_id FROM wa.session s));
