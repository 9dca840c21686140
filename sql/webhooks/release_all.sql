-- Frees the webhooks that worker $1 holds. Locks the leases.
UPDATE wa.webhook_lease SET worker_id = NULL WHERE worker_id = $1
