-- Backlog of each session. Locks nothing.
SELECT session AS "session!", status::text AS "status!", paused AS "paused!", ready AS "ready!", sending AS "sending!",
       scheduled AS "scheduled!", retrying AS "retrying!", paced AS "paced!", held AS "held!", chats AS "chats!", oldest, next_run_at
FROM wa.queue ORDER BY session
