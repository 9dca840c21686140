-- Whether this role may read and seal the secrets of webhooks. Locks nothing.
SELECT has_table_privilege('wa.webhook_secret', 'SELECT') AND has_table_privilege('wa.webhook_secret', 'UPDATE') AS "may!"
