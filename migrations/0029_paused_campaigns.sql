-- Campaigns can be held back.

ALTER TYPE wa.wait_reason ADD VALUE 'paused';
COMMENT ON TYPE wa.wait_reason IS 'Why a queued message waits: for its run_at because it is scheduled (send_at), retry (backoff after a failed attempt), paced (messages per minute), quiet_hours, first_contact (enough new chats for today); or paused, until wa.resume_campaign.';

CREATE TABLE wa.paused_campaign (
    session_id bigint NOT NULL REFERENCES wa.session ON DELETE CASCADE,
    campaign   text NOT NULL,
    paused_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (session_id, campaign)
);
COMMENT ON TABLE wa.paused_campaign IS 'Campaigns that wa.pause_campaign holds back, and with them what is inserted for them meanwhile.';
COMMENT ON COLUMN wa.paused_campaign.session_id IS 'Of the session that sends it.';
COMMENT ON COLUMN wa.paused_campaign.campaign IS 'As wa.outbound.campaign has it.';
COMMENT ON COLUMN wa.paused_campaign.paused_at IS 'Since when.';
ALTER TABLE wa.paused_campaign ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.paused_campaign
    USING ((SELECT wa.sees_all()) OR session_id IN (SELECT s.session_id FROM wa.session s));

COMMENT ON COLUMN wa.outbound.waits_for IS 'Why a queued message waits: for run_at because it is scheduled, retry, paced, quiet_hours, first_contact; or paused, until its campaign is resumed. Null: it goes as soon as the session can send. See also wa.queue.';
COMMENT ON COLUMN wa.outbound.campaign IS 'The campaign that it belongs to, for wa.campaigns, wa.pause_campaign, wa.resume_campaign and wa.cancel_campaign; 1 to 255 bytes, or nothing.';
