//! M5: consumers of the inbox.

use crate::support::db::{self, TestDb};
use crate::support::in_process::InProcessWorker;
use crate::support::until::until;
use crate::support::world::wagres;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool};
use std::collections::BTreeSet;
use std::sync::Mutex;

async fn run(pool: &PgPool, sql: &str) -> Result<()> {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(pool).await.with_context(|| sql.to_owned())?;
    Ok(())
}

/// SQL that stores messages as the worker does; `body` is the number from `generate_series`.
fn insert_inbox(session: &str, kind: &str, from: usize, to: usize) -> String {
    format!(
        "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message)
         SELECT s.name, s.session_id, 'c', 'c', '{kind}' || n, '{kind}', n::text, false, now(), '{{}}'
         FROM wa.session s, generate_series({from}, {to}) n WHERE s.name = '{session}'"
    )
}

async fn fresh() -> Result<TestDb> {
    let db = db::fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop'), wa.add_session('cafe')").await?;
    Ok(db)
}

async fn claim(pool: &PgPool, consumer: &str, most: i32) -> Result<Vec<(i64, String)>> {
    let claim = "SELECT id, body FROM wa.claim_messages($1, $2)";
    Ok(sqlx::query_as(claim).bind(consumer).bind(most).fetch_all(pool).await?)
}

async fn bodies(pool: &PgPool, consumer: &str, most: i32) -> Result<Vec<String>> {
    Ok(claim(pool, consumer, most).await?.into_iter().map(|(_, body)| body).collect())
}

async fn acknowledge(pool: &PgPool, consumer: &str, ids: &[i64]) -> Result<i64> {
    let acknowledge = "SELECT wa.acknowledge_messages($1, $2)";
    Ok(sqlx::query_scalar(acknowledge).bind(consumer).bind(ids).fetch_one(pool).await?)
}

#[tokio::test]
async fn m5_a_consumer_reads_in_order_and_rereads_what_it_did_not_acknowledge() -> Result<()> {
    let db = fresh().await?;
    run(&db.pool, &insert_inbox("shop", "text", 1, 3)).await?;
    run(&db.pool, "SELECT wa.add_consumer('late'), wa.add_consumer('all', since => '-infinity'), wa.add_consumer('pictures', 'shop', '{image}')").await?;
    run(&db.pool, &insert_inbox("shop", "text", 4, 5)).await?;
    run(&db.pool, &insert_inbox("shop", "image", 6, 6)).await?;
    run(&db.pool, &insert_inbox("cafe", "image", 7, 7)).await?;

    ensure!(bodies(&db.pool, "late", 10).await? == ["4", "5", "6", "7"]);
    ensure!(bodies(&db.pool, "pictures", 10).await? == ["6"]);
    let first = claim(&db.pool, "all", 4).await?;
    let texts = |claimed: &[(i64, String)]| claimed.iter().map(|(_, body)| body.clone()).collect::<Vec<_>>();
    ensure!(texts(&first) == ["1", "2", "3", "4"], "{first:?}");
    // Later messages are not handed out while claimed ones are neither acknowledged nor overdue.
    ensure!(claim(&db.pool, "all", 10).await?.is_empty());
    ensure!(acknowledge(&db.pool, "all", &[first[0].0, first[1].0]).await? == 2);
    ensure!(claim(&db.pool, "all", 10).await?.is_empty());
    run(&db.pool, "UPDATE wa.consumer SET claimed_until = now() WHERE name = 'all'").await?;
    let again = claim(&db.pool, "all", 2).await?;
    ensure!(texts(&again) == ["3", "4"], "{again:?}");
    // A late acknowledgement counts, once.
    ensure!(acknowledge(&db.pool, "all", &first.iter().map(|(id, _)| *id).collect::<Vec<_>>()).await? == 2);
    ensure!(bodies(&db.pool, "all", 10).await? == ["5", "6", "7"]);

    let many: i64 = sqlx::query_scalar("SELECT wa.rewind_consumer('all', '-infinity')").fetch_one(&db.pool).await?;
    ensure!(many == 7 && bodies(&db.pool, "all", 1).await? == ["1"]);
    // Messages deleted by retention are passed over.
    run(&db.pool, "DELETE FROM wa.inbox WHERE body <= '6'; UPDATE wa.consumer SET claimed_until = now()").await?;
    ensure!(bodies(&db.pool, "all", 2).await? == ["7"]);
    run(&db.pool, "SELECT wa.rewind_consumer('all', 'infinity')").await?;
    ensure!(claim(&db.pool, "all", 1).await?.is_empty());
    run(&db.pool, "SELECT wa.drop_consumer('all')").await?;
    let error = claim(&db.pool, "all", 1).await.err().context("a dropped consumer still reads")?;
    ensure!(error.to_string().contains("no consumer is named \"all\""), "{error}");
    Ok(())
}

