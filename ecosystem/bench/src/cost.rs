//! The cost of a run for the database, from its own counters: statements, transactions, WAL, dead row versions.
//!
//! WAL is counted for the whole server, so it means nothing on a server with other work. The counts include the
//! worker's start and heartbeats, and a few queries of the benchmark.

use super::server::Database;
use std::time::Duration;

/// The counters and their units. Each update and deletion leaves a row version that vacuum has to clear.
pub(super) const COUNTED: [(&str, &str); 4] = [
    ("statements a job", "statements"),
    ("transactions a job", "transactions"),
    ("WAL a job", "bytes"),
    ("dead row versions a job", "rows"),
];

/// The counters at one moment, or their growth for each job, in the order of [`COUNTED`]. Statements are known only if
/// `pg_stat_statements` counts them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost(pub(super) [Option<f64>; 4]);

impl Cost {
    /// Reads the counters after all other clients have disconnected, because only then have all reported their counts.
    pub(super) async fn so_far(database: &Database) -> anyhow::Result<Self> {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                      AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        while sqlx::query_scalar::<_, i64>(others).fetch_one(&database.pool).await? > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sqlx::query("SELECT pg_stat_force_next_flush()").execute(&database.pool).await?;
        let statements = "SELECT sum(calls)::float8 FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
                          WHERE d.datname = current_database()";
        // Without the extension, or the right to read it, statements are not counted.
        let statements = sqlx::query_scalar(statements).fetch_one(&database.pool).await.unwrap_or(None);
        let (transactions, wal, dead) = sqlx::query_as(
            "SELECT (xact_commit + xact_rollback)::float8, \
                    pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8, \
                    (SELECT sum(n_tup_upd + n_tup_del)::float8 FROM pg_stat_user_tables) \
             FROM pg_stat_database WHERE datname = current_database()",
        )
        .fetch_one(&database.pool)
        .await?;
        Ok(Self([statements, transactions, wal, dead]))
    }

    /// The cost of each of `jobs` that ran between `before` and these counters.
    pub(super) fn since(self, before: Self, jobs: f64) -> Self {
        Self(std::array::from_fn(|place| Some((self.0[place]? - before.0[place]?) / jobs)))
    }
}
