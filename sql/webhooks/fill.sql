-- Inserts deliveries for webhook $1, held under epoch $2, of messages that were being stored when it was added. False
-- while more may come. Locks the lease.
SELECT wa.fill_webhook($1, $2) AS "filled!"
