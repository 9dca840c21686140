//! M7: one history of each chat: reading, searching, and messages that are requested again.

use super::stage::{Peer, SHOP, Stage};
use crate::support::docs;
use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use std::sync::Arc;
use wacore::store::traits::{DeviceStore as _, MsgSecretStore as _};
use wagres::auth::AuthStore;
use wagres::db::fence::Fence;
use wagres::db::hold::Hold;

#[tokio::test]
async fn m7_a_chat_is_one_history_of_both_directions() -> Result<()> {
    let mut stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.link().await?;
    let to = Peer::Phone.number();
    let hi = stage.peer_says_hi(Peer::Phone).await?;
    let answer = stage.send("text", to, &format!("'Good day, your invoice is here', quote => '{hi}'")).await?;
    stage.send("reaction", to, &format!("'{hi}', '👍'")).await?;
    stage.send("read", to, &format!("'{{{hi}}}'")).await?;
    stage.send("text", Peer::Session.number(), "'The invoice is paid'").await?;
    let shown: Value = stage
        .world
        .until(&format!(
            "SELECT jsonb_agg(jsonb_build_array(h.from_me, h.kind, h.body, h.quoted_id, h.target_id) ORDER BY h.sent_at)
             FROM wa.chat_history('shop', '+{to}') h HAVING count(*) > 2"
        ))
        .await?;
    let expected = json!([
        [false, "text", "Hi", null, null],
        [true, "text", "Good day, your invoice is here", hi, null],
        [true, "reaction", "👍", null, hi],
    ]);
    ensure!(shown == expected, "{shown:#}");
    let pages = format!(
        "SELECT count(*) FROM wa.chat_history('shop', '{to}', most => 1) last, wa.chat_history('shop', '{to}', before => last.sent_at) earlier"
    );
    ensure!(stage.world.count(&pages).await? == 2, "chat_history does not page by `before`");
    let found = async |words: &str| -> Result<Vec<String>> {
        let search = format!("SELECT coalesce(array_agg(message_id ORDER BY sent_at), '{{}}') FROM wa.search({words})");
        stage.world.until(&search).await
    };
    ensure!(
        found("'invoice', 'shop'").await?.len() == 2 && found("'invoice -paid', 'shop'").await? == [answer.clone()]
    );
    ensure!(found("'\"invoice is here\"'").await? == [answer.clone()] && found("'nobody said this'").await?.is_empty());
    ensure!(found(&format!("'invoice', 'shop', '{to}'")).await? == [answer]);
    // The search uses the indexes that the documentation gives.
    for index in docs::statements("docs/messages.md", "CREATE INDEX")? {
        sqlx::raw_sql(sqlx::AssertSqlSafe(index)).execute(stage.world.pool()).await?;
    }
    let mut tx = stage.world.pool().begin().await?;
    sqlx::raw_sql("SET LOCAL enable_seqscan = off").execute(&mut *tx).await?;
    let plan: Vec<String> = sqlx::query_scalar(
        "EXPLAIN SELECT * FROM wa.history h WHERE to_tsvector('simple', h.body) @@ websearch_to_tsquery('simple', 'invoice')",
    )
    .fetch_all(&mut *tx)
    .await?;
    let plan = plan.join("\n");
    ensure!(plan.contains("inbox_words") && plan.contains("outbound_words"), "{plan}");
    worker.stop().await
}

/// The secret with which the session reads votes, reactions and edits of its message to somebody, as base64.
async fn secret(stage: &Stage, to: &str, message_id: &str) -> Result<Option<String>> {
    let held = "SELECT session_id, epoch FROM wa.lease JOIN wa.session USING (session_id) WHERE name = 'shop'";
    let (session_id, epoch) = sqlx::query_as(held).fetch_one(stage.world.pool()).await?;
    let pool = stage.world.pool().clone().into();
    let store = AuthStore::new(Hold::new(pool, Fence { session_id, epoch }, "shop"), Arc::default());
    ensure!(store.load().await?.is_some(), "no credentials");
    let [chat, own] = [to, SHOP].map(|number| format!("{number}@s.whatsapp.net"));
    Ok(store.get_msg_secret(&chat, &own, message_id).await?.map(|secret| BASE64_STANDARD.encode(secret)))
}

