//! Refusals at INSERT: SQLSTATE, column and accepted values (Q3, R5).

use crate::support::{db, docs};
use anyhow::{Context, Result, ensure};
use sqlx::postgres::PgDatabaseError;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

struct Case {
    sql: &'static str,
    code: &'static str,
    column: &'static str,
    /// Part of the message or hint that says what is accepted.
    accepted: &'static str,
}

const CASES: &[Case] = &[
    case("SELECT * FROM wa.chat_history('shop', '+79001234567', most => -1)", "WA011", "most", "0 or more"),
    case("SELECT * FROM wa.search('invoice', most => -1)", "WA011", "most", "0 or more"),
    case("SELECT wa.set_pacing('shop', time_zone => 'posixrules')", "WA013", "time_zone", "Europe/Berlin"),
    case("SELECT wa.set_pacing('shop', time_zone => 'Factory')", "WA013", "time_zone", "Europe/Berlin"),
    case("SELECT wa.set_pacing('shop', time_zone => 'localtime')", "WA013", "time_zone", "Europe/Berlin"),
    case("SELECT wa.set_pacing('shop', time_zone => 'posix/Europe/Berlin')", "WA013", "time_zone", "Europe/Berlin"),
    case(
        "SELECT wa.set_pacing('shop', jitter => '71000000 months -2130000000 days')",
        "WA013",
        "jitter",
        "0 to 10 minutes",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body) VALUES ('nobody', '+79001234567', 'x')",
        "WA001",
        "session",
        "wa.session",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body) VALUES (NULL, '+79001234567', 'x')",
        "WA001",
        "session",
        "name of a session",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', 'abc', 'x')",
        "WA002",
        "recipient",
        "+79001234567",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '12345', 'x')",
        "WA002",
        "recipient",
        "7 to 15 digits",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '+0123456789', 'x')",
        "WA002",
        "recipient",
        "7 to 15 digits",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '1234567890123456', 'x')",
        "WA002",
        "recipient",
        "7 to 15 digits",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '79001234567@example.com', 'x')",
        "WA002",
        "recipient",
        "@g.us",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '''; DROP TABLE wa.outbound; --', 'x')",
        "WA002",
        "recipient",
        "@g.us",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', NULL, 'x')",
        "WA002",
        "recipient",
        "@g.us",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '+79001234567', '')",
        "WA003",
        "body",
        "1 to 65536",
    ),
    case("INSERT INTO wa.outbound (session, recipient) VALUES ('shop', '+79001234567')", "WA003", "body", "1 to 65536"),
    case(
        "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '+79001234567', repeat('x', 65537))",
        "WA003",
        "body",
        "1 to 65536",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body, kind) VALUES ('shop', '+79001234567', 'x', 'fax')",
        "WA004",
        "kind",
        "text",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body, message_id) VALUES ('shop', '+79001234567', 'x', 'no way')",
        "WA006",
        "message_id",
        "capital letters",
    ),
    case("SELECT wa.send_text('shop', '+79001234567', 'x', priority => 101)", "WA011", "priority", "-100 to 100"),
    case("SELECT wa.send_text('shop', '+79001234567', 'x', max_attempts => 0)", "WA011", "max_attempts", "1 to 1000"),
    case("SELECT wa.send_text('shop', '+79001234567', 'x', send_at => 'infinity')", "WA011", "send_at", "wa.pause"),
    case(
        "SELECT wa.send_text('shop', '+79001234567', 'x', expires_at => now())",
        "WA011",
        "expires_at",
        "after send_at",
    ),
    case(
        "SELECT wa.send_text('shop', '+79001234567', 'x', expires_at => '-infinity')",
        "WA011",
        "expires_at",
        "never expires",
    ),
    case("SELECT wa.send_text('shop', '+79001234567', 'x', dedupe_key => '')", "WA011", "dedupe_key", "1 to 255"),
    case(
        "SELECT wa.send_text('shop', '+79001234567', 'x', dedupe_key => repeat('я', 128))",
        "WA011",
        "dedupe_key",
        "1 to 255",
    ),
    case("SELECT wa.add_session('other', 'nobody')", "WA012", "tenant", "wa.add_tenant"),
    case("SELECT wa.add_tenant('two words')", "WA012", "tenant", "1 to 63"),
    case("SELECT wa.send('shop', '+79001234567', 'video call')", "WA004", "kind", "location"),
    case("SELECT wa.send('shop', '+79001234567', NULL)", "WA004", "kind", "location"),
    case(
        "SELECT wa.send('shop', '+79001234567', 'edit', content => '{\"message_id\": \"A\"}')",
        "WA003",
        "body",
        "1 to 65536",
    ),
    case(
        "SELECT wa.send('shop', '+79001234567', 'revoke', 'x', '{\"message_id\": \"A\"}')",
        "WA003",
        "body",
        "content",
    ),
    case("SELECT wa.send_poll('shop', '+79001234567', repeat('x', 65537), '{A,B}')", "WA003", "body", "1 to 65536"),
    case("SELECT wa.send('shop', '+79001234567', 'text', 'x', '[]')", "WA032", "content", "wa.message_fields"),
    case(
        "SELECT wa.send('shop', '+79001234567', 'text', 'x', '{\"mention\": []}')",
        "WA032",
        "content",
        "quote, mentions",
    ),
    case(
        "SELECT wa.send('shop', '+79001234567', 'location', content => '{\"latitude\": 1}')",
        "WA032",
        "content",
        "Degrees east",
    ),
    case("SELECT wa.send_location('shop', '+79001234567', 90.1, 0)", "WA032", "content", "-90 to 90"),
    case("SELECT wa.send_location('shop', '+79001234567', 'NaN', 0)", "WA032", "content", "-90 to 90"),
    case("SELECT wa.send_location('shop', '+79001234567', 0, 0, name => '')", "WA032", "content", "1 to 1000"),
    case("SELECT wa.send_image('shop', '+79001234567')", "WA032", "content", "one of url, data"),
    case(
        "SELECT wa.send_image('shop', '+79001234567', url => 'https://x', media => 1)",
        "WA032",
        "content",
        "one of url",
    ),
    case("SELECT wa.send_image('shop', '+79001234567', url => 'file:///etc/passwd')", "WA032", "content", "https://"),
    case("SELECT wa.send_image('shop', '+79001234567', url => 'https://x/a b')", "WA032", "content", "https://"),
    case("SELECT wa.send_image('shop', '+79001234567', data => '')", "WA032", "content", "1 to 67108864 bytes"),
    case(
        "SELECT wa.send('shop', '+79001234567', 'image', content => '{\"data\": \"?\"}')",
        "WA032",
        "content",
        "as base64",
    ),
    case("SELECT wa.send_image('shop', '+79001234567', media => 99)", "WA032", "content", "wa.add_media"),
    case("SELECT wa.send_image('shop', '+79001234567', media => -1)", "WA032", "content", "an id"),
    case("SELECT wa.send_image('shop', '+79001234567', large_object => 99)", "WA032", "content", "that you may read"),
    case(
        "SELECT wa.send_image('shop', '+79001234567', large_object => 99999999999)",
        "WA032",
        "content",
        "that you may read",
    ),
    case("SELECT wa.send_image('shop', '+79001234567', file => '/etc/passwd')", "WA032", "content", "relative path"),
    case("SELECT wa.send_image('shop', '+79001234567', file => 'a/../../b')", "WA032", "content", "relative path"),
    case(r"SELECT wa.send_image('shop', '+79001234567', file => 'a\b')", "WA032", "content", "relative path"),
    case("SELECT wa.send_voice('shop', '+79001234567', file => '')", "WA032", "content", "relative path"),
    case("SELECT wa.send('shop', '+79001234567', 'voice', 'x', '{\"file\": \"a\"}')", "WA003", "body", "content"),
    case(
        "SELECT wa.send_video('shop', '+79001234567', file => 'a', thumbnail => decode(repeat('00', 65537), 'hex'))",
        "WA032",
        "content",
        "1 to 65536 bytes",
    ),
    case("SELECT wa.send_image('shop', 'status@broadcast', file => 'a')", "WA032", "content", "who may see"),
    case("SELECT wa.send_sticker('shop', 'status@broadcast', file => 'a')", "WA004", "kind", "voice, text, revoke"),
    case("SELECT wa.add_media('shop', '')", "WA035", "data", "1 to 67108864"),
    case("SELECT wa.add_media('shop', 'x', '')", "WA035", "mime", "application/pdf"),
    case("SELECT wa.download(1)", "WA036", "inbox_id", "media is set"),
    case("SELECT wa.download(NULL)", "WA036", "inbox_id", "media is set"),
    case("SELECT wa.render('Hello {{name}}', '{}')", "WA038", "template", "double braces"),
    case("SELECT wa.render('Hello {{name}}', '{\"name\": null}')", "WA038", "template", "double braces"),
    case(
        "INSERT INTO wa.outbound (session, recipient, body, campaign) VALUES ('shop', '+79001234567', 'x', '')",
        "WA011",
        "campaign",
        "1 to 255",
    ),
    case("SELECT wa.pause_campaign('shop', '')", "WA011", "campaign", "1 to 255"),
    case("SELECT wa.keep_past('shop', NULL)", "WA039", "keep", "true or false"),
    case("SELECT wa.set_region('shop', 'Germany')", "WA037", "region", "such as DE"),
    case("SELECT wa.set_region('nobody', 'DE')", "WA001", "session", "wa.add_session"),
    case("SELECT wa.add_download_rule('shop', '{text}')", "WA004", "kinds", "sticker"),
    case("SELECT wa.add_download_rule(max_bytes => 0)", "WA036", "max_bytes", "1 and more"),
    case("SELECT wa.add_download_rule(tenant => 'nobody')", "WA012", "tenant", "wa.add_tenant"),
    case("SELECT wa.send_contact('shop', '+79001234567', 'Bob')", "WA032", "content", "vcard"),
    case(
        "SELECT wa.send_contact('shop', '+79001234567', 'Bob', phone => '12')",
        "WA032",
        "content",
        "a phone number or JID",
    ),
    case(
        "SELECT wa.send_contact('shop', '+79001234567', 'Bob', phone => '1203630@g.us')",
        "WA032",
        "content",
        "a phone number or JID",
    ),
    case("SELECT wa.send_poll('shop', '+79001234567', 'Well?', '{A}')", "WA032", "content", "2 to 12"),
    case("SELECT wa.send_poll('shop', '+79001234567', 'Well?', '{A,A}')", "WA032", "content", "no two alike"),
    case("SELECT wa.send_poll('shop', '+79001234567', 'Well?', '{A,NULL}')", "WA032", "content", "2 to 12"),
    case("SELECT wa.send_poll('shop', '+79001234567', 'Well?', '{A,B}', choices => 3)", "WA032", "content", "options"),
    case("SELECT wa.send_reaction('shop', '+79001234567', '')", "WA032", "content", "message_id"),
    case("SELECT wa.send_read('shop', '120363021033254949@g.us', '{A}')", "WA032", "content", "whose"),
    case(
        "SELECT wa.send_read('shop', '+79001234567', array_fill('A'::text, '{1001}'))",
        "WA032",
        "content",
        "1 to 1000",
    ),
    case(
        "SELECT wa.send_chat_state('shop', '+79001234567', 'sleeping')",
        "WA032",
        "content",
        "typing, recording, paused",
    ),
    case(
        "SELECT wa.send_text('shop', '+79001234567', 'x', mentions => array_fill('+79001234567'::text, '{10000}'))",
        "WA032",
        "content",
        "1 to 1024",
    ),
    case("SELECT wa.send_text('shop', '+79001234567', 'x', mentions => '{nobody}')", "WA032", "content", "people"),
    case(
        "SELECT wa.send_text('shop', '+79001234567', 'x', audience => '{+79001234567}')",
        "WA032",
        "content",
        "status@broadcast",
    ),
    case("SELECT wa.send_text('shop', 'status@broadcast', 'x')", "WA032", "content", "who may see"),
    case("SELECT wa.send_location('shop', 'status@broadcast', 0, 0)", "WA004", "kind", "text, revoke"),
    case("SELECT wa.act('shop', 'link')", "WA004", "kind", "check_numbers"),
    case("SELECT wa.act('nobody', 'list_groups')", "WA001", "session", "wa.add_session"),
    case("SELECT wa.check_numbers('shop', '{}')", "WA034", "args", "1 to 1000"),
    case("SELECT wa.show_group('shop', '79001234567')", "WA034", "args", "@g.us"),
    case("SELECT wa.create_group('shop', '', '{79001234567}')", "WA034", "args", "1 to 100"),
    case(
        "INSERT INTO wa.session_job (session, kind) VALUES ('shop', 'join_group')",
        "WA034",
        "args",
        "code at its end",
    ),
    case(
        "INSERT INTO wa.session_job (session, kind, args) VALUES ('shop', 'close', '{\"x\": 1}')",
        "WA034",
        "args",
        "no such field",
    ),
    case("SELECT wa.add_consumer('two words')", "WA033", "name", "1 to 63"),
    case("SELECT wa.add_consumer('crm', 'nobody')", "WA001", "session", "wa.add_session"),
    case("SELECT wa.claim_messages('nobody')", "WA033", "consumer", "wa.add_consumer"),
    case("SELECT wa.claim_messages('crm', 0)", "WA033", "most", "1 to 10000"),
    case("SELECT wa.claim_messages('crm', 1, 0)", "WA033", "seconds", "1 to 86400"),
    case("SELECT wa.acknowledge_messages('nobody', '{1}')", "WA033", "consumer", "wa.add_consumer"),
    case("SELECT wa.rewind_consumer(NULL, now())", "WA033", "consumer", "wa.add_consumer"),
    case("SELECT wa.set_pacing('shop', per_minute => 0)", "WA013", "per_minute", "6000"),
    // A rate at which the time of the next message cannot be computed would stop the claims of all sessions (R9).
    case("SELECT wa.set_pacing('shop', per_minute => 1e-300)", "WA013", "per_minute", "0.001"),
    case("SELECT wa.set_pacing('shop', per_minute => 'NaN')", "WA013", "per_minute", "6000"),
    case("SELECT wa.set_pacing('shop', burst => 0)", "WA013", "burst", "1 to 10000"),
    case("SELECT wa.clear_pacing('shop', 'burst')", "WA013", "what", "per_minute, first_contacts or quiet_hours"),
    case("SELECT wa.set_pacing('shop', jitter => '11 minutes')", "WA013", "jitter", "10 minutes"),
    case("SELECT wa.set_pacing('shop', first_contacts => -1)", "WA013", "first_contacts", "0 or more"),
    case("SELECT wa.set_pacing('shop', quiet_from => '22:00')", "WA013", "quiet_until", "quiet_from"),
    case(
        "SELECT wa.set_pacing('shop', quiet_from => '22:00', quiet_until => '22:00')",
        "WA013",
        "quiet_until",
        "quiet_from",
    ),
    case("SELECT wa.set_pacing('shop', time_zone => 'Mars/Base')", "WA013", "time_zone", "Europe/Berlin"),
    case(
        "INSERT INTO wa.pacing (session_id, per_minute) SELECT session_id, -1 FROM wa.session",
        "WA013",
        "per_minute",
        "6000",
    ),
    case("SELECT wa.send_text('nobody', '+79001234567', 'x')", "WA001", "session", "wa.add_session"),
    case("SELECT wa.link('nobody')", "WA001", "session", "wa.add_session"),
    case("SELECT wa.add_session('two words')", "WA005", "name", "1 to 63"),
    case("SELECT wa.add_session(NULL)", "WA005", "name", "1 to 63"),
    case("INSERT INTO wa.session_job (session, kind) VALUES ('shop', 'explode')", "WA004", "kind", "link, connect"),
    case("INSERT INTO wa.maintenance_job (kind) VALUES ('explode')", "WA004", "kind", "sweep_keys"),
    // Hostile values (R5); tests/hostile.rs has those that are accepted.
    case("SELECT wa.send_text('shop', '+79001234567', 'x', send_at => '294276-12-31')", "WA011", "send_at", "3000"),
    case(
        "SELECT wa.send_text('shop', '+79001234567', 'x', expires_at => '294276-12-31')",
        "WA011",
        "expires_at",
        "3000",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body, priority) VALUES ('shop', '+79001234567', 'x', -32768)",
        "WA011",
        "priority",
        "-100 to 100",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body, max_attempts) VALUES ('shop', '+79001234567', 'x', -2147483648)",
        "WA011",
        "max_attempts",
        "1 to 1000",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body) VALUES (repeat('shop', 1000000), '+79001234567', 'x')",
        "WA001",
        "session",
        "wa.session",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', repeat('7', 1000000) || '@s.whatsapp.net', 'x')",
        "WA002",
        "recipient",
        "@g.us",
    ),
    case(
        r"INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', E'+7900123456\u0f27', 'x')",
        "WA002",
        "recipient",
        "7 to 15 digits",
    ),
    case(
        r"INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', E'79001234567@s.whatsapp.net\n', 'x')",
        "WA002",
        "recipient",
        "7 to 15 digits",
    ),
    case(
        r"INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '+79001234567', repeat(U&'\+01F4A9', 65537))",
        "WA003",
        "body",
        "1 to 65536",
    ),
    case(
        "INSERT INTO wa.outbound (session, recipient, body, message_id) VALUES ('shop', '+79001234567', 'x', repeat('A', 1000000))",
        "WA006",
        "message_id",
        "capital letters",
    ),
    case(
        r"INSERT INTO wa.outbound (session, recipient, body, message_id) VALUES ('shop', '+79001234567', 'x', E'3EB0AAAAAAAA\n')",
        "WA006",
        "message_id",
        "capital letters",
    ),
    case("SELECT wa.set_pacing('shop', per_minute => 'Infinity')", "WA013", "per_minute", "6000"),
    case("SELECT wa.set_pacing('shop', per_minute => 1e308)", "WA013", "per_minute", "6000"),
    case("SELECT wa.set_pacing('shop', burst => 2147483647)", "WA013", "burst", "1 to 10000"),
    case("SELECT wa.set_pacing('shop', jitter => '-1 s')", "WA013", "jitter", "10 minutes"),
    case("SELECT wa.set_pacing('shop', jitter => '178000000 years')", "WA013", "jitter", "10 minutes"),
    case("SELECT wa.set_pacing('shop', first_contacts => -2147483648)", "WA013", "first_contacts", "0 or more"),
    case("SELECT wa.set_pacing('shop', time_zone => repeat('x', 1000000))", "WA013", "time_zone", "Europe/Berlin"),
    case(r"INSERT INTO wa.session (name) VALUES (E'shop\n')", "WA005", "name", "1 to 63"),
    case(
        "INSERT INTO wa.session (name, tenant) VALUES ('other', repeat('x', 1000000))",
        "WA012",
        "tenant",
        "wa.add_tenant",
    ),
    case(
        "INSERT INTO wa.session_job (session, kind, run_at) VALUES ('shop', 'link', 'infinity')",
        "WA014",
        "run_at",
        "3000",
    ),
    case(
        "INSERT INTO wa.session_job (session, kind, run_at) VALUES ('shop', 'link', '-infinity')",
        "WA014",
        "run_at",
        "3000",
    ),
    case(
        "INSERT INTO wa.maintenance_job (kind, run_at) VALUES ('sweep_keys', '294276-12-31')",
        "WA014",
        "run_at",
        "3000",
    ),
    case(
        "INSERT INTO wa.maintenance_job (kind, max_attempts) VALUES ('sweep_keys', 0)",
        "WA014",
        "max_attempts",
        "1 to 100",
    ),
    case(
        "INSERT INTO wa.maintenance_job (kind, max_attempts) VALUES ('sweep_keys', 2147483647)",
        "WA014",
        "max_attempts",
        "1 to 100",
    ),
    case("INSERT INTO wa.maintenance_job (kind, args) VALUES ('sweep_keys', 'null')", "WA022", "args", "JSON object"),
    case(
        r#"INSERT INTO wa.maintenance_job (kind, args) VALUES ('sweep_keys', '{"batch": 1e308}')"#,
        "WA022",
        "args",
        "1 to 1000",
    ),
    case(
        r#"INSERT INTO wa.maintenance_job (kind, args) VALUES ('sweep_keys', '{"batch": -1}')"#,
        "WA022",
        "args",
        "1 to 1000",
    ),
    case(
        r#"INSERT INTO wa.maintenance_job (kind, args) VALUES ('sweep_keys', '{"batch": 0.5}')"#,
        "WA022",
        "args",
        "1 to 1000",
    ),
    case(
        "INSERT INTO wa.maintenance_job (kind, args) VALUES ('retention', jsonb_build_object(repeat('x', 1000000), 1))",
        "WA022",
        "args",
        "outbound_days",
    ),
    case("SELECT wa.schedule('two words', '* * * * *', 'sweep_keys')", "WA005", "name", "1 to 63"),
    case("SELECT wa.schedule('x', repeat('*', 1000000), 'sweep_keys')", "WA020", "cron", "day of week"),
    case("SELECT wa.schedule('x', '99999999999999999999 * * * *', 'sweep_keys')", "WA020", "cron", "day of week"),
    case(r"SELECT wa.schedule('x', E'* * * * \u0667', 'sweep_keys')", "WA020", "cron", "day of week"),
    case(
        "SELECT wa.schedule('x', '* * * * *', 'sweep_keys', time_zone => '''; DROP SCHEMA wa')",
        "WA021",
        "time_zone",
        "Europe/Berlin",
    ),
    case("SELECT wa.schedule('x', '* * * * *', 'reconnect', session => 'shop')", "WA004", "kind", "connect, close"),
    case("SELECT wa.schedule('x', '* * * * *', 'logout', session => 'shop')", "WA004", "kind", "connect, close"),
    case(
        "SELECT wa.schedule('x', '* * * * *', 'close', session => repeat('x', 1000000))",
        "WA001",
        "session",
        "wa.add_session",
    ),
    case(r#"SELECT wa.schedule('x', '* * * * *', 'close', '{"a": 1}', 'shop')"#, "WA022", "args", "takes none"),
    case(
        "SELECT wa.schedule('x', '* * * * *', 'text', jsonb_build_object('recipient', '+79001234567', 'body', repeat('x', 65537)), 'shop')",
        "WA022",
        "args",
        "1 to 65536",
    ),
    case(
        r#"SELECT wa.schedule('x', '* * * * *', 'text', '{"recipient": 1e308, "body": "x"}', 'shop')"#,
        "WA022",
        "args",
        "recipient",
    ),
    case("SELECT wa.set_crypto_limits('shop', bad_macs => 0)", "WA030", "bad_macs", "1 to 1000000"),
    case("SELECT wa.set_crypto_limits('shop', 3, NULL)", "WA030", "bad_decrypts", "1 to 1000000"),
    case("SELECT wa.set_crypto_limits('shop', relink => NULL)", "WA030", "relink", "true or false"),
    case("SELECT wa.set_proxy('shop', 'https://10.0.0.7:1080')", "WA031", "url", "socks5://"),
    case("SELECT wa.set_proxy('shop', 'socks5://10.0.0.7')", "WA031", "url", "host:port"),
    case("SELECT wa.set_proxy('shop', 'socks5://a b@10.0.0.7:1080')", "WA031", "url", "%40"),
    case("SELECT wa.set_proxy('shop', 'http://10.0.0.7:70000')", "WA031", "url", "null for none"),
    case("SELECT wa.add_token('two words')", "WA051", "name", "1 to 100"),
    case("SELECT wa.add_token(NULL)", "WA051", "name", "1 to 100"),
    case("SELECT wa.add_token('anna', 'owner')", "WA051", "scope", "viewer, operator or admin"),
    case("SELECT wa.add_token('anna', 'admin', 'default')", "WA051", "tenant", "null with the scope admin"),
    case("SELECT wa.add_token('anna', tenant => 'nobody')", "WA012", "tenant", "wa.add_tenant"),
    case("SELECT wa.add_token('anna', valid => '0')", "WA051", "valid", "1 second to 10 years"),
    case("SELECT wa.add_token('anna', valid => '178000000 years')", "WA051", "valid", "1 second to 10 years"),
    case("SELECT wa.revoke_token('nobody')", "WA051", "name", "wa.token"),
    case("SELECT wa.login_link('nobody', '-1 s')", "WA051", "valid", "1 second to 1 day"),
    case("SELECT wa.login_link('nobody')", "WA052", "url", "wa.register_web"),
    case("SELECT wa.link_url('shop')", "WA052", "url", "wa.register_web"),
    case("SELECT wa.link_url('nobody')", "WA001", "session", "wa.add_session"),
    case("SELECT wa.link_url('shop', '8 days')", "WA051", "valid", "1 second to 7 days"),
    case("SELECT wa.revoke_link('nobody')", "WA001", "session", "wa.add_session"),
    case("SELECT wa.register_web('wa.example.com')", "WA052", "url", "https://"),
    case("SELECT wa.register_web('https://user:secret@wa.example.com')", "WA052", "url", "https://"),
    case("SELECT wa.web_enter('wat_0')", "WA050", "secret", "live token"),
    case("SELECT wa.web_enter(NULL)", "WA050", "secret", "live token"),
    case("SELECT wa.web_login(repeat('x', 1000000))", "WA050", "secret", "live token"),
    case("SELECT wa.web_user('anna')", "WA050", "proxy_user", "live token"),
    case("SELECT wa.link_page_start('wak_0')", "WA053", "secret", "wa.link_url"),
    case("SELECT wa.connect('shop')", "WA046", "session", "wa.link"),
    case("UPDATE wa.session SET status = 'banned'", "WA029", "status", "linking, connecting, disconnected, stopped"),
    case("SELECT FROM wa.numbers_since('nobody')", "WA001", "session", "wa.session"),
    case("SELECT FROM wa.numbers_since(tenant => 'nobody')", "WA012", "tenant", "wa.tenant"),
    case("SELECT FROM wa.numbers_since(step => '90 s')", "WA047", "step", "whole minutes"),
    case("SELECT FROM wa.numbers_since(step => '1 month')", "WA047", "step", "whole minutes"),
    case("SELECT FROM wa.numbers_since(since => '3 days', step => '30 min')", "WA047", "step", "48 hours"),
    case("SELECT FROM wa.numbers_since(step => '30 min', campaign => 'may')", "WA047", "step", "whole hours"),
    case("SELECT FROM wa.numbers_since(since => '1 year')", "WA047", "since", "3000 steps"),
    case("SELECT FROM wa.numbers_since(since => NULL)", "WA047", "since", "1 minute"),
];

