//! The command line. It works through SQL, as any other program does, and prints the answers.

#![warn(clippy::print_stdout, reason = "a closed pipe would be a panic; out writes to standard output")]

mod auth;
mod backup;
mod campaign;
mod completions;
mod console;
mod consumer;
mod doctor;
mod exit;
mod failure;
mod health;
mod import;
mod inbox;
mod jobs;
mod listing;
mod names;
mod out;
mod pacing;
mod progress;
mod qr;
mod schedule;
mod send;
mod service;
mod session;
mod stop;
mod tenant;
mod token;
mod up;
mod webhook;
mod why;
mod words;
mod worker;

use crate::config::{Config, Overrides, Secret, WHATSAPP_URL, WebOverrides};
use crate::db::folder::RunningUp;
use crate::db::{self, Db, DbError, listener};
use crate::telemetry::log;
use anyhow::Context;
use clap::{Parser, Subcommand};
use sqlx::postgres::PgListener;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use exit::{Exit, Fault};
use failure::{Failure, error_text};
use out::{line, print};
use stop::{Stop, stop_signal};

/// A WhatsApp gateway on Postgres: an INSERT into wa.outbound sends a message; received messages are rows of wa.inbox.
#[derive(Debug, Parser)]
#[command(name = "wagres", version = env!("VERSION_AND_BUILD"), propagate_version = true, after_help = exit::help())]
struct Cli {
    /// Configuration file [default: wagres.toml in the working folder, if there is one]
    #[arg(long, global = true, value_name = "FILE", env = "WAGRES_CONFIG")]
    config: Option<PathBuf>,
    /// Postgres URL; overrides the environment and the configuration file
    #[arg(long, global = true, value_name = "URL")]
    database_url: Option<String>,
    /// Log filter: info, wagres=debug …
    #[arg(long, global = true, value_name = "FILTER")]
    log: Option<String>,
    /// Print JSON, one value on each line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything: migrate the database and run a worker; without a database URL also a private Postgres
    Up {
        /// Run the sandbox too, a WhatsApp on this machine, and connect the worker to it
        #[arg(long)]
        sandbox: bool,
        #[command(flatten)]
        faults: FaultFlags,
        /// Keep the sandbox's state in this file over restarts [default: sandbox.json in the data folder]
        #[arg(long, value_name = "FILE", requires = "sandbox")]
        state: Option<PathBuf>,
        /// Folder of the private Postgres and of the sandbox's state; one wagres up at a time [default: wagres-data]
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
        #[command(flatten)]
        worker: WorkerFlags,
    },
    /// Run a worker on a migrated database; or list and drain running workers
    #[command(args_conflicts_with_subcommands = true)]
    Worker {
        #[command(flatten)]
        worker: WorkerFlags,
        #[command(subcommand)]
        command: Option<worker::WorkerCommand>,
    },
    /// Serve the link page and the dashboard; any number of such processes may run
    Web {
        /// Address of the pages; port 0 takes a free one [default: 127.0.0.1:7461]
        #[arg(long, value_name = "ADDR")]
        listen: Option<SocketAddr>,
    },
    /// Migrate the schema wa to this version
    Migrate,
    /// Run the sandbox alone: a WhatsApp server with simulated phones on this machine
    Sandbox {
        /// Address for the connections of devices; port 0 takes a free one
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        ws: SocketAddr,
        /// Address of the control API and the page; port 0 takes a free one
        #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
        control: SocketAddr,
        #[command(flatten)]
        faults: FaultFlags,
        /// Keep the sandbox's state in this file over restarts [default: in memory only]
        #[arg(long, value_name = "FILE")]
        state: Option<PathBuf>,
    },
    /// Add, link, show, pause, move, connect and close sessions
    #[command(subcommand)]
    Session(session::SessionCommand),
    /// Say in one line why a session does not send, or what a message waits for
    Why(why::WhyArgs),
    /// Queue a message of any kind
    Send(Box<send::SendArgs>),
    /// Show the queue; list, retry, cancel and purge jobs
    #[command(subcommand)]
    Jobs(jobs::JobsCommand),
    /// List, follow, pause, resume and cancel campaigns
    #[command(subcommand)]
    Campaign(campaign::CampaignCommand),
    /// Show received messages
    Inbox(inbox::InboxArgs),
    /// List, add, rewind and drop consumers, which read received messages by a name
    #[command(subcommand)]
    Consumer(consumer::ConsumerCommand),
    /// Show, set and clear the pacing of sessions: how fast they send
    #[command(subcommand)]
    Pacing(pacing::PacingCommand),
    /// List, add, pause and resume tenants, and say which database role sees which
    #[command(subcommand)]
    Tenant(tenant::TenantCommand),
    /// Import a device that another program linked, without a new scan
    #[command(subcommand)]
    Import(import::ImportCommand),
    /// Look after the auth state, which keeps devices linked: size, quarantine, encryption
    #[command(subcommand)]
    Auth(auth::AuthCommand),
    /// Export a device to another program, without a new scan
    #[command(subcommand)]
    Export(backup::ExportCommand),
    /// Write the auth state of a session to a file
    ///
    /// The file holds what keeps the device linked: credentials, keys and Signal sessions. Whoever has it can be this
    /// device, so encrypt it with --passphrase-file. Messages are not in it.
    Backup(backup::BackupArgs),
    /// Restore the auth state of a session from a file of wagres backup, without a new scan
    ///
    /// Adds the session if it does not exist, in this database or another one; connect it afterwards. Signal sessions that
    /// may have been used since the backup are left out: the next message to each chat starts a new one. The auth state of
    /// a session that has been connected since the backup is replaced only with --replace.
    Restore(backup::RestoreArgs),
    /// Show, set, enable, disable, run and delete schedules
    #[command(subcommand)]
    Schedule(schedule::ScheduleCommand),
    /// Add, show and revoke tokens for the web pages, and make login links
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Add, show, test, rotate, replay, disable and drop webhooks
    #[command(subcommand)]
    Webhook(webhook::WebhookCommand),
    /// Ask the worker of this machine whether it takes work, for health checks; exits with an error if it does not
    Health(health::HealthArgs),
    /// Check everything that a worker needs, and print a remedy for each problem
    Doctor,
    /// Open a prompt that takes every command, with short words for operators: status, inbox, errors, metrics
    Console,
    /// Show the configuration in force, with secrets masked
    Config,
    /// Print completions for a shell
    Completions(completions::CompletionsArgs),
    /// Write pages for man
    Man(completions::ManArgs),
}

