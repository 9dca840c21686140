-- Whether a user has a Signal session or an identity on any device: addresses begin with user@ or user: ($2 and $4; $3
-- and $5 end the ranges). Locks nothing.
SELECT EXISTS (
    SELECT FROM wa.auth_key
    WHERE session_id = $1 AND kind IN ('session', 'identity-key')
      AND ((key_id >= $2 AND key_id < $3) OR (key_id >= $4 AND key_id < $5))
) AS "found!";