const fn case(sql: &'static str, code: &'static str, column: &'static str, accepted: &'static str) -> Case {
    Case { sql, code, column, accepted }
}

#[tokio::test]
async fn q3_a_bad_row_is_refused_with_its_column_and_the_accepted_values() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    for Case { sql, code, column, accepted } in CASES {
        let error = sqlx::query(*sql).execute(&db.pool).await.err().with_context(|| format!("accepted: {sql}"))?;
        let error = error.as_database_error().context("not an error of the database")?;
        let error = error.downcast_ref::<PgDatabaseError>();
        let words = format!("{} {}", error.message(), error.hint().unwrap_or_default());
        ensure!(
            error.code() == *code && error.column() == Some(column),
            "{sql}: {} {:?}",
            error.code(),
            error.column()
        );
        // An error in JSON names the field after the column.
        let named = [":", "."].iter().any(|end| error.message().starts_with(&format!("{column}{end}")));
        ensure!(named && words.contains(accepted), "{sql}: {words}");
    }
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.outbound").fetch_one(&db.pool).await?;
    ensure!(rows == 0, "{rows} rows of refused inserts");
    Ok(())
}

#[tokio::test]
async fn q13_a_refused_pacing_shows_the_value_and_the_range() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    for (change, message, hint) in [
        ("per_minute => 6000.5", "per_minute: 6000.5 is not accepted", "0.001 to 6000 messages a minute"),
        ("burst => 10001", "burst: 10001 is not accepted", "1 to 10000 messages"),
        ("jitter => '11 minutes'", "jitter: 00:11:00 is not accepted", "0 to 10 minutes"),
        ("first_contacts => -1", "first_contacts: -1 is not accepted", "0 or more a day"),
        (
            "quiet_from => '22:00'",
            "quiet_until: null with quiet_from 22:00:00 is not accepted",
            "together with quiet_from",
        ),
        ("time_zone => 'Mars/Base'", "time_zone: \"Mars/Base\" is not accepted", "pg_timezone_names"),
    ] {
        let set = sqlx::AssertSqlSafe(format!("SELECT wa.set_pacing('shop', {change})"));
        let error = sqlx::query(set).execute(&db.pool).await.err().and_then(sqlx::Error::into_database_error);
        let error = error.with_context(|| format!("accepted: {change}"))?;
        let error = error.downcast_ref::<PgDatabaseError>();
        ensure!(error.message() == message && error.hint().is_some_and(|it| it.contains(hint)), "{change}: {error:?}");
    }
    Ok(())
}

