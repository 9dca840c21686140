-- The places, from 1, of those of the secrets and names $1 ($2: a name of a proxy's user) that are valid now and have the
-- scope $3 and the tenant $4 (null is all). Locks nothing.
SELECT c.place AS "place!" FROM wa.live_claims($1::text[], $2::boolean[]) c WHERE c.scope = $3::text AND c.tenant IS NOT DISTINCT FROM $4::text
