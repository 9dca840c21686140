//! M5: the bots of `docs/messages.md` answer each message once.

use crate::support::db::{self, TestDb};
use crate::support::logins::run;
use crate::support::until::until;
use crate::support::{docs, pypi};
use anyhow::{Context as _, Result, ensure};
use std::process::Stdio;
use tokio::process::Command;

/// Two messages that deserve an answer, one of a group and one of the account itself.
async fn receive(db: &TestDb, from: i32) -> Result<()> {
    run(
        &db.pool,
        &format!(
            "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message)
             SELECT 'shop', session_id, n.chat, '15550002@s.whatsapp.net', 'm' || n.id + {from}, 'text', 'hi ' || n.id + {from}, n.from_me, now(), '{{}}'
             FROM wa.session, (VALUES (1, '15550002@s.whatsapp.net', false), (2, '1-2@g.us', false), (3, '15550003@s.whatsapp.net', true),
                                      (4, '15550004@s.whatsapp.net', false)) n (id, chat, from_me);
             SELECT pg_notify('wa_inbound', '{{}}')"
        ),
    )
    .await
}

async fn answers(db: &TestDb) -> Result<Vec<String>> {
    let answers = "SELECT format('%s %s %s', chat, body, content ->> 'quote') FROM wa.outbound ORDER BY id";
    Ok(sqlx::query_scalar(answers).fetch_all(&db.pool).await?)
}

const FIRST: [&str; 2] = ["15550002@s.whatsapp.net You wrote: hi 1 m1", "15550004@s.whatsapp.net You wrote: hi 4 m4"];

#[tokio::test]
async fn m5_the_bot_in_sql_answers_each_message_once() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop'), wa.add_consumer('bot')").await?;
    let bot = docs::blocks("docs/messages.md", "sql bot")?.remove(0);
    receive(&db, 0).await?;
    for _ in 0..2 {
        run(&db.pool, &bot).await?;
        ensure!(answers(&db).await? == FIRST, "{:?}", answers(&db).await?);
    }
    Ok(())
}

#[tokio::test]
async fn m5_the_bot_in_python_answers_each_message_once() -> Result<()> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop')").await?;
    let bot = docs::blocks("docs/messages.md", "python bot")?.remove(0);
    let mut command = Command::new(pypi::install().await?);
    command.args(["-c", &bot]).env("DATABASE_URL", &db.url).stdin(Stdio::null()).kill_on_drop(true);
    let mut running = command.stderr(Stdio::piped()).spawn()?;
    until("the bot has its consumer", async || {
        let there = "SELECT count(*) = 1 FROM wa.consumer WHERE name = 'bot'";
        let there: bool = sqlx::query_scalar(there).fetch_one(&db.pool).await?;
        Ok(if there { Ok(()) } else { Err("not yet") })
    })
    .await?;
    for (turn, from) in [(1, 0), (2, 10)] {
        receive(&db, from).await?;
        until("the bot answers", async || {
            let answers = answers(&db).await?;
            Ok(if answers.len() == 2 * turn { Ok(()) } else { Err(format!("{answers:?}")) })
        })
        .await?;
    }
    ensure!(answers(&db).await?[..2] == FIRST, "{:?}", answers(&db).await?);
    ensure!(running.try_wait()?.is_none(), "the bot has ended");
    running.kill().await.context("the bot")
}
