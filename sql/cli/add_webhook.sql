-- Adds a webhook and returns its secret. $1: name; $2: url; $3: kinds; $4: sessions; $5: lanes; $6: format; $7: batch_size;
-- $8: batch_wait in seconds; $9: headers; $10: since this moment, or $11: since so many seconds ago. What is null takes the
-- default of wa.add_webhook, so it is repeated here.
SELECT wa.add_webhook($1, $2, coalesce($3::text[], '{message.received,message.status}'), NULL, coalesce($5::text, 'chat'), coalesce($6::text, 'standard'),
                      coalesce($7::integer, 1), make_interval(secs => coalesce($8::double precision, 1)), coalesce($9::jsonb, '{}'),
                      coalesce($10::timestamptz, now() - make_interval(secs => $11::double precision)), $4) AS "secret!"
