//! Values between the database and the store: sealed and opened, each bound to its place.

use super::AuthStore;
use crate::auth::codec::{self, DecodeError};
use crate::auth::error::AuthError;
use crate::auth::kind::Kind;
use crate::auth::vault::{SealError, SealPlace};
use serde_json::Value;

impl AuthStore {
    /// Seals the value of a key, in a form that JSONB can hold.
    pub(in crate::auth) fn seal(&self, kind: Kind, key_id: &str, value: Value) -> Result<Value, AuthError> {
        let place = self.place(kind, key_id);
        self.vault.seal(place, codec::storable(value)).map_err(|source| self.seal_error(place, source))
    }

    /// Opens the value of a key.
    pub(super) fn unseal(&self, kind: Kind, key_id: &str, value: Value) -> Result<Value, AuthError> {
        let place = self.place(kind, key_id);
        self.vault.unseal(place, value).map_err(|source| self.seal_error(place, source))
    }

    pub(in crate::auth) fn seal_creds(&self, creds: Value) -> Result<Value, AuthError> {
        let place = SealPlace::creds(self.hold.fence.session_id);
        self.vault.seal(place, codec::storable(creds)).map_err(|source| self.seal_error(place, source))
    }

    pub(in crate::auth) fn unseal_creds(&self, creds: Value) -> Result<Value, AuthError> {
        let place = SealPlace::creds(self.hold.fence.session_id);
        self.vault.unseal(place, creds).map_err(|source| self.seal_error(place, source))
    }

    fn place<'a>(&self, kind: Kind, key_id: &'a str) -> SealPlace<'a> {
        SealPlace::key(self.hold.fence.session_id, kind, key_id)
    }

    fn seal_error(&self, place: SealPlace<'_>, source: SealError) -> AuthError {
        let (kind, key_id) = (place.kind.to_owned(), place.key_id.to_owned());
        AuthError::Sealed { session_id: self.hold.fence.session_id, kind, key_id, source }
    }

    pub(in crate::auth) fn unreadable(&self, kind: Kind, key_id: &str, source: DecodeError) -> AuthError {
        let session_id = self.hold.fence.session_id;
        AuthError::Unreadable { session_id, kind: kind.name(), key_id: key_id.to_owned(), source }
    }
}