#[tokio::test]
async fn m7_a4_message_secrets_are_derived_again_from_rows_and_not_stored() -> Result<()> {
    let stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.world.link("shop", SHOP).await?;
    let to = Peer::Session.number();
    stage.world.link("anna", to).await?;
    let first = stage.send("text", to, "'hello'").await?;
    let mention = stage.send("text", to, "'@15550009', mentions => '{+15550009}'").await?;
    let forward = stage.send("forward", to, &format!("'{first}'")).await?;
    for sent in [first, mention, forward] {
        let got = format!(
            "SELECT message->'message_context_info'->'message_secret'->>'data' FROM wa.inbox WHERE session = 'anna' AND message_id = '{sent}'"
        );
        let got: String = stage.world.until(&got).await?;
        ensure!(
            secret(&stage, to, &sent).await?.as_ref() == Some(&got),
            "the derived secret differs from the one sent"
        );
        ensure!(
            secret(&stage, "15550009", &sent).await?.is_none(),
            "a secret for a chat that the message was not sent to"
        );
        ensure!(
            secret(&stage, to, "3EB0123456789ABCDEF012").await?.is_none(),
            "a secret for a message that no row has"
        );
    }
    worker.stop().await?;
    let kept = "SELECT count(*) FROM wa.auth_key JOIN wa.session USING (session_id) WHERE name = 'shop' AND kind = 'message-secret'";
    ensure!(stage.world.count(kept).await? == 0, "message secrets are stored");
    Ok(())
}

#[tokio::test]
async fn m7_a_message_requested_after_a_restart_is_sent_again() -> Result<()> {
    let stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.world.link("shop", SHOP).await?;
    stage.world.link("anna", Peer::Session.number()).await?;
    let to = Peer::Session.number();
    stage.send("text", to, "'to establish a Signal session'").await?;
    // The row of a plain text is enough. The library keeps a copy of other messages for a day; the request comes later.
    for (text, more, copies) in [("plain", "", 0), ("with a mention", ", mentions => '{+15550009}'", 1)] {
        let fault = |fault: &str, stanza, number| json!({ "fault": { fault: {} }, "number": number, "stanza": stanza, "direction": "out" });
        stage.world.control.post("/faults", fault("corrupt", "message", to)).await?;
        stage.world.control.post("/faults", fault("lose", "receipt retry", SHOP)).await?;
        let sent = stage.send("text", to, &format!("'{text}'{more}")).await?;
        let struck = |it: &Value| {
            let faults = it["faults"].as_array()?;
            faults.iter().all(|fault| fault["struck"] == 1).then_some(())
        };
        stage.world.control.until("/faults", struck).await?;
        let verdict = format!("/verdict?id_prefix={sent}");
        let open =
            |it: &Value| ["lost", "pending"].map(|what| it[what].as_array().map_or(0, Vec::len)).iter().sum::<usize>();
        let now = stage.world.control.get(&verdict).await?;
        ensure!(open(&now) == 1, "the message arrived without being sent again: {now:#}");
        sqlx::query("SELECT wa.close('shop')").execute(stage.world.pool()).await?;
        stage.world.session_is("shop", "stopped").await?;
        let gone = "DELETE FROM wa.auth_key k USING wa.session s
                    WHERE s.session_id = k.session_id AND s.name = 'shop' AND k.kind = 'sent-message' AND right(k.key_id, length($1)) = $1";
        let gone = sqlx::query(gone).bind(&sent).execute(stage.world.pool()).await?;
        ensure!(gone.rows_affected() == copies, "{text}: the library kept {} copies", gone.rows_affected());
        // The peer's request waits on the server until our login.
        sqlx::query("SELECT wa.connect('shop')").execute(stage.world.pool()).await?;
        let arrived = |it: &Value| (it["ok"] == true && it["messages"] == 1 && open(it) == 0).then_some(());
        stage.world.control.until(&verdict, arrived).await.with_context(|| text.to_owned())?;
        // It carries the secret for later votes on it and reactions to it.
        let got = format!(
            "SELECT message->'message_context_info'->'message_secret'->>'data' FROM wa.inbox WHERE session = 'anna' AND message_id = '{sent}'"
        );
        let got: String = stage.world.until(&got).await?;
        let secret = secret(&stage, to, &sent).await?.context("no secret")?;
        ensure!(got == secret, "{text}: {got}, not {secret}");
    }
    worker.stop().await
}

