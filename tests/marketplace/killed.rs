//! Two web processes and two workers, of which one each is killed in the middle of an onboarding.

use super::partner::{Partner, Reply, checked};
use super::stage::{OLDER, PARTNER_TOKEN, entry, holds, scan, web, worker};
use crate::support::browser::Browser;
use crate::support::until::until;
use crate::support::world::{Worker, World};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// A balancer that leads each connection to the first web process that answers.
struct Balancer {
    url: String,
    targets: Arc<tokio::sync::Mutex<Vec<SocketAddr>>>,
    served: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Balancer {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let (targets, served) = (Arc::<tokio::sync::Mutex<Vec<SocketAddr>>>::default(), Arc::<AtomicUsize>::default());
        let (book, count) = (targets.clone(), served.clone());
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (book, count) = (book.clone(), count.clone());
                tokio::spawn(async move {
                    let targets = book.lock().await.clone();
                    for target in targets {
                        if let Ok(mut far) = TcpStream::connect(target).await {
                            count.fetch_add(1, Ordering::Relaxed);
                            drop(copy_bidirectional(&mut near, &mut far).await);
                            return;
                        }
                    }
                });
            }
        });
        Ok(Self { url, targets, served, task })
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn address(web: &Worker) -> Result<SocketAddr> {
    let url = web.ready["web"].as_str().context("web")?;
    // The process shows the balancer's address, and listens on one of its own.
    Ok(url.trim_start_matches("http://").parse()?)
}

/// The worker that holds the session, and the other one.
async fn holder_first(world: &World, workers: [Worker; 2]) -> Result<(Worker, Worker)> {
    let pid = until("a holder", async || {
        let pid: Option<i32> =
            sqlx::query_scalar("SELECT w.pid FROM wa.lease l JOIN wa.worker w ON w.worker_id = l.holder")
                .fetch_optional(world.pool())
                .await?;
        Ok(pid.ok_or("none"))
    })
    .await?;
    let [one, other] = workers;
    Ok(if one.pid()? == u32::try_from(pid)? { (one, other) } else { (other, one) })
}

#[tokio::test]
async fn h6_r1_the_page_goes_on_by_itself_when_a_worker_and_a_web_process_are_killed() -> Result<()> {
    let partner = Partner::start(|n| Reply::Status(if n == 0 { 503 } else { 200 })).await?;
    let world = World::new().await?;
    world.phone("15550001").await?;
    let balancer = Balancer::start().await?;
    let start_web = || {
        let mut command = web(&world.db);
        command.envs(OLDER).env("BASE_URL", &balancer.url).env("WAGRES_WEB__METRICS", "127.0.0.1:0");
        Worker::start(command)
    };
    let (one, other) = (start_web().await?, start_web().await?);
    *balancer.targets.lock().await = vec![address(&one)?, address(&other)?];
    let start_worker = || {
        let mut command = worker(&world, &partner);
        command.env("BASE_URL", &balancer.url);
        Worker::start(command)
    };
    let workers = [start_worker().await?, start_worker().await?];

    let browser = Browser::start(390, 844).await?;
    let data = json!({ "id": 5, "name": "Анна" });
    browser.open(&format!("{}{}", balancer.url, entry(77, &data, PARTNER_TOKEN))).await?;
    browser.click("form[action$='/start'] button").await?;
    browser.until("document.querySelector('.qr svg')").await?;
    // Nothing loads the page again.
    browser.run("window.stays = true").await?;

    let (holder, left) = holder_first(&world, workers).await?;
    let before = balancer.served.load(Ordering::Relaxed);
    let shown = browser.run("return document.querySelector('.qr svg').outerHTML").await?;
    one.kill().await?;
    world.kill(holder).await?;
    // A code of the other worker, over the other web process.
    browser
        .until(&format!("document.querySelector('.qr svg') && document.querySelector('.qr svg').outerHTML !== {shown}"))
        .await?;
    scan(&world, "company_77", "15550001").await?;
    // The page asks for the activation by itself, and shows what comes of it.
    browser.shows("main", "The marketplace has taken over").await?;
    ensure!(browser.run("return window.stays === true").await? == Value::Bool(true), "the page was loaded again");
    ensure!(balancer.served.load(Ordering::Relaxed) > before, "the page never came to the other process");
    holds(world.pool(), "SELECT status = 'active' FROM wa.company").await?;
    let keys: Vec<String> =
        partner.callbacks().iter().map(|asked| checked(asked, 77, &balancer.url)).collect::<Result<_>>()?;
    ensure!(keys.len() == 2 && keys[0] == keys[1], "{keys:?}");
    other.stop().await?;
    left.stop().await
}
