//! Whether the auth state of a database has to be sealed (A6).
//!
//! The first worker that seals notes it in `wa.sealing`. From then on a program without the key may not write, because
//! it would leave keys in the clear beside sealed ones, and nobody would see it.

use super::vault::Vault;
use sqlx::PgExecutor;

/// Why a program may not write the auth state.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// The auth state is sealed with a key that is not configured.
    #[error(
        "encryption: the auth state of this database is sealed, last with the key {0:?}, which is not configured here; \
         accepted is an [encryption] that has it among encryption.keys, as that of the other workers. To go back to an \
         auth state in the clear, open every value first and then run wagres auth plain (docs/auth.md)"
    )]
    Required(String),
    /// The database refused or could not be reached.
    #[error("reading wa.sealing: {0}")]
    Sql(#[from] sqlx::Error),
}

/// Notes the key in force. Without one, refuses a database whose auth state was last sealed with a key that is not in
/// the vault. A vault that has the key, but none in force, may write: that is how values are opened again.
///
/// # Errors
/// See [`SealingError`].
pub async fn check(vault: &Vault, executor: impl PgExecutor<'_>) -> Result<(), SealingError> {
    if let Some(key) = vault.current() {
        sqlx::query_file!("sql/auth/sealing_note.sql", key).execute(executor).await?;
        return Ok(());
    }
    let required = sqlx::query_file_scalar!("sql/auth/sealing.sql").fetch_optional(executor).await?;
    required.filter(|key| !vault.has(key)).map_or(Ok(()), |key| Err(SealingError::Required(key)))
}
