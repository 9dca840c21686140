//! One session as one file, and back (A5, R7).
//!
//! A file has two lines. The first is the header as JSON, which anybody may read. The second is the state: as JSON, or
//! with a passphrase as base64 of a nonce and the ciphertext of XChaCha20-Poly1305, whose key Argon2id derives from the
//! passphrase. The header is bound to the encrypted state.
//!
//! A ratchet that is rolled back uses keys twice, and other phones drop messages encrypted with such keys. So the file
//! names its generation. Restored into the same database and session, with nobody having held it since, the ratchets
//! have not advanced and are restored. In every other case they are left out: each chat starts a new Signal session
//! with its next message, and messages that others send meanwhile are requested again. `wa.event` has `ratchets_reset`.

use super::codec::{self, DecodeError};
use super::creds;
use super::import_target::{ImportTarget, ImportTargetError};
use super::kind::Kind;
use super::random;
use super::snapshot::{Snapshot, State};
use super::vault::Vault;
use argon2::{Algorithm, Argon2, Params, Version};
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use sqlx::{Acquire, PgConnection};
use std::collections::BTreeMap;

const VERSION: u32 = 1;
const NONCE: usize = 24;
const SALT: usize = 16;
/// The most work that a file may demand: KiB of memory, rounds, lanes.
const MOST: (u32, u32, u32) = (1024 * 1024, 10, 4);

/// How the key of a file is derived from its passphrase: parameters of Argon2id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kdf {
    /// Memory in KiB.
    memory: u32,
    rounds: u32,
    lanes: u32,
    /// Base64.
    salt: String,
}

/// The first line of a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The version of the format.
    pub wagres_backup: u32,
    /// `wa.session.name`.
    pub session: String,
    /// `wa.session.phone`.
    pub phone: Option<String>,
    /// The time of the backup.
    pub created_at: DateTime<Utc>,
    /// See [`Snapshot::generation`].
    pub generation: String,
    /// A worker held the session then, and may have advanced its ratchets.
    pub held: bool,
    /// Present when the second line is encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypted: Option<Kdf>,
}

/// The part of the header that every version has.
#[derive(Deserialize)]
struct VersionOnly {
    wagres_backup: u32,
}

/// The content of a file.
pub struct Backup {
    /// The part that is not secret.
    pub header: Header,
    state: State,
}

/// Why a file cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is something else, or was truncated or changed.
    #[error("this is not a backup of a session: {0}")]
    Format(String),
    /// A later version of this program wrote the file.
    #[error("this backup has the format {0}; this version reads 1")]
    Version(u32),
    /// The file is encrypted, and no passphrase was given.
    #[error("this backup is encrypted; a passphrase is needed")]
    Encrypted,
    /// The file does not open.
    #[error("this backup does not open: the passphrase is wrong, or the file was changed")]
    Passphrase,
    /// The key cannot be derived from the passphrase.
    #[error("the passphrase: {0}")]
    Kdf(String),
    /// The credentials or a key cannot be used.
    #[error("this backup cannot be used: {0}")]
    Unreadable(#[from] DecodeError),
    /// The session may not be written, or the database failed.
    #[error(transparent)]
    Target(#[from] ImportTargetError),
}

fn cipher(kdf: &Kdf, passphrase: &str) -> Result<XChaCha20Poly1305, BackupError> {
    let (memory, rounds, lanes) = MOST;
    if kdf.memory > memory || kdf.rounds > rounds || kdf.lanes > lanes {
        return Err(BackupError::Kdf(format!(
            "the file demands more work than {memory} KiB, {rounds} rounds and {lanes} lanes"
        )));
    }
    let refused = |error: argon2::Error| BackupError::Kdf(error.to_string());
    let params = Params::new(kdf.memory, kdf.rounds, kdf.lanes, Some(32)).map_err(refused)?;
    let salt = codec::from_base64(&kdf.salt).ok_or_else(|| BackupError::Kdf("the salt is not base64".into()))?;
    let mut key = [0; 32];
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.as_bytes(), &salt, &mut key)
        .map_err(refused)?;
    Ok(XChaCha20Poly1305::new(&key.into()))
}

impl Backup {
    /// A backup of the session named `session`, made at `created_at`.
    #[must_use]
    pub fn new(session: &str, snapshot: Snapshot, created_at: DateTime<Utc>) -> Self {
        let header = Header {
            wagres_backup: VERSION,
            session: session.into(),
            phone: snapshot.phone,
            created_at,
            generation: snapshot.generation,
            held: snapshot.held,
            encrypted: None,
        };
        Self { header, state: snapshot.state }
    }

