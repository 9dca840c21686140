-- How many texts were received.
SELECT count(*) AS "answers!" FROM wa.inbox WHERE kind = 'text'
