//! Migrations, then the parts of the schema that are replaced whole: functions, triggers, views.
//!
//! No release has been made yet. Until the first one the files of `migrations/` are edited in place, each table whole
//! in one file; from then on never: a change is a new file. Files of `sql/schema` may be edited and renamed at any
//! time.

use super::DbError;
use sqlx::migrate::{AppliedMigration, Migrate as _, MigrateError, Migrator};
use sqlx::{Connection, Executor, PgPool};

/// Tables, types, indexes and policies.
static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// Functions, triggers and views, in the order of the files' numbers. The macro only reads the folder; sqlx keeps no
/// record of these files.
static SCHEMA: Migrator = sqlx::migrate!("./sql/schema");

/// The last migration of the database, and the last one that this version knows.
///
/// # Errors
/// The database was never migrated, has another layout, or does not answer.
pub async fn versions(pool: &PgPool) -> Result<(i64, i64), DbError> {
    let applied = pool.acquire().await?.list_applied_migrations("_sqlx_migrations").await?;
    if other_layout(&applied) {
        return Err(DbError::OldLayout);
    }
    let last = applied.iter().map(|migration| migration.version).max();
    Ok((last.unwrap_or(0), MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)))
}

/// Brings the schema `wa` up to this version. Safe to run from several processes at once: sqlx holds an advisory lock
/// for the migrations, and the replaced part is one transaction under a lock of its own.
///
/// # Errors
/// A migration that fails leaves the earlier ones in place; the replaced part applies whole or not at all. A database
/// of another layout stays as it is.
pub async fn migrate(pool: &PgPool) -> Result<(), DbError> {
    match MIGRATIONS.run(pool).await {
        Ok(()) => {}
        // sqlx looks for missing migrations first, and an older layout had more of them.
        Err(error @ (MigrateError::VersionMissing(_) | MigrateError::VersionMismatch(_))) => {
            versions(pool).await?;
            return Err(error.into());
        }
        Err(error) => return Err(error.into()),
    }
    let mut connection = pool.acquire().await?;
    let mut tx = connection.begin().await?;
    // The number of the lock is "wagres" on a telephone keypad.
    tx.execute("SELECT pg_advisory_xact_lock(924737)").await?;
    // "IF EXISTS" causes a notice for each object; only warnings are worth reading.
    tx.execute("SET LOCAL client_min_messages = warning").await?;
    for file in SCHEMA.iter() {
        (&mut *tx).execute(sqlx::raw_sql(file.sql.clone())).await.map_err(|source| DbError::Schema {
            file: format!("{:02}_{}.sql", file.version, file.description.replace(' ', "_")),
            source,
        })?;
    }
    tx.commit().await?;
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
        for (folder, compiled) in [("migrations", &MIGRATIONS), ("sql/schema", &SCHEMA)] {
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
