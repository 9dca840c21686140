//! The server of a benchmark: a private one whose folder goes when it stops, or the one of `--database-url`.
//!
//! Each side of a comparison gets a database of its own on it, so both run under the same settings and neither finds the
//! other's rows. On a given server nothing is touched but these databases, which are dropped in the end.

use anyhow::Context;
use sqlx::{AssertSqlSafe, PgPool};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use url::Url;
use wagres::config::Secret;
use wagres::db::{self, cluster::Cluster};

/// Settings of the private server: durable as the default is, and no checkpoint falls into a measurement.
const SETTINGS: &[&str] = &["shared_buffers=512MB", "max_wal_size=16GB", "checkpoint_timeout=1h"];
/// Counts statements; comes with Debian's package `postgresql`.
const COUNTER: &str = "shared_preload_libraries=pg_stat_statements";

#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// Where to make the folder of the private Postgres, if not among the temporary files. It goes in the end.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

pub(super) struct Server {
    private: Option<(Cluster, PathBuf)>,
    url: Secret,
    admin: PgPool,
    made: Mutex<Vec<String>>,
}

/// A database of one side of a comparison.
pub(super) struct Database {
    pub(super) url: Secret,
    /// One connection to it, for whoever measures.
    pub(super) pool: PgPool,
}

/// Runs `measure` on a server and stops the server whatever comes of it.
pub(super) async fn with<T>(
    args: &ServerArgs,
    given: Option<&str>,
    measure: impl AsyncFnOnce(&Server) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let server = Server::start(args, given).await?;
    let measured = tokio::select! {
        measured = measure(&server) => measured,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped by hand")),
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
            let cluster = private(&folder).await?;
            let url = cluster.url();
            (Some((cluster, folder)), url)
        };
        let admin = db::connect(&url, 1, "wagres bench").await?;
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
        let url = Secret::new(url.as_str());
        let pool = db::connect(&url, 1, "wagres bench").await?;
        // Where it is not to be had, statements are not counted.
        let _ = sqlx::raw_sql("CREATE EXTENSION IF NOT EXISTS pg_stat_statements").execute(&pool).await;
        Ok(Database { url, pool })
    }

    async fn stop(self) -> anyhow::Result<()> {
        let made = std::mem::take(&mut *self.made());
        if let Some((cluster, folder)) = self.private {
            self.admin.close().await;
            cluster.stop().await?;
            tokio::fs::remove_dir_all(&folder).await.with_context(|| format!("removing {}", folder.display()))?;
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

async fn private(folder: &Path) -> anyhow::Result<Cluster> {
    let settings = [SETTINGS, &[COUNTER]].concat();
    match Cluster::start_with(folder, &settings).await {
        Ok(cluster) => Ok(cluster),
        Err(error) => {
            tracing::warn!(%error, "no start with pg_stat_statements; statements are not counted");
            Ok(Cluster::start_with(folder, SETTINGS).await?)
        }
    }
}

impl Database {
    /// Brings the planner's statistics and the visibility map to where a settled table has them.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        sqlx::raw_sql("VACUUM ANALYZE").execute(&self.pool).await?;
        Ok(())
    }
}
