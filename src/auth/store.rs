//! The store itself, and the few operations on keys from which the storage traits are made.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::sync::{Mutex, RwLock, mpsc::UnboundedSender};
use wacore::libsignal::protocol::PrivateKey;

use super::{
    ahead::{self, Ahead, Known},
    codec::{self, DecodeError},
    error::AuthError,
    kind::Kind,
    traffic::Traffic,
    vault::{Place, SealError, Vault},
};
use crate::{
    db::{Db, fence::Fence, hold::Hold},
    telemetry,
};

/// Auth state of one session, under one hold of it. The storage backend of the client library.
///
/// It keeps nothing in memory but what it has read ahead (`ahead`), and each call is one statement at most, which waits while
/// the database is away. Reads are free; each write checks the fence in its own statement. The first write that finds
/// another epoch ends the hold, because then the client has to stop: the session belongs to somebody else.
pub struct AuthStore {
    hold: Hold,
    vault: Arc<Vault>,
    ahead: Ahead,
    /// Held while the credentials are being written, so that none overtake those that were there before.
    pub(super) saving: Mutex<()>,
    /// The device's identity, once the credentials were read or written.
    pub(super) identity: OnceLock<PrivateKey>,
    /// Statements so far.
    statements: AtomicU64,
    /// Held for reading while what came in is being kept.
    arriving: RwLock<()>,
    /// Told of messages that the library has read before and nobody has kept, by their ids.
    missed: Option<UnboundedSender<String>>,
    /// What the client is about; without, everything may be needed.
    traffic: Option<Arc<Traffic>>,
}

/// For so long ratchets wait for what is on its way from its decryption to its row; the library does nothing in between.
const ARRIVING: Duration = Duration::from_millis(3);

