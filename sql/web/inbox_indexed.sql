-- Whether both indexes exist that a search needs (docs/messages.md), and the JID if the words are a number.
-- $1: words; $2: session.
SELECT (SELECT count(DISTINCT x.tablename) = 2 FROM pg_indexes x
        WHERE x.schemaname = 'wa' AND x.tablename IN ('inbox', 'outbound')
          AND x.indexdef LIKE '%to_tsvector(''simple''%body)%') AS "indexed!",
       wa.jid($1, wa.region_of($2)) AS jid
