-- A campaign from a table: one message for each customer, in the transaction of whatever else you do. Run it twice and
-- nobody gets it twice, because the functions give back the first message of a dedupe_key.
SELECT wa.set_pacing('shop', per_minute => 20, burst => 5, jitter => '3 s');
SELECT wa.send_text('shop', c.phone, wa.render('Hello {{name}}, your table is ready.', to_jsonb(c)), dedupe_key => 'may-' || c.phone)
FROM customer c;

-- The same with a name, under which it can be followed, paused and cancelled.
INSERT INTO wa.outbound (session, recipient, body, campaign)
SELECT 'shop', c.phone, wa.render('{{name}}, 10 % off until Sunday.', to_jsonb(c)), 'may' FROM customer c;
SELECT messages, waiting, sent, read, failed FROM wa.campaigns WHERE campaign = 'may';