/// Writers at once.
const WRITERS: usize = 6;
/// Pairs of messages of each writer.
const PAIRS: usize = 10;
const ALL: usize = WRITERS * PAIRS * 2;

/// Of each pair, the message with the later id is committed first; the other is committed after the later one was read and
/// acknowledged. Half of the claims are never acknowledged, as if their process had died.
#[tokio::test]
async fn m5_no_message_is_missed_or_skipped_whatever_the_order_of_commits_and_crashes() -> Result<()> {
    let db = fresh().await?;
    run(&db.pool, "SELECT wa.add_consumer('crm')").await?;
    let read = Mutex::new(BTreeSet::<usize>::new());
    let (url, read) = (&db.url, &read);
    let has_read = |number: usize| read.lock().is_ok_and(|read| read.contains(&number));
    let writers = (0..WRITERS).map(|writer| async move {
        let (mut one, mut other) = (PgConnection::connect(url).await?, PgConnection::connect(url).await?);
        for pair in 0..PAIRS {
            let number = 2 * (writer * PAIRS + pair);
            let mut first = one.begin().await?;
            sqlx::raw_sql(AssertSqlSafe(insert_inbox("shop", "text", number, number))).execute(&mut *first).await?;
            sqlx::raw_sql(AssertSqlSafe(insert_inbox("shop", "text", number + 1, number + 1)))
                .execute(&mut other)
                .await?;
            until("the later message of the pair", async || {
                Ok(if has_read(number + 1) { Ok(()) } else { Err("not read") })
            })
            .await?;
            first.commit().await?;
        }
        anyhow::Ok(())
    });
    let reader = async {
        let mut crash = false;
        until("all messages", async || {
            let claimed = claim(&db.pool, "crm", 7).await?;
            let ids: Vec<i64> = claimed.iter().map(|(id, _)| *id).collect();
            ensure!(ids.is_sorted(), "{ids:?}");
            crash = !crash;
            if crash {
                run(&db.pool, "UPDATE wa.consumer SET claimed_until = now()").await?;
            } else if !ids.is_empty() {
                acknowledge(&db.pool, "crm", &ids).await?;
                for (_, body) in claimed {
                    let new = read.lock().is_ok_and(|mut read| body.parse().is_ok_and(|number| read.insert(number)));
                    ensure!(new, "{body} was acknowledged before");
                }
            }
            let count = read.lock().map_or(0, |read| read.len());
            Ok(if count == ALL { Ok(()) } else { Err(count) })
        })
        .await
    };
    tokio::try_join!(futures::future::try_join_all(writers), reader)?;
    let unread: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.unread").fetch_one(&db.pool).await?;
    ensure!(unread == 0, "{unread}");
    Ok(())
}

