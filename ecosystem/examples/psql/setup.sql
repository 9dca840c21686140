-- What each bot of these examples needs, once: a table of its own, and a named consumer of the texts that arrive.
-- Run it as the login of the bot, so that the consumer is its own: psql "$DATABASE_URL" -f setup.sql
CREATE TABLE visitor (chat text PRIMARY KEY, messages integer NOT NULL DEFAULT 1);
SELECT wa.add_consumer('bot', kinds => '{text}');
