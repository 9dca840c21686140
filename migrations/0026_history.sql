-- One history of each chat (M7).

CREATE INDEX outbound_history ON wa.outbound (session_id, chat, sent_at) WHERE sent_at IS NOT NULL;
CREATE INDEX inbox_history ON wa.inbox (session_id, chat, sent_at);
