-- Progress of the campaigns of session $1, or of all, or only $2; the newest first. Locks nothing.
SELECT session AS "session!", campaign AS "campaign!", messages AS "messages!", waiting AS "waiting!", held AS "held!",
       sent AS "sent!", delivered AS "delivered!", read AS "read!", failed AS "failed!", withdrawn AS "withdrawn!",
       created_at AS "created_at!", paused_at
FROM wa.campaigns
WHERE ($1::text IS NULL OR session = $1) AND ($2::text IS NULL OR campaign = $2)
ORDER BY created_at DESC, session, campaign
