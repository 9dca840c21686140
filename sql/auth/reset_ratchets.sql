-- Makes chats of session $1 begin anew, because of $2: how many keys went.
SELECT wa.reset_ratchets($1, $2) AS "keys!"