/// The SQLSTATEs quoted as `'WA001'` in all files below the folder.
fn raised(folder: PathBuf) -> Result<BTreeSet<String>> {
    let mut codes = BTreeSet::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            codes.append(&mut raised(path)?);
        } else if !path.ends_with("05_errors.sql") {
            let text = std::fs::read_to_string(path)?;
            let quoted = text.split("'WA").skip(1).filter_map(|rest| rest.split_once('\'')).map(|(digits, _)| digits);
            let codes_here = quoted.filter(|digits| digits.len() == 3 && digits.parse::<u16>().is_ok());
            codes.extend(codes_here.map(|digits| format!("WA{digits}")));
        }
    }
    Ok(codes)
}

#[tokio::test]
async fn q3_every_sqlstate_is_in_the_list_and_in_the_docs() -> Result<()> {
    let db = db::fresh().await;
    let listed: Vec<(String, String, String, String)> =
        sqlx::query_as("SELECT code, name, meaning, remedy FROM wa.errors() ORDER BY code").fetch_all(&db.pool).await?;
    let codes: BTreeSet<String> = listed.iter().map(|row| row.0.clone()).collect();
    ensure!(codes.len() == listed.len(), "a code is listed twice");
    let used = raised(Path::new(env!("CARGO_MANIFEST_DIR")).join("sql"))?;
    ensure!(used == codes, "raised and listed differ in {:?}", used.symmetric_difference(&codes).collect::<Vec<_>>());
    let row = |(code, name, meaning, remedy): &(String, String, String, String)| {
        format!("| {code} | {name} | {meaning} | {remedy} |\n")
    };
    let rows = listed.iter().map(row).collect::<Vec<_>>().concat();
    docs::table(
        "docs/errors.md",
        "sqlstates",
        &format!("| SQLSTATE | name | meaning | remedy |\n| --- | --- | --- | --- |\n{rows}"),
    )
}

