//! Q1: session jobs of kinds that a newer version added.

use crate::support::until::until;
use crate::support::world::{Worker, World};
use anyhow::{Result, ensure};

#[tokio::test]
async fn q1_a_session_job_of_an_unknown_kind_waits_and_the_log_says_so() -> Result<()> {
    let world = World::new().await?;
    let log = tempfile::NamedTempFile::new()?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WORKER__REPORT_SECONDS", "1").stderr(log.reopen()?);
    let worker = Worker::start(command).await?;
    world.link("shop", "15550001").await?;
    world.link("cafe", "15550002").await?;
    // Inserted past the trigger, which accepts only the kinds of this version.
    let newer = "SET session_replication_role = replica; INSERT INTO wa.session_job (session, session_id, kind)
                 SELECT name, session_id, 'polish' FROM wa.session WHERE name = 'shop'";
    sqlx::raw_sql(newer).execute(&mut world.pool().acquire().await?.detach()).await?;
    // Jobs of another session run all the same.
    let other = world.count("SELECT wa.list_groups('cafe')").await?;
    world.holds(&format!("SELECT status = 'done' FROM wa.session_job WHERE id = {other}")).await?;
    until("a warning with the kind", async || {
        let text = std::fs::read_to_string(log.path())?;
        let warned =
            |line: &str| ["WARN", "jobs of unknown kinds found", "polish"].iter().all(|part| line.contains(part));
        Ok(if text.lines().any(warned) { Ok(()) } else { Err(text) })
    })
    .await?;
    let job: String = world.until("SELECT status || ' ' || attempts FROM wa.session_job WHERE kind = 'polish'").await?;
    ensure!(job == "queued 0", "{job}");
    worker.stop().await
}
