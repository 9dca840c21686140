//! The database: pools, migrations, LISTEN, backoff, fence and hold of a session, and the private server of `wagres up`.

pub mod backoff;
pub mod cluster;
pub mod fence;
pub mod hold;
pub mod listener;
pub mod migrate;
pub mod outage;
pub mod pool;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use std::str::FromStr;
use std::time::Duration;

use crate::config::Secret;

pub use pool::Db;

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The URL is not one of Postgres.
    #[error("database_url: not a Postgres URL: {0}; accepted is postgres://user:password@host:port/database")]
    Url(#[source] sqlx::Error),
    /// No connection; the text has the server's or the system's reason.
    #[error("cannot connect to the database: {0}")]
    Connect(#[source] sqlx::Error),
    /// Statements go through a pooler that shares connections, and nobody said so.
    #[error(
        "database_url: this leads to a pooler that changes connections between transactions (as PgBouncer's pool_mode = \
         transaction does); accepted is the server itself, or a pooler with database_pooler = true \
         (WAGRES_DATABASE_POOLER=true)"
    )]
    Pooler,
    /// What this needs is not to be had through a pooler.
    #[error(
        "database_pooler: {0} needs the server itself; set database_url to it, and database_pooler to false, for this"
    )]
    NotThroughPooler(&'static str),
    /// A migration failed or the schema is newer than this program.
    #[error("migrating the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database was migrated by a version from before the first release, whose tables were laid out otherwise.
    #[error(
        "migrating the database: it was made before the first release, by an older layout of the tables, and cannot be \
         migrated; save each session with wagres backup, then migrate a new database and wagres restore them there"
    )]
    OldLayout,
    /// A replaced function, trigger or view did not apply.
    #[error("applying {file}: {source}")]
    Schema {
        /// The file under `sql/schema`.
        file: String,
        /// Why.
        source: sqlx::Error,
    },
    /// Any other statement.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
}

/// Connects a pool of at most `connections` to the server itself, and makes sure that it answers.
pub async fn connect(url: &Secret, connections: u32, name: &str) -> Result<PgPool, DbError> {
    let options = options(url, name)?;
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        // The pool asks a connection how it is when it comes back. One that died while it lay there gives an error that
        // everybody here has to expect of any statement, and asking again before each would double their round trips.
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(DbError::Connect)
}

/// Connection options with the name that `pg_stat_activity` shows.
pub fn options(url: &Secret, name: &str) -> Result<PgConnectOptions, DbError> {
    let options = PgConnectOptions::from_str(url.expose()).map_err(DbError::Url)?;
    // The driver's wish for more digits is of servers older than 12, and poolers refuse the setting.
    Ok(options.extra_float_digits(None).application_name(name))
}
