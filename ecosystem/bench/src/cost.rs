//! What a run cost the database, from its own counters: statements, transactions, WAL, dead row versions.
//!
//! The WAL is counted for the whole server, so on a server with other work it says nothing. A count includes what the
//! worker does besides, its start and its heartbeats, and a few looks of the benchmark.

use super::server::Database;
use std::time::Duration;

/// What is counted, and in what unit. Each update and deletion leaves a version of a row that vacuum has to clear.
pub(super) const COUNTED: [(&str, &str); 4] = [
    ("statements a job", "statements"),
    ("transactions a job", "transactions"),
    ("WAL a job", "bytes"),
    ("dead row versions a job", "rows"),
];

/// The counters at one moment, or what each job added to them, in the order of [`COUNTED`]. Statements are known only
/// where `pg_stat_statements` counts them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost(pub(super) [Option<f64>; 4]);

impl Cost {
    /// Reads the counters once everybody else has left the database, for only then has everybody reported.
    pub(super) async fn so_far(database: &Database) -> anyhow::Result<Self> {
        let others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                      AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
        while sqlx::query_scalar::<_, i64>(others).fetch_one(&database.pool).await? > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        sqlx::query("SELECT pg_stat_force_next_flush()").execute(&database.pool).await?;
        let statements = "SELECT sum(calls)::float8 FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid \
                          WHERE d.datname = current_database()";
        // Not installed, not loaded, not allowed: not counted.
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

    /// The cost of each of `jobs` that ran between `before` and now.
    pub(super) fn since(self, before: Self, jobs: f64) -> Self {
        Self(std::array::from_fn(|place| Some((self.0[place]? - before.0[place]?) / jobs)))
    }
}
