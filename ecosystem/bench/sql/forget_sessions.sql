-- Deletes the Signal sessions whose ids are like $1.
DELETE FROM wa.auth_key WHERE kind = 'session' AND key_id LIKE $1
