<?php // apt install php-cli php-pgsql
$db = new PDO('pgsql:' . getenv('DATABASE_DSN')); // host=…;port=…;dbname=…;user=…
$db->prepare('INSERT INTO wa.outbound (session, recipient, body) VALUES (?, ?, ?)')
   ->execute(['shop', '+15550002', 'Hello from PHP']);
