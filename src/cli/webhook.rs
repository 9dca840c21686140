//! `wagres webhook add | list | show | set | test | rotate | replay | disable | enable | drop`.

use super::listing::{Cell, Listing, WatchArgs, watch};
use super::words::{Moment, moment, seconds};
use super::{Exit, Fault, connect, line, print, words};
use crate::auth::{Vault, seal_webhook_secrets};
use crate::config::Config;
use crate::db::Db;
use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

#[derive(Debug, Subcommand)]
pub(super) enum WebhookCommand {
    /// Add a webhook, and print its secret, which nothing can show again
    Add(AddArgs),
    /// Show all webhooks, with the backlog of each and how its receiver answers
    List(WatchArgs),
    /// Show a webhook and its last deliveries
    Show {
        /// Name of the webhook
        name: String,
        /// Most deliveries to show
        #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=1000))]
        deliveries: u32,
    },
    /// Change settings of a webhook; what you leave out stays as it is
    Set(SetArgs),
    /// Deliver an event of type test
    Test {
        /// Name of the webhook
        name: String,
    },
    /// Make another secret and print it; for a while requests have the signatures of both
    Rotate {
        /// Name of the webhook
        name: String,
        /// How long the old secret signs, too: 0h, 30min, 24h … 30d [default: 24h]
        #[arg(long, value_name = "TIME", value_parser = seconds)]
        overlap: Option<f64>,
    },
    /// Deliver again what has happened since a moment, under the same ids
    Replay {
        /// Name of the webhook
        name: String,
        /// Since when: a time back such as 30min, 2h or 3d, or a moment such as 2026-11-23T10:00:00Z
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        since: Moment,
        /// Until when, in the same form [default: until now]
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        until: Option<Moment>,
        /// Only what is dead: out of attempts
        #[arg(long)]
        dead: bool,
    },
    /// Disable a webhook; what happens meanwhile is not kept for it
    Disable {
        /// Name of the webhook
        name: String,
        /// Reason, for whoever looks at it later
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Enable a webhook, whoever disabled it
    Enable {
        /// Name of the webhook
        name: String,
        /// Deliver also what has happened since this moment, as in replay
        #[arg(long, value_name = "WHEN", value_parser = moment)]
        since: Option<Moment>,
    },
    /// Delete a webhook, its secrets and what it has yet to be told
    Drop {
        /// Name of the webhook
        name: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct AddArgs {
    /// Name of the webhook: 1 to 63 letters, digits, dots, underscores, hyphens
    name: String,
    #[arg(help = "Address that events are posted to: https://example.org/hook")]
    url: String,
    /// Deliver also what has happened since this moment: 2h, 3d, 2026-11-23T10:00:00Z [default: from now on]
    #[arg(long, value_name = "WHEN", value_parser = moment)]
    since: Option<Moment>,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
pub(super) struct SetArgs {
    /// Name of the webhook
    name: String,
    /// Address that events are posted to
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

/// Settings that a webhook is added with, and that can be changed.
#[derive(Debug, Args)]
struct Settings {
    /// Only events of this session, or of several, with commas; set replaces them, and "" is all [new webhooks: all]
    #[arg(long = "session", value_name = "NAMES", value_delimiter = ',')]
    sessions: Option<Vec<String>>,
    /// Types of events, with commas: message.received, session.*, * … [new webhooks: message.received,message.status]
    #[arg(long, value_name = "TYPES", value_delimiter = ',')]
    kinds: Option<Vec<String>>,
    /// Order: events of one chat wait for each other, or none waits [new webhooks: chat]
    #[arg(long, value_name = "ORDER")]
    lanes: Option<Lanes>,
    /// Format of bodies [new webhooks: standard]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Most events in one request, 1 to 100 [new webhooks: 1]
    #[arg(long, value_name = "N")]
    batch_size: Option<i32>,
    /// How long an event waits for others to share its request: 0s to 1min [new webhooks: 1s]
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    batch_wait: Option<f64>,
    /// A header of your own, kept secret; once for each, and set replaces all of them; "" is none
    #[arg(long = "header", value_name = "NAME: VALUE")]
    headers: Option<Vec<String>>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Lanes {
    Chat,
    None,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Standard,
    Cloudevents,
}

/// The name of a value, as SQL knows it.
fn name_of(value: &impl ValueEnum) -> Option<String> {
    value.to_possible_value().map(|value| value.get_name().to_owned())
}

impl Settings {
    /// The names of sessions; none are all.
    fn sessions(&self) -> Option<Vec<String>> {
        let named = self.sessions.as_ref()?.iter();
        Some(named.filter(|name| !name.is_empty()).cloned().collect())
    }

    fn lanes(&self) -> Option<String> {
        self.lanes.as_ref().and_then(name_of)
    }

    fn format(&self) -> Option<String> {
        self.format.as_ref().and_then(name_of)
    }

    /// The headers as an object. What HTTP refuses, the database refuses.
    fn headers(&self) -> anyhow::Result<Option<Value>> {
        let Some(headers) = &self.headers else { return Ok(None) };
        let mut found = Map::new();
        for header in headers.iter().filter(|header| !header.is_empty()) {
            // The value may be a secret, so the error does not repeat it.
            let wrong = || Fault::error(Exit::Usage, "--header: no colon; accepted is a name, a colon and a value");
            let (name, value) = header.split_once(':').ok_or_else(wrong)?;
            found.insert(name.trim().to_owned(), value.trim().into());
        }
        Ok(Some(Value::Object(found)))
    }
}

pub(super) async fn run(config: &Config, command: WebhookCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    let print_done = |name: &str, state: &str| {
        print(json, &json!({ "webhook": name, state: true }), &format!("webhook {name} is {state}"));
    };
    match command {
        WebhookCommand::Add(args) => add(&pool, config, args, json).await?,
        WebhookCommand::List(WatchArgs { watch: true }) => {
            watch(config, "wa_event", json, async || list(&pool).await).await?;
        }
        WebhookCommand::List(_) => list(&pool).await?.show(json),
        WebhookCommand::Show { name, deliveries } => show(&pool, &name, deliveries, json).await?,
        WebhookCommand::Set(args) => {
            set(&pool, &args).await?;
            print_done(&args.name, "set");
        }
        WebhookCommand::Test { name } => {
            let id = sqlx::query_scalar!(r#"SELECT wa.test_webhook($1) AS "id!""#, name).fetch_one(&pool).await?;
            print(json, &json!({ "webhook": name, "id": id }), &format!("webhook {name}: queued as {id}"));
        }
        WebhookCommand::Rotate { name, overlap } => {
            let vault = Vault::open(&config.encryption).await?;
            let secret = sqlx::query_file_scalar!("sql/cli/rotate_webhook.sql", name, overlap).fetch_one(&pool).await?;
            let sealed = seal_webhook_secrets(&pool, &vault, &name).await;
            print(json, &json!({ "webhook": name, "secret": secret }), &secret);
            sealed?;
        }
        WebhookCommand::Replay { name, since, until, dead } => {
            let (at, ago) = since.parts();
            let (until, until_ago) = until.map_or((None, None), Moment::parts);
            let replay = sqlx::query_file!("sql/cli/replay_webhook.sql", name, at, ago, until, until_ago, dead);
            replay.execute(&pool).await?;
            print(json, &json!({ "webhook": name, "replay": true }), &format!("webhook {name}: replay queued"));
        }
        WebhookCommand::Disable { name, reason } => {
            sqlx::query!("SELECT wa.disable_webhook($1, $2)", name, reason).execute(&pool).await?;
            print_done(&name, "disabled");
        }
        WebhookCommand::Enable { name, since } => {
            let (at, ago) = since.map_or((None, None), Moment::parts);
            sqlx::query_file!("sql/cli/enable_webhook.sql", name, at, ago).execute(&pool).await?;
            print_done(&name, "enabled");
        }
        WebhookCommand::Drop { name } => {
            sqlx::query!("SELECT wa.drop_webhook($1)", name).execute(&pool).await?;
            print_done(&name, "dropped");
        }
    }
    Ok(())
}

async fn add(pool: &Db, config: &Config, args: AddArgs, json: bool) -> anyhow::Result<()> {
    let AddArgs { name, url, since, settings } = args;
    let (at, ago) = since.map_or((None, None), Moment::parts);
    let (vault, sessions) = (Vault::open(&config.encryption).await?, settings.sessions());
    let secret = sqlx::query_file_scalar!(
        "sql/cli/add_webhook.sql",
        name,
        url,
        settings.kinds.as_deref(),
        sessions.as_deref(),
        settings.lanes(),
        settings.format(),
        settings.batch_size,
        settings.batch_wait,
        settings.headers()?,
        at,
        ago
    );
    let secret = secret.fetch_one(pool).await?;
    // The secret is shown once, so it is shown whatever follows.
    let sealed = seal_webhook_secrets(pool, &vault, &name).await;
    print(json, &json!({ "webhook": name, "secret": secret }), &secret);
    sealed?;
    Ok(())
}

async fn set(pool: &Db, args: &SetArgs) -> anyhow::Result<()> {
    let SetArgs { name, url, settings } = args;
    let sessions = settings.sessions();
    sqlx::query_file!(
        "sql/cli/alter_webhook.sql",
        name,
        url.as_deref(),
        settings.kinds.as_deref(),
        settings.lanes(),
        settings.format(),
        settings.batch_size,
        settings.batch_wait,
        settings.headers()?,
        sessions.as_deref()
    )
    .execute(pool)
    .await?;
    Ok(())
}

async fn list(pool: &Db) -> anyhow::Result<Listing> {
    let mut listing = Listing::new(
        &["WEBHOOK", "STATUS", "QUEUED", "DEAD", "DELIVERED", "CODE", "URL", "LAST ERROR"],
        "no webhooks; wagres webhook add NAME URL adds one",
    );
    for row in sqlx::query_file_scalar!("sql/cli/webhooks.sql", None::<&str>).fetch_all(pool).await? {
        let text = |field: &str| row[field].as_str().unwrap_or_default().to_owned();
        let number = |field: &str| row[field].as_i64();
        let error = row["disabled_reason"].as_str().or(row["last_error"].as_str()).unwrap_or_default();
        let delivered = row["delivered_at"].as_str().and_then(|at| at.parse().ok());
        let cells = [
            Cell::text(text("webhook")),
            Cell::status(text("status")),
            Cell::number(number("queued").unwrap_or_default()),
            Cell::faults(number("dead").unwrap_or_default()),
            Cell::when_or(delivered, "never"),
            Cell::right(number("last_code").map(|code| code.to_string()).unwrap_or_default()),
            Cell::text(text("url")),
            Cell::text(error),
        ];
        listing.add(&["webhook_id"], row, cells);
    }
    Ok(listing)
}

async fn show(pool: &Db, name: &str, deliveries: u32, json: bool) -> anyhow::Result<()> {
    let mut shown = sqlx::query_file_scalar!("sql/cli/webhooks.sql", name).fetch_one(pool).await?;
    let id = shown["webhook_id"].as_i64().context("the row")?;
    let latest = sqlx::query_file!("sql/webhooks/latest.sql", id, i64::from(deliveries)).fetch_all(pool).await?;
    if json {
        let latest = latest.into_iter().map(|row| {
            json!({
                "id": row.event_id, "type": row.r#type, "status": row.status, "attempts": row.attempts, "code": row.code,
                "last_error": row.last_error, "response": row.response, "happened_at": row.happened_at,
                "attempted_at": row.attempted_at, "run_at": row.run_at,
            })
        });
        shown["deliveries"] = latest.collect();
        line(&shown.to_string());
        return Ok(());
    }
    line(&words::fields(shown.as_object().context("the row")?));
    let mut listing = Listing::new(
        &["HAPPENED", "EVENT", "STATUS", "TRIES", "CODE", "ERROR"],
        format!("no deliveries yet; wagres webhook test {name} makes one"),
    );
    for row in latest {
        let cells = [
            Cell::when(Some(row.happened_at)),
            Cell::text(&row.event_id),
            Cell::status(&row.status),
            Cell::number(row.attempts),
            Cell::right(row.code.map(|code| code.to_string()).unwrap_or_default()),
            Cell::fault(row.last_error.filter(|_| row.status != "done")),
        ];
        listing.add(&["id"], json!({ "id": row.event_id }), cells);
    }
    line("");
    listing.show(false);
    Ok(())
}
