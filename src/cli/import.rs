//! `wagres import baileys | baileys-postgres`.

use super::progress::Progress;
use super::{connect, print};
use crate::auth::Vault;
use crate::auth::baileys::tables::Tables;
use crate::auth::baileys::{self, Report, folder, import, tables};
use crate::config::{Config, Secret};
use crate::db;
use crate::telemetry::wall_clock;
use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::json;
use sqlx::ConnectOptions as _;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// Import a folder of Baileys' useMultiFileAuthState; first stop the program that uses the folder
    Baileys(FolderArgs),
    /// Import Postgres tables in which a program keeps the state of Baileys; first stop that program
    BaileysPostgres(TablesArgs),
}

#[derive(Debug, Args)]
pub(super) struct FolderArgs {
    /// Folder with creds.json
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Args)]
pub(super) struct TablesArgs {
    /// Postgres URL of the database with the tables
    #[arg(long, value_name = "URL")]
    from: String,
    /// Table of the credentials, or of credentials and keys
    #[arg(long, value_name = "TABLE")]
    auth_table: String,
    /// Table of the keys, if they have their own
    #[arg(long, value_name = "TABLE")]
    keys_table: Option<String>,
    /// Rows of the device, if the tables hold several devices, such as tenant=42
    #[arg(long, value_name = "COLUMN=VALUE", value_parser = owner)]
    owner: Option<(String, String)>,
    /// A column with an unusual name: value=payload; WHAT is creds, name, kind, id, value or expiry
    #[arg(long = "column", value_name = "WHAT=COLUMN", value_parser = column)]
    columns: Vec<(String, String)>,
    #[command(flatten)]
    target: TargetArgs,
}

fn column(text: &str) -> Result<(String, String), String> {
    let (what, column) = owner(text)?;
    if !tables::ROLES.contains(&what.as_str()) {
        return Err(format!("{what:?} is none of {}", tables::ROLES.join(", ")));
    }
    Ok((what, column))
}

fn owner(text: &str) -> Result<(String, String), &'static str> {
    let (column, value) = text.split_once('=').ok_or("accepted is column=value")?;
    Ok((column.to_owned(), value.to_owned()))
}

#[derive(Debug, Args)]
struct TargetArgs {
    /// Session to import into, added if it does not exist
    #[arg(long, value_name = "NAME")]
    session: String,
    /// Tenant of the session, if it is added
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Roll everything back: only show what would be imported
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(config: &Config, command: ImportCommand, json: bool) -> anyhow::Result<()> {
    let bar = Progress::counted("keys read");
    // The origin of the credentials stands before what is wrong with them.
    let (found, origin, target) = match command {
        ImportCommand::Baileys(FolderArgs { folder, target }) => {
            let found = folder::read(&folder, || bar.inc())?;
            (found, folder.join("creds.json").display().to_string(), target)
        }
        ImportCommand::BaileysPostgres(TablesArgs { from, auth_table, keys_table, owner, columns, target }) => {
            let mut connection = db::options(&Secret::new(from), "wagres import")?.connect().await.context("--from")?;
            let tables = Tables { auth: auth_table, keys: keys_table, owner, columns: columns.into_iter().collect() };
            (tables::read(&mut connection, &tables, || bar.inc()).await?, tables.auth, target)
        }
    };
    drop(bar);
    let TargetArgs { session, tenant, dry_run } = target;
    let bar = Progress::of(found.entries.len() as u64, "keys converted");
    let converted = baileys::convert(found, || bar.inc()).map_err(import::ImportError::from).context(origin)?;
    drop(bar);
    let (vault, db) = (Vault::open(&config.encryption).await?, connect(config).await?);
    let mut connection = db.pool().acquire().await?;
    let (tenant, now) = (tenant.as_deref(), wall_clock());
    let warnings = converted.warnings.clone();
    let bar = Progress::working("writing the keys");
    let report = import::import(&mut connection, &vault, &session, tenant, converted, now, dry_run).await?;
    drop(bar);
    let outcome = json!({ "session": session, "imported": !dry_run, "report": report, "warnings": warnings });
    let mut text = report_text(&report);
    for warning in &warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    if dry_run {
        text.push_str("nothing was written (--dry-run)");
    } else {
        let _ = write!(text, "imported; connect the session with: wagres session connect {session}");
    }
    print(json, &outcome, &text);
    Ok(())
}

/// Counts by kind of key, and a line for each key that was not converted.
pub(super) fn report_text(report: &Report) -> String {
    let mut text = format!("{:<24} {:>9} {:>9} {:>9}\n", "kind", "converted", "skipped", "failed");
    for (kind, count) in report {
        let skipped: u64 = count.skipped.values().sum();
        let _ = writeln!(text, "{kind:<24} {:>9} {skipped:>9} {:>9}", count.converted, count.failed.len());
    }
    for (kind, count) in report {
        for (reason, number) in &count.skipped {
            let _ = writeln!(text, "skipped: {number} of {kind}, {reason}");
        }
        for (id, reason) in &count.failed {
            let _ = writeln!(text, "failed: {kind} {id:?}: {reason}");
        }
    }
    text
}
