-- What a worker asks before it takes sessions: how many have new ratchets because the database was restored.
SELECT wa.come_home() AS "sessions!"
