-- Kinds of maintenance jobs that have a schedule.
SELECT DISTINCT s.kind FROM wa.schedule s WHERE s.job_table = 'maintenance_job' ORDER BY s.kind
