-- Sets the upload $3 for message $4 of session $1, under epoch $2. Share-locks the lease; locks the message.
UPDATE wa.outbound o SET upload_id = $3
FROM (SELECT session_id FROM wa.lease WHERE session_id = $1 AND epoch = $2 AND holder IS NOT NULL FOR SHARE) held
WHERE o.session_id = held.session_id AND o.id = $4
