-- Kinds of maintenance jobs.
SELECT k AS "kind!" FROM unnest(wa.maintenance_kinds()) k ORDER BY k
