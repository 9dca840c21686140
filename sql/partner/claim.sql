-- Takes at most $2 calls to the partner for worker $1, for $5 seconds, at a pace of $3 a minute and $4 at once over all
-- workers. Locks wa.partner and the calls, and skips what another worker has locked.
SELECT call_id AS "call_id!", company_id AS "company_id!", salon_id AS "salon_id!", kind AS "kind!", claim AS "claim!",
       attempts AS "attempts!", api_key
FROM wa.claim_partner_calls($1, $2, $3, $4, $5::float8 * interval '1 second')
