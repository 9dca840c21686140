//! Auth state: credentials and keys of linked devices, as JSONB rows in Postgres.
//!
//! [`AuthStore`] is the complete storage backend of the client library: `wa.auth` holds the credentials of a session,
//! `wa.auth_key` everything else. Memory holds only copies of rows, so the sessions of a killed worker continue
//! anywhere. The layer below is `message`, the conversion between rows and WhatsApp's protobuf.
//!
//! # Shapes
//!
//! [`Kind`] lists every kind of key with its id and its value; the names are those of Baileys where it has the same
//! kind. Bytes inside a value are written as `{"type":"Buffer","data":"<base64>"}` and read in every shape that other
//! programs write ([`codec`]). Ids of several parts are joined with `|` (`key_id`). A value that cannot be read gives
//! [`AuthError::Unreadable`], which names session, kind, id, field and the accepted shapes, never the value. An
//! unreadable key is a warning in the log: the value moves to `wa.auth_quarantine` with that reason, `wa.event` has
//! `key_quarantined`, and the session continues as if the key were missing. Unreadable credentials stay in place, and
//! the session does not connect.
//!
//! # Encryption
//!
//! With a key configured, bytes inside values are sealed in place (`vault`). A value that does not open is neither
//! moved nor overwritten.
//!
//! # Time to live
//!
//! [`Kind::time_to_live`]; `put` writes the deadline into `expires_at`, and the sweep of `wa.maintenance_job` deletes
//! by it.
//!
//! # Fencing
//!
//! Each write is one statement that share-locks the row in `wa.lease` and does nothing unless the lease still has the
//! epoch of the [`Fence`](crate::db::fence::Fence) and a holder. Its answer counts the leases found beside the rows
//! touched, so that [`AuthError::Stale`] is never taken for "there was nothing to do", nor the other way round. A stale
//! write also ends the [`Hold`](crate::db::hold::Hold) given to [`AuthStore::new`]. A takeover updates the lease row,
//! and therefore waits for writes under way.
//!
//! # Round trips
//!
//! One statement per call, batches included (`unnest`). Rows are locked in the order of their ids, so that no two
//! batches deadlock. `kind` and `expires_at` are columns: a sweep reads no value. Sessions, identities, device lists
//! and tokens are read ahead (`store::ahead`). Every write passes its `store::Write` to the store, which makes the
//! cache forget the keys that the write concerns.
//!
//! # The next kind
//!
//! 1. Add it to [`Kind`] with its id and value in the doc comment, and its name to the comment on `wa.auth_key.kind`.
//! 2. Write its two functions, to JSON and from JSON, beside the others of its trait; use [`codec::Fields`] to read.
//! 3. Use `put_many`, `get`, `remove` … of `store`. Only a decision inside the database (a merge, a comparison) gets a
//!    statement of its own in `sql/auth/`; copy the CTE `held` of a neighbour, and run it by `AuthStore::write`.
//! 4. Set how long it lives ([`Kind::time_to_live`], `docs/auth.md`).
//! 5. Add a case to the conformance suite in `tests/auth/conformance.rs`, each new write to the test of stale epochs in
//!    `tests/auth/fencing.rs`, and each write of a cached kind to `tests/auth/reading_ahead.rs`.

mod app_sync;
pub mod backup;
pub mod baileys;
pub mod codec;
pub mod creds;
mod device;
mod error;
#[cfg(any(test, feature = "sandbox"))]
pub(crate) mod fuzzing;
mod import_target;
mod key_id;
mod kind;
mod message_secret;
mod partner;
mod passkey;
mod protocol;
pub(crate) mod random;
mod ratchets;
mod records;
pub mod sealing;
mod sent;
mod signal;
pub mod snapshot;
mod store;
mod traffic;
mod vault;
mod webhook;

pub use device::{SessionCredentials, proxy_url, session_credentials};
pub use error::AuthError;
pub use import_target::ImportTargetError;
pub use kind::Kind;
pub(crate) use message_secret::secret_of_row;
pub use partner::partner_key;
pub(crate) use passkey::PasskeyLinking;
pub use ratchets::RatchetWriter;
pub use store::AuthStore;
pub use traffic::Traffic;
pub use vault::{KEY_LENGTH, SealError, SealPlace, Vault, VaultError, key_from_text};
pub use webhook::{SealSecretsError, SecretError, seal_webhook_secrets, webhook_secret};