    /// The file's text.
    ///
    /// # Errors
    /// When no key can be derived from the passphrase.
    pub fn write(mut self, passphrase: Option<&str>) -> Result<String, BackupError> {
        let unwritten = |error: serde_json::Error| BackupError::Format(format!("a {:?} error", error.classify()));
        let state = serde_json::to_vec(&self.state).map_err(unwritten)?;
        let mut drawn = [0; SALT + NONCE];
        random::fill(&mut drawn);
        let (salt, nonce) = drawn.split_at(SALT);
        self.header.encrypted =
            passphrase.map(|_| Kdf { memory: 64 * 1024, rounds: 3, lanes: 1, salt: codec::base64(salt) });
        let header = serde_json::to_string(&self.header).map_err(unwritten)?;
        let body = match (&self.header.encrypted, passphrase) {
            (Some(kdf), Some(passphrase)) => {
                let bound = Payload { msg: &state, aad: header.as_bytes() };
                let at = XNonce::try_from(nonce).map_err(|_| BackupError::Passphrase)?;
                let sealed = cipher(kdf, passphrase)?.encrypt(&at, bound).map_err(|_| BackupError::Passphrase)?;
                codec::base64(&[nonce, &sealed].concat())
            }
            _ => String::from_utf8(state).map_err(|_| BackupError::Format("not UTF-8".into()))?,
        };
        Ok(format!("{header}\n{body}\n"))
    }

    /// Reads the text of a file. Errors repeat nothing of it.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub fn read(text: &str, passphrase: Option<&str>) -> Result<Self, BackupError> {
        let (first, body) = text.split_once('\n').unwrap_or((text, ""));
        let place = |line: u32, error: &serde_json::Error| {
            BackupError::Format(format!("line {line}, column {}: a {:?} error", error.column(), error.classify()))
        };
        let version: VersionOnly = serde_json::from_str(first).map_err(|error| place(1, &error))?;
        if version.wagres_backup != VERSION {
            return Err(BackupError::Version(version.wagres_backup));
        }
        let header: Header = serde_json::from_str(first).map_err(|error| place(1, &error))?;
        let opened = match &header.encrypted {
            None => body.trim().as_bytes().to_vec(),
            Some(kdf) => {
                let passphrase = passphrase.ok_or(BackupError::Encrypted)?;
                let data = codec::from_base64(body).filter(|data| data.len() > NONCE);
                let data = data.ok_or_else(|| BackupError::Format("line 2: found no base64".into()))?;
                let at = XNonce::try_from(&data[..NONCE]).map_err(|_| BackupError::Passphrase)?;
                let bound = Payload { msg: &data[NONCE..], aad: first.as_bytes() };
                cipher(kdf, passphrase)?.decrypt(&at, bound).map_err(|_| BackupError::Passphrase)?
            }
        };
        let state: State = serde_json::from_slice(&opened).map_err(|error| place(2, &error))?;
        for key in &state.keys {
            if Kind::named(&key.kind).is_none() {
                return Err(DecodeError::new("keys[].kind", "another text", "a kind of wa.auth_key").into());
            }
        }
        Ok(Self { header, state })
    }
}

/// The outcome of a restore.
#[derive(Debug, Clone, Serialize)]
pub struct Restored {
    /// Keys in the file, by kind.
    pub keys: BTreeMap<String, u64>,
    /// Keys that were left out, so that chats start new Signal sessions; `None` when the ratchets were restored.
    pub ratchets_reset: Option<i64>,
}

/// Writes a backup into `session`, which is added for `tenant` if it does not exist. A session that has been connected
/// since the backup is refused unless `replace`. With `dry_run` everything is done and rolled back.
///
/// # Errors
/// See [`BackupError`]; nothing is changed then.
pub async fn restore(
    connection: &mut PgConnection,
    vault: &Vault,
    session: &str,
    tenant: Option<&str>,
    backup: Backup,
    replace: bool,
    dry_run: bool,
) -> Result<Restored, BackupError> {
    let Backup { header, state } = backup;
    let device = creds::from_json(state.creds.clone())?;
    if device.pn.is_none() {
        return Err(DecodeError::new("me.id", "nothing", "the JID of a linked device").into());
    }
    let mut keys = BTreeMap::<_, u64>::new();
    for key in &state.keys {
        *keys.entry(key.kind.clone()).or_default() += 1;
    }
    let transaction = connection.begin().await.map_err(ImportTargetError::from)?;
    let generation = (!header.held).then_some(header.generation.as_str());
    let mut target = ImportTarget::clear(transaction, session, tenant, generation, replace).await?;
    let unused = generation.is_some() && target.generation.as_deref() == generation;
    target.put_creds(vault, &device, state.creds).await?;
    target.put_keys(vault, state.keys.into_iter()).await?;
    let mut ratchets_reset = None;
    if !unused {
        let made = header.created_at.to_rfc3339_opts(SecondsFormat::Secs, true);
        ratchets_reset = Some(target.reset_ratchets(&format!("restored from a backup of {made}")).await?);
    }
    target.end(dry_run).await?;
    Ok(Restored { keys, ratchets_reset })
}