/// Faults of the sandbox.
#[derive(Debug, clap::Args)]
struct FaultFlags {
    /// Scenario of the sandbox, a JSON or TOML file: seed, phones and fault rules
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Seed of the sandbox's random faults; a scenario may set another
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
}

#[derive(Debug, clap::Args)]
struct WorkerFlags {
    /// WebSocket URL of the WhatsApp server [default: WhatsApp's own]
    #[arg(long, value_name = "URL")]
    whatsapp_url: Option<String>,
    /// Address of /livez, /health and /metrics; port 0 takes a free one [default: 127.0.0.1:7460]
    #[arg(long, value_name = "ADDR")]
    http: Option<SocketAddr>,
    /// Address of the link page and the dashboard; port 0 takes a free one [default: none; of wagres up 127.0.0.1:7461]
    #[arg(long, value_name = "ADDR")]
    web: Option<SocketAddr>,
}

impl WorkerFlags {
    fn override_in(&self, overrides: &mut Overrides) {
        overrides.whatsapp_url.clone_from(&self.whatsapp_url);
        overrides.http = self.http;
        overrides.web = Some(WebOverrides { listen: self.web });
    }
}

/// Runs the command of these arguments, the first of which names the program, to its end. What it failed on is on
/// standard error, and in the exit code.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        // Help and version are answers.
        Err(error) if !error.use_stderr() || !arguments.iter().any(|word| word == "--json") => error.exit(),
        Err(error) => return Failure::of_usage(&error).report(true),
    };
    let json = cli.json;
    match run(cli) {
        Ok(()) => Exit::Ok.into(),
        Err(Failed { error, meant }) => Failure::of(&error, meant.as_deref()).report(json),
    }
}

