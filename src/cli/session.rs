//! `wagres session add | link | passkey | confirm | list | show | pause | resume | proxy | move | errors | connect |
//! close | logout`.

use super::{Ear, connect, print, qr, sql_error};
use crate::config::Config;
use crate::db::Db;
use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use uuid::Uuid;

#[derive(Debug, Subcommand)]
pub(super) enum SessionCommand {
    /// Make a session; nothing happens when it is there.
    Add {
        /// 1 to 63 letters, digits, dots, underscores, hyphens.
        name: String,
    },
    /// Link a phone: shows QR codes until one is scanned.
    Link {
        /// The session.
        name: String,
        /// Show a pairing code too, for the phone with this number.
        #[arg(long, value_name = "NUMBER")]
        phone: Option<String>,
    },
    /// Hand in what a passkey answered, for an account that demands one.
    Passkey {
        /// The session.
        name: String,
        /// A file with the answer as JSON; standard input when it is left out.
        file: Option<PathBuf>,
    },
    /// Say which code the phone shows while it is linked with a passkey.
    Confirm {
        /// The session.
        name: String,
        /// As the phone shows it: XXXX-XXXX.
        code: String,
    },
    /// Show all sessions.
    List,
    /// Show everything about a session: status, who holds it, what it has to send, its last jobs.
    Show {
        /// The session.
        name: String,
    },
    /// Hold back what it has to send; it stays connected and receives.
    Pause {
        /// The session.
        name: String,
        /// Why, for the record.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Let it send again.
    Resume {
        /// The session.
        name: String,
    },
    /// Let it talk to WhatsApp through a proxy, from its next connection on.
    Proxy {
        /// The session.
        name: String,
        /// A file with http:// or `socks5://user:password@host:port`; standard input when it is left out.
        file: Option<PathBuf>,
        /// Take the proxy away.
        #[arg(long, conflicts_with = "file")]
        none: bool,
    },
    /// Move it to a worker, which keeps it as long as it lives.
    Move {
        /// The session.
        name: String,
        /// The worker's id, as `wagres worker list` shows it; left out: to whoever has room.
        worker_id: Option<Uuid>,
    },
    /// Show what went wrong with it, the latest last.
    Errors {
        /// The session.
        name: String,
        /// So many at most.
        #[arg(long, default_value_t = 20)]
        limit: u32,
    },
    /// Connect a linked session again, at once.
    Connect {
        /// The session.
        name: String,
    },
    /// Unlink the device and delete its auth state; to use it again it must be linked anew.
    Logout {
        /// The session, which must be connected.
        name: String,
        /// Why, for the record.
        #[arg(long)]
        reason: Option<String>,
    },
    /// End the connection and keep the link.
    Close {
        /// The session.
        name: String,
        /// Why, for the record.
        #[arg(long)]
        reason: Option<String>,
    },
}

pub(super) async fn run(config: &Config, command: SessionCommand, json: bool) -> anyhow::Result<()> {
    let pool = connect(config).await?;
    match command {
        SessionCommand::Add { name } => {
            let id = sqlx::query_scalar!(r#"SELECT wa.add_session($1) AS "session_id!""#, name)
                .fetch_one(&pool)
                .await
                .map_err(sql_error)?;
            print(json, &json!({ "session": name, "session_id": id }), &format!("session {name} is there"));
        }
        SessionCommand::Link { name, phone } => link(config, &pool, &name, phone.as_deref(), json).await?,
        SessionCommand::Passkey { name, file } => {
            let assertion = assertion(file.as_deref())?;
            let job = sqlx::query_scalar!(r#"SELECT wa.answer_passkey($1, $2) AS "job!""#, name, assertion)
                .fetch_one(&pool)
                .await;
            let job = job.map_err(sql_error)?;
            print(json, &json!({ "session": name, "job": job }), "handed in; a code to compare comes next");
        }
        SessionCommand::Confirm { name, code } => {
            let job = sqlx::query_scalar!(r#"SELECT wa.confirm_passkey($1, $2) AS "job!""#, name, code)
                .fetch_one(&pool)
                .await;
            let job = job.map_err(sql_error)?;
            print(json, &json!({ "session": name, "job": job }), "confirmed; the phone links the session");
        }
        SessionCommand::List => {
            let rows = sqlx::query!(
                r#"SELECT name, status::text AS "status!", status_reason, status_at, desired::text AS "desired!", phone
                   FROM wa.session ORDER BY name"#
            )
            .fetch_all(&pool)
            .await?;
            if !json {
                println!("{:<24} {:<13} {:<10} {:<16} REASON", "SESSION", "STATUS", "WISH", "PHONE");
            }
            for row in rows {
                let line = json!({
                    "session": row.name, "status": row.status, "reason": row.status_reason,
                    "desired": row.desired, "phone": row.phone, "since": row.status_at,
                });
                let text = format!(
                    "{:<24} {:<13} {:<10} {:<16} {}",
                    row.name,
                    row.status,
                    row.desired,
                    row.phone.unwrap_or_default(),
                    row.status_reason.unwrap_or_default()
                );
                print(json, &line, text.trim_end());
            }
        }
        SessionCommand::Show { name } => {
            let shown = sqlx::query_file_scalar!("sql/cli/show_session.sql", name).fetch_one(&pool).await;
            let shown = shown.map_err(sql_error)?;
            print(json, &shown, &serde_json::to_string_pretty(&shown)?);
        }
        SessionCommand::Proxy { name, file, none } => {
            // Not as an argument, which everybody on the machine can read.
            let url = if none { None } else { Some(read(file.as_deref())?.trim().to_owned()) };
            let set = sqlx::query_scalar!("SELECT wa.set_proxy($1, $2)::text", name, url).fetch_one(&pool).await;
            set.map_err(sql_error)?;
            print(json, &json!({ "session": name }), "set; it counts from the next connection on");
        }
        SessionCommand::Move { name, worker_id } => {
            let moved =
                sqlx::query_scalar!("SELECT wa.move_session($1, $2)::text", name, worker_id).fetch_one(&pool).await;
            moved.map_err(sql_error)?;
            let text = worker_id.map_or("goes where there is room".to_owned(), |to| format!("moves to worker {to}"));
            print(json, &json!({ "session": name, "worker_id": worker_id }), &format!("session {name} {text}"));
        }
        SessionCommand::Errors { name, limit } => {
            let found = sqlx::query_file!("sql/cli/session_errors.sql", name, i64::from(limit)).fetch_all(&pool).await;
            for row in found.map_err(sql_error)?.into_iter().rev() {
                let line = json!({ "at": row.at, "what": row.what, "error": row.error });
                print(json, &line, &format!("{}  {:<22} {}", row.at.format("%F %T"), row.what, row.error));
            }
        }
        SessionCommand::Connect { name } => {
            let job = sqlx::query_scalar!(r#"SELECT wa.connect($1) AS "job!""#, name).fetch_one(&pool).await;
            let job = job.map_err(sql_error)?;
            print(json, &json!({ "session": name, "job": job }), &format!("session {name} is being connected"));
        }
        SessionCommand::Logout { name, reason } => {
            let job = sqlx::query_scalar!(r#"SELECT wa.logout($1, $2) AS "job!""#, name, reason).fetch_one(&pool).await;
            let job = job.map_err(sql_error)?;
            print(json, &json!({ "session": name, "job": job }), &format!("session {name} is being unlinked"));
        }
        SessionCommand::Pause { name, reason } => {
            sqlx::query_scalar!("SELECT wa.pause($1, $2)::text", name, reason)
                .fetch_one(&pool)
                .await
                .map_err(sql_error)?;
            print(
                json,
                &json!({ "session": name, "paused": true }),
                &format!("session {name} sends nothing until resumed"),
            );
        }
        SessionCommand::Resume { name } => {
            sqlx::query_scalar!("SELECT wa.resume($1)::text", name).fetch_one(&pool).await.map_err(sql_error)?;
            print(json, &json!({ "session": name, "paused": false }), &format!("session {name} sends again"));
        }
        SessionCommand::Close { name, reason } => {
            let job = sqlx::query_scalar!(r#"SELECT wa.close($1, $2) AS "job!""#, name, reason)
                .fetch_one(&pool)
                .await
                .map_err(sql_error)?;
            print(json, &json!({ "session": name, "job": job }), &format!("session {name} is being closed"));
        }
    }
    Ok(())
}

/// The answer of a passkey, from a file or standard input.
/// What is in a file, or comes from standard input.
fn read(file: Option<&Path>) -> anyhow::Result<String> {
    match file {
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display())),
        None => std::io::read_to_string(std::io::stdin()).context("cannot read standard input"),
    }
}

fn assertion(file: Option<&Path>) -> anyhow::Result<Value> {
    serde_json::from_str(&read(file)?)
        .context("the answer is not JSON; accepted is what PublicKeyCredential.toJSON() gives")
}

/// What somebody has to do next for a linking with a passkey.
fn advice(name: &str, stage: &str, request: &Value, code: Option<&str>, error: Option<&str>) -> Option<String> {
    Some(match stage {
        "requested" => format!(
            "This account demands its passkey. In a browser that has it, open https://web.whatsapp.com, and in the console \
             (F12) run:\n\n  copy(JSON.stringify((await navigator.credentials.get({{publicKey: \
             PublicKeyCredential.parseRequestOptionsFromJSON({request})}})).toJSON()))\n\nThen paste what it copied into: \
             wagres session passkey {name}"
        ),
        "code" => {
            format!("If the phone shows {code}: wagres session confirm {name} {code}", code = code.unwrap_or_default())
        }
        "failed" => format!("linking with the passkey failed: {}; scan the QR again", error.unwrap_or_default()),
        _ => return None,
    })
}

/// Asks for a link and follows the row until the session is connected or nobody scanned.
async fn link(config: &Config, pool: &Db, name: &str, phone: Option<&str>, json: bool) -> anyhow::Result<()> {
    let mut ear = Ear::on("wa_session", config).await?;
    let job = sqlx::query_scalar!(r#"SELECT wa.link($1, $2) AS "job!""#, name, phone);
    let job = job.fetch_one(pool).await.map_err(sql_error)?;
    let (mut shown, mut stage, mut typed) = (None, None, None);
    loop {
        let row = sqlx::query_file!("sql/cli/watch_session.sql", name, job).fetch_one(pool).await?;
        if row.qr != shown
            && let Some(text) = &row.qr
        {
            let line = json!({ "session": name, "status": row.status, "qr": text, "expires_at": row.qr_expires_at });
            print(
                json,
                &line,
                &format!("{}\nscan it with WhatsApp on the phone: Settings, Linked devices", qr::draw(text)?),
            );
        }
        shown = row.qr;
        if row.code != typed
            && let Some(code) = &row.code
        {
            let line =
                json!({ "session": name, "status": row.status, "code": code, "expires_at": row.code_expires_at });
            let where_to =
                "type it into WhatsApp on the phone: Settings, Linked devices, Link with phone number instead";
            print(json, &line, &format!("pairing code {code}\n{where_to}"));
        }
        typed = row.code;
        if row.stage != stage
            && let (Some(stage), Some(request)) = (&row.stage, &row.request)
        {
            let line = json!({
                "session": name, "passkey": stage, "request": request, "code": row.passkey_code, "error": row.error,
            });
            if let Some(advice) = advice(name, stage, request, row.passkey_code.as_deref(), row.error.as_deref()) {
                print(json, &line, &advice);
            }
        }
        stage = row.stage;
        match (row.status.as_str(), row.job.as_str()) {
            ("connected", "done") => {
                let phone = row.phone.unwrap_or_default();
                print(
                    json,
                    &json!({ "session": name, "status": "connected", "phone": phone }),
                    &format!("linked: {phone}"),
                );
                return Ok(());
            }
            (_, "failed" | "cancelled") => {
                bail!("not linked: {}", row.last_error.unwrap_or_else(|| "the job was cancelled".into()));
            }
            ("new" | "logged_out" | "banned" | "stopped", "done") => {
                bail!("not linked: {}", row.status_reason.unwrap_or(row.status));
            }
            _ => {}
        }
        ear.wait().await?;
    }
}
