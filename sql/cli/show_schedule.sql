-- Schedule $1 with its last $2 ticks, the latest first. Locks nothing.
SELECT to_jsonb(s) || jsonb_build_object('ticks', coalesce((
           SELECT jsonb_agg(to_jsonb(t) - 'schedule_id' ORDER BY t.tick DESC) FROM (
               SELECT * FROM wa.schedule_tick WHERE schedule_id = s.schedule_id ORDER BY tick DESC LIMIT $2
           ) AS t
       ), '[]')) AS "schedule!"
FROM wa.schedule s WHERE s.schedule_id = wa.schedule_id($1)
