-- A text each Friday at 17:00 in Berlin, and the session offline at night. Each tick fires once over all workers.
SELECT wa.schedule('friday', '0 17 * * FRI', 'text', '{"recipient": "+15550002", "body": "Have a good weekend"}',
                   'shop', time_zone => 'Europe/Berlin');
SELECT wa.schedule('night', '0 23 * * *', 'close', session => 'shop', time_zone => 'Europe/Berlin');
SELECT wa.schedule('morning', '30 7 * * *', 'connect', session => 'shop', time_zone => 'Europe/Berlin');
SELECT name, next_tick FROM wa.schedule WHERE session = 'shop';
