//! Several web processes and workers, some of which die in the middle of a linking.

use super::balancer::Balancer;
use super::client::Client;
use super::{NUMBER, SECRET, company, counts, scan, token_of};
use crate::support::world::{Worker, World, wagres};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;

/// A web process of its own.
async fn web(world: &World, grace: &str) -> Result<(Worker, String)> {
    let mut command = wagres();
    command.args(["web", "--json", "--database-url", &world.db.url]).envs([
        ("WAGRES_WEB__LISTEN", "127.0.0.1:0"),
        ("WAGRES_MARKETPLACE__PARTNER_TOKEN", "a token of the partner"),
        ("WAGRES_MARKETPLACE__JWT_SECRET", SECRET),
        ("WAGRES_MARKETPLACE__QR_FORMAT", "text"),
        ("WAGRES_MARKETPLACE__SOCKETS_PER_MINUTE", "1000000"),
        ("WAGRES_MARKETPLACE__PAGE_GRACE_SECONDS", grace),
    ]);
    let process = Worker::start(command).await?;
    let url = process.ready["web"].as_str().context("no URL")?;
    let host = url.strip_prefix("http://").context("no host")?.to_owned();
    Ok((process, host))
}

/// The process of the worker that holds the session.
async fn holder(world: &World) -> Result<u32> {
    let pid: i32 = world.until("SELECT w.pid FROM wa.lease l JOIN wa.worker w ON w.worker_id = l.holder").await?;
    Ok(pid.try_into()?)
}

#[tokio::test]
async fn h3_a_page_continues_by_itself_when_its_web_process_and_its_worker_are_killed() -> Result<()> {
    for (transport, by_code) in [("websocket", false), ("polling", true)] {
        let world = World::new().await?;
        let workers = [world.worker().await?, world.worker().await?];
        let ((first, first_host), (second, second_host)) = (web(&world, "15").await?, web(&world, "15").await?);
        let balancer = Balancer::to(vec![first_host, second_host]).await?;
        let company = company(&world.db, 1).await?;
        world.phone(NUMBER).await?;
        let auth = json!({ "token": token_of(company)? });
        let options = json!({ "auth": auth, "transports": [transport], "reconnectionDelay": 100 });
        let mut page = Client::with(&balancer.url, options).await?;
        let first_qr = page.until("qr-update").await?["qr"].clone();
        if by_code {
            page.emit("request-pairing-code", Some(json!({ "phoneNumber": NUMBER }))).await?;
            page.until("pairing-code").await?;
        }
        // The web process dies; the page connects to the other one and sees the same linking.
        first.kill().await?;
        page.until("disconnect").await?;
        page.until("connect").await?;
        ensure!(page.until("qr-update").await?["qr"] == first_qr, "the linking began anew");
        // The worker dies; the other one continues the linking.
        let held_by = holder(&world).await?;
        let mut lives = None;
        for worker in workers {
            if worker.pid()? == held_by {
                world.kill(worker).await?;
            } else {
                lives = Some(worker);
            }
        }
        if by_code {
            let code = loop {
                let shown = page.until("pairing-code").await?;
                let confirm = format!("/phones/{NUMBER}/confirm");
                // The code of the dead worker's connection may come once more.
                if world.control.request("POST", &confirm, Some(json!({ "code": shown["code"] }))).await?.0 == 200 {
                    break shown;
                }
            };
            ensure!(code["phoneNumber"] == NUMBER, "{code}");
        } else {
            loop {
                let shown = page.until("qr-update").await?;
                if shown["qr"] != first_qr && scan(&world, shown["qr"].as_str().context("no code")?).await? {
                    break;
                }
            }
        }
        let said = page.until("whatsapp-connected").await?;
        ensure!(said["phone"] == NUMBER && said["companyId"] == company, "{said}");
        lives.context("both workers are gone")?.stop().await?;
        second.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn h3_another_process_closes_what_the_pages_of_a_killed_one_left_open() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let ((first, host), (second, _)) = (web(&world, "3").await?, web(&world, "3").await?);
    let company = company(&world.db, 1).await?;
    let options = json!({ "auth": { "token": token_of(company)? }, "reconnection": false });
    let mut page = Client::with(&format!("http://{host}"), options).await?;
    page.until("qr-update").await?;
    first.kill().await?;
    world.holds("SELECT desired = 'stopped' AND status NOT IN ('linking', 'connecting') FROM wa.session").await?;
    counts(&world, "SELECT count(*) FROM wa.company_watch", 0).await?;
    second.stop().await?;
    worker.stop().await
}

#[tokio::test]
async fn h3_a_web_process_that_stops_sends_its_pages_to_another() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let ((first, first_host), (second, second_host)) = (web(&world, "15").await?, web(&world, "15").await?);
    let balancer = Balancer::to(vec![first_host, second_host]).await?;
    let company = company(&world.db, 1).await?;
    let auth = json!({ "token": token_of(company)? });
    let options = json!({ "auth": auth, "reconnectionDelay": 100, "transports": ["websocket"] });
    let mut page = Client::with(&balancer.url, options).await?;
    let qr = page.until("qr-update").await?["qr"].clone();
    first.stop().await?;
    page.until("disconnect").await?;
    page.until("connect").await?;
    ensure!(page.until("qr-update").await?["qr"] == qr);
    second.stop().await?;
    worker.stop().await
}

#[tokio::test]
async fn h3_without_web_processes_a_worker_closes_what_their_pages_left_open() -> Result<()> {
    let world = World::new().await?;
    let worker = world.worker().await?;
    let (web, host) = web(&world, "3").await?;
    let company = company(&world.db, 1).await?;
    let options = json!({ "auth": { "token": token_of(company)? }, "reconnection": false });
    let mut page = Client::with(&format!("http://{host}"), options).await?;
    page.until("qr-update").await?;
    web.kill().await?;
    let close = "SELECT wa.run_now(name) FROM wa.schedule WHERE kind = 'close_idle'";
    sqlx::query(close).execute(world.pool()).await?;
    world.holds("SELECT bool_and(status = 'done') FROM wa.maintenance_job WHERE kind = 'close_idle'").await?;
    ensure!(world.count("SELECT count(*) FROM wa.company_watch").await? == 1, "a page may still come back");
    sqlx::query("UPDATE wa.company_watch SET until = now() - interval '6 min'").execute(world.pool()).await?;
    sqlx::query(close).execute(world.pool()).await?;
    world.holds("SELECT desired = 'stopped' FROM wa.session").await?;
    worker.stop().await
}
