//! H10: `wa.help()` is a manual that fits a terminal and leaves nothing out.

use crate::support::db::fresh;
use crate::support::logins::login;
use anyhow::{Result, ensure};
use sqlx::PgPool;

/// Columns of a terminal. Only a word that is longer than that may stand out.
const COLUMNS: usize = 80;

async fn help(pool: &PgPool, topic: Option<&str>) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar("SELECT wa.help($1)").bind(topic).fetch_all(pool).await?)
}

async fn names(pool: &PgPool, query: &'static str) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(query).fetch_all(pool).await?)
}

#[tokio::test]
async fn h10_the_manual_explains_each_name_within_80_columns() -> Result<()> {
    let db = fresh().await;
    for role in ["wa_app", "wa_readonly", "wa_admin"] {
        let caller = login(&db, role, Some("default")).await?;
        let topics = names(&caller, "SELECT name FROM wa.help_names()").await?;
        ensure!(topics.len() > 200, "{role} may ask for {} names", topics.len());
        for topic in topics.iter().map(|topic| Some(topic.as_str())).chain([None]) {
            let lines = help(&caller, topic).await?;
            ensure!(lines.len() > 2 && !lines[0].starts_with("There is nothing"), "{role}: {topic:?}: {lines:#?}");
            let long = |line: &&String| {
                line.chars().count() > COLUMNS && line.split_whitespace().all(|word| word.chars().count() < 40)
            };
            let wide: Vec<&String> = lines.iter().filter(long).collect();
            ensure!(wide.is_empty(), "{role}: {topic:?} is wider than {COLUMNS} columns: {wide:#?}");
        }
    }
    Ok(())
}

/// A comment with a call of its own function is meant for people, so such a function stands in the overview.
#[tokio::test]
async fn h10_the_overview_has_every_function_that_the_caller_may_use_and_no_other() -> Result<()> {
    let db = fresh().await;
    for role in ["wa_app", "wa_readonly", "wa_admin"] {
        let caller = login(&db, role, Some("default")).await?;
        let overview = help(&caller, None).await?;
        let listed: Vec<&str> = overview.iter().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
        let usable = names(
            &caller,
            "SELECT DISTINCT p.proname::text FROM pg_proc p
             WHERE p.pronamespace = 'wa'::regnamespace AND has_function_privilege(p.oid, 'EXECUTE')
               AND (obj_description(p.oid, 'pg_proc') ~ ('\\mwa\\.' || p.proname || '\\(.*\\);') OR p.proname LIKE 'send\\_%')",
        )
        .await?;
        ensure!(usable.len() > 10, "{role}: {usable:?}");
        let missing: Vec<&String> = usable.iter().filter(|name| !listed.contains(&name.as_str())).collect();
        ensure!(missing.is_empty(), "wa.help_subjects() lacks {missing:?}, which {role} may call");
        let forbidden = names(
            &caller,
            "SELECT p.proname::text FROM pg_proc p WHERE p.pronamespace = 'wa'::regnamespace
             GROUP BY p.proname HAVING NOT bool_or(has_function_privilege(p.oid, 'EXECUTE'))",
        )
        .await?;
        let shown: Vec<&String> = forbidden.iter().filter(|name| listed.contains(&name.as_str())).collect();
        ensure!(shown.is_empty(), "{role} sees {shown:?}, which it may not call");
        let explained = "SELECT n FROM unnest($1::text[]) n JOIN wa.help_names() h ON h.name = n
                         WHERE n NOT IN (SELECT relname::text FROM pg_class WHERE relnamespace = 'wa'::regnamespace)";
        let explained: Vec<String> = sqlx::query_scalar(explained).bind(&forbidden).fetch_all(&caller).await?;
        ensure!(explained.is_empty(), "{role} may ask for {explained:?}, which it may not call");
        for name in ["must_send", "web_login"] {
            let lines = help(&caller, Some(name)).await?;
            ensure!(lines[0].starts_with("There is nothing named"), "{role}: {name}: {lines:#?}");
        }
    }
    let unknown = "SELECT DISTINCT name FROM wa.help_subjects(), unnest(functions) name
                   WHERE name NOT IN (SELECT proname FROM pg_proc WHERE pronamespace = 'wa'::regnamespace)";
    let unknown = names(&db.pool, unknown).await?;
    ensure!(unknown.is_empty(), "wa.help_subjects() has {unknown:?}, which do not exist");
    Ok(())
}

#[tokio::test]
async fn h10_the_manual_of_a_function_has_its_arguments_and_an_unknown_name_gives_the_nearest() -> Result<()> {
    let db = fresh().await;
    let app = login(&db, "wa_app", Some("default")).await?;
    let poll = help(&app, Some("wa.send_poll(…)")).await?.join("\n");
    let arguments =
        "SELECT unnest(proargnames) FROM pg_proc WHERE pronamespace = 'wa'::regnamespace AND proname = 'send_poll'";
    for argument in names(&app, arguments).await? {
        let line =
            poll.lines().find(|line| line.get(4..).is_some_and(|line| line.starts_with(&format!("{argument} "))));
        ensure!(line.is_some_and(|line| line.contains(". ")), "{argument} is not explained: {poll}");
    }
    ensure!(poll.contains("  * options ") && poll.contains("    choices "), "{poll}");
    for (wrong, meant) in
        [("send_txt", "send_text"), ("claim_message", "claim_messages"), ("outbond", "outbound"), ("WA2", "WA002")]
    {
        let lines = help(&app, Some(wrong)).await?;
        ensure!(lines[0].contains(wrong) && lines.contains(&format!("  {meant}")), "{wrong}: {lines:#?}");
    }
    let examples = help(&app, Some("add_consumer")).await?;
    for example in examples.iter().filter_map(|line| line.strip_prefix("  ")).filter(|line| line.starts_with("SELECT"))
    {
        ensure!(example.starts_with("SELECT wa.add_consumer("), "{example}");
    }
    ensure!(help(&app, Some("WA002")).await?.join(" ").contains("wa.set_region"), "no remedy");
    ensure!(help(&app, Some("session_connected")).await?.len() > 1, "no kind of event");
    Ok(())
}
