-- Whether there are the indexes for words of docs/messages.md, with which wa.search finds most words at once.
SELECT count(DISTINCT i.indrelid) = 2 AS "has_indexes!"
FROM pg_index i
WHERE i.indrelid IN ('wa.inbox'::regclass, 'wa.outbound'::regclass) AND i.indisvalid
  AND pg_get_indexdef(i.indexrelid) LIKE '% USING gin (to\_tsvector(''simple''::regconfig, body))'