/// An error, and the name that is nearest to an unknown one.
struct Failed {
    error: anyhow::Error,
    meant: Option<String>,
}

impl<E: Into<anyhow::Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { error: error.into(), meant: None }
    }
}

fn run(cli: Cli) -> Result<(), Failed> {
    // These two need no configuration: packages are built with them.
    match &cli.command {
        Command::Completions(args) => {
            completions::completions(args);
            return Ok(());
        }
        Command::Man(args) => return Ok(completions::man(args, cli.json)?),
        _ => {}
    }
    let mut overrides = Overrides { database_url: cli.database_url, log: cli.log, ..Overrides::default() };
    match &cli.command {
        Command::Up { sandbox: false, faults: FaultFlags { scenario: Some(_), .. }, .. } => {
            let text = "--scenario: only with --sandbox, which runs the sandbox that the scenario is for";
            return Err(Fault::error(Exit::Usage, text).into());
        }
        Command::Up { data, worker, .. } => {
            overrides.data_dir.clone_from(data);
            worker.override_in(&mut overrides);
        }
        Command::Worker { worker, .. } => worker.override_in(&mut overrides),
        Command::Web { listen } => overrides.web = Some(WebOverrides { listen: *listen }),
        _ => {}
    }
    let mut config = Config::load(cli.config.as_deref(), &overrides)?;
    if !matches!(cli.command, Command::Up { .. } | Command::Sandbox { .. } | Command::Config) {
        join_running_up(&mut config);
    }
    log::start(&config.log, config.log_format)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?;
    let json = cli.json;
    runtime.block_on(async {
        match execute(&config, cli.command, json).await {
            Ok(()) => Ok(()),
            Err(error) => Err(Failed { meant: meant(&config, &error).await, error }),
        }
    })
}

/// The name that was meant by an unknown one.
async fn meant(config: &Config, error: &anyhow::Error) -> Option<String> {
    if Exit::of(error) != Exit::NotFound {
        return None;
    }
    names::nearest(&connect(config).await.ok()?, error).await
}

async fn execute(config: &Config, command: Command, json: bool) -> anyhow::Result<()> {
    match command {
        Command::Up { sandbox, faults, state, .. } => {
            let sandbox = sandbox.then_some(up::SandboxFlags { faults: &faults, state });
            Box::pin(up::up(config.clone(), sandbox, json)).await
        }
        Command::Worker { command: Some(command), .. } => worker::run(config, command, json).await,
        Command::Worker { .. } => up::worker(config.clone(), json).await,
        Command::Web { .. } => up::pages(config.clone(), json).await,
        Command::Migrate => migrate(config, json).await,
        Command::Sandbox { ws, control, faults, state } => up::sandbox(ws, control, &faults, state, json).await,
        Command::Session(command) => session::run(config, command, json).await,
        Command::Why(args) => why::run(config, args, json).await,
        Command::Send(args) => send::run(config, *args, json).await,
        Command::Jobs(command) => jobs::run(config, command, json).await,
        Command::Campaign(command) => campaign::run(config, command, json).await,
        Command::Import(command) => import::run(config, command, json).await,
        Command::Export(command) => backup::export(config, command, json).await,
        Command::Backup(args) => backup::backup(config, args, json).await,
        Command::Restore(args) => backup::restore(config, args, json).await,
        Command::Auth(command) => auth::run(config, command, json).await,
        Command::Inbox(args) => inbox::run(config, args, json).await,
        Command::Consumer(command) => consumer::run(config, command, json).await,
        Command::Pacing(command) => pacing::run(config, command, json).await,
        Command::Tenant(command) => tenant::run(config, command, json).await,
        Command::Schedule(command) => schedule::run(config, command, json).await,
        Command::Token(command) => token::run(config, command, json).await,
        Command::Webhook(command) => webhook::run(config, command, json).await,
        Command::Health(args) => health::run(config, &args, json).await,
        Command::Doctor => doctor::run(config, json).await,
        Command::Console => console::run(config, json).await,
        Command::Config => show(config, json),
        Command::Completions(_) | Command::Man(_) => Ok(()),
    }
}

