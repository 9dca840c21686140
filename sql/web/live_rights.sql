-- The rights that the secrets and names $1 ($2: a name of a proxy's user) have now: the places, from 1, of those that are valid, with
-- the scope and the tenant (null is all) of each. Locks nothing.
SELECT c.place AS "place!", c.scope AS "scope!", c.tenant FROM wa.live_claims($1::text[], $2::boolean[]) c
