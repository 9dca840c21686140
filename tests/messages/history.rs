//! M7: one history of each chat, which is read, searched, and asked for again.

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
    let hi = stage.hi(Peer::Phone).await?;
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
    ensure!(stage.world.count(&pages).await? == 2, "pages");
    let found = async |words: &str| -> Result<Vec<String>> {
        let search = format!("SELECT coalesce(array_agg(message_id ORDER BY sent_at), '{{}}') FROM wa.search({words})");
        stage.world.until(&search).await
    };
    ensure!(
        found("'invoice', 'shop'").await?.len() == 2 && found("'invoice -paid', 'shop'").await? == [answer.clone()]
    );
    ensure!(found("'\"invoice is here\"'").await? == [answer.clone()] && found("'nobody said this'").await?.is_empty());
    ensure!(found(&format!("'invoice', 'shop', '{to}'")).await? == [answer]);
    // The indexes of the documentation are what the search uses.
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

/// What the shop reads votes, reactions and edits with that are about a message to somebody, as base64.
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
async fn m7_a4_secrets_of_what_rows_say_are_made_again_and_not_kept() -> Result<()> {
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
        ensure!(secret(&stage, to, &sent).await?.as_ref() == Some(&got), "another secret");
        ensure!(secret(&stage, "15550009", &sent).await?.is_none(), "it went to somebody else");
        ensure!(secret(&stage, to, "3EB0123456789ABCDEF012").await?.is_none(), "no row says such a message");
    }
    worker.stop().await?;
    let kept = "SELECT count(*) FROM wa.auth_key JOIN wa.session USING (session_id) WHERE name = 'shop' AND kind = 'message-secret'";
    ensure!(stage.world.count(kept).await? == 0, "secrets are kept");
    Ok(())
}

#[tokio::test]
async fn m7_who_asks_for_a_message_after_our_restart_gets_it() -> Result<()> {
    let stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    stage.world.link("shop", SHOP).await?;
    stage.world.link("anna", Peer::Session.number()).await?;
    let to = Peer::Session.number();
    stage.send("text", to, "'so that there is a session'").await?;
    // Of a text the row says all. Of what else is sent the library keeps a copy for a day; it is asked for later than that.
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
        ensure!(open(&now) == 1, "it came without being sent again: {now:#}");
        sqlx::query("SELECT wa.close('shop')").execute(stage.world.pool()).await?;
        stage.world.session_is("shop", "stopped").await?;
        let gone = "DELETE FROM wa.auth_key k USING wa.session s
                    WHERE s.session_id = k.session_id AND s.name = 'shop' AND k.kind = 'sent-message' AND right(k.key_id, length($1)) = $1";
        let gone = sqlx::query(gone).bind(&sent).execute(stage.world.pool()).await?;
        ensure!(gone.rows_affected() == copies, "{text}: the library kept {} copies", gone.rows_affected());
        // The request waits for our login.
        sqlx::query("SELECT wa.connect('shop')").execute(stage.world.pool()).await?;
        let came = |it: &Value| (it["ok"] == true && it["messages"] == 1 && open(it) == 0).then_some(());
        stage.world.control.until(&verdict, came).await.with_context(|| text.to_owned())?;
        // With the secret that later votes and reactions to it are read with.
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
async fn m7_the_past_is_kept_once_and_where_it_is_wanted() -> Result<()> {
    let stage = Stage::new().await?;
    let worker = stage.world.worker().await?;
    let pool = stage.world.pool();
    let told = |number: &str| json!({ "number": number, "history": { "chats": 3, "messages": 50 } });
    let anna = Peer::Session.number();
    for number in [SHOP, anna] {
        stage.world.control.post("/phones", told(number)).await?;
    }
    // One consumer of everything, which the past is no news for.
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
    // The phone has told the other session too by now, as it says.
    let heard = |it: &Value| {
        let sent = it["sent"].as_array()?;
        (sent.len() == 4 && sent.iter().all(|piece| !piece["received"].is_null())).then_some(())
    };
    stage.world.control.until(&format!("/phones/{anna}/history"), heard).await?;
    ensure!(stage.world.count("SELECT count(*) FROM wa.past WHERE session <> 'shop'").await? == 0);
    ensure!(stage.world.count("SELECT count(*) FROM wa.unread").await? == 0, "the past is no news");
    // As the phone's owner sees it: who, when, and what.
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
    // An answer shows what it answers.
    let other = "SELECT message_id FROM wa.past WHERE NOT from_me ORDER BY sent_at DESC LIMIT 1";
    let answered: String = stage.world.until(other).await?;
    let of: String = stage.world.until(&format!("SELECT chat FROM wa.past WHERE message_id = '{answered}'")).await?;
    let number = of.split('@').next().context("no number")?;
    stage.world.phone(number).await?;
    stage.send("text", &of, &format!("'I remember', quote => '{answered}'")).await?;
    // A new link tells it again, and nothing is there twice; what was sent from here is not of the past.
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
