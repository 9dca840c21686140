-- The key that the auth state was last sealed with; no row if it need not be sealed. Locks nothing.
SELECT key FROM wa.sealing
