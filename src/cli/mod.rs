//! The command line. It asks Postgres what it wants, like any other program, and prints what comes back.

mod auth;
mod backup;
mod campaign;
mod console;
mod doctor;
mod import;
mod inbox;
mod jobs;
mod qr;
mod schedule;
mod send;
mod session;
mod up;
mod worker;

use crate::config::{Config, Overrides, Secret};
use crate::db::{self, Db, DbError, listener};
use crate::telemetry::log;
use anyhow::Context;
use clap::{Parser, Subcommand};
use sqlx::postgres::PgListener;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// WhatsApp by rows: insert into wa.outbound and a message is sent; a message arrives and stands in wa.inbox.
#[derive(Debug, Parser)]
#[command(name = "wagres", version, propagate_version = true)]
pub struct Cli {
    /// Configuration file; else wagres.toml in this folder, when there is one.
    #[arg(long, global = true, value_name = "FILE", env = "WAGRES_CONFIG")]
    config: Option<PathBuf>,
    /// Postgres URL; overrides the environment and the file.
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// What to log: info, wagres=debug …
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// Print JSON, one value a line.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything: migrate, and a worker; a private Postgres too when no database URL is set.
    Up {
        /// Run the loopback WhatsApp too and talk to it.
        #[arg(long)]
        sandbox: bool,
        #[command(flatten)]
        faults: FaultFlags,
        /// Folder of the private Postgres.
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        #[command(flatten)]
        worker: WorkerFlags,
    },
    /// Run a worker on a migrated database; or look after those that run.
    #[command(args_conflicts_with_subcommands = true)]
    Worker {
        #[command(flatten)]
        worker: WorkerFlags,
        #[command(subcommand)]
        command: Option<worker::WorkerCommand>,
    },
    /// Bring the schema wa up to this version.
    Migrate,
    /// Run the loopback WhatsApp alone.
    Sandbox {
        /// Where devices connect.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        ws: SocketAddr,
        /// Where the control API listens.
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        control: SocketAddr,
        #[command(flatten)]
        faults: FaultFlags,
        /// Keep everything in this file over restarts; otherwise it is in memory only.
        #[arg(long, value_name = "FILE")]
        state: Option<PathBuf>,
    },
    /// Add, link, list and close sessions.
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Send a text.
    Send(send::SendArgs),
    /// Look at the queue; show, retry and cancel messages.
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// Follow, pause, resume and cancel campaigns.
    #[command(subcommand)]
    Campaign(campaign::CampaignCommand),
    /// Show received messages.
    Inbox(inbox::InboxArgs),
    /// Take over a device that another program linked, without a new scan.
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Look after what keeps devices linked: size, quarantine, encryption.
    #[command(subcommand)]
    Auth(auth::AuthCommand),
    /// Give a device to another program, without a new scan.
    #[command(subcommand)]
    Export(backup::ExportCommand),
    /// Write the auth state of a session into a file.
    Backup(backup::BackupArgs),
    /// Put a session back from a file.
    Restore(backup::RestoreArgs),
    /// Show, make, change and run schedules.
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Look at everything that a worker needs, and say what to do about what is not well.
    Doctor,
    /// A prompt: status, send, inbox, errors, metrics.
    Console,
    /// Show the configuration in force, secrets masked.
    Config,
}

