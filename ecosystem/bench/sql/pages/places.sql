-- What the pages of a session ($1) can be asked for: a chat, messages that failed, wait, and went to a group, a campaign, its worker.
SELECT (SELECT i.chat FROM wa.inbox i WHERE i.session_id = s.session_id ORDER BY i.id DESC LIMIT 1) AS "chat!",
       (SELECT o.id FROM wa.outbound_failed o WHERE o.session_id = s.session_id ORDER BY o.failed_at DESC LIMIT 1) AS "failed!",
       (SELECT o.id FROM wa.outbound_queue o WHERE o.session_id = s.session_id ORDER BY o.chat, o.id LIMIT 1) AS "live!",
       coalesce((SELECT r.outbound_id FROM wa.receipt r WHERE r.session_id = s.session_id LIMIT 1),
                (SELECT o.id FROM wa.outbound o WHERE o.session_id = s.session_id AND o.sent_at IS NOT NULL ORDER BY o.chat, o.sent_at LIMIT 1)) AS "received!",
       -- The first session has none of its own; its tenant's is the one in most sessions.
       coalesce((SELECT c.campaign FROM wa.campaign c WHERE c.session_id = s.session_id AND s.tenant = 'small' ORDER BY c.created_at DESC LIMIT 1),
                'spring') AS "campaign!",
       (SELECT l.holder::text FROM wa.lease l WHERE l.session_id = s.session_id) AS "worker!"
FROM wa.session s WHERE s.name = $1
