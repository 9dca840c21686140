-- Sessions that are to be on a certain worker.

ALTER TABLE wa.lease ADD wanted uuid REFERENCES wa.worker ON DELETE SET NULL;
COMMENT ON COLUMN wa.lease.wanted IS 'The worker that is to hold it as long as that worker lives, set by wa.move_session; null: whoever has room.';
