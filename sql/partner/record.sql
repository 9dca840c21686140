-- Writes what came of call $1 under claim $2: outcome $3 (done, retry, failed), HTTP status $4, error $5, answer $6, the
-- pause before a retry in seconds $7, and of a profile the name $8 and the kind of business $9; and whether the partner
-- failed ($10, null: it was not asked), after which it may rest for $11 seconds. Returns whether the claim still held.
-- Locks the company, the call and wa.partner, in this order.
WITH recorded AS MATERIALIZED (
    SELECT wa.record_partner_call($1, $2, $3, $4, $5, $6, $7::float8 * interval '1 second', $8, $9) AS held
), heeded AS MATERIALIZED (
    SELECT wa.heed_partner($10::boolean, $11::float8 * interval '1 second') FROM recorded WHERE $10::boolean IS NOT NULL
)
SELECT held AS "held!" FROM recorded LEFT JOIN heeded ON true
