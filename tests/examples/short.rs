//! The examples are short, and the SQL beside them runs.

use super::{example, login, psql};
use crate::support::logins::run;
use crate::support::world::World;
use anyhow::{Result, ensure};
use std::path::Path;

/// Lines of code of a program in Go: no comments, no blank lines, no imports, which gofmt puts on a line each.
fn lines(text: &str) -> usize {
    let code = text.lines().map(str::trim).filter(|line| {
        let quoted = line.starts_with('"') && line.ends_with('"');
        !line.is_empty() && !line.starts_with("//") && !["import (", "package main"].contains(line) && !quoted
    });
    code.count()
}

#[test]
fn h9_each_bot_has_at_most_40_lines() -> Result<()> {
    for path in ["psql/bot.sh", "python/bot.py", "node/bot.mjs", "php/bot.php", "go/bot.go"] {
        let text = std::fs::read_to_string(example(path))?;
        let lines =
            if Path::new(path).extension().is_some_and(|it| it == "go") { lines(&text) } else { text.lines().count() };
        ensure!(lines <= 40, "{path} has {lines} lines");
    }
    Ok(())
}

#[tokio::test]
async fn h9_the_campaign_and_the_schedules_are_sql() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    world.phone("15550002").await?;
    let login = login(&world).await?;
    run(
        world.pool(),
        &format!(
            "CREATE TABLE customer (name text, phone text);
             INSERT INTO customer VALUES ('Anna', '+15550002'); GRANT SELECT ON customer TO {}",
            login.name
        ),
    )
    .await?;
    let printed = psql(&login, &example("psql/campaign.sql")).await?;
    ensure!(printed.lines().last().is_some_and(|line| line.starts_with("1|")), "{printed}");
    world.control.shown("15550002", "Hello Anna, your table is ready.").await?;
    world.control.shown("15550002", "Anna, 10 % off until Sunday.").await?;
    // Again: the first message has a dedupe_key, the campaign has not.
    psql(&login, &example("psql/campaign.sql")).await?;
    let twice = world.count("SELECT count(*) FROM wa.outbound WHERE dedupe_key = 'may-+15550002'").await?;
    ensure!(twice == 1, "{twice} messages of one dedupe_key");
    psql(&login, &example("psql/schedule.sql")).await?;
    run(world.pool(), "SELECT wa.run_now('friday')").await?;
    world.control.shown("15550002", "Have a good weekend").await?;
    ensure!(
        world.count("SELECT count(*) FROM wa.schedule WHERE enabled AND session = 'shop'").await? == 3,
        "schedules"
    );
    worker.stop().await
}
