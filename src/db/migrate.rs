//! Migrations, then the parts of the schema that are replaced whole: functions, triggers, views.
//!
//! No release has been made yet. Until the first one the files of `migrations/` are edited in place, each table whole
//! in one file; from then on never: a change is a new file. Files of `sql/schema` may be edited and renamed at any
//! time.

use super::DbError;
use super::backoff::Backoff;
use super::outage::is_busy;
use sqlx::migrate::{AppliedMigration, Migrate as _, MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgPool};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// How long to wait for one lock. Inserts of applications wait behind it for as long.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '200ms'";
/// How long to try again and again.
const GIVE_UP: Duration = Duration::from_mins(1);
/// How often to look who holds a lock.
const LOOK: Duration = Duration::from_millis(50);

/// Keeps others from migrating, until the transaction ends. Only the owner of the schema may take this lock; an advisory
/// lock, as sqlx takes one, everybody may take who can log in (R8).
const LOCK: &str = "LOCK TABLE wa.schema_state IN SHARE ROW EXCLUSIVE MODE";

/// Told how many parts of how many are done.
pub type Show<'a> = &'a (dyn Fn(u64, u64) + Sync);

/// The table in which sqlx notes the migrations of a database.
const APPLIED: &str = "_sqlx_migrations";

/// Tables, types, indexes and policies.
static MIGRATIONS: LazyLock<Migrator> = LazyLock::new(|| {
    let mut migrations = sqlx::migrate!("./migrations");
    migrations.set_locking(false);
    migrations
});

/// Functions, triggers and views, in the order of the files' numbers. The macro only reads the folder; sqlx keeps no
/// record of these files.
static SCHEMA: Migrator = sqlx::migrate!("./sql/schema");

/// The last migration of the database, and the last one that this version knows.
///
/// # Errors
/// The database was never migrated, has another layout, or does not answer.
pub async fn versions(pool: &PgPool) -> Result<(i64, i64), DbError> {
    let applied = pool.acquire().await?.list_applied_migrations(APPLIED).await?;
    if other_layout(&applied) {
        return Err(DbError::OldLayout);
    }
    let last = applied.iter().map(|migration| migration.version).max();
    Ok((last.unwrap_or(0), MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)))
}

/// Brings the schema `wa` up to this version. A database that is at this version is left alone, without any lock.
/// Otherwise it waits for each lock only for a moment, because applications wait behind it, and tries again for a minute;
/// the log names who is in the way (R8). Safe to run from several processes at once.
///
/// # Errors
/// All of it is one transaction, so the database stays as it was.
pub async fn migrate(pool: &PgPool) -> Result<(), DbError> {
    migrate_within(pool, GIVE_UP).await
}

/// The same, and tells `show` how many parts of how many are done.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_showing(pool: &PgPool, show: Show<'_>) -> Result<(), DbError> {
    migrate_and_show(pool, GIVE_UP, show).await
}

/// The same, but tries for as long as `limit`.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_within(pool: &PgPool, limit: Duration) -> Result<(), DbError> {
    migrate_and_show(pool, limit, &|_, _| {}).await
}

async fn migrate_and_show(pool: &PgPool, limit: Duration, show: Show<'_>) -> Result<(), DbError> {
    let options = pool.connect_options().as_ref().clone().application_name("wagres migrate");
    // A connection of its own, because its settings end with it.
    let mut connection = options.connect().await.map_err(DbError::Connect)?;
    let migrated = repeat(&mut connection, &options, limit, show).await;
    let closed = connection.close().await;
    migrated?;
    Ok(closed?)
}

async fn repeat(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
    limit: Duration,
    show: Show<'_>,
) -> Result<(), DbError> {
    connection.execute(LOCK_TIMEOUT).await?;
    let (began, mut backoff) = (Instant::now(), Backoff::new(Duration::from_millis(500), Duration::from_secs(3)));
    loop {
        let (applied, holders) = apply_and_look(connection, options, show).await?;
        match applied {
            Err(error) if is_blocked(&error, is_busy) => {
                let holders = holders.unwrap_or_else(|| "it was gone before it could be named".into());
                if began.elapsed() >= limit {
                    return Err(DbError::Blocked { seconds: began.elapsed().as_secs(), holders });
                }
                tracing::warn!(holders, "migrating waits for a lock; retrying");
                backoff.sleep().await;
            }
            // Both made the first tables of an empty database, and the other one was the first.
            Err(error) if is_blocked(&error, is_made_already) && began.elapsed() < limit => backoff.sleep().await,
            applied => return applied,
        }
    }
}

/// Whether the error of a statement is such a one.
fn is_blocked(error: &DbError, by: impl Fn(&sqlx::Error) -> bool) -> bool {
    match error {
        DbError::Sql(error)
        | DbError::Schema { source: error, .. }
        | DbError::Migrate(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => by(error),
        _ => false,
    }
}

/// Whether two transactions made a schema, table or type of the same name at the same time. Without the other one, the
/// server would see the name before it inserts a row into its catalog.
fn is_made_already(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| {
        error.is_unique_violation() && error.constraint().is_some_and(|index| index.starts_with("pg_"))
    })
}

