//! Refusals at INSERT: SQLSTATE, column and accepted values (Q3, R5). Some of the refused values are hostile;
//! `tests/hostile.rs` has those that are accepted.

mod messages;
mod rest;
mod sessions;

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

const fn case(sql: &'static str, code: &'static str, column: &'static str, accepted: &'static str) -> Case {
    Case { sql, code, column, accepted }
}

#[tokio::test]
async fn q3_a_bad_row_is_refused_with_its_column_and_the_accepted_values() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    for Case { sql, code, column, accepted } in [messages::CASES, rest::CASES, sessions::CASES].into_iter().flatten() {
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
