//! R6, Q12: what nobody asks for any more is deleted, and every table has a rule that bounds it.

use super::maintenance::{db_with_shop, job, job_is, run};
use super::one;
use crate::support::in_process::InProcessWorker;
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// SQL that stores messages, as a worker does.
fn insert_inbox(from: usize, to: usize) -> String {
    format!(
        "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, body, from_me, sent_at, message)
         SELECT s.name, s.session_id, 'c', 'c', 'M' || n, 'text', n::text, false, now(), '{{}}'
         FROM wa.session s, generate_series({from}, {to}) n"
    )
}

#[tokio::test]
async fn r6_a_consumer_that_nobody_reads_for_is_paused_and_comes_back() -> Result<()> {
    let db = db_with_shop().await?;
    let worker = InProcessWorker::start(&db)?;
    run(&db, "SELECT wa.add_consumer('abandoned'), wa.add_consumer('full'), wa.add_consumer('slow'), wa.add_consumer('idle', 'shop', '{image}')").await?;
    run(&db, &insert_inbox(1, 20)).await?;
    // Twenty messages wait for each but the last. Two claimed something lately, and one of them keeps up.
    run(
        &db,
        "SELECT count(*) FROM wa.claim_messages('full', 1); SELECT count(*) FROM wa.claim_messages('slow', 1);
         SELECT wa.acknowledge_messages('slow', ARRAY(SELECT id FROM wa.inbox ORDER BY id LIMIT 10));
         UPDATE wa.consumer SET active_at = now() - interval '31 days' WHERE name IN ('abandoned', 'idle')",
    )
    .await?;
    let args = r#"{"unread_rows": 15, "batch": 7, "pause_ms": 0, "dry_run": true}"#;
    let row = job_is(&db, job(&db, "retention", args).await?, "done").await?;
    ensure!(row["result"]["paused_consumers"] == 2 && row["result"]["unread"] == 0, "{row}");
    ensure!(one::<bool>(&db.pool, "SELECT bool_and(paused_at IS NULL) FROM wa.consumer").await?, "a dry run paused");

    let row = job_is(&db, job(&db, "retention", &args.replace("true", "false")).await?, "done").await?;
    ensure!(row["result"]["paused_consumers"] == 2 && row["result"]["unread"] == 40, "{row}");
    let consumers: Value = one(
        &db.pool,
        "SELECT jsonb_object_agg(name, jsonb_build_array(unread, paused_at IS NOT NULL, paused_reason)) FROM wa.consumers",
    )
    .await?;
    let expected = json!({
        "abandoned": [0, true, "no message claimed for 30 days"], "full": [0, true, "more than 15 messages to read"],
        "slow": [10, false, null], "idle": [0, false, null],
    });
    ensure!(consumers == expected, "{consumers}");
    let told: Value = one(
        &db.pool,
        "SELECT jsonb_agg(data->>'consumer' ORDER BY data->>'consumer') FROM wa.event WHERE kind = 'consumer_paused'",
    )
    .await?;
    ensure!(told == json!(["abandoned", "full"]), "{told}");
    let refused = run(&db, "SELECT * FROM wa.claim_messages('full')").await.err().context("a paused consumer reads")?;
    let text = format!("{refused:#}");
    ensure!(text.contains("is paused: more than 15 messages to read"), "{text}");

    // What arrives meanwhile is deleted by the next run, and is there all the same when the consumer comes back.
    run(&db, &insert_inbox(21, 25)).await?;
    let row = job_is(&db, job(&db, "retention", "{}").await?, "done").await?;
    ensure!(row["result"]["unread"] == 10, "{row}");
    ensure!(one::<i64>(&db.pool, "SELECT wa.rewind_consumer('full', '-infinity')").await? == 25);
    ensure!(one::<i64>(&db.pool, "SELECT count(*) FROM wa.claim_messages('full')").await? == 25);
    worker.stop().await
}

#[tokio::test]
async fn r6_a_consumer_that_an_application_has_locked_does_not_hold_up_retention() -> Result<()> {
    let db = db_with_shop().await?;
    run(&db, "SELECT wa.add_consumer('crm')").await?;
    run(&db, &insert_inbox(1, 3)).await?;
    run(&db, "UPDATE wa.consumer SET active_at = now() - interval '31 days'").await?;
    let mut open = db.pool.begin().await?;
    sqlx::query("SELECT name FROM wa.consumer FOR UPDATE").fetch_all(&mut *open).await?;
    let worker = InProcessWorker::start(&db)?;
    let row = job_is(&db, job(&db, "retention", "{}").await?, "done").await?;
    ensure!(row["result"]["paused_consumers"] == 0, "{row}");
    open.rollback().await?;
    let row = job_is(&db, job(&db, "retention", "{}").await?, "done").await?;
    ensure!(row["result"]["paused_consumers"] == 1 && row["result"]["unread"] == 3, "{row}");
    worker.stop().await
}