/// Messages whose transactions began before the consumer existed, or while it was being added, are read once each,
/// however late they are committed and whatever was acknowledged meanwhile.
#[tokio::test]
async fn m5_r8_a_consumer_created_while_messages_are_stored_reads_each_once() -> Result<()> {
    let db = fresh().await?;
    let store = |n: usize| sqlx::raw_sql(AssertSqlSafe(insert_inbox("shop", "text", n, n)));
    let mut connections = vec![];
    for _ in 0..4 {
        connections.push(PgConnection::connect(&db.url).await?);
    }
    let [adding, before, during, unrelated] = &mut connections[..] else { anyhow::bail!("four connections") };
    // A transaction that writes elsewhere, and outlives everything here.
    let mut unrelated = unrelated.begin().await?;
    sqlx::raw_sql("CREATE TABLE elsewhere ()").execute(&mut *unrelated).await?;
    let mut before = before.begin().await?;
    store(1).execute(&mut *before).await?;
    let mut adding = adding.begin().await?;
    sqlx::raw_sql("SELECT wa.add_consumer('crm')").execute(&mut *adding).await?;
    // Nobody waits for the open transaction.
    run(&db.pool, &format!("SET lock_timeout = '5s'; {}; RESET lock_timeout", insert_inbox("shop", "text", 2, 2)))
        .await?;
    let mut during = during.begin().await?;
    store(3).execute(&mut *during).await?;
    adding.commit().await?;
    run(&db.pool, &insert_inbox("shop", "text", 4, 4)).await?;

    let all = "SELECT array_agg(id) FROM wa.inbox";
    let read = async |expected: &[&str]| {
        let read = bodies(&db.pool, "crm", 10).await?;
        ensure!(read == expected, "{read:?}, not {expected:?}");
        // Also ids that it has read by itself and not claimed.
        let ids: Vec<i64> = sqlx::query_scalar(all).fetch_one(&db.pool).await?;
        acknowledge(&db.pool, "crm", &ids).await?;
        anyhow::Ok(())
    };
    read(&["2", "4"]).await?;
    before.commit().await?;
    read(&["1"]).await?;
    run(&db.pool, &insert_inbox("shop", "text", 5, 5)).await?;
    during.commit().await?;
    read(&["3", "5"]).await?;
    read(&[]).await?;
    unrelated.commit().await?;
    run(&db.pool, &insert_inbox("shop", "text", 6, 6)).await?;
    read(&["6"]).await?;
    read(&[]).await?;
    until("the end of the beginning", async || {
        let settled: bool = sqlx::query_scalar("SELECT seen IS NULL FROM wa.consumer").fetch_one(&db.pool).await?;
        ensure!(claim(&db.pool, "crm", 10).await?.is_empty(), "a message came twice");
        Ok(if settled { Ok(()) } else { Err("the consumer still looks for messages of its beginning") })
    })
    .await
}

/// Consumers are added, rewound and dropped while messages are stored. Nothing waits, and no call fails.
#[tokio::test]
async fn m5_r8_consumers_come_and_go_under_load() -> Result<()> {
    let db = fresh().await?;
    run(&db.pool, "SELECT wa.add_consumer('crm', since => '-infinity')").await?;
    let storing = async {
        for n in 0..100 {
            run(&db.pool, &insert_inbox("shop", "text", 3 * n, 3 * n + 2)).await?;
        }
        anyhow::Ok(())
    };
    let changing = async {
        for n in 0..30 {
            run(&db.pool, "SELECT wa.rewind_consumer('crm', '-infinity')").await?;
            run(&db.pool, &format!("SELECT wa.add_consumer('c{n}'); SELECT wa.drop_consumer('c{n}')")).await?;
        }
        anyhow::Ok(())
    };
    tokio::try_join!(storing, changing)?;
    let read = bodies(&db.pool, "crm", 1000).await?;
    ensure!(read.len() == 300, "{} of 300 messages", read.len());
    Ok(())
}

