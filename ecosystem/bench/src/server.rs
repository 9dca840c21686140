//! The Postgres server of a benchmark: a private one whose folder is removed at the end, or the one of
//! `--database-url`.
//!
//! Each side of a comparison gets a database of its own on the server, so both have the same settings and neither finds
//! the other's rows. On a given server the benchmark touches only these databases, and drops them at the end.

#![expect(clippy::disallowed_types, reason = "CREATE and DROP DATABASE take no parameters")]

use anyhow::Context;
use sqlx::{AssertSqlSafe, PgPool};
use std::path::PathBuf;
use std::sync::Mutex;
use url::Url;
use wagres::config::Secret;
use wagres::db::folder::DataFolder;
use wagres::db::{self, cluster::Cluster};

/// Settings of the private server: as durable as the default, and without checkpoints during a measurement.
const SETTINGS: &[&str] = &["shared_buffers=512MB", "max_wal_size=16GB", "checkpoint_timeout=1h"];
/// Counts statements; part of Debian's package `postgresql`.
const COUNTER: &str = "shared_preload_libraries=pg_stat_statements";

#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// Parent of the private Postgres' folder, which is removed at the end [default: the system's temporary folder]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) struct Server {
    private: Option<(Cluster, DataFolder)>,
    url: Secret,
    admin: PgPool,
    made: Mutex<Vec<String>>,
}

/// A database of one side of a comparison.
pub(super) struct Database {
    pub(super) url: Secret,
    /// A pool of one connection, for the benchmark.
    pub(super) pool: PgPool,
}

/// Runs `measure` on a server, and stops the server whatever the result.
pub(super) async fn with<T>(
    args: &ServerArgs,
    given: Option<&str>,
    measure: impl AsyncFnOnce(&Server) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let server = Server::start(args, given).await?;
    let measured = tokio::select! {
        measured = measure(&server) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let stopped = server.stop().await;
    let measured = measured?;
    stopped?;
    Ok(measured)
}

impl ServerArgs {
    /// Where folders of a benchmark are made.
    pub(super) fn folder(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(std::env::temp_dir)
    }
}

impl Server {
    async fn start(args: &ServerArgs, given: Option<&str>) -> anyhow::Result<Self> {
        let (private, url) = if let Some(url) = given {
            (None, Secret::new(url))
        } else {
            let folder = args.folder().join(format!("wagres-bench-{}", uuid::Uuid::new_v4()));
            let folder = DataFolder::lock(&folder)?;
            let cluster = private(&folder).await?;
            let url = cluster.url();
            (Some((cluster, folder)), url)
        };
        let admin = db::connect(&url, 1, "wagres-bench").await?;
        Ok(Self { private, url, admin, made: Mutex::default() })
    }

    /// A new, empty database.
    pub(super) async fn database(&self) -> anyhow::Result<Database> {
        let name = format!("wagres_bench_{}", uuid::Uuid::new_v4().simple());
        sqlx::raw_sql(AssertSqlSafe(format!("CREATE DATABASE {name}")))
            .execute(&self.admin)
            .await
            .context("making a database for the benchmark")?;
        self.made().push(name.clone());
        let mut url = Url::parse(self.url.expose())?;
        url.set_path(&name);
        let database = Database::open(&Secret::new(url.as_str())).await?;
        // Without the extension statements are not counted.
        let _ = sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").execute(&database.pool).await;
        Ok(database)
    }

    async fn stop(self) -> anyhow::Result<()> {
        let made = std::mem::take(&mut *self.made());
        if let Some((cluster, folder)) = self.private {
            self.admin.close().await;
            cluster.stop().await?;
            let folder = folder.path();
            tokio::fs::remove_dir_all(folder).await.with_context(|| format!("removing {}", folder.display()))?;
            return Ok(());
        }
        for name in made {
            sqlx::raw_sql(AssertSqlSafe(format!("DROP DATABASE {name} WITH (FORCE)"))).execute(&self.admin).await?;
        }
        Ok(())
    }

    fn made(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.made.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

async fn private(folder: &DataFolder) -> anyhow::Result<Cluster> {
    let settings = [SETTINGS, &[COUNTER]].concat();
    match Cluster::start_with(folder, &settings).await {
        Ok(cluster) => Ok(cluster),
        Err(error) => {
            tracing::warn!(%error, "server did not start with pg_stat_statements; statements are not counted");
            Ok(Cluster::start_with(folder, SETTINGS).await?)
        }
    }
}

impl Database {
    /// A database that exists.
    pub(super) async fn open(url: &Secret) -> anyhow::Result<Self> {
        Ok(Self { url: url.clone(), pool: db::connect(url, 1, "wagres-bench").await? })
    }

    /// Vacuums and analyzes, so that a new table has the statistics and visibility map of an old one.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        sqlx::raw_sql("VACUUM ANALYZE").execute(&self.pool).await?;
        Ok(())
    }
}
