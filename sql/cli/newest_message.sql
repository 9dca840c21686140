-- The newest message, so that a walk over all of them knows how far it is. Locks nothing.
SELECT max(id) FROM wa.outbound
