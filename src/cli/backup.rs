//! `wagres backup`, `wagres restore`, `wagres export baileys`.

use super::import::report_text;
use super::progress::Progress;
use super::{Exit, Fault, connect, print};
use crate::auth::backup::{self, Backup};
use crate::auth::baileys::{self, folder};
use crate::auth::{Vault, snapshot};
use crate::config::Config;
use crate::telemetry::wall_clock;
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use sqlx::Acquire as _;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Name of the session
    session: String,
    /// File to write; it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// File of wagres backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Session to restore, added if it does not exist [default: the one of the backup]
    #[arg(long, value_name = "NAME")]
    session: Option<String>,
    /// Tenant of the session, if it is added
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Replace the auth state of a session that has been connected since the backup
    #[arg(long)]
    replace: bool,
    /// Roll everything back: only show what would be restored
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    passphrase: PassphraseArgs,
}

#[derive(Debug, Args)]
struct PassphraseArgs {
    /// File with the passphrase of the backup; without it a backup is not encrypted
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(super) enum ExportCommand {
    /// Export to a folder for Baileys' useMultiFileAuthState; close the session first
    Baileys {
        /// Name of the session
        session: String,
        /// Folder to write; it must be empty or not exist
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

impl PassphraseArgs {
    fn read(&self) -> anyhow::Result<Option<String>> {
        let Some(file) = &self.passphrase_file else { return Ok(None) };
        let text = std::fs::read_to_string(file).with_context(|| format!("--passphrase-file: {}", file.display()))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() {
            return Err(Fault::error(Exit::Usage, format!("--passphrase-file: {} is empty", file.display())));
        }
        Ok(Some(text.to_owned()))
    }
}

pub(super) async fn backup(config: &Config, args: BackupArgs, json: bool) -> anyhow::Result<()> {
    let passphrase = args.passphrase.read()?;
    let (vault, db) = (Vault::open(&config.encryption).await?, connect(config).await?);
    let bar = Progress::working("writing the backup");
    let mut connection = db.pool().acquire().await?;
    let mut transaction = connection.begin().await?;
    let snapshot = snapshot::read(&mut transaction, &vault, &args.session).await?;
    transaction.commit().await?;
    let keys = snapshot.state.keys.len();
    let backup = Backup::new(&args.session, snapshot, wall_clock());
    let (encrypted, held) = (passphrase.is_some(), backup.header.held);
    let content = tokio::task::spawn_blocking(move || backup.write(passphrase.as_deref())).await??;
    let file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&args.file);
    let mut file = file.with_context(|| args.file.display().to_string())?;
    file.write_all(content.as_bytes())
        .and_then(|()| file.sync_all())
        .with_context(|| args.file.display().to_string())?;
    drop(bar);
    let mut text = format!("{}: {keys} keys and the credentials of {}", args.file.display(), args.session);
    if held {
        text.push_str("\nthe session is connected, so a restore will start a new Signal session in each chat");
    }
    let outcome =
        json!({ "session": args.session, "file": args.file, "keys": keys, "encrypted": encrypted, "held": held });
    print(json, &outcome, &text);
    Ok(())
}

pub(super) async fn restore(config: &Config, args: RestoreArgs, json: bool) -> anyhow::Result<()> {
    let passphrase = args.passphrase.read()?;
    let content = std::fs::read_to_string(&args.file).with_context(|| args.file.display().to_string())?;
    let bar = Progress::working("restoring");
    let read = tokio::task::spawn_blocking(move || Backup::read(&content, passphrase.as_deref())).await?;
    let backup = read.with_context(|| args.file.display().to_string())?;
    let session = args.session.unwrap_or_else(|| backup.header.session.clone());
    let (vault, db) = (Vault::open(&config.encryption).await?, connect(config).await?);
    let mut connection = db.pool().acquire().await?;
    let (tenant, replace) = (args.tenant.as_deref(), args.replace);
    let done = backup::restore(&mut connection, &vault, &session, tenant, backup, replace, args.dry_run).await?;
    drop(bar);
    let mut text = String::new();
    for (kind, count) in &done.keys {
        let _ = writeln!(text, "{kind:<24} {count:>9}");
    }
    match done.ratchets_reset {
        None => text.push_str("ratchets restored: nobody has used them since the backup\n"),
        Some(keys) => {
            let _ = writeln!(text, "{keys} of these keys were left out, so that each chat starts a new Signal session");
        }
    }
    if args.dry_run {
        text.push_str("nothing was written (--dry-run)");
    } else {
        let _ = write!(text, "restored; connect the session with: wagres session connect {session}");
    }
    print(json, &json!({ "session": session, "restored": !args.dry_run, "report": done }), &text);
    Ok(())
}

pub(super) async fn export(config: &Config, command: ExportCommand, json: bool) -> anyhow::Result<()> {
    let ExportCommand::Baileys { session, folder } = command;
    let (vault, db) = (Vault::open(&config.encryption).await?, connect(config).await?);
    let mut connection = db.pool().acquire().await?;
    let mut transaction = connection.begin().await?;
    let snapshot = snapshot::read(&mut transaction, &vault, &session).await?;
    if snapshot.held {
        let text = format!(
            "nothing was exported: session {session:?} is held by a worker; wagres session close {session} closes it"
        );
        return Err(Fault::error(Exit::Refused, text));
    }
    let bar = Progress::of(snapshot.state.keys.len() as u64, "keys converted");
    let exported = baileys::export(snapshot.state, || bar.inc())?;
    drop(bar);
    sqlx::query_file!("sql/auth/mark_exported.sql", snapshot.session_id).execute(&mut *transaction).await?;
    let bar = Progress::counted("files written");
    let written = folder::write(&folder, &exported.creds, &exported.entries, || bar.inc());
    written.with_context(|| folder.display().to_string())?;
    drop(bar);
    transaction.commit().await?;
    let mut text = report_text(&exported.report);
    let _ = write!(
        text,
        "{} is Baileys' now; if you connect the session here again, each chat starts a new Signal session",
        folder.display()
    );
    print(json, &json!({ "session": session, "folder": folder, "report": exported.report }), &text);
    Ok(())
}
