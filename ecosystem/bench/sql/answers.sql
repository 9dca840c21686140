-- How many messages have come.
SELECT count(*) AS "answers!" FROM wa.inbox WHERE kind = 'text'
