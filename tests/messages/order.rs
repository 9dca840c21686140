//! M7: the order within a second, which is the smallest time that WhatsApp tells, and pages that lose nothing.

use crate::support::db::{self, TestDb};
use crate::support::logins::{expect, login, run};
use anyhow::{Result, ensure};

/// Eight messages a second in both directions, whose ids say nothing of their order, and some of before the link. A page
/// ends within a second.
async fn busy_chat(db: &TestDb) -> Result<Vec<String>> {
    run(
        &db.pool,
        "SELECT wa.add_session('shop');
         INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, received_at, message)
         SELECT 'shop', session_id, '79001234567@s.whatsapp.net', '79001234567@s.whatsapp.net', md5(n::text), 'text', 'in' || n, false,
                timestamptz '2026-11-01 10:00:00Z' + (n / 5) * interval '1 s',
                timestamptz '2026-11-01 10:00:00.1Z' + n * interval '0.2 s', '{}'
         FROM wa.session, generate_series(0, 49) n;
         INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '+79001234567', 'out' || n FROM generate_series(0, 29) n;
         UPDATE wa.outbound SET status = 'sent', message_id = md5('o' || id),
             sent_at = timestamptz '2026-11-01 10:00:00.05Z' + (id - 1) * interval '0.3333 s';
         INSERT INTO wa.past (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message)
         SELECT 'shop', session_id, '79001234567@s.whatsapp.net', '79001234567@s.whatsapp.net', md5('p' || n), 'text', 'past' || n, false,
                '2026-10-01 10:00:00Z', '{}' FROM wa.session, generate_series(0, 9) n",
    )
    .await?;
    let mut moments: Vec<(f64, String)> = (0..50).map(|n| (0.1 + f64::from(n) * 0.2, format!("in{n}"))).collect();
    moments.extend((0..30).map(|n| (0.05 + f64::from(n) * 0.3333, format!("out{n}"))));
    moments.sort_by(|one, other| one.0.total_cmp(&other.0));
    let past = (0..10).map(|n| format!("past{n}"));
    Ok(past.chain(moments.into_iter().map(|(_, body)| body)).collect())
}

#[tokio::test]
async fn m7_messages_of_a_second_stand_as_they_arrived_and_pages_lose_none() -> Result<()> {
    let db = db::fresh().await;
    let expected = busy_chat(&db).await?;
    let reader = login(&db, "wa_app", Some("default")).await?;
    let (mut newest_first, mut before): (Vec<String>, Option<String>) = (vec![], None);
    loop {
        let page = "SELECT id, body FROM wa.chat_history('shop', '+79001234567', most => 3, before_id => $1)";
        let page: Vec<(String, String)> = sqlx::query_as(page).bind(&before).fetch_all(&reader).await?;
        let Some((last, _)) = page.last() else { break };
        before = Some(last.clone());
        newest_first.extend(page.into_iter().map(|(_, body)| body));
    }
    newest_first.reverse();
    ensure!(newest_first == expected, "{newest_first:?}");
    // By time alone: what is older than that moment.
    let older = "SELECT count(*) = 10 AND bool_and(body LIKE 'past%') FROM wa.chat_history('shop', '+79001234567', before => '2026-11-01 10:00:00Z')";
    ensure!(sqlx::query_scalar::<_, bool>(older).fetch_one(&reader).await?);
    expect(
        &reader,
        &[
            ("SELECT FROM wa.chat_history('shop', '+79001234567', before_id => 'i999')", Err("WA011")),
            ("SELECT FROM wa.chat_history('shop', '+79001234567', before_id => 'nonsense')", Err("WA011")),
            ("SELECT FROM wa.chat_history('shop', '+79001234568', before_id => 'i1')", Err("WA011")),
        ],
    )
    .await
}

/// Row-level security would keep Postgres from the indexes, because a comparison of words is not leakproof.
#[tokio::test]
async fn m7_r9_a_search_of_a_tenant_uses_the_indexes_and_finds_its_own() -> Result<()> {
    let db = crate::support::logins::two_tenants().await?;
    run(
        &db.pool,
        "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message)
         SELECT name, session_id, '1@s.whatsapp.net', '1@s.whatsapp.net', 'm' || n, 'text', CASE n WHEN 1 THEN 'the invoice' ELSE 'word' || n END, false, now(), '{}'
         FROM wa.session, generate_series(1, 2000) n;
         CREATE INDEX inbox_words ON wa.inbox USING gin (to_tsvector('simple', body));
         CREATE INDEX outbound_words ON wa.outbound USING gin (to_tsvector('simple', body)); ANALYZE wa.inbox, wa.outbound",
    )
    .await?;
    let app = login(&db, "wa_app", Some("acme")).await?;
    let mut tx = app.begin().await?;
    let found: Vec<String> = sqlx::query_scalar("SELECT session FROM wa.search('invoice')").fetch_all(&mut *tx).await?;
    ensure!(found == ["a"], "{found:?}");
    let scans = "SELECT pg_stat_get_xact_numscans(c.oid) FROM pg_class c WHERE c.relname = $1";
    let by_index: i64 = sqlx::query_scalar(scans).bind("inbox_words").fetch_one(&mut *tx).await?;
    let whole: i64 = sqlx::query_scalar(scans).bind("inbox").fetch_one(&mut *tx).await?;
    ensure!(by_index == 1 && whole == 0, "{by_index} scans of the index, {whole} of the table");
    drop(tx);
    expect(&app, &[("SELECT FROM wa.search('invoice', 'b')", Err("WA001"))]).await
}
