//! Why a session or a message does not send, on the pages in Russian (H2, S12).

use super::{Answer, Pages, token};
use crate::support::db;
use crate::support::logins::run;
use anyhow::{Result, ensure};
use sqlx::PgPool;
use std::collections::BTreeSet;

/// A session for each reason, named for it, held by a live worker that has room. Written as rows, because no worker brings all of them
/// about at one time; the triggers that refuse such rows are off meanwhile.
const SESSIONS: &str = "
    SELECT wa.add_tenant('acme');
    SELECT wa.add_session(name, CASE name WHEN 'tenant_paused' THEN 'acme' ELSE 'default' END) FROM unnest('{logged_out,not_linked,stopped,stops,banned,proxy,
        resting,free,passkey,passkey_code,pairing_code,qr_code,linking,disconnected,connecting,tenant_paused,paused,paused_by_worker,
        time_zone,unsettled,transaction,quiet_hours,limited,gate,used_up,messages}'::text[]) name;
    INSERT INTO wa.worker (worker_id, host, pid, version, lease_until) VALUES ('00000000-0000-0000-0000-000000000001', 'one', 1, '1', now() + interval '1 hour');
    UPDATE wa.lease SET epoch = 1, holder = '00000000-0000-0000-0000-000000000001';
    SELECT wa.pause_tenant('acme', 'не оплачено');
    SET session_replication_role = replica;
    UPDATE wa.session SET status = 'connected', desired = 'connected', jid = '15550001@s.whatsapp.net', phone = '15550001';
    UPDATE wa.session SET status = 'logged_out', status_reason = 'the phone or WhatsApp unlinked the device', status_code = 'logged_out' WHERE name = 'logged_out';
    UPDATE wa.session SET status = 'new', desired = 'stopped', jid = NULL, status_reason = 'no QR code was scanned in time', status_code = 'no_scan' WHERE name = 'not_linked';
    UPDATE wa.session SET status = 'stopped', desired = 'stopped', status_reason = 'на сегодня хватит' WHERE name = 'stopped';
    UPDATE wa.session SET desired = 'stopped' WHERE name = 'stops';
    UPDATE wa.session SET status = 'banned', rest_until = now() + interval '1 hour', status_reason = 'WhatsApp has banned the account for a time: 101', status_code = 'banned' WHERE name = 'banned';
    UPDATE wa.session SET status = 'disconnected', proxy = 'http://10.0.0.1:9', failures = 2, status_reason = 'proxy: cannot be reached at all', status_code = 'lost' WHERE name = 'proxy';
    UPDATE wa.session SET status = 'disconnected', failures = 5, rest_until = now() + interval '1 hour', status_reason = 'WhatsApp did not answer', status_code = 'unanswered' WHERE name = 'resting';
    UPDATE wa.lease l SET holder = NULL FROM wa.session s WHERE s.session_id = l.session_id AND s.name = 'free';
    UPDATE wa.session SET status = 'linking', jid = NULL WHERE name IN ('passkey', 'passkey_code', 'pairing_code', 'qr_code', 'linking');
    UPDATE wa.session SET code = 'ABCD-EFGH', code_expires_at = now() + interval '1 hour' WHERE name = 'pairing_code';
    UPDATE wa.session SET qr = '2@abc', qr_expires_at = now() + interval '1 hour' WHERE name = 'qr_code';
    INSERT INTO wa.passkey (session_id, session, stage, request, expires_at)
    SELECT session_id, name, CASE name WHEN 'passkey' THEN 'requested' ELSE 'code' END, '{}', now() + interval '1 hour' FROM wa.session WHERE name LIKE 'passkey%';
    UPDATE wa.session SET status = 'disconnected', status_reason = 'the network broke the connection (reset)', status_code = 'lost' WHERE name = 'disconnected';
    UPDATE wa.session SET status = 'connecting', status_reason = 'waits until WhatsApp can be reached again', status_code = wa.status_code('waits until WhatsApp can be reached again') WHERE name = 'connecting';
    UPDATE wa.session SET paused_at = now(), paused_by = 'anna', paused_reason = 'обед' WHERE name = 'paused';
    UPDATE wa.session SET paused_at = now(), paused_reason = 'the server refused messages of this account' WHERE name = 'paused_by_worker';
    UPDATE wa.lease l SET unsettled = true FROM wa.session s WHERE s.session_id = l.session_id AND s.name = 'unsettled';
    UPDATE wa.session SET limit_reason = 'WEB_COMPANION_ONLY', limited_until = now() + interval '1 hour' WHERE name IN ('limited', 'messages');
    INSERT INTO wa.pacing (session_id, per_minute, first_contacts, quiet_from, quiet_until, time_zone)
    SELECT session_id, CASE name WHEN 'gate' THEN 1 END, CASE name WHEN 'used_up' THEN 3 END,
           CASE WHEN name IN ('quiet_hours', 'time_zone') THEN time '00:00' END, CASE WHEN name IN ('quiet_hours', 'time_zone') THEN time '23:59:59.999999' END,
           CASE name WHEN 'time_zone' THEN 'Mars/Olympus' ELSE 'UTC' END
    FROM wa.session WHERE name IN ('quiet_hours', 'time_zone', 'gate', 'used_up');
    INSERT INTO wa.sending (session_id) SELECT session_id FROM wa.session ON CONFLICT DO NOTHING;
    UPDATE wa.sending b SET gate_until = now() + interval '1 hour' FROM wa.session s WHERE s.session_id = b.session_id AND s.name = 'gate';
    UPDATE wa.sending b SET contacts_on = wa.today(p), contacts_today = 3 FROM wa.session s JOIN wa.pacing p USING (session_id) WHERE s.session_id = b.session_id AND s.name = 'used_up';
    RESET session_replication_role;
    SELECT wa.send_text('gate', '15550002', 'x'), wa.send_text('used_up', '15550002', 'x');
    UPDATE wa.outbound_queue q SET waits_for = 'first_contact', run_at = wa.tomorrow(p)
    FROM wa.session s JOIN wa.pacing p USING (session_id) WHERE s.session_id = q.session_id AND s.name = 'used_up';";