impl fmt::Debug for AuthStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthStore")
            .field("fence", &self.hold.fence)
            .field("lost", &self.hold.lost.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// What a fenced statement tells: whether the fence held, and how many rows it touched.
pub(super) struct Written {
    pub(super) held: i64,
    pub(super) affected: i64,
}

/// What a fenced delete of one key tells.
struct Taken {
    held: i64,
    value: Option<Value>,
}

/// A key as it was read.
pub(super) struct Row {
    pub(super) key_id: String,
    pub(super) value: Value,
}

/// Keys to be written together. Sorted by id, which is the order in which every batch locks its rows, and of two values
/// for one id the later alone, because a statement may not write a row twice.
pub(super) type Batch = BTreeMap<String, Value>;

impl AuthStore {
    /// The auth state of the session that is held. A write that finds another epoch ends the hold.
    /// Values are sealed with `vault`'s key in force, and opened with any of its keys.
    #[must_use]
    pub fn new(hold: Hold, vault: Arc<Vault>) -> Self {
        Self {
            hold,
            vault,
            ahead: Ahead::default(),
            saving: Mutex::default(),
            identity: OnceLock::new(),
            statements: AtomicU64::new(0),
            arriving: RwLock::default(),
            missed: None,
            traffic: None,
        }
    }

    /// Tells `missed` the id of each message that the library has read before and that is neither on its way into
    /// `wa.inbox` nor there. The library is then answered with [`AuthError::Missed`] and does not acknowledge it.
    #[must_use]
    pub fn telling(self, missed: UnboundedSender<String>) -> Self {
        Self { missed: Some(missed), ..self }
    }

    /// Leaves out what is not needed while the client is about no more than `traffic` says.
    #[must_use]
    pub fn watching(self, traffic: Arc<Traffic>) -> Self {
        Self { traffic: Some(traffic), ..self }
    }

    pub(super) fn traffic(&self) -> Option<&Traffic> {
        self.traffic.as_deref()
    }

    /// The hold under which this store writes.
    #[must_use]
    pub const fn fence(&self) -> Fence {
        self.hold.fence
    }

    /// How many statements this store has run: round trips to the database.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.statements.load(Ordering::Relaxed)
    }

    /// Deletes the credentials and all keys of the session, for a logout. Gives back how many rows went.
    pub async fn delete_all(&self) -> Result<u64, AuthError> {
        let done = || {
            sqlx::query_file_as!(Written, "sql/auth/delete_all.sql", self.hold.fence.session_id, self.hold.fence.epoch)
                .fetch_one(&self.hold.db)
        };
        let writing = self.ahead.writing(Kind::Session, ahead::Written::Any);
        let deleted = self.write("delete all", done).await?;
        writing.end();
        Ok(deleted)
    }

    /// Puts the credentials and all keys of the session into the quarantine. Gives back how many there were.
    pub async fn quarantine_all(&self, reason: &str) -> Result<u64, AuthError> {
        let Fence { session_id, epoch } = self.hold.fence;
        let done = || {
            sqlx::query_file_as!(Written, "sql/auth/quarantine_all.sql", session_id, epoch, reason)
                .fetch_one(&self.hold.db)
        };
        let writing = self.ahead.writing(Kind::Session, ahead::Written::Any);
        let moved = self.write("quarantine all", done).await?;
        writing.end();
        Ok(moved)
    }

    /// Waits until what has come in is kept, before ratchets are. The library writes all ratchets at once whenever one of
    /// them has to be, also that of a message that it has decrypted and not yet kept; if the worker died between the two,
    /// the message would come again and be taken for one that was had (R2).
    async fn after_arrivals(&self) {
        if self.traffic.as_ref().is_none_or(|traffic| traffic.recent()) {
            tokio::time::sleep(ARRIVING).await;
        }
        drop(self.arriving.write().await);
    }

    /// The answer to whoever asks for a message that was read and is nowhere.
    pub(super) fn missed(&self, message_id: &str) -> Result<(), AuthError> {
        let Some(missed) = &self.missed else { return Ok(()) };
        // Nobody hears it any more when the client ends; then the message stays unacknowledged, and comes again.
        drop(missed.send(message_id.to_owned()));
        Err(AuthError::Missed { session_id: self.hold.fence.session_id, message_id: message_id.to_owned() })
    }

    pub(crate) const fn pool(&self) -> &Db {
        &self.hold.db
    }

    /// Runs a statement that can be run twice. An outage of the database is waited out for as long as the session is held:
    /// the client library would go on without the answer, and what it decrypted and could not keep would be lost.
    pub(super) async fn ask<T, F>(&self, what: &'static str, ask: impl FnMut() -> F + Send) -> Result<T, AuthError>
    where
        F: Future<Output = sqlx::Result<T>> + Send,
    {
        self.statements.fetch_add(1, Ordering::Relaxed);
        let done = self.hold.ask(ask).await;
        done.map_err(|source| AuthError::Database { session_id: self.hold.fence.session_id, what, source })
    }

    /// The same with a fenced write. Tells a stale fence from a statement that had nothing to do, and gives back the number
    /// of rows touched.
    pub(super) async fn write<F>(&self, what: &'static str, write: impl FnMut() -> F + Send) -> Result<u64, AuthError>
    where
        F: Future<Output = sqlx::Result<Written>> + Send,
    {
        let tokens = (what == Kind::TcToken.name()).then(|| self.ahead.writing_tokens());
        let done = self.ask(what, write).await?;
        if let Some(tokens) = tokens {
            tokens.end();
        }
        self.held(done.held)?;
        Ok(u64::try_from(done.affected).unwrap_or(0))
    }

    fn held(&self, leases: i64) -> Result<(), AuthError> {
        if leases > 0 {
            return Ok(());
        }
        self.hold.lost.cancel();
        Err(AuthError::Stale { session_id: self.hold.fence.session_id, epoch: self.hold.fence.epoch })
    }

    fn place<'a>(&self, kind: Kind, key_id: &'a str) -> Place<'a> {
        Place::key(self.hold.fence.session_id, kind, key_id)
    }

    /// A value as it goes into the database.
    pub(super) fn sealed(&self, kind: Kind, key_id: &str, value: Value) -> Result<Value, AuthError> {
        let place = self.place(kind, key_id);
        self.vault.seal(place, value).map_err(|source| self.closed(place, source))
    }

    pub(super) fn sealed_creds(&self, creds: Value) -> Result<Value, AuthError> {
        let place = Place::creds(self.hold.fence.session_id);
        self.vault.seal(place, creds).map_err(|source| self.closed(place, source))
    }

    pub(super) fn opened_creds(&self, creds: Value) -> Result<Value, AuthError> {
        let place = Place::creds(self.hold.fence.session_id);
        self.vault.unseal(place, creds).map_err(|source| self.closed(place, source))
    }

    fn closed(&self, place: Place<'_>, source: SealError) -> AuthError {
        let (kind, key_id) = (place.kind.to_owned(), place.key_id.to_owned());
        AuthError::Sealed { session_id: self.hold.fence.session_id, kind, key_id, source }
    }

    pub(super) fn unreadable(&self, kind: Kind, key_id: &str, source: DecodeError) -> AuthError {
        AuthError::Unreadable {
            session_id: self.hold.fence.session_id,
            kind: kind.name(),
            key_id: key_id.to_owned(),
            source,
        }
    }

    /// Opens and reads a value. One that is in no shape that is understood goes to the quarantine, and the key counts as
    /// one that is not there: the library then does what it does without it, and what it writes instead overwrites
    /// nothing. A sealed value that does not open stays where it is, for it may only be our keys that are wrong.
    pub(super) async fn read<T, F>(&self, kind: Kind, row: Row, read: F) -> Result<Option<T>, AuthError>
    where
        T: Send,
        F: Fn(Value) -> Result<T, DecodeError> + Send + Sync,
    {
        let Row { key_id, value } = row;
        let place = self.place(kind, &key_id);
        let open = |value| self.vault.unseal(place, value).map_err(|source| self.closed(place, source));
        if let Ok(value) = read(open(value)?) {
            return Ok(Some(value));
        }
        // It may have been written anew meanwhile.
        let Some(found) = self.get_raw(kind, &key_id).await? else { return Ok(None) };
        let problem = match read(open(found.clone())?) {
            Ok(value) => return Ok(Some(value)),
            Err(problem) => problem,
        };
        let (Fence { session_id, epoch }, reason) =
            (self.hold.fence, super::key_id::escape(&problem.to_string()).into_owned());
        let done = || {
            sqlx::query_file_as!(
                Written,
                "sql/auth/quarantine.sql",
                session_id,
                epoch,
                kind.name(),
                &key_id,
                found,
                &reason
            )
            .fetch_one(&self.hold.db)
        };
        let writing = self.ahead.writing(kind, ahead::Written::Keys(std::slice::from_ref(&key_id)));
        self.write(kind.name(), done).await?;
        writing.end();
        telemetry::key_quarantined(kind.name());
        let error = self.unreadable(kind, &key_id, problem);
        tracing::warn!(%error, "put aside in wa.auth_quarantine; the session goes on without it");
        Ok(None)
    }

    /// Keys of one kind as `read` reads them, without those that it cannot.
    pub(super) async fn read_all<T, F>(&self, kind: Kind, rows: Vec<Row>, read: F) -> Result<Vec<T>, AuthError>
    where
        T: Send,
        F: Fn(&str, Value) -> Result<T, DecodeError> + Send + Sync,
    {
        let mut found = Vec::with_capacity(rows.len());
        for row in rows {
            let key_id = row.key_id.clone();
            found.extend(self.read(kind, row, |value| read(&key_id, value)).await?);
        }
        Ok(found)
    }

    async fn get_raw(&self, kind: Kind, key_id: &str) -> Result<Option<Value>, AuthError> {
        let found = || {
            sqlx::query_file_scalar!("sql/auth/get.sql", self.hold.fence.session_id, kind.name(), key_id)
                .fetch_optional(&self.hold.db)
        };
        self.ask(kind.name(), found).await
    }

    /// Somebody's device list, and ahead of time what there is of these devices; in one statement for all who wait.
    async fn devices(&self, person: &str) -> Result<Option<Value>, AuthError> {
        let mut answer = self.ahead.ask(person);
        let turn = self.ahead.turn.lock().await;
        if let Ok(list) = answer.try_recv() {
            return Ok(list);
        }
        // Those who are about to ask are let in.
        tokio::task::yield_now().await;
        let reading = self.ahead.begin();
        let people = reading.people();
        let found =
            || sqlx::query_file!("sql/auth/devices.sql", self.hold.fence.session_id, &people).fetch_all(&self.hold.db);
        let rows = self.ask(Kind::DeviceList.name(), found).await?;
        reading.end(rows.into_iter().filter_map(|row| {
            let kind = Kind::named(&row.kind)?;
            Some((row.person, kind, row.key_id, row.value))
        }));
        drop(turn);
        match answer.try_recv() {
            Ok(list) => Ok(list),
            // Whoever asked for us has failed.
            Err(_) => self.get_raw(Kind::DeviceList, person).await,
        }
    }

    /// One key as `read` reads it.
    pub(super) async fn get<T, F>(&self, kind: Kind, key_id: &str, read: F) -> Result<Option<T>, AuthError>
    where
        T: Send,
        F: Fn(Value) -> Result<T, DecodeError> + Send + Sync,
    {
        let found = match self.ahead.take(kind, key_id) {
            Known::Value(value) => Some(value),
            Known::Absent => None,
            Known::Nothing if kind == Kind::DeviceList => self.devices(key_id).await?,
            Known::Nothing => self.get_raw(kind, key_id).await?,
        };
        let Some(value) = found else { return Ok(None) };
        self.read(kind, Row { key_id: key_id.to_owned(), value }, read).await
    }

    /// The trusted-contact token of somebody, which the client library asks for at each message.
    pub(super) async fn token<T, F>(&self, key_id: &str, read: F) -> Result<Option<T>, AuthError>
    where
        T: Send,
        F: Fn(Value) -> Result<T, DecodeError> + Send + Sync,
    {
        let row = |value| Row { key_id: key_id.to_owned(), value };
        match self.ahead.token(key_id) {
            Known::Value(value) => return self.read(Kind::TcToken, row(value), read).await,
            Known::Absent => return Ok(None),
            Known::Nothing => {}
        }
        let writes = self.ahead.token_writes();
        let found = self.get_raw(Kind::TcToken, key_id).await?;
        let Some(value) = found else {
            self.ahead.remember_token(writes, key_id, None);
            return Ok(None);
        };
        let token = self.read(Kind::TcToken, row(value.clone()), read).await?;
        self.ahead.remember_token(writes, key_id, token.is_some().then_some(value));
        Ok(token)
    }

    /// One key whose value is bytes.
    pub(super) async fn get_bytes(&self, kind: Kind, key_id: &str) -> Result<Option<Vec<u8>>, AuthError> {
        self.get(kind, key_id, |value| codec::bytes(&value, "value")).await
    }

    /// Those of several keys that exist.
    pub(super) async fn get_many(&self, kind: Kind, key_ids: &[String]) -> Result<Vec<Row>, AuthError> {
        if key_ids.is_empty() {
            return Ok(Vec::new());
        }
        let found = || {
            sqlx::query_file_as!(Row, "sql/auth/get_many.sql", self.hold.fence.session_id, kind.name(), key_ids)
                .fetch_all(&self.hold.db)
        };
        self.ask(kind.name(), found).await
    }

    /// All keys of a kind.
    pub(super) async fn list(&self, kind: Kind) -> Result<Vec<Row>, AuthError> {
        let found = || {
            sqlx::query_file_as!(Row, "sql/auth/list.sql", self.hold.fence.session_id, kind.name())
                .fetch_all(&self.hold.db)
        };
        self.ask(kind.name(), found).await
    }

    /// The ids of all keys of a kind.
    pub(super) async fn list_ids(&self, kind: Kind) -> Result<Vec<String>, AuthError> {
        let found = || {
            sqlx::query_file_scalar!("sql/auth/list_ids.sql", self.hold.fence.session_id, kind.name())
                .fetch_all(&self.hold.db)
        };
        self.ask(kind.name(), found).await
    }

    /// Whether a key is there.
    pub(super) async fn has(&self, kind: Kind, key_id: &str) -> Result<bool, AuthError> {
        if let Some(known) = self.ahead.has(kind, key_id) {
            return Ok(known);
        }
        let found = || {
            sqlx::query_file_scalar!("sql/auth/has.sql", self.hold.fence.session_id, kind.name(), key_id)
                .fetch_one(&self.hold.db)
        };
        self.ask(kind.name(), found).await
    }

    /// Writes one key.
    pub(super) async fn put(&self, kind: Kind, key_id: String, value: Value) -> Result<(), AuthError> {
        self.put_many(kind, Batch::from([(key_id, value)])).await
    }

    /// Writes keys, in one statement.
    pub(super) async fn put_many(&self, kind: Kind, batch: Batch) -> Result<(), AuthError> {
        if batch.is_empty() {
            return Ok(());
        }
        let _arriving = match kind {
            Kind::PendingInbound => Some(self.arriving.read().await),
            Kind::Session | Kind::SenderKey => {
                self.after_arrivals().await;
                None
            }
            _ => None,
        };
        let sealed = batch.into_iter().map(|(key_id, value)| {
            let value = self.sealed(kind, &key_id, value)?;
            Ok((key_id, value))
        });
        let (key_ids, values): (Vec<_>, Vec<_>) = sealed.collect::<Result<Vec<_>, AuthError>>()?.into_iter().unzip();
        let Fence { session_id, epoch } = self.hold.fence;
        let done = || {
            sqlx::query_file_as!(
                Written,
                "sql/auth/put.sql",
                session_id,
                epoch,
                kind.name(),
                &key_ids,
                &values,
                kind.seconds_to_live()
            )
            .fetch_one(&self.hold.db)
        };
        let writing = self.ahead.writing(kind, ahead::Written::Keys(&key_ids));
        self.write(kind.name(), done).await?;
        writing.end();
        Ok(())
    }

    /// Deletes keys by id, in one statement.
    pub(super) async fn remove(&self, kind: Kind, key_ids: &[String]) -> Result<(), AuthError> {
        if key_ids.is_empty() {
            return Ok(());
        }
        let Fence { session_id, epoch } = self.hold.fence;
        let done = || {
            sqlx::query_file_as!(Written, "sql/auth/remove.sql", session_id, epoch, kind.name(), key_ids)
                .fetch_one(&self.hold.db)
        };
        let writing = self.ahead.writing(kind, ahead::Written::Keys(key_ids));
        self.write(kind.name(), done).await?;
        writing.end();
        Ok(())
    }

    /// Deletes one key.
    pub(super) async fn remove_one(&self, kind: Kind, key_id: String) -> Result<(), AuthError> {
        self.remove(kind, &[key_id]).await
    }

    /// Deletes all keys of a kind.
    pub(super) async fn remove_kind(&self, kind: Kind) -> Result<(), AuthError> {
        let Fence { session_id, epoch } = self.hold.fence;
        let done = || {
            sqlx::query_file_as!(Written, "sql/auth/remove_kind.sql", session_id, epoch, kind.name())
                .fetch_one(&self.hold.db)
        };
        self.write(kind.name(), done).await?;
        Ok(())
    }

    /// Deletes the keys of a kind whose first part is `part`.
    pub(super) async fn remove_under(&self, kind: Kind, part: &str) -> Result<(), AuthError> {
        let part = super::key_id::escape(part);
        let (from, until) = (format!("{part}|"), format!("{part}}}"));
        let Fence { session_id, epoch } = self.hold.fence;
        let done = || {
            sqlx::query_file_as!(Written, "sql/auth/remove_range.sql", session_id, epoch, kind.name(), &from, &until)
                .fetch_one(&self.hold.db)
        };
        self.write(kind.name(), done).await?;
        Ok(())
    }

    /// Deletes the keys of a kind last written before `cutoff`, in seconds since 1970. Gives back how many.
    pub(super) async fn remove_older(&self, kind: Kind, cutoff: i64) -> Result<u32, AuthError> {
        self.ahead.tidy();
        let Fence { session_id, epoch } = self.hold.fence;
        let done = || {
            sqlx::query_file_as!(Written, "sql/auth/remove_older.sql", session_id, epoch, kind.name(), moment(cutoff))
                .fetch_one(&self.hold.db)
        };
        Ok(count(self.write(kind.name(), done).await?))
    }

    /// Deletes the keys of a kind whose deadline is at or before `cutoff`, in seconds since 1970. Gives back how many.
    pub(super) async fn remove_expired(&self, kind: Kind, cutoff: i64) -> Result<u32, AuthError> {
        let Fence { session_id, epoch } = self.hold.fence;
        let done = || {
            sqlx::query_file_as!(Written, "sql/auth/remove_expired.sql", session_id, epoch, kind.name(), moment(cutoff))
                .fetch_one(&self.hold.db)
        };
        Ok(count(self.write(kind.name(), done).await?))
    }

    /// Deletes one key and gives it back, if it holds bytes.
    pub(super) async fn take_bytes(&self, kind: Kind, key_id: &str) -> Result<Option<Vec<u8>>, AuthError> {
        let Fence { session_id, epoch } = self.hold.fence;
        let done = || {
            sqlx::query_file_as!(Taken, "sql/auth/take.sql", session_id, epoch, kind.name(), key_id)
                .fetch_one(&self.hold.db)
        };
        let taken = self.ask(kind.name(), done).await?;
        self.held(taken.held)?;
        let Some(value) = taken.value else { return Ok(None) };
        let place = self.place(kind, key_id);
        let value = self.vault.unseal(place, value).map_err(|source| self.closed(place, source))?;
        codec::bytes(&value, "value").map(Some).map_err(|source| self.unreadable(kind, key_id, source))
    }
}

/// The library counts in 32 bits.
pub(super) fn count(rows: u64) -> u32 {
    u32::try_from(rows).unwrap_or(u32::MAX)
}

/// Seconds since 1970 as Postgres can hold them: what is out of its range is the end of the range.
pub(super) fn moment(seconds: i64) -> DateTime<Utc> {
    const FIRST: i64 = -200_000_000_000; // year -4368
    const LAST: i64 = 253_402_300_799; // year 9999
    DateTime::from_timestamp(seconds.clamp(FIRST, LAST), 0).unwrap_or(DateTime::UNIX_EPOCH)
}
