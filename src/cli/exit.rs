//! The exit codes: what a script learns from a command without reading its words.

use crate::auth::backup::BackupError;
use crate::auth::baileys::import::ImportError;
use crate::auth::snapshot::SnapshotError;
use crate::auth::{ImportTargetError, VaultError};
use crate::config::ConfigError;
use crate::db::DbError;
use crate::db::folder::FolderError;
use crate::telemetry::log::LogError;
use sqlx::error::DatabaseError;
use std::error::Error;
use std::process::ExitCode;

/// How a command ended. The numbers are an interface: they never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    Ok = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    NoDatabase = 5,
    PartlyDone = 6,
}

impl Exit {
    /// Each code with its meaning, for the help and the documentation.
    pub(super) const ALL: [(Self, &'static str); 7] = [
        (Self::Ok, "Done."),
        (Self::Failed, "Any other failure: a file, the network, a problem that wagres doctor found."),
        (Self::Usage, "The command line or the configuration is wrong; nothing was tried."),
        (Self::NotFound, "Nothing has that name or id."),
        (Self::Refused, "The database or wagres refused it: a value, a right, a state. Nothing was changed."),
        (Self::NoDatabase, "No database: no address, no answer, no login, or no schema wa."),
        (Self::PartlyDone, "Some of what was named was done, and some was not."),
    ];

    /// The name in JSON.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::NoDatabase => "no_database",
            Self::PartlyDone => "partly_done",
        }
    }

    /// Of an error, by the first of its causes that says more than that something failed.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(of_cause).unwrap_or(Self::Failed)
    }
}

/// The codes, for `wagres --help`.
pub(super) fn help() -> String {
    let codes = Exit::ALL.map(|(exit, meaning)| format!("  {} {:<12} {meaning}", exit as u8, exit.name()));
    format!("Exit codes:\n{}", codes.join("\n"))
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error of the command line itself.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct Fault {
    exit: Exit,
    message: String,
}

impl Fault {
    pub(super) fn error(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        Self { exit, message: message.into() }.into()
    }
}

/// The error of the database that a cause is or has.
pub(super) fn of_database<'a>(cause: &'a (dyn Error + 'static)) -> Option<&'a (dyn DatabaseError + 'static)> {
    let inner = cause.downcast_ref::<Box<dyn DatabaseError>>().map(|inner| &**inner);
    inner.or_else(|| cause.downcast_ref::<sqlx::Error>()?.as_database_error())
}

fn of_cause(cause: &(dyn Error + 'static)) -> Option<Exit> {
    if let Some(fault) = cause.downcast_ref::<Fault>() {
        return Some(fault.exit);
    }
    if cause.is::<ConfigError>() || cause.is::<LogError>() {
        return Some(Exit::Usage);
    }
    if let Some(error) = cause.downcast_ref::<VaultError>() {
        return (!matches!(error, VaultError::Unavailable { .. })).then_some(Exit::Usage);
    }
    if let Some(error) = cause.downcast_ref::<DbError>() {
        return match error {
            DbError::Url(_) | DbError::Pooler | DbError::NotThroughPooler(_) => Some(Exit::Usage),
            DbError::Connect(_) | DbError::Silent => Some(Exit::NoDatabase),
            DbError::OldLayout | DbError::Blocked { .. } => Some(Exit::Refused),
            _ => None,
        };
    }
    if let Some(error) = of_database(cause) {
        return of_sqlstate(error);
    }
    match cause.downcast_ref::<sqlx::Error>() {
        Some(sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) => {
            return Some(Exit::NoDatabase);
        }
        Some(sqlx::Error::RowNotFound) => return Some(Exit::NotFound),
        _ => {}
    }
    match cause.downcast_ref::<SnapshotError>() {
        Some(SnapshotError::NoSession(_)) => return Some(Exit::NotFound),
        Some(SnapshotError::NotLinked(_)) => return Some(Exit::Refused),
        _ => {}
    }
    let own = matches!(cause.downcast_ref(), Some(FolderError::Taken { .. }))
        || matches!(cause.downcast_ref(), Some(ImportTargetError::Held(_) | ImportTargetError::Linked(_)))
        || matches!(cause.downcast_ref(), Some(ImportTargetError::Sealing(_)))
        || matches!(cause.downcast_ref(), Some(ImportError::Creds(_)))
        || cause.downcast_ref().is_some_and(|error| !matches!(error, BackupError::Target(_)));
    own.then_some(Exit::Refused)
}

fn of_sqlstate(error: &(dyn DatabaseError + 'static)) -> Option<Exit> {
    let (code, message) = (error.code().unwrap_or_default(), error.message());
    // A message begins with the field and a colon.
    let words = message.split_once(": ").map_or(message, |(_, words)| words);
    let is_unknown = words.starts_with("no ") || words.starts_with("there is no ") || words.ends_with("does not exist");
    Some(match &*code {
        "WA001" | "WA012" | "WA024" | "WA025" | "WA027" | "WA033" | "WA048" | "WA051" | "WA054" if is_unknown => {
            Exit::NotFound
        }
        // A database without the schema, or with that of another version.
        "3F000" | "42P01" | "42883" => Exit::NoDatabase,
        // No such database, no such user, no right to connect, and a server that starts or stops.
        code if ["08", "28", "3D", "57P"].iter().any(|class| code.starts_with(class)) => Exit::NoDatabase,
        "42501" => Exit::Refused,
        code if ["WA", "22", "23"].iter().any(|class| code.starts_with(class)) => Exit::Refused,
        _ => return None,
    })
}