#[tokio::test]
async fn m2_every_usual_notation_of_a_number_is_one_chat() -> Result<()> {
    let db = db::fresh().await;
    for recipient in ["+79001234567", "79001234567", "+7 900 123-45-67", "+7 (900) 123.45.67", " 79001234567 "] {
        let chat: String = sqlx::query_scalar("SELECT wa.chat_jid($1)").bind(recipient).fetch_one(&db.pool).await?;
        ensure!(chat == "79001234567@s.whatsapp.net", "{recipient} is {chat}");
    }
    for jid in
        ["79001234567@s.whatsapp.net", "12345678901234@lid", "120363021033254949@g.us", "79001234567-1600000000@g.us"]
    {
        let chat: String = sqlx::query_scalar("SELECT wa.chat_jid($1)").bind(jid).fetch_one(&db.pool).await?;
        ensure!(chat == jid, "{jid} is {chat}");
    }
    Ok(())
}

#[tokio::test]
async fn q11_columns_of_the_worker_are_reset_at_insert() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let row: (String, i32, Option<String>) = sqlx::query_as(
        "INSERT INTO wa.outbound (session, session_id, chat, recipient, body, status, attempts, last_error, read_at)
         VALUES ('shop', 999, 'elsewhere', '+79001234567', 'x', 'read', 7, 'none', now())
         RETURNING status::text || ' ' || chat, attempts, coalesce(last_error, read_at::text)",
    )
    .fetch_one(&db.pool)
    .await?;
    ensure!(row == ("queued 79001234567@s.whatsapp.net".into(), 0, None), "{row:?}");
    Ok(())
}