async fn migrate(config: &Config, json: bool) -> anyhow::Result<()> {
    migrate_schema(config).await?;
    print(json, &serde_json::json!({ "migrated": true }), "the schema wa is up to date");
    Ok(())
}

/// Refused through a pooler: the migrations' lock belongs to a connection, which a pooler passes on to other clients.
async fn migrate_schema(config: &Config) -> anyhow::Result<()> {
    if config.database_pooler {
        return Err(DbError::NotThroughPooler("migrating").into());
    }
    let db = connect(config).await?;
    let progress = progress::Progress::of(1, "schema wa");
    db::migrate::migrate_showing(db.pool(), &|done, total| {
        progress.total(total);
        progress.at(done);
    })
    .await?;
    db.close().await;
    Ok(())
}

fn show(config: &Config, json: bool) -> anyhow::Result<()> {
    let value = serde_json::to_value(config)?;
    if json {
        line(&value.to_string());
        return Ok(());
    }
    let Some(fields) = value.as_object() else { return Ok(()) };
    for (name, value) in fields {
        match value.as_object() {
            Some(section) => {
                section.iter().for_each(|(inner, value)| line(&format!("{name}.{inner} = {value}")));
            }
            None => line(&format!("{name} = {value}")),
        }
    }
    Ok(())
}

/// Without a `database_url` a command works with the `wagres up` that runs in the data folder: with its private server,
/// and with its WhatsApp server unless another one is configured.
fn join_running_up(config: &mut Config) {
    let Some(up) = RunningUp::find(&config.data_dir) else { return };
    match &config.database_url {
        None if up.private => config.database_url = up.database_urls.into_iter().next().map(Secret::new),
        Some(url) if up.database_urls.contains(&url.without_password()) => {}
        _ => return,
    }
    if config.whatsapp_url == WHATSAPP_URL {
        config.whatsapp_url = up.whatsapp_url;
    }
}

fn database_url(config: &Config) -> anyhow::Result<&Secret> {
    let missing = || Fault::error(Exit::NoDatabase, format!("database_url: missing; {}", no_database(config)));
    config.database_url.as_ref().ok_or_else(missing)
}

/// What helps a command that has no `database_url` and found none.
fn no_database(config: &Config) -> String {
    let folder = std::path::absolute(&config.data_dir).unwrap_or_else(|_| config.data_dir.clone());
    let folder = folder.display();
    let set = "set DATABASE_URL to postgres://user:password@host:port/database";
    match RunningUp::find(&config.data_dir) {
        Some(up) => {
            let found = up.database_urls.join(", ");
            format!("{set}; wagres up (process {}, data folder {folder}) works on {found}", up.pid)
        }
        None => format!(
            "{set}, or start wagres up; none is ready in {folder}, and WAGRES_DATA_DIR names the data folder of one that \
             was started elsewhere"
        ),
    }
}

async fn connect(config: &Config) -> anyhow::Result<Db> {
    Ok(Db::connect(database_url(config)?, config.database_pooler, 2, "wagres cli").await?)
}

/// Waits for rows to change. A notification only ends the wait sooner, whoever sent it and whatever it says; through a
/// pooler there is none.
struct RowWatch(Option<PgListener>);

impl RowWatch {
    async fn on(channel: &str, config: &Config) -> anyhow::Result<Self> {
        if config.database_pooler {
            return Ok(Self(None));
        }
        Ok(Self(Some(listener::connect(database_url(config)?, &[channel]).await?)))
    }

    /// Waits for a notification, at most two seconds.
    async fn wait(&mut self) -> sqlx::Result<()> {
        let notified = async {
            match &mut self.0 {
                Some(listener) => listener.try_recv().await.map(drop),
                None => std::future::pending().await,
            }
        };
        tokio::time::timeout(Duration::from_secs(2), notified).await.unwrap_or(Ok(()))
    }
}
