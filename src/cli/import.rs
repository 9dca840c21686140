//! `wagres import baileys | baileys-postgres`.

use super::{connect, print};
use crate::auth::Vault;
use crate::auth::baileys::tables::Tables;
use crate::auth::baileys::{self, Report, folder, import, tables};
use crate::config::{Config, Secret};
use crate::db;
use anyhow::Context;
use chrono::Utc;
use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use sqlx::ConnectOptions as _;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// From a folder of Baileys' useMultiFileAuthState. Stop the program that uses it first.
    Baileys(FolderArgs),
    /// From tables of Postgres in which a program keeps what Baileys gives it. Stop that program first.
    BaileysPostgres(TablesArgs),
}

#[derive(Debug, Args)]
pub(super) struct FolderArgs {
    /// The folder with creds.json.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    target: TargetArgs,
}

#[derive(Debug, Args)]
pub(super) struct TablesArgs {
    /// Where the tables are.
    #[arg(long, value_name = "URL")]
    from: String,
    /// Table of the credentials, or of everything.
    #[arg(long, value_name = "TABLE")]
    auth_table: String,
    /// Table of the keys, when they have one of their own.
    #[arg(long, value_name = "TABLE")]
    keys_table: Option<String>,
    /// Whose rows, when there are several devices: `company_id=42`.
    #[arg(long, value_name = "COLUMN=VALUE", value_parser = owner)]
    owner: Option<(String, String)>,
    /// A column that has another name than the usual ones: `value=payload`. What there is: creds, name, kind, id, value, expiry.
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
    /// The session that it becomes; made when it is not there.
    #[arg(long, value_name = "NAME")]
    session: String,
    /// Whose session, when it is made.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
    /// Do all of it and take it back: shows what would be imported.
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(config: &Config, command: ImportCommand, json: bool) -> anyhow::Result<()> {
    let shown = progress("read");
    let (found, target) = match command {
        ImportCommand::Baileys(FolderArgs { folder, target }) => {
            let found = folder::read(&folder, || shown.inc(1));
            (found.with_context(|| format!("reading {}", folder.display()))?, target)
        }
        ImportCommand::BaileysPostgres(TablesArgs { from, auth_table, keys_table, owner, columns, target }) => {
            let mut connection = db::options(&Secret::new(from), "wagres import")?.connect().await.context("--from")?;
            let tables = Tables { auth: auth_table, keys: keys_table, owner, columns: columns.into_iter().collect() };
            (tables::read(&mut connection, &tables, || shown.inc(1)).await?, target)
        }
    };
    shown.finish_and_clear();
    let TargetArgs { session, tenant, dry_run } = target;
    let shown = progress("keys converted");
    shown.set_length(found.entries.len() as u64);
    let converted = baileys::convert(found, || shown.inc(1)).map_err(import::ImportError::from)?;
    shown.finish_and_clear();
    let (vault, db) = (Vault::open(&config.encryption).await?, connect(config).await?);
    let mut connection = db.pool().acquire().await?;
    let (tenant, now) = (tenant.as_deref(), Utc::now());
    let report = import::import(&mut connection, &vault, &session, tenant, converted, now, dry_run).await?;
    let outcome = json!({ "session": session, "imported": !dry_run, "report": report });
    let mut said = told(&report);
    if dry_run {
        said.push_str("nothing was written (--dry-run)");
    } else {
        let _ = write!(said, "imported; connect it with: SELECT wa.connect('{session}')");
    }
    print(json, &outcome, &said);
    Ok(())
}

/// On a terminal; elsewhere it shows nothing.
pub(super) fn progress(what: &'static str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(what);
    bar.set_style(ProgressStyle::with_template("{pos} {msg}").unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// A table of what became of the keys, and what to know of those that were not converted.
pub(super) fn told(report: &Report) -> String {
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
