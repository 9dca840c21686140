//! The database: pools, migrations, LISTEN, backoff, fence and hold of a session, and the private server of `wagres
//! up`.

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
    /// The URL leads to a pooler that shares connections, and `database_pooler` is false.
    #[error(
        "database_url: this leads to a pooler that changes connections between transactions (as PgBouncer's pool_mode = \
         transaction does); accepted is the server itself, or a pooler with database_pooler = true \
         (WAGRES_DATABASE_POOLER=true)"
    )]
    Pooler,
    /// The operation is impossible through a pooler.
    #[error(
        "database_pooler: {0} needs the server itself; set database_url to it, and database_pooler to false, for this"
    )]
    NotThroughPooler(&'static str),
    /// A migration failed, or the schema is newer than this program.
    #[error("migrating the database: {0}")]
    Migrate(#[from] sqlx::migrate::MigrateError),
    /// The database was made before the first release, with another layout of the tables.
    #[error(
        "migrating the database: it was made before the first release, by an older layout of the tables, and cannot be \
         migrated; save each session with wagres backup, then migrate a new database and wagres restore them there"
    )]
    OldLayout,
    /// A function, trigger or view could not be replaced.
    #[error("applying {file}: {source}")]
    Schema {
        /// The file under `sql/schema`.
        file: String,
        /// The database's error.
        source: sqlx::Error,
    },
    /// Any other statement.
    #[error("database: {0}")]
    Sql(#[from] sqlx::Error),
}

/// Connects a pool of at most `connections` to the server itself, and checks that the server answers.
pub async fn connect(url: &Secret, connections: u32, name: &str) -> Result<PgPool, DbError> {
    let options = options(url, name)?;
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        // The pool checks a connection when it is returned. A connection that dies afterwards gives an error that every
        // caller has to expect of any statement; a check before each statement would double the round trips.
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .map_err(DbError::Connect)
}

/// Connection options with the name that `pg_stat_activity` shows.
pub fn options(url: &Secret, name: &str) -> Result<PgConnectOptions, DbError> {
    let options = PgConnectOptions::from_str(url.expose()).map_err(DbError::Url)?;
    // The driver sets `extra_float_digits` for servers older than 12, and poolers refuse the setting.
    Ok(options.extra_float_digits(None).application_name(name))
}