/// Messages, each waiting for something else.
const MESSAGES: &str = "
    SELECT wa.pause_campaign('messages', 'may');
    INSERT INTO wa.outbound (session, recipient, body, campaign, send_at)
    SELECT 'messages', '1555100' || n, 'x', CASE n WHEN 1 THEN 'may' END, CASE n WHEN 2 THEN now() + interval '1 day' END FROM generate_series(1, 9) n;
    SELECT wa.send_text('messages', '15551003', 'behind'), wa.send_text('messages', '15551007', 'next'), wa.send_text('paused', '15551001', 'x');
    UPDATE wa.outbound_queue q SET waits_for = (CASE right(split_part(q.chat, '@', 1), 1) WHEN '3' THEN 'retry' WHEN '4' THEN 'paced' WHEN '5' THEN 'quiet_hours' ELSE 'first_contact' END)::wa.wait_reason,
        run_at = now() + interval '1 hour'
    FROM wa.outbound o WHERE o.id = q.id AND o.session = 'messages' AND q.chat ~ '^1555100[3456]' AND o.body = 'x';
    UPDATE wa.outbound SET attempts = 2, last_error = 'refused by the server with code 408: timeout' WHERE session = 'messages' AND chat LIKE '15551003%' AND body = 'x';
    UPDATE wa.sending b SET taken = ARRAY(SELECT o.id FROM wa.outbound o WHERE o.session = 'messages' AND o.chat LIKE '15551007%' AND o.body = 'x')
    FROM wa.session s WHERE s.session_id = b.session_id AND s.name = 'messages';
    INSERT INTO wa.outbound (session, recipient, body) SELECT 'gone', '1555200' || n, 'x' FROM generate_series(1, 5) n WHERE wa.add_session('gone') IS NOT NULL AND n = 1;
    INSERT INTO wa.outbound (session, recipient, body) SELECT 'linking', '1555200' || n, 'x' FROM generate_series(1, 4) n;
    SET session_replication_role = replica;
    DELETE FROM wa.outbound_queue q USING wa.session s WHERE s.session_id = q.session_id AND s.name = 'linking';
    UPDATE wa.outbound SET status = 'failed', failed_at = now(), failure = 'not_on_whatsapp', last_error = 'the number is not on WhatsApp', attempts = 1 WHERE session = 'linking' AND chat LIKE '15552001%';
    UPDATE wa.outbound SET status = 'cancelled', cancelled_at = now() WHERE session = 'linking' AND chat LIKE '15552002%';
    UPDATE wa.outbound SET status = 'expired', expired_at = now() WHERE session = 'linking' AND chat LIKE '15552003%';
    UPDATE wa.outbound SET status = 'read', sent_at = now(), delivered_at = now(), read_at = now() WHERE session = 'linking' AND chat LIKE '15552004%';
    UPDATE wa.session SET status = 'connected', limit_reason = NULL, desired = 'connected', jid = '1@s.whatsapp.net' WHERE name = 'gone';
    UPDATE wa.lease l SET epoch = 1, holder = '00000000-0000-0000-0000-000000000001' FROM wa.session s WHERE s.session_id = l.session_id AND s.name = 'gone';
    RESET session_replication_role";

