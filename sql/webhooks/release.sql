-- Frees webhook $1, which worker $3 holds under epoch $2. Locks the lease.
UPDATE wa.webhook_lease SET worker_id = NULL WHERE webhook_id = $1 AND epoch = $2 AND worker_id = $3
