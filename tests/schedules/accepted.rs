//! SQL and the worker accept the same cron expressions.

use crate::support::db;
use anyhow::{Result, ensure};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use wagres::jobs::cron::expression::Expression;

/// The error that SQL gives for each expression; `None` means accepted.
async fn in_sql(pool: &sqlx::PgPool, expressions: &[String]) -> Result<Vec<Option<String>>> {
    let ask = "SELECT wa.cron_error(e) FROM unnest($1::text[]) WITH ORDINALITY AS t (e, n) ORDER BY n";
    Ok(sqlx::query_scalar(ask).bind(expressions).fetch_all(pool).await?)
}

#[tokio::test]
async fn q10_an_expression_is_accepted_or_refused_with_a_reason() -> Result<()> {
    let db = db::fresh().await;
    for (expression, words) in [
        ("* * * * *", ""),
        ("*/15 8-18/2 1,15 JAN-MAR,12 mon-FRI", ""),
        ("\t0  3 * *\t7 ", ""),
        ("0 0 29 FEB *", ""),
        ("0 0 31 4 SUN", ""),
        ("0 0 * * SAT-SUN", ""),
        ("", "0 fields"),
        ("* * * *", "4 fields"),
        ("0 * * * * *", "6 fields"),
        ("@daily", "only digits"),
        ("0 0 L * *", "day of month: \"L\""),
        ("0 0 * * 5#2", "only digits"),
        ("60 * * * *", "minute: \"60\" is not within 0 to 59"),
        ("* 24 * * *", "hour: \"24\""),
        ("* * 0 * *", "day of month: \"0\" is not within 1 to 31"),
        ("* * * 13 *", "month: \"13\""),
        ("* * * * 8", "day of week: \"8\""),
        ("5-1 * * * *", "ends before it begins"),
        ("* * * * FRI-MON", "ends before it begins"),
        ("*/0 * * * *", "step"),
        ("*/90 * * * *", "step"),
        ("5/10 * * * *", "write 5-59/10"),
        ("*/20,5 * * * *", ""),
        ("*,5 * * * *", "stands alone"),
        ("1,,2 * * * *", "minute: \"\""),
        ("MON * * * *", "minute: \"MON\""),
        ("* * * MON *", "month: \"MON\""),
        ("* * * 1MON *", "month: \"1MON\""),
        ("0 0 30 2 *", "never fires"),
        ("0 0 31 2,4,6 *", "never fires"),
        ("0 0 1 1 ſun", "only digits"),
        ("'; DROP TABLE wa.schedule; --", "only digits"),
    ] {
        let error = in_sql(&db.pool, &[expression.to_owned()]).await?.pop().flatten().unwrap_or_default();
        ensure!(error.contains(words) && error.is_empty() == words.is_empty(), "{expression:?}: {error:?}");
        let worker = Expression::parse(expression, "UTC");
        ensure!(worker.is_ok() == words.is_empty(), "{expression:?}: {worker:?}");
    }
    let long = format!("{} * * * *", vec!["1"; 200].join(","));
    ensure!(
        in_sql(&db.pool, std::slice::from_ref(&long)).await?[0].is_some() && Expression::parse(&long, "UTC").is_err()
    );
    Ok(())
}

/// One field, mostly valid: values within its range, some just outside, names of this and other fields, and rubbish.
fn field(low: u8, high: u8) -> BoxedStrategy<String> {
    const STRANGE: [&str; 14] = ["jan", "Feb", "DEC", "SUN", "mon", "SAT", "x", "100", "", "L", "?", "+1", "-", "007"];
    let value = prop_oneof![
        30 => (low..=high).prop_map(|n| n.to_string()),
        2 => (low..=high.min(9)).prop_map(|n| format!("{n:02}")),
        1 => (0_u8..=99).prop_map(|n| n.to_string()),
        1 => proptest::sample::select(&STRANGE[..]).prop_map(str::to_owned),
    ];
    let range = prop_oneof![
        3 => Just("*".to_owned()),
        4 => value.clone(),
        4 => (low..=high, 0..=high).prop_map(move |(first, more)| format!("{first}-{}", first.saturating_add(more).min(high))),
        1 => (value.clone(), value.clone()).prop_map(|(first, last)| format!("{first}-{last}")),
    ];
    let item = prop_oneof![4 => range.clone(), 1 => (range, value).prop_map(|(range, step)| format!("{range}/{step}"))];
    prop_oneof![
        1 => Just("*".to_owned()),
        2 => item.clone(),
        1 => proptest::collection::vec(item, 2..4).prop_map(|items| items.join(",")),
    ]
    .boxed()
}

fn expressions() -> impl Strategy<Value = String> {
    let fields = (field(0, 59), field(0, 23), field(1, 31), field(1, 12), field(0, 7));
    let blank = proptest::sample::select(vec![" ", " ", " ", " ", " ", "  ", "\t", "\n", "\u{a0}"]);
    prop_oneof![
        20 => (fields, blank).prop_map(|((a, b, c, d, e), blank)| [a, b, c, d, e].join(blank)),
        1 => proptest::collection::vec(field(0, 7), 0..8).prop_map(|fields| fields.join(" ")),
        1 => "[ -~ſıİ٣]{0,24}",
    ]
}

#[tokio::test]
async fn q10_sql_and_worker_accept_the_same_expressions() -> Result<()> {
    let db = db::fresh().await;
    let mut runner = TestRunner::default();
    let strategy = expressions();
    let made: std::result::Result<Vec<String>, _> =
        (0..600).map(|_| strategy.new_tree(&mut runner).map(|tree| tree.current())).collect();
    // A text of Postgres holds no NUL, and none is made.
    let made = made.map_err(anyhow::Error::msg)?;
    let mut accepted = 0;
    for (expression, sql) in made.iter().zip(in_sql(&db.pool, &made).await?) {
        let worker = Expression::parse(expression, "UTC");
        accepted += usize::from(worker.is_ok());
        ensure!(worker.is_ok() == sql.is_none(), "{expression:?}: worker {worker:?}, SQL {sql:?}");
    }
    ensure!(
        (60..480).contains(&accepted),
        "{accepted} of 600 accepted: the strategy no longer mixes valid and invalid ones"
    );
    Ok(())
}
