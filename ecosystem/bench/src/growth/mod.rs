//! `wagres-bench growth`: how cost grows with sessions, workers and rows (P11, P12).
//!
//! Each law is measured at several sizes. Cost is counted, not timed: statements, and rows that a statement reads, which are
//! the same on a busy machine. The exponent is that of the power law that fits the points best; of what should not grow at
//! all the largest point counts. Rows are made without triggers, so the server's user must be a superuser.

mod law;

use super::figure;
use super::server::{self, Database, Server, ServerArgs};
use anyhow::{Context as _, ensure};
use law::{Law, Wanted};
use sqlx::{PgConnection, PgPool};
use std::time::Duration;
use tokio::process::{Child, Command};
use uuid::Uuid;
use wagres::db;
use wagres::telemetry::Usage;

/// An exponent that is flat, and one that is linear, within what is measured.
const FLAT: f64 = 0.1;
const LINEAR: f64 = 1.1;
/// Messages of each session with a backlog, and most messages of a claim.
const BACKLOG: i64 = 32;
const CLAIM: i64 = 1000;
/// A port on which nothing listens, because no session connects.
const NOWHERE: &str = "ws://127.0.0.1:9/";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Seconds for which idle workers are watched
    #[arg(long, value_name = "S", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Numbers of idle workers
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1, 4, 8])]
    workers: Vec<u32>,
    /// Numbers of stopped sessions
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [1000, 10_000, 50_000])]
    stopped: Vec<i64>,
    /// Numbers of links that are done
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    links: Vec<i64>,
    /// Numbers of sessions with a backlog
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [30, 300, 1000])]
    busy: Vec<i64>,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: Args, given: Option<&str>, json: bool) -> anyhow::Result<()> {
    let laws = server::with(&args.server, given, async |server| measure(server, &args).await).await?;
    if json {
        return figure::print(&laws.iter().map(Law::figure).collect::<Vec<_>>(), true);
    }
    println!("{:4} {:52} {:8} {:>8} {:>8}  {:6}  measured", "id", "law", "of", "fitted", "wanted", "");
    for law in &laws {
        println!("{}", law.line());
    }
    Ok(())
}

async fn measure(server: &Server, args: &Args) -> anyhow::Result<Vec<Law>> {
    let mut laws = idle(&database(server).await?, args).await?;
    let sessions = database(server).await?;
    laws.push(reconcile(&sessions, &args.stopped).await?);
    laws.push(link(&sessions, &args.links).await?);
    laws.extend(claim(&database(server).await?, &args.busy).await?);
    Ok(laws)
}

async fn database(server: &Server) -> anyhow::Result<Database> {
    let database = server.database().await?;
    db::migrate::migrate(&database.pool).await?;
    Ok(database)
}

/// Workers without sessions: the statements of each, and its processor time.
async fn idle(database: &Database, args: &Args) -> anyhow::Result<Vec<Law>> {
    let (mut statements, mut processor) = (vec![], vec![]);
    let mut workers: Vec<Child> = vec![];
    for number in &args.workers {
        while workers.len() < *number as usize {
            workers.push(worker(database)?);
        }
        let registered = "SELECT count(*) FROM wa.worker";
        while sqlx::query_scalar::<_, i64>(registered).fetch_one(&database.pool).await? < i64::from(*number) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        // What a worker does when it starts.
        tokio::time::sleep(super::fleet::SETTLING).await;
        let before = (so_far(&database.pool).await?, used(&workers)?);
        tokio::time::sleep(Duration::from_secs(args.seconds.into())).await;
        let after = (so_far(&database.pool).await?, used(&workers)?);
        let (size, seconds) = (f64::from(*number), f64::from(args.seconds));
        statements.push((size, (after.0 - before.0) / size / seconds));
        processor.push((size, after.1.saturating_sub(before.1).as_secs_f64() / size / seconds * 60.0));
    }
    for mut worker in workers {
        worker.kill().await?;
    }
    let (id, wanted) = ("P11", Wanted::Most);
    Ok(vec![
        Law { id, name: "an idle worker, by workers", unit: "statements/s", wanted: wanted(5.0), points: statements },
        Law { id, name: "its processor time, by workers", unit: "s a minute", wanted: wanted(0.1), points: processor },
    ])
}

fn worker(database: &Database) -> anyhow::Result<Child> {
    let mut command: Command = super::wagres()?;
    command.args(["worker", "--http", "127.0.0.1:0", "--log", "error", "--whatsapp-url", NOWHERE]);
    command.args(["--database-url", database.url.expose()]).stdout(std::process::Stdio::null()).kill_on_drop(true);
    command.spawn().context("starting a worker")
}

fn used(workers: &[Child]) -> anyhow::Result<Duration> {
    workers.iter().map(|it| Ok(Usage::of(it.id().context("a worker has ended")?).processor)).sum()
}

async fn so_far(pool: &PgPool) -> anyhow::Result<f64> {
    let count = sqlx::query_scalar(include_str!("../../sql/growth/statements.sql"));
    count.fetch_one(pool).await.context("counting statements; the server needs pg_stat_statements")
}