/// What a reader of Russian sees of a page in English: three words in a row that are neither SQL, nor marked as English.
async fn english(pool: &PgPool, page: &Answer) -> Result<Vec<String>> {
    let main = page.body.split("<main").nth(1).unwrap_or_default();
    let found = sqlx::query_scalar(
        r#"SELECT found[1] FROM regexp_replace($1, '<(span|p|a) [^>]*lang="en"[^>]*>((?!</span>|</p>|</a>).)*</(span|p|a)>|<code[^>]*>((?!</code>).)*</code>', '|', 'g') shown,
               regexp_replace(shown, '<[^>]*>', '|', 'g') text,
               regexp_matches(text, '([A-Za-z]?[a-z]+( [a-z'']+){2,})', 'g') found"#,
    );
    Ok(found.bind(main).fetch_all(pool).await?)
}

#[tokio::test]
async fn h2_s12_russian_pages_say_each_reason_in_russian() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, SESSIONS).await?;
    run(&db.pool, MESSAGES).await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "admin", None).await?).await?;
    let cookie = format!("{cookie}; wagres_language=ru");
    let sessions: Vec<String> = sqlx::query_scalar("SELECT name FROM wa.session").fetch_all(&db.pool).await?;
    let messages: Vec<i64> = sqlx::query_scalar("SELECT id FROM wa.outbound").fetch_all(&db.pool).await?;
    let mut places: Vec<String> = ["/fleet", "/queue", "/failures", "/risk"].map(str::to_owned).into();
    places.extend(sessions.iter().flat_map(|name| [format!("/session/{name}"), format!("/queue/{name}")]));
    places.extend(messages.iter().map(|id| format!("/message/{id}")));
    let mut open = db.pool.begin().await?;
    sqlx::query("SELECT wa.pause_campaign('transaction', 'may')").execute(&mut *open).await?;
    let mut found = BTreeSet::new();
    // Without a worker and with a full one as well.
    for worker in
        ["true", "lease_until = now() - interval '1 hour'", "lease_until = now() + interval '1 hour', max_sessions = 1"]
    {
        if worker != "true" {
            run(&db.pool, &format!("UPDATE wa.worker SET {worker}")).await?;
        }
        let codes = "SELECT DISTINCT code #>> '{}' FROM (SELECT reasons FROM wa.reasons() UNION ALL SELECT wa.message_reasons(id) FROM wa.outbound) r (reasons),
                         jsonb_path_query(reasons, '$.**.code') code";
        found.extend(sqlx::query_scalar::<_, String>(codes).fetch_all(&db.pool).await?);
        for place in &places {
            let page = pages.get(place, &cookie).await?;
            ensure!(page.status == 200 && page.body.contains("<html lang=\"ru\""), "{place}: {}", page.status);
            let english = english(&db.pool, &page).await?;
            ensure!(english.is_empty(), "{place}: {english:?}");
        }
    }
    let kinds: Vec<String> = sqlx::query_scalar("SELECT code FROM wa.reason_kinds()").fetch_all(&db.pool).await?;
    let missing: Vec<_> = kinds.iter().filter(|code| *code != "nothing" && !found.contains(*code)).collect();
    ensure!(missing.is_empty(), "no page was opened for {missing:?}");
    // What it says, with the English of it as detail, and the words of a person as they are.
    for (place, part) in [
        (
            "/session/logged_out",
            "телефон или WhatsApp отвязали устройство <span class=\"original\" lang=\"en\">(the phone or WhatsApp unlinked the device)</span>",
        ),
        ("/session/stopped", ": на сегодня хватит (кнопка «Подключить»)"),
        ("/session/paused", ", остановил anna: обед (кнопка «Возобновить»)"),
    ] {
        let page = pages.get(place, &cookie).await?;
        ensure!(page.body.contains(part), "{place}: {}", page.body.split("<main").nth(1).unwrap_or_default());
    }
    pages.stop().await;
    Ok(())
}

/// The sentence is that of the SQLSTATE, with the field; what the database said stays below it.
#[tokio::test]
async fn h2_q3_an_error_of_sql_is_said_in_russian_with_its_field() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop')").await?;
    let pages = Pages::start(&db).await?;
    let cookie = pages.sign_in(&token(&db, "ops", "admin", None).await?).await?;
    let form = "session=shop&recipient=abc&body=x";
    let english = pages.post("/act/send_text", &cookie, form).await?;
    ensure!(english.status == 422 && english.body.contains("is not a phone number or JID"), "{english:?}");
    let cookie = format!("{cookie}; wagres_language=ru");
    let russian = pages.post("/act/send_text", &cookie, form).await?;
    ensure!(russian.body.contains("Поле recipient: Это не номер телефона и не JID."), "{russian:?}");
    ensure!(russian.body.contains("is not a phone number or JID"), "{russian:?}");
    let headers = [format!("cookie: {cookie}"), format!("origin: {}", pages.url)];
    let page = pages.request("POST /act/send_text", &headers.each_ref().map(String::as_str), form).await?;
    ensure!(page.body.contains("Поле recipient:") && page.body.contains("lang=\"en\">recipient: "), "{}", page.body);
    pages.stop().await;
    Ok(())
}
