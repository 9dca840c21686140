#!/usr/bin/env bash
# Counts the messages of each person in a table of its own and answers them, with psql alone. psql shows notifications only
# after a command, so this one asks each second. Every turn connects anew; SIGTERM ends it between two turns.
trap 'kill $(jobs -p) 2>/dev/null; exit 0' TERM
while :; do
    psql -Xqt -v ON_ERROR_STOP=1 "$DATABASE_URL" <<'SQL'
DO $$
DECLARE
    message wa.inbox;
    number  integer;
BEGIN
    -- One transaction: a message is counted, answered and acknowledged, or none of these.
    FOR message IN SELECT * FROM wa.claim_messages('bot') LOOP
        IF NOT message.from_me AND message.chat NOT LIKE '%@g.us' THEN
            INSERT INTO visitor AS v (chat) VALUES (message.chat)
            ON CONFLICT (chat) DO UPDATE SET messages = v.messages + 1 RETURNING messages INTO number;
            INSERT INTO wa.outbound (session, recipient, body)
            VALUES (message.session, message.chat, format('Message %s: %s', number, message.body));
        END IF;
        PERFORM wa.acknowledge_messages('bot', ARRAY[message.id]);
    END LOOP;
END $$;
SQL
    sleep 1 &
    wait $!
done
