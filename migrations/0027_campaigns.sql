-- Messages that belong together.

ALTER TABLE wa.outbound ADD COLUMN campaign text;
CREATE INDEX outbound_campaign ON wa.outbound (session_id, campaign, id) WHERE campaign IS NOT NULL;
COMMENT ON COLUMN wa.outbound.campaign IS 'The campaign that it belongs to, for wa.campaigns and wa.cancel_campaign; 1 to 255 bytes, or nothing.';
