<?php // Counts the messages of each person in a table of its own and answers them. apt install php-cli php-pgsql
$stopping = false;
pcntl_async_signals(true);
pcntl_signal(SIGTERM, function () use (&$stopping) { $stopping = true; });

/** Counts, answers and acknowledges the next messages in one transaction; returns how many there were. */
function turn(PDO $db): int
{
    $db->beginTransaction();
    $messages = $db->query("SELECT id, session, chat, body, from_me FROM wa.claim_messages('bot')")->fetchAll(PDO::FETCH_ASSOC);
    $count = $db->prepare('INSERT INTO visitor AS v (chat) VALUES (?)
        ON CONFLICT (chat) DO UPDATE SET messages = v.messages + 1 RETURNING messages');
    $answer = $db->prepare('INSERT INTO wa.outbound (session, recipient, body) VALUES (?, ?, ?)');
    foreach ($messages as $message) {
        if ($message['from_me'] || str_ends_with($message['chat'], '@g.us')) {
            continue;
        }
        $count->execute([$message['chat']]);
        $answer->execute([$message['session'], $message['chat'], "Message {$count->fetchColumn()}: {$message['body']}"]);
    }
    $db->prepare("SELECT wa.acknowledge_messages('bot', ?)")->execute(['{' . implode(',', array_column($messages, 'id')) . '}']);
    $db->commit();
    return count($messages);
}

while (!$stopping) {
    try {
        $db = new PDO('pgsql:' . getenv('DATABASE_DSN'), options: [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION]);
        $db->exec('LISTEN wa_inbound');
        while (!$stopping) {
            // Looks every 30 seconds; waits for one at a time, since SIGTERM may come just before a wait.
            for ($waits = turn($db) === 0 ? 30 : 0; $waits > 0 && !$stopping; $waits--) {
                $waits = $db->pgsqlGetNotify(PDO::FETCH_ASSOC, 1000) ? 0 : $waits;
            }
        }
    } catch (PDOException $error) {
        fwrite(STDERR, "connection lost, connecting again: {$error->getMessage()}\n");
        sleep(1);
    }
}
