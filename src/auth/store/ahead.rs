//! Reading ahead of the client library (A3).
//!
//! The library asks for the devices of people, and then, one by one, for a session and an identity with each device.
//! The store reads sessions and identities in the same statement as the device list, for everybody whose devices are
//! asked for at the same time, and answers the later questions from its cache.
//!
//! The library asks for a trusted-contact token at each message; the cache answers that too.

use super::cache::Lookup;
use super::{AuthStore, KeyRow};
use crate::auth::codec::DecodeError;
use crate::auth::error::AuthError;
use crate::auth::kind::Kind;
use serde_json::Value;

impl AuthStore {
    /// Reads a person's device list, and ahead of time the sessions and identities of these devices; one statement
    /// serves all who wait.
    pub(super) async fn devices(&self, person: &str) -> Result<Option<Value>, AuthError> {
        let mut answer = self.cache.ask(person);
        let turn = self.cache.turn.lock().await;
        if let Ok(list) = answer.try_recv() {
            return Ok(list);
        }
        // Lets tasks that are about to ask join.
        tokio::task::yield_now().await;
        let reading = self.cache.begin();
        let people = reading.people();
        let run =
            || sqlx::query_file!("sql/auth/devices.sql", self.hold.fence.session_id, &people).fetch_all(&self.hold.db);
        let rows = self.ask(Kind::DeviceList.name(), run).await?;
        reading.end(rows.into_iter().filter_map(|row| {
            let kind = Kind::named(&row.kind)?;
            Some((row.person, kind, row.key_id, row.value))
        }));
        drop(turn);
        match answer.try_recv() {
            Ok(list) => Ok(list),
            // The task that asked for us has failed.
            Err(_) => self.get_raw(Kind::DeviceList, person).await,
        }
    }

    /// Reads somebody's trusted-contact token.
    pub(in crate::auth) async fn token<T, F>(&self, key_id: &str, decode: F) -> Result<Option<T>, AuthError>
    where
        T: Send,
        F: Fn(Value) -> Result<T, DecodeError> + Send + Sync,
    {
        let row = |value| KeyRow { key_id: key_id.to_owned(), value };
        match self.cache.token(key_id) {
            Lookup::Value(value) => return self.decode(Kind::TcToken, row(value), decode).await,
            Lookup::Absent => return Ok(None),
            Lookup::Unknown => {}
        }
        let writes = self.cache.token_writes();
        let Some(value) = self.get_raw(Kind::TcToken, key_id).await? else {
            self.cache.remember_token(writes, key_id, None);
            return Ok(None);
        };
        let token = self.decode(Kind::TcToken, row(value.clone()), decode).await?;
        self.cache.remember_token(writes, key_id, token.is_some().then_some(value));
        Ok(token)
    }
}
