-- What a worker asks before it takes sessions: in how many sessions the ratchets were reset because the database was
-- restored. Locks the row of wa.auth_home.
SELECT wa.come_home() AS "sessions!"
