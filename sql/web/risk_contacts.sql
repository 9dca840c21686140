-- Sessions that have started new chats today, of those with a limit on them; those with the least left first, $1 at most.
WITH used AS MATERIALIZED (
    SELECT b.session_id, b.contacts_on, b.contacts_today FROM wa.sending b
    -- Today somewhere; the day of each pacing is compared below.
    WHERE b.contacts_today > 0 AND b.contacts_on >= (now() - interval '14 hours')::date
), paced AS MATERIALIZED (
    SELECT p.session_id, p.first_contacts, p.per_minute, p.jitter, p.time_zone, p AS pacing FROM wa.pacing p WHERE p.first_contacts IS NOT NULL
), zone AS MATERIALIZED (
    -- The days, asked for once for each time zone.
    SELECT z.time_zone, wa.today(z.pacing) AS today FROM (SELECT DISTINCT ON (p.time_zone) p.time_zone, p.pacing FROM paced p) z
), most AS MATERIALIZED (
    SELECT u.session_id, u.contacts_today, p.first_contacts, p.per_minute, p.jitter, p.pacing
    FROM used u JOIN paced p USING (session_id) JOIN zone z ON z.time_zone = p.time_zone AND z.today = u.contacts_on
    ORDER BY u.contacts_today::float8 / greatest(p.first_contacts, 1) DESC, u.contacts_today DESC, u.session_id LIMIT $1
)
SELECT s.name AS "name!", s.tenant AS "tenant!", m.first_contacts AS "first_contacts!", m.contacts_today AS "contacts_today!", m.per_minute,
       m.jitter::text AS "jitter!", s.paused_at, wa.tomorrow(m.pacing) AS "tomorrow!"
FROM most m JOIN wa.session s USING (session_id)
ORDER BY m.contacts_today::float8 / greatest(m.first_contacts, 1) DESC, m.contacts_today DESC, s.name
