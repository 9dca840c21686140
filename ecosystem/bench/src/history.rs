//! `wagres-bench history`: the cost of a long history of finished messages for those that are still to be sent.
//!
//! The same drain as `wagres-bench queue`, in an empty table and in one with millions of finished rows, in turn. The
//! rows of the history are copies of rows that the worker has finished, under message ids of their own. They are
//! written without triggers, so the server's user must be a superuser.

#![expect(clippy::disallowed_types, reason = "the columns to copy are read from the catalogue")]

use super::engine::{self, Lanes};
use super::figure::{self, Better, Figure, median};
use super::server::{self, Database, Server, ServerArgs};
use futures::{StreamExt as _, TryStreamExt as _};
use sqlx::{AssertSqlSafe, PgPool};
use wagres::config::Config;
use wagres::db;

/// Rows of one statement.
const BATCH: u64 = 50_000;
/// Statements at once.
const WRITERS: u32 = 4;
/// Rows that are copied.
const TEMPLATES: u64 = 1000;
/// Least ratio of the rate with the history to the rate without.
const BUDGET: f64 = 0.95;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Finished rows; ten million need 5 GB of disk, and minutes to write
    #[arg(long, value_name = "N", default_value_t = 10_000_000, value_parser = clap::value_parser!(u64).range(TEMPLATES..))]
    rows: u64,
    /// Jobs of each drain
    #[arg(long, value_name = "N", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..))]
    jobs: u64,
    /// Drains of each table, in turn; the medians are compared
    #[arg(long, value_name = "R", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    lanes: Lanes,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) async fn run(args: Args, config: &Config, given: Option<&str>, json: bool) -> anyhow::Result<()> {
    let figures = server::with(&args.server, given, async |server| measure(server, &args, config).await).await?;
    figure::print(&figures, json)
}

async fn measure(server: &Server, args: &Args, config: &Config) -> anyhow::Result<Vec<Figure>> {
    let long = server.database().await?;
    engine::prepare(&long, args.lanes).await?;
    drain(&long, args.lanes, config, TEMPLATES).await?;
    fill(&long, args.rows - TEMPLATES).await?;
    long.settle().await?;
    sqlx::raw_sql("CHECKPOINT").execute(&long.pool).await?;

    let (mut with, mut without) = (vec![], vec![]);
    for round in 1..=args.rounds {
        let empty = server.database().await?;
        engine::prepare(&empty, args.lanes).await?;
        without.push(drain(&empty, args.lanes, config, args.jobs).await?);
        empty.pool.close().await;
        with.push(drain(&long, args.lanes, config, args.jobs).await?);
        tracing::info!(round, with = with.last(), without = without.last(), "measured");
    }
    let name = format!("no-op jobs, {} finished rows", args.rows);
    Ok(vec![
        Figure::new("P8", name, median(with), "jobs/s")
            .beside("empty table", median(without), Better::More)
            .budget(BUDGET),
    ])
}

/// Jobs a second.
async fn drain(database: &Database, lanes: Lanes, config: &Config, jobs: u64) -> anyhow::Result<f64> {
    let jobs = engine::insert(database, lanes, jobs).await?;
    engine::drain(database, config, jobs).await
}

/// Copies the rows of the table until there are `rows` more.
async fn fill(database: &Database, rows: u64) -> anyhow::Result<()> {
    let template = "CREATE TABLE template AS SELECT *, row_number() OVER (ORDER BY id) - 1 AS place FROM wa.outbound; \
                    ANALYZE template";
    sqlx::raw_sql(template).execute(&database.pool).await?;
    // Every column except the unique ones.
    let columns: Vec<String> = sqlx::query_scalar(
        "SELECT quote_ident(attname) FROM pg_attribute WHERE attrelid = 'wa.outbound'::regclass AND attnum > 0 \
         AND NOT attisdropped AND attgenerated = '' AND attname NOT IN ('id', 'message_id') ORDER BY attnum",
    )
    .fetch_all(&database.pool)
    .await?;
    let columns = columns.join(", ");
    let insert = format!(
        "INSERT INTO wa.outbound (message_id, {columns}) \
         SELECT '3EB0' || upper(left(md5(random()::text || i), 18)), {columns} \
         FROM generate_series(1, $1::bigint) i JOIN template ON place = i % (SELECT count(*) FROM template)"
    );
    let writers = db::connect(&database.url, WRITERS, "wagres-bench").await?;
    let batches = (0..rows.div_ceil(BATCH)).map(|batch| BATCH.min(rows - batch * BATCH));
    let mut written = 0;
    let mut writing =
        futures::stream::iter(batches.map(|rows| write(&writers, &insert, rows))).buffer_unordered(WRITERS as usize);
    while let Some(batch) = writing.try_next().await? {
        written += batch;
        if written % 1_000_000 < BATCH {
            tracing::info!(written, of = rows, "writing the history");
        }
    }
    drop(writing);
    writers.close().await;
    Ok(())
}

async fn write(pool: &PgPool, insert: &str, rows: u64) -> anyhow::Result<u64> {
    let mut transaction = pool.begin().await?;
    sqlx::raw_sql("SET LOCAL session_replication_role = replica").execute(&mut *transaction).await?;
    sqlx::query(AssertSqlSafe(insert)).bind(i64::try_from(rows)?).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(rows)
}