#[tokio::test]
async fn q12_r6_old_contacts_past_messages_and_pauses_without_messages_are_deleted_in_batches() -> Result<()> {
    let db = db_with_shop().await?;
    run(
        &db,
        "INSERT INTO wa.contacted (session_id, chat, first_at)
         SELECT session_id, 'c' || day, now() - day * interval '1 day' FROM wa.session, generate_series(1, 400) day;
         INSERT INTO wa.past (session_id, session, chat, sender, message_id, kind, from_me, sent_at, message, kept_at)
         SELECT session_id, name, 'c', 's', 'M' || day, 'text', false, now() - interval '10 years', '{}', now() - day * interval '1 day'
         FROM wa.session, generate_series(1, 400) day;
         SELECT wa.pause_campaign('shop', 'old'), wa.pause_campaign('shop', 'waiting'), wa.pause_campaign('shop', 'new');
         INSERT INTO wa.outbound (session, recipient, body, campaign)
         SELECT 'shop', '15550001', 'x', campaign FROM unnest('{waiting,ended,recent}'::text[]) campaign;
         DELETE FROM wa.outbound WHERE campaign <> 'waiting';
         UPDATE wa.campaign SET created_at = now() - interval '91 days' WHERE campaign <> 'recent';
         UPDATE wa.campaign SET paused_at = now() - interval '91 days' WHERE campaign IN ('old', 'waiting')",
    )
    .await?;
    let worker = InProcessWorker::start(&db)?;
    let left = "SELECT concat_ws(' ', (SELECT count(*) FROM wa.contacted), (SELECT count(*) FROM wa.past),
                    (SELECT string_agg(campaign, ' ' ORDER BY campaign) FROM wa.campaign))";
    for (dry_run, expected) in [(true, "400 400 ended new old recent waiting"), (false, "364 364 new recent waiting")] {
        let args = format!(r#"{{"batch": 10, "pause_ms": 0, "dry_run": {dry_run}}}"#);
        let row = job_is(&db, job(&db, "retention", &args).await?, "done").await?;
        let counts = (&row["result"]["contacted"], &row["result"]["past"], &row["result"]["campaign"]);
        ensure!(counts == (&json!(36), &json!(36), &json!(2)), "{row}");
        let found: String = one(&db.pool, left).await?;
        ensure!(found == expected, "{found}");
    }
    let keep = r#"{"contacted_days": null, "past_days": null}"#;
    let row = job_is(&db, job(&db, "retention", keep).await?, "done").await?;
    ensure!(row["result"].get("past").is_none() && row["result"].get("contacted").is_none(), "{row}");
    worker.stop().await
}

#[tokio::test]
async fn r6_every_table_has_a_rule() -> Result<()> {
    let db = db_with_shop().await?;
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT c.relname::text FROM pg_class c WHERE c.relnamespace = 'wa'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
    )
    .fetch_all(&db.pool)
    .await?;
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schedules.md"))?;
    let (_, table) = text.split_once("<!-- growth -->").context("docs/schedules.md has no <!-- growth -->")?;
    let (table, _) = table.split_once("<!-- end -->").context("<!-- growth --> has no end")?;
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `wa.")?.split_once("` | "));
    let mut documented = BTreeSet::new();
    for (name, rule) in rows {
        ensure!(rule.trim_end_matches('|').trim().len() > 10, "wa.{name} has no rule");
        ensure!(documented.insert(name.to_owned()), "wa.{name} is listed twice");
        // A rule names an argument of the retention job only if there is one.
        for argument in
            rule.split('`').skip(1).step_by(2).filter(|word| word.ends_with("_days") || word.ends_with("_rows"))
        {
            let error: Option<String> =
                sqlx::query_scalar("SELECT wa.maintenance_args_error('retention', jsonb_build_object($1::text, 1))")
                    .bind(argument)
                    .fetch_one(&db.pool)
                    .await?;
            ensure!(error.is_none(), "wa.{name}: {error:?}");
        }
    }
    let tables: BTreeSet<String> = tables.into_iter().collect();
    ensure!(
        tables == documented,
        "without a rule or gone: {:?}",
        tables.symmetric_difference(&documented).collect::<Vec<_>>()
    );
    Ok(())
}
