//! Auth state: what keeps a linked device linked, as JSONB rows in Postgres.
//!
//! [`AuthStore`] is the storage backend of the client library, complete and without a cache: `wa.auth` holds the
//! credentials of a session, `wa.auth_key` everything else. A killed worker's sessions therefore go on anywhere.
//!
//! # Shapes
//!
//! [`Kind`] lists every kind of key with its id and its value; names are those of Baileys where it has the thing.
//! Bytes inside a value are written as `{"type":"Buffer","data":"<base64>"}` and read in every shape that has been seen
//! ([`codec`]). Ids of several parts are joined with `|` (`key_id`). A value that cannot be read gives
//! [`AuthError::Unreadable`], which names session, kind, id, field and what is accepted, and is never shown. Of a key that
//! is a warning in the log: the value goes to `wa.auth_quarantine` with that reason, `wa.event` tells of it, and the
//! session goes on as if the key were not there. Credentials stay where they are, and the session does not connect.
//!
//! # Encryption
//!
//! With a key configured, bytes inside values are sealed where they stand (`vault`). A value that does not open is neither
//! moved nor overwritten.
//!
//! # Time to live
//!
//! [`Kind::time_to_live`]; `put` writes the deadline into `expires_at`, and the sweep of `wa.maintenance_job` deletes by it.
//!
//! # Fencing
//!
//! Each write is one statement that share-locks the row in `wa.lease` and does nothing unless it still has the epoch of
//! the [`Fence`](crate::db::fence::Fence) and a holder. Its answer counts the leases found beside the rows touched, so
//! that [`AuthError::Stale`] is never taken for "there was nothing to do", nor the other way round. A stale write also
//! cancels the token given to [`AuthStore::new`]. A takeover updates the lease row and so waits for writes under way.
//!
//! # Round trips
//!
//! One statement per call, batches included (`unnest`), rows always in the order of their ids, so that no two batches
//! deadlock. `kind` and `expires_at` are columns: a sweep needs to know no value.
//!
//! # The next kind
//!
//! 1. Add it to [`Kind`] with its id and value in the doc comment, and its name to the comment on `wa.auth_key.kind`.
//! 2. Write its two functions, to JSON and from JSON, beside the others of its trait; use [`codec::Fields`] to read.
//! 3. Use `put_many`, `get`, `remove` … of `store.rs`. Only what must be decided inside the database (a merge, a
//!    comparison) gets a statement of its own in `sql/auth/`; copy the `lease` part of a neighbour.
//! 4. Say how long it lives ([`Kind::time_to_live`], `docs/auth.md`).
//! 5. Add a case to the conformance suite in `tests/auth/conformance.rs`, and each new write to its test of stale epochs.

mod ahead;
mod app_sync;
mod arrival;
pub mod backup;
pub mod baileys;
pub mod codec;
pub mod creds;
mod device;
mod error;
#[cfg(any(test, feature = "sandbox"))]
pub(crate) mod fuzzing;
mod key_id;
mod kind;
mod message_secret;
mod passkey;
mod protocol;
mod records;
mod sent;
mod signal;
pub mod snapshot;
mod store;
mod traffic;
mod vault;

pub use arrival::ArrivalError;
pub use device::{Found, found};
pub use error::AuthError;
pub use kind::Kind;
pub(crate) use message_secret::secret_of_row;
pub(crate) use passkey::PasskeyLinking;
pub use store::AuthStore;
pub use traffic::Traffic;
pub use vault::{KEY_LENGTH, Place, SealError, Vault, VaultError, key_from_text};