/// A run of the reconciler, by stopped sessions.
async fn reconcile(database: &Database, sizes: &[i64]) -> anyhow::Result<Law> {
    let (mut points, mut made) = (vec![], 0);
    for size in sizes {
        fill(database, include_str!("../../sql/growth/sessions.sql"), made + 1, *size).await?;
        made = *size;
        let read = in_transaction(&database.pool, async |transaction| {
            let worker = Uuid::nil();
            let look = sqlx::query(include_str!("../../../../sql/worker/expire_workers.sql")).bind(worker);
            look.execute(&mut *transaction).await?;
            sqlx::query(include_str!("../../../../sql/session/reset_stale.sql")).execute(&mut *transaction).await?;
            for statement in
                [include_str!("../../../../sql/session/adopt.sql"), include_str!("../../../../sql/session/surplus.sql")]
            {
                sqlx::query(statement).bind(worker).bind(200_i64).execute(&mut *transaction).await?;
            }
            Ok(())
        });
        points.push((float(*size), read.await?));
    }
    let wanted = Wanted::Exponent(FLAT);
    Ok(Law { id: "P12", name: "a run of the reconciler, by stopped sessions", unit: "rows read", wanted, points })
}

/// `wa.link`, by links that are done.
async fn link(database: &Database, sizes: &[i64]) -> anyhow::Result<Law> {
    let (mut points, mut made) = (vec![], 0);
    for size in sizes {
        fill(database, include_str!("../../sql/growth/links.sql"), made + 1, *size).await?;
        made = *size;
        let read = in_transaction(&database.pool, async |transaction| {
            let link = sqlx::query("SELECT wa.link('growth1', '15550001')");
            link.execute(transaction).await.map(drop).map_err(anyhow::Error::from)
        });
        points.push((float(*size), read.await?));
    }
    Ok(Law { id: "P12", name: "wa.link, by links done", unit: "rows read", wanted: Wanted::Exponent(FLAT), points })
}

/// A claim, by sessions with a backlog: what it reads in all, and for each message that it takes.
async fn claim(database: &Database, sizes: &[i64]) -> anyhow::Result<Vec<Law>> {
    let worker = Uuid::new_v4();
    sqlx::query(include_str!("../../sql/growth/worker.sql")).bind(worker).execute(&database.pool).await?;
    let (mut all, mut each) = (vec![], vec![]);
    for size in sizes {
        let made: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.session").fetch_one(&database.pool).await?;
        fill(database, include_str!("../../sql/growth/sessions.sql"), made + 1, *size).await?;
        sqlx::raw_sql("TRUNCATE wa.outbound, wa.outbound_queue CASCADE").execute(&database.pool).await?;
        let backlog = sqlx::query(include_str!("../../sql/growth/backlog.sql")).bind(size).bind(BACKLOG);
        backlog.execute(&database.pool).await?;
        let hold = sqlx::query_as::<_, (i64, i64)>(include_str!("../../sql/growth/hold.sql")).bind(worker).bind(size);
        let (sessions, epochs): (Vec<i64>, Vec<i64>) = hold.fetch_all(&database.pool).await?.into_iter().unzip();
        database.settle().await?;
        let page = i32::try_from((CLAIM / size).clamp(1, BACKLOG))?;
        let (count, mut taken) = (sessions.len(), 0);
        let read = in_transaction(&database.pool, async |transaction| {
            let claim = sqlx::query(include_str!("../../../../sql/jobs/claim_outbound.sql"))
                .bind(worker)
                .bind(&sessions)
                .bind(&epochs)
                .bind(vec![page; count])
                .bind(vec![i16::MIN; count])
                .bind(vec![0_i64; count])
                // Nothing in hand.
                .bind(vec![1_i32; count])
                .bind(vec![0_i32; count])
                .bind(Vec::<i64>::new())
                .bind(Vec::<i64>::new())
                .bind(Vec::<String>::new())
                .bind(page)
                .bind(Vec::<i64>::new())
                .bind(Vec::<String>::new());
            taken = claim.fetch_all(transaction).await?.len();
            Ok(())
        })
        .await?;
        ensure!(taken > 0, "the claim took nothing");
        all.push((float(*size), read));
        each.push((float(*size), read / float(i64::try_from(taken)?)));
    }
    let (id, unit) = ("P12", "rows read");
    let name = "a claim, by sessions with a backlog";
    let of_each = "for each message that it takes";
    Ok(vec![
        Law { id, name, unit, wanted: Wanted::Exponent(LINEAR), points: all },
        Law { id, name: of_each, unit, wanted: Wanted::Most(20.0), points: each },
    ])
}

/// Inserts rows number `from` to `to`, without triggers.
async fn fill(database: &Database, insert: &'static str, from: i64, to: i64) -> anyhow::Result<()> {
    let mut transaction = database.pool.begin().await?;
    sqlx::raw_sql("SET LOCAL session_replication_role = replica").execute(&mut *transaction).await?;
    sqlx::query(insert).bind(from).bind(to).execute(&mut *transaction).await?;
    transaction.commit().await?;
    database.settle().await
}

/// The rows that statements read, in a transaction that is rolled back, with the settings of a worker's connection.
async fn in_transaction(
    pool: &PgPool,
    run: impl AsyncFnOnce(&mut PgConnection) -> anyhow::Result<()>,
) -> anyhow::Result<f64> {
    let mut transaction = pool.begin().await?;
    sqlx::raw_sql("SET LOCAL enable_seqscan = off; SET LOCAL jit = off").execute(&mut *transaction).await?;
    let count = || sqlx::query_scalar::<_, f64>(include_str!("../../sql/growth/rows_read.sql"));
    // What the connection has not reported yet counts, too.
    let before = count().fetch_one(&mut *transaction).await?;
    run(&mut transaction).await?;
    let read = count().fetch_one(&mut *transaction).await? - before;
    transaction.rollback().await?;
    Ok(read)
}

#[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
fn float(size: i64) -> f64 {
    size as f64
}
