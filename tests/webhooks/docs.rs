//! `docs/webhooks.md`: its lists are complete, and its examples run.

use crate::cli::lines;
use crate::support::db::fresh;
use crate::support::docs;
use crate::support::logins::run;
use anyhow::{Context as _, Result, ensure};

const PAGE: &str = "docs/webhooks.md";

#[tokio::test]
async fn h5_every_type_of_event_is_in_the_documentation() -> Result<()> {
    let db = fresh().await;
    let types: String = sqlx::query_scalar(
        "SELECT string_agg(format('| %s | %s |', types, about), E'\\n' ORDER BY place) FROM (
             SELECT string_agg(format('`%s`', type), ', ' ORDER BY place) AS types, about, min(place) AS place
             FROM wa.webhook_types() WITH ORDINALITY t (type, about, place) GROUP BY about
         ) grouped",
    )
    .fetch_one(&db.pool)
    .await?;
    docs::table(PAGE, "webhook types", &format!("| type | what happened |\n| --- | --- |\n{types}\n"))
}

#[tokio::test]
async fn h5_every_statement_of_the_documentation_runs() -> Result<()> {
    let db = fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop')").await?;
    let blocks = docs::blocks(PAGE, "sql")?;
    ensure!(blocks.len() > 5, "{blocks:?}");
    for block in blocks {
        let before = if block.contains("wa.add_webhook(") {
            ""
        } else {
            "SELECT wa.add_webhook('crm', 'https://example.org/hook');"
        };
        run(&db.pool, &format!("BEGIN; {before} {block} ROLLBACK")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn h5_h7_every_command_of_the_documentation_runs() -> Result<()> {
    let db = fresh().await;
    run(&db.pool, "SELECT wa.add_session('shop')").await?;
    let commands: Vec<String> =
        docs::blocks(PAGE, "sh")?.iter().flat_map(|block| block.lines().map(str::to_owned)).collect();
    ensure!(commands.len() > 4, "{commands:?}");
    for command in commands {
        let command = command.split('#').next().unwrap_or_default();
        let arguments: Vec<&str> = command.strip_prefix("wagres ").context("no command")?.split_whitespace().collect();
        lines(&db, &arguments).await.with_context(|| command.to_owned())?;
    }
    Ok(())
}

#[test]
fn h5_h8_every_setting_of_the_documentation_is_accepted() -> Result<()> {
    docs::settings(PAGE)
}
