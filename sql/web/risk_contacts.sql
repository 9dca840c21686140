-- Sessions that have started new chats today, of those with a limit on them; those with the least left first, $1 at most.
WITH used AS MATERIALIZED (
    SELECT b.session_id, b.contacts_on, b.contacts_today FROM wa.sending b
    -- Today somewhere; the day of each pacing is compared below.
    WHERE b.contacts_today > 0 AND b.contacts_on >= (now() - interval '14 hours')::date
), most AS MATERIALIZED (
    SELECT u.session_id, u.contacts_today, p.first_contacts, p.per_minute, p.jitter, wa.tomorrow(p) AS tomorrow
    FROM used u JOIN wa.pacing p USING (session_id)
    WHERE p.first_contacts IS NOT NULL AND u.contacts_on = wa.today(p)
    ORDER BY u.contacts_today::float8 / greatest(p.first_contacts, 1) DESC, u.contacts_today DESC, u.session_id LIMIT $1
)
SELECT s.name AS "name!", s.tenant AS "tenant!", m.first_contacts AS "first_contacts!", m.contacts_today AS "contacts_today!", m.per_minute,
       m.jitter::text AS "jitter!", s.paused_at, m.tomorrow AS "tomorrow!"
FROM most m JOIN wa.session s USING (session_id)
ORDER BY m.contacts_today::float8 / greatest(m.first_contacts, 1) DESC, m.contacts_today DESC, s.name
