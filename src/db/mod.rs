//! The database: pools, migrations, LISTEN, backoff, fence and hold of a session, the gate for what comes from outside
//! and the quarantine for what is refused, and the private server of `wagres up`.

pub mod backoff;
pub mod cluster;
pub mod fence;
pub mod folder;
pub mod hold;
pub mod listener;
pub mod migrate;
pub mod outage;
pub mod pieces;
pub mod pool;
pub mod proof;
pub mod quarantine;
pub mod storable;
pub mod transaction;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _};
use std::str::FromStr;
use std::time::Duration;

use crate::config::Secret;

pub use pool::Db;

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// The URL is not one of Postgres.
    #[error("database_url: not a Postgres URL: {0}; accepted is postgres://user:password@host:port/database")]
    Url(#[source] sqlx::Error),
    /// No connection; the text has the server's or the system's reason.
    #[error("cannot connect to the database: {0}")]
    Connect(#[source] sqlx::Error),
    /// The server takes the connection and says nothing, or nothing answers at the address.
    #[error("cannot connect to the database: no answer within {} s", PATIENCE.as_secs())]
    Silent,
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
    /// Somebody else kept a table locked, or migrated at the same time, for the whole time.
    #[error(
        "migrating the database: gave up after {seconds} s, because somebody holds a lock that it needs: {holders}; end \
         that transaction, or run this again later"
    )]
    Blocked {
        /// How long it was tried.
        seconds: u64,
        /// Who holds the lock, by application, process and user.
        holders: String,
    },
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
    // The pool takes a refusal for a server that starts, and tries again for as long as it is patient. Whoever starts a
    // program wants to know at once; only a server that says that it starts is given the time.
    match tokio::time::timeout(PATIENCE, options.connect()).await {
        Ok(Ok(connection)) => connection.close().await.map_err(DbError::Connect)?,
        Ok(Err(sqlx::Error::Database(refused))) if refused.is_transient_in_connect_phase() => {}
        Ok(Err(error)) => return Err(DbError::Connect(error)),
        Err(_) => return Err(DbError::Silent),
    }
    pool_options(connections).connect_with(options).await.map_err(DbError::Connect)
}

/// Options of a pool of at most `connections`.
fn pool_options(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        // The pool checks a connection when it is returned. A connection that dies afterwards gives an error that every
        // caller has to expect of any statement; a check before each statement would double the round trips.
        .test_before_acquire(false)
}

/// Connection options with the name that `pg_stat_activity` shows.
pub fn options(url: &Secret, name: &str) -> Result<PgConnectOptions, DbError> {
    let options = PgConnectOptions::from_str(url.expose()).map_err(DbError::Url)?;
    // The driver sets `extra_float_digits` for servers older than 12, and poolers refuse the setting.
    Ok(options.extra_float_digits(None).application_name(name))
}