#[tokio::test]
async fn m7_the_past_is_stored_once_and_only_for_sessions_that_keep_it() -> Result<()> {
    let stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    let pool = stage.world.pool();
    let phone = |number: &str| json!({ "number": number, "history": { "chats": 3, "messages": 50 } });
    let anna = Peer::Session.number();
    for number in [SHOP, anna] {
        stage.world.control.post("/phones", phone(number)).await?;
    }
    // A consumer of everything, for which the past is not new.
    sqlx::query("SELECT wa.add_consumer('crm'), wa.add_session('shop')").execute(pool).await?;
    sqlx::query("SELECT wa.keep_past('shop')").execute(pool).await?;
    stage.world.link("shop", SHOP).await?;
    stage.world.link("anna", anna).await?;
    let whole = "SELECT count(*) = 150 AND count(DISTINCT chat) = 3 AND count(DISTINCT message_id) = 150 FROM wa.past WHERE session = 'shop'";
    stage.world.holds(whole).await?;
    stage
        .world
        .holds("SELECT sum((data->>'messages')::int) = 150 AND max((data->>'progress')::int) = 100 FROM wa.event WHERE session = 'shop' AND kind = 'past_kept'")
        .await?;
    // By its own account the phone has sent its history to the other session too.
    let delivered = |it: &Value| {
        let sent = it["sent"].as_array()?;
        (sent.len() == 4 && sent.iter().all(|piece| !piece["received"].is_null())).then_some(())
    };
    stage.world.control.until(&format!("/phones/{anna}/history"), delivered).await?;
    ensure!(stage.world.count("SELECT count(*) FROM wa.past WHERE session <> 'shop'").await? == 0);
    ensure!(stage.world.count("SELECT count(*) FROM wa.unread").await? == 0, "the past is unread for a consumer");
    // Sender, time and text are as the phone's owner sees them.
    let (chat, from_me, body, sent_at, sender): (String, bool, String, chrono::DateTime<chrono::Utc>, String) =
        sqlx::query_as("SELECT chat, from_me, body, sent_at, sender FROM wa.past ORDER BY sent_at DESC LIMIT 1")
            .fetch_one(pool)
            .await?;
    let own = format!("{SHOP}@s.whatsapp.net");
    ensure!(chat.ends_with("@s.whatsapp.net") && !body.is_empty() && sent_at < chrono::Utc::now(), "{chat} {body}");
    ensure!(sender == if from_me { own.clone() } else { chat.clone() }, "{sender} in {chat}");
    let both = "SELECT bool_or(from_me) AND NOT bool_and(from_me) FROM wa.past";
    stage.world.holds(both).await?;
    let of_chat = format!("SELECT count(*) FROM wa.chat_history('shop', '{chat}')");
    ensure!(stage.world.count(&of_chat).await? == 50);
    let word = body.split_whitespace().next().context("no word")?;
    let found: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.search($1, 'shop', $2)")
        .bind(format!("\"{word}\""))
        .bind(&chat)
        .fetch_one(pool)
        .await?;
    ensure!(found > 0, "{word} is not found");
    // A reply quotes the message of the past.
    let other = "SELECT message_id FROM wa.past WHERE NOT from_me ORDER BY sent_at DESC LIMIT 1";
    let answered: String = stage.world.until(other).await?;
    let of: String = stage.world.until(&format!("SELECT chat FROM wa.past WHERE message_id = '{answered}'")).await?;
    let number = of.split('@').next().context("no number")?;
    stage.world.phone(number).await?;
    stage.send("text", &of, &format!("'I remember', quote => '{answered}'")).await?;
    // A new link brings the past again, and nothing is stored twice; messages sent by the session are not in it.
    sqlx::query("SELECT wa.logout('shop')").execute(pool).await?;
    stage.world.session_is("shop", "logged_out").await?;
    stage.world.link("shop", SHOP).await?;
    let again = |it: &Value| {
        let sent = it["sent"].as_array()?;
        (sent.len() == 8 && sent.iter().all(|piece| !piece["received"].is_null())).then_some(())
    };
    stage.world.control.until(&format!("/phones/{SHOP}/history"), again).await?;
    stage.world.holds(whole).await?;
    worker.stop().await
}