/// A drop that stays open holds up no message, and what the consumer had to read is deleted by retention.
#[tokio::test]
async fn r8_a_dropped_consumer_holds_up_no_message_and_leaves_nothing() -> Result<()> {
    let db = fresh().await?;
    run(&db.pool, "SELECT wa.add_consumer('crm'), wa.add_consumer('kept')").await?;
    run(&db.pool, &insert_inbox("shop", "text", 1, 20)).await?;
    let mut dropping = db.pool.begin().await?;
    sqlx::raw_sql("SELECT wa.drop_consumer('crm')").execute(&mut *dropping).await?;
    run(&db.pool, &format!("SET lock_timeout = '5s'; {}; RESET lock_timeout", insert_inbox("shop", "text", 21, 25)))
        .await?;
    dropping.commit().await?;
    run(&db.pool, &insert_inbox("shop", "text", 26, 30)).await?;
    let unread = "SELECT count(*) FROM wa.unread";
    let before: i64 = sqlx::query_scalar(unread).fetch_one(&db.pool).await?;
    ensure!(before == 55, "{before}");
    run(
        &db.pool,
        r#"INSERT INTO wa.maintenance_job (kind, args) VALUES ('retention', '{"batch": 10, "pause_ms": 0}')"#,
    )
    .await?;
    let worker = InProcessWorker::start(&db)?;
    until("the end of retention", async || {
        let left: i64 = sqlx::query_scalar(unread).fetch_one(&db.pool).await?;
        let done: bool =
            sqlx::query_scalar("SELECT bool_and(status = 'done') FROM wa.maintenance_job WHERE kind = 'retention'")
                .fetch_one(&db.pool)
                .await?;
        Ok(if done { Ok(()) } else { Err(left) })
    })
    .await?;
    let left: i64 = sqlx::query_scalar(unread).fetch_one(&db.pool).await?;
    ensure!(left == 30, "{left} rows left, not those of the other consumer");
    worker.stop().await
}

/// The trigger function has its owner's rights, so it serves no other table.
#[tokio::test]
async fn q14_the_trigger_of_the_inbox_serves_no_other_table() -> Result<()> {
    let db = fresh().await?;
    run(&db.pool, "SELECT wa.add_consumer('crm')").await?;
    run(
        &db.pool,
        "CREATE TABLE forged (session_id bigint, id bigint, kind text);
         CREATE TRIGGER forge AFTER INSERT ON forged REFERENCING NEW TABLE AS stored
             FOR EACH STATEMENT EXECUTE FUNCTION wa.inbox_consumed()",
    )
    .await?;
    let forged =
        sqlx::raw_sql("INSERT INTO forged SELECT session_id, 1, 'text' FROM wa.session").execute(&db.pool).await;
    let error = forged.err().context("a forged message was taken")?;
    ensure!(error.to_string().contains("trigger of wa.inbox alone"), "{error}");
    let unread: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.unread").fetch_one(&db.pool).await?;
    ensure!(unread == 0);
    Ok(())
}

/// The consumer keeps its transaction open.
#[tokio::test]
async fn m5_a_working_consumer_blocks_no_insert() -> Result<()> {
    let db = fresh().await?;
    run(&db.pool, "SELECT wa.add_consumer('crm')").await?;
    run(&db.pool, &insert_inbox("shop", "text", 1, 1)).await?;
    let mut working = db.pool.begin().await?;
    let ids: Vec<i64> = sqlx::query_scalar("SELECT id FROM wa.claim_messages('crm')").fetch_all(&mut *working).await?;
    sqlx::query("SELECT wa.acknowledge_messages('crm', $1)").bind(&ids).execute(&mut *working).await?;
    run(&db.pool, &format!("SET lock_timeout = '5s'; {}; RESET lock_timeout", insert_inbox("shop", "text", 2, 2)))
        .await?;
    working.rollback().await?;
    ensure!(bodies(&db.pool, "crm", 10).await? == ["1", "2"]);
    Ok(())
}

#[tokio::test]
async fn m5_h7_the_command_line_reads_as_a_consumer() -> Result<()> {
    let db = fresh().await?;
    run(&db.pool, "SELECT wa.add_consumer('crm')").await?;
    run(&db.pool, &insert_inbox("shop", "text", 1, 3)).await?;
    for expected in [vec!["1", "2", "3"], vec![]] {
        let mut command = wagres();
        command.args(["inbox", "--consumer", "crm", "--json", "--database-url", &db.url]);
        let output = command.output().await?;
        ensure!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout)?;
        let lines: Vec<Value> = lines.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
        let bodies: Vec<&str> = lines.iter().filter_map(|line| line["body"].as_str()).collect();
        ensure!(bodies == expected, "{bodies:?}");
    }
    let mut command = wagres();
    command.args(["inbox", "--consumer", "nobody", "--json", "--database-url", &db.url]);
    let output = command.output().await?;
    ensure!(!output.status.success() && String::from_utf8(output.stderr)?.contains("wa.add_consumer"));
    Ok(())
}