/// What goes wrong in the loopback WhatsApp.
#[derive(Debug, clap::Args)]
struct FaultFlags {
    /// Phones and timed faults of the loopback WhatsApp, as JSON or TOML.
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// What chance in its faults begins with; a scenario may name another one.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, clap::Args)]
struct WorkerFlags {
    /// WhatsApp server.
    #[arg(long, value_name = "URL")]
    whatsapp_url: Option<String>,
    /// Address of the HTTP face.
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
}

/// Runs a command to its end.
///
/// # Errors
/// What went wrong, for a person to read.
pub fn run(cli: Cli) -> anyhow::Result<()> {
    let mut overrides = Overrides { database_url: cli.database_url, log: cli.log, ..Overrides::default() };
    match &cli.command {
        Command::Up { sandbox: false, faults: FaultFlags { scenario: Some(_), .. }, .. } => {
            anyhow::bail!("--scenario: only with --sandbox, which runs the WhatsApp that it is for");
        }
        Command::Up { data, worker, .. } => {
            overrides.data_dir.clone_from(data);
            overrides.whatsapp_url.clone_from(&worker.whatsapp_url);
            overrides.http = worker.http;
        }
        Command::Worker { worker, .. } => {
            overrides.whatsapp_url.clone_from(&worker.whatsapp_url);
            overrides.http = worker.http;
        }
        _ => {}
    }
    let config = Config::load(cli.config.as_deref(), &overrides)?;
    log::start(&config.log, config.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let json = cli.json;
    runtime.block_on(async {
        match cli.command {
            Command::Up { sandbox, faults, .. } => up::up(config, sandbox.then_some(&faults), json).await,
            Command::Worker { command: Some(command), .. } => worker::run(&config, command, json).await,
            Command::Worker { .. } => up::worker(config, json).await,
            Command::Migrate => migrate(&config, json).await,
            Command::Sandbox { ws, control, faults, state } => up::sandbox(ws, control, &faults, state, json).await,
            Command::Session(command) => session::run(&config, command, json).await,
            Command::Send(args) => send::run(&config, args, json).await,
            Command::Jobs(command) => jobs::run(&config, command, json).await,
            Command::Campaign(command) => campaign::run(&config, command, json).await,
            Command::Import(command) => import::run(&config, command, json).await,
            Command::Export(command) => backup::export(&config, command, json).await,
            Command::Backup(args) => backup::backup(&config, args, json).await,
            Command::Restore(args) => backup::restore(&config, args, json).await,
            Command::Auth(command) => auth::run(&config, command, json).await,
            Command::Inbox(args) => inbox::run(&config, args, json).await,
            Command::Schedule(command) => schedule::run(&config, command, json).await,
            Command::Doctor => doctor::run(&config, json).await,
            Command::Console => console::run(&config, json).await,
            Command::Config => show(&config, json),
        }
    })
}

async fn migrate(config: &Config, json: bool) -> anyhow::Result<()> {
    bring_up_to_date(config).await?;
    print(json, &serde_json::json!({ "migrated": true }), "the schema wa is up to date");
    Ok(())
}

/// Migrations lock for as long as a connection lives, which a pooler hands on to others.
async fn bring_up_to_date(config: &Config) -> anyhow::Result<()> {
    if config.database_pooler {
        return Err(DbError::NotThroughPooler("migrating").into());
    }
    let db = connect(config).await?;
    db::migrate::migrate(db.pool()).await?;
    db.close().await;
    Ok(())
}

fn show(config: &Config, json: bool) -> anyhow::Result<()> {
    let value = serde_json::to_value(config)?;
    if json {
        println!("{value}");
        return Ok(());
    }
    let Some(fields) = value.as_object() else { return Ok(()) };
    for (name, value) in fields {
        match value.as_object() {
            Some(section) => section.iter().for_each(|(inner, value)| println!("{name}.{inner} = {value}")),
            None => println!("{name} = {value}"),
        }
    }
    Ok(())
}

/// The configured database's URL.
fn database_url(config: &Config) -> anyhow::Result<&Secret> {
    config.database_url.as_ref().context(
        "database_url: missing; set DATABASE_URL to postgres://user:password@host:port/database (wagres up prints its own)",
    )
}

async fn connect(config: &Config) -> anyhow::Result<Db> {
    Ok(Db::connect(database_url(config)?, config.database_pooler, 2, "wagres cli").await?)
}

/// Waits for rows to change. They are the truth; a notification only makes us look sooner, and none comes through a
/// pooler.
struct Ear(Option<PgListener>);

impl Ear {
    async fn on(channel: &str, config: &Config) -> anyhow::Result<Self> {
        if config.database_pooler {
            return Ok(Self(None));
        }
        Ok(Self(Some(listener::connect(database_url(config)?, channel).await?)))
    }

    /// Until there may be something new.
    async fn wait(&mut self) -> sqlx::Result<()> {
        let heard = async {
            match &mut self.0 {
                Some(listener) => listener.try_recv().await.map(drop),
                None => std::future::pending().await,
            }
        };
        tokio::time::timeout(Duration::from_secs(2), heard).await.unwrap_or(Ok(()))
    }
}

/// Prints `value` as a line of JSON, or `text`.
fn print(json: bool, value: &serde_json::Value, text: &str) {
    if json {
        println!("{value}");
    } else {
        println!("{text}");
    }
}

/// Cancelled by SIGTERM or SIGINT; the second signal ends the process at once.
fn stop_signal() -> anyhow::Result<CancellationToken> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let stop = CancellationToken::new();
    let token = stop.clone();
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
            if token.is_cancelled() {
                std::process::exit(130);
            }
            token.cancel();
        }
    });
    Ok(stop)
}

/// Errors of SQL as the database meant them: message and hint, without the driver's wrapping.
fn sql_error(error: sqlx::Error) -> anyhow::Error {
    let Some(database) = error.as_database_error() else { return error.into() };
    let hint = database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().and_then(|e| e.hint());
    anyhow::anyhow!("{}{}", database.message(), hint.map(|h| format!("\n{h}")).unwrap_or_default())
}
