-- What was voted for.

ALTER TABLE wa.inbox ADD COLUMN choices text[];
COMMENT ON COLUMN wa.inbox.choices IS 'Of a poll_vote: the options that are chosen now, none when the vote is taken back. The last vote of a sender counts. Null when the poll is not known.';
