-- Gives session $1 a new epoch with the same holder: writes that still come under epoch $2 are refused from here on.
-- Locks the lease, and so waits for writes that are under way. Returns the new epoch.
UPDATE wa.lease SET epoch = epoch + 1 WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL RETURNING epoch
