-- Schedules of a session belong to its tenant (Q14). Those of no session keep house for all: everybody who may look sees
-- them, and only those who see all tenants change them.

ALTER TABLE wa.schedule ENABLE ROW LEVEL SECURITY;
ALTER TABLE wa.schedule_tick ENABLE ROW LEVEL SECURITY;
CREATE POLICY tenant ON wa.schedule
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.session s WHERE s.session_id = schedule.session_id));
CREATE POLICY housekeeping ON wa.schedule FOR SELECT USING (session_id IS NULL);
CREATE POLICY tenant ON wa.schedule_tick
    USING ((SELECT wa.sees_all()) OR EXISTS (SELECT FROM wa.schedule s WHERE s.schedule_id = schedule_tick.schedule_id));
