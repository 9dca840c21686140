-- Resets the ratchets of session $1 for reason $2; returns how many keys were deleted. Locks the deleted keys and the
-- credentials.
SELECT wa.reset_ratchets($1, $2) AS "keys!"