/// Migrates, and meanwhile looks from another connection who holds the locks. Returns the last that were seen.
async fn apply_and_look(
    connection: &mut PgConnection,
    options: &PgConnectOptions,
    show: Show<'_>,
) -> Result<(Result<(), DbError>, Option<String>), DbError> {
    if is_current(connection).await? {
        return Ok((Ok(()), None));
    }
    let process = sqlx::query_scalar!(r#"SELECT pg_backend_pid() AS "process!""#).fetch_one(&mut *connection).await?;
    let mut observer = options.connect().await.map_err(DbError::Connect)?;
    let mut seen = None;
    let applied = {
        let mut applied = std::pin::pin!(apply(connection, show));
        loop {
            tokio::select! {
                biased;
                applied = &mut applied => break applied,
                () = tokio::time::sleep(LOOK) => {}
            }
            let holders = sqlx::query_file_scalar!("sql/migrate/holders.sql", process).fetch_one(&mut observer).await?;
            seen = holders.or(seen);
        }
    };
    observer.close().await?;
    Ok((applied, seen))
}

/// Whether the database is at this version in every part.
async fn is_current(connection: &mut PgConnection) -> Result<bool, DbError> {
    if !has_state(connection).await? {
        return Ok(false);
    }
    let applied = connection.list_applied_migrations(APPLIED).await?;
    let same = |old: &AppliedMigration| {
        MIGRATIONS.iter().any(|own| own.version == old.version && own.checksum == old.checksum)
    };
    if applied.len() != MIGRATIONS.iter().count() || !applied.iter().all(same) {
        return Ok(false);
    }
    schema_is_current(connection).await
}

/// Whether the database has the table of [`LOCK`], which the first migration makes.
async fn has_state(connection: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar!(r#"SELECT to_regclass('wa.schema_state') IS NOT NULL AS "has!""#).fetch_one(connection).await
}

async fn schema_is_current(connection: &mut PgConnection) -> Result<bool, DbError> {
    let same =
        sqlx::query_file_scalar!("sql/migrate/is_current.sql", schema_hash()).fetch_one(&mut *connection).await?;
    // Only then does the database have the function that the second statement calls.
    Ok(same && !sqlx::query_file_scalar!("sql/migrate/grants_differ.sql").fetch_one(connection).await?)
}

/// A hash of the files of the replaced part, in their order.
fn schema_hash() -> Vec<u8> {
    SCHEMA.iter().flat_map(|file| file.checksum.iter().copied()).collect()
}

async fn apply(connection: &mut PgConnection, show: Show<'_>) -> Result<(), DbError> {
    let mut tx = connection.begin().await?;
    match apply_within(&mut tx, show).await {
        Ok(()) => Ok(tx.commit().await?),
        Err(error) => {
            // Now and not before the next statement, because others may wait for what it has locked.
            drop(tx.rollback().await);
            Err(error)
        }
    }
}

async fn apply_within(tx: &mut PgConnection, show: Show<'_>) -> Result<(), DbError> {
    if has_state(tx).await? {
        tx.execute(LOCK).await?;
    } else {
        // Nothing is there to be locked. Whoever makes the schema or this table first is waited for by the others.
        tx.execute("CREATE SCHEMA IF NOT EXISTS wa").await?;
        tx.ensure_migrations_table(APPLIED).await?;
        tx.execute("LOCK TABLE _sqlx_migrations IN SHARE ROW EXCLUSIVE MODE").await?;
    }
    match MIGRATIONS.run(&mut *tx).await {
        Ok(()) => {}
        // sqlx looks for missing migrations first, and an older layout had more of them.
        Err(error @ (MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_))) => {
            let applied = tx.list_applied_migrations(APPLIED).await?;
            return Err(if other_layout(&applied) { DbError::OldLayout } else { error.into() });
        }
        Err(error) => return Err(error.into()),
    }
    // Whoever came when the table was there already has only this lock.
    tx.execute(LOCK).await?;
    if schema_is_current(tx).await? {
        // Another process has just done it.
        return Ok(());
    }
    // "IF EXISTS" causes a notice for each object; only warnings are worth reading.
    tx.execute("SET LOCAL client_min_messages = warning").await?;
    let total = SCHEMA.iter().count() as u64;
    for (done, file) in (1..).zip(SCHEMA.iter()) {
        tx.execute(sqlx::raw_sql(file.sql.clone())).await.map_err(|source| DbError::Schema {
            file: format!("{:02}_{}.sql", file.version, file.description.replace(' ', "_")),
            source,
        })?;
        show(done, total);
    }
    sqlx::query_file!("sql/migrate/keep_state.sql", schema_hash()).execute(tx).await?;
    Ok(())
}

/// Whether a migration of the database differs from this version's migration with the same number.
fn other_layout(applied: &[AppliedMigration]) -> bool {
    applied.iter().any(|old| MIGRATIONS.iter().any(|own| own.version == old.version && own.checksum != old.checksum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The compiler does not notice a new file by itself: `touch src/db/migrate.rs`.
    #[test]
    fn every_file_is_compiled_in() -> Result<(), std::io::Error> {
        for (folder, compiled) in [("migrations", &*MIGRATIONS), ("sql/schema", &SCHEMA)] {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let mut files = BTreeSet::new();
            for file in std::fs::read_dir(path)? {
                files.insert(std::fs::read_to_string(file?.path())?);
            }
            let texts: BTreeSet<String> = compiled.iter().map(|file| file.sql.as_str().to_owned()).collect();
            assert!(files == texts, "{folder}: not every file is compiled in as it is");
        }
        Ok(())
    }
}
