-- What the bridge to Chatwoot needs, once. Run it as the bridge's login.
CREATE TABLE chatwoot (session text, chat text, conversation bigint NOT NULL, PRIMARY KEY (session, chat));
SELECT wa.add_consumer('chatwoot', kinds => '{text}');
