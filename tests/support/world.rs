//! A sandbox, a database and worker processes, wired as an operator would.

use crate::control::Control;
use crate::support::db::{self, TestDb};
use crate::support::until::{LIMIT, until};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sqlx::PgPool;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use wagres_sandbox::{Options, Running, Sandbox};

/// The binary under test.
pub(crate) const WAGRES: &str = env!("CARGO_BIN_EXE_wagres");

/// A sandbox and a database, without workers.
pub(crate) struct World {
    pub(crate) sandbox: Running,
    pub(crate) control: Control,
    pub(crate) db: TestDb,
}

impl World {
    pub(crate) async fn new() -> Result<Self> {
        Self::on(db::fresh().await).await
    }

    /// The same on an existing database.
    pub(crate) async fn on(db: TestDb) -> Result<Self> {
        let sandbox = Sandbox::start(Options::default()).await?;
        let control = Control::new(&sandbox.control_url());
        Ok(Self { sandbox, control, db })
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.db.pool
    }

    /// Starts a worker and waits until it takes work.
    pub(crate) async fn worker(&self) -> Result<Worker> {
        Worker::start(self.worker_on(&self.db.url)).await
    }

    /// The command of a worker with this database URL.
    pub(crate) fn worker_on(&self, database_url: &str) -> Command {
        let mut command = wagres();
        command.args(["worker", "--json", "--http", "127.0.0.1:0", "--database-url", database_url]);
        command.args(["--whatsapp-url", &self.sandbox.ws_url()]);
        command
    }

    /// The same with the shortest lease, for tests in which it expires by the clock.
    pub(crate) fn brief_worker_on(&self, database_url: &str) -> Command {
        let mut command = self.worker_on(database_url);
        command.env("WAGRES_WORKER__LEASE_SECONDS", "3");
        command
    }

    /// `kill -9`; then the lease of the worker expires at once.
    pub(crate) async fn kill(&self, worker: Worker) -> Result<()> {
        let pid = i32::try_from(worker.pid()?)?;
        worker.kill().await?;
        let over = "UPDATE wa.worker SET lease_until = now() WHERE pid = $1";
        ensure!(
            sqlx::query(over).bind(pid).execute(self.pool()).await?.rows_affected() == 1,
            "the worker had no lease"
        );
        Ok(())
    }

    pub(crate) async fn phone(&self, number: &str) -> Result<()> {
        self.control.post("/phones", json!({ "number": number })).await.map(drop)
    }

    /// Adds a session and links it by QR to the phone of `number`, with SQL and the control API alone.
    pub(crate) async fn link(&self, session: &str, number: &str) -> Result<()> {
        self.phone(number).await?;
        sqlx::query("SELECT wa.add_session($1), wa.link($1)").bind(session).execute(self.pool()).await?;
        let shown = "SELECT status::text, qr FROM wa.session WHERE name = $1";
        let mut scanned = String::new();
        let look = async || {
            let (status, qr): (String, Option<String>) =
                sqlx::query_as(shown).bind(session).fetch_one(self.pool()).await?;
            // Scans each new code, because a worker that starts the linking over shows another one.
            if let Some(qr) = qr.filter(|qr| *qr != scanned) {
                scanned.clone_from(&qr);
                self.control.post(&format!("/phones/{number}/scan"), json!({ "qr": qr })).await?;
            }
            Ok(if status == "connected" { Ok(()) } else { Err(status) })
        };
        match until("a link", look).await {
            Ok(()) => Ok(()),
            Err(error) => Err(error.context(self.state().await?)),
        }
    }

    pub(crate) async fn session_is(&self, session: &str, status: &str) -> Result<()> {
        self.holds(&format!("SELECT status = '{status}' FROM wa.session WHERE name = '{session}'")).await
    }

    /// Inserts a text as an application does.
    pub(crate) async fn send(&self, session: &str, recipient: &str, body: &str) -> Result<i64> {
        let insert = "INSERT INTO wa.outbound (session, recipient, body) VALUES ($1, $2, $3) RETURNING id";
        let id = sqlx::query_scalar(insert).bind(session).bind(recipient).bind(body).fetch_one(self.pool()).await?;
        Ok(id)
    }

    pub(crate) async fn message_is(&self, id: i64, status: &str) -> Result<()> {
        self.holds(&format!("SELECT status = '{status}' FROM wa.outbound WHERE id = {id}")).await
    }

    /// The texts that a phone's owner sees, in order.
    pub(crate) async fn seen_by(&self, number: &str) -> Result<Vec<String>> {
        let value = self.control.get(&format!("/phones/{number}/messages")).await?;
        let messages = value["messages"].as_array().context("messages")?;
        Ok(messages.iter().filter_map(|m| m["text"].as_str().map(str::to_owned)).collect())
    }

    /// Waits until `query` gives a value that is not null.
    pub(crate) async fn until<T>(&self, query: &str) -> Result<T>
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let look = async || {
            let found: Option<Option<T>> =
                sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).fetch_optional(self.pool()).await?;
            Ok(found.flatten().ok_or("nothing"))
        };
        match until(query, look).await {
            Ok(found) => Ok(found),
            Err(error) => Err(error.context(self.state().await?)),
        }
    }

    /// Waits until `query` gives true.
    pub(crate) async fn holds(&self, query: &str) -> Result<()> {
        let only_true = format!("SELECT true FROM ({query}) AS asked (holds) WHERE holds");
        self.until::<bool>(&only_true).await.map(drop)
    }

    /// Sessions, jobs and the latest messages, for the error of a failed test.
    async fn state(&self) -> Result<String> {
        let state: Option<Value> = sqlx::query_scalar(
            "SELECT jsonb_build_object('sessions', (SELECT jsonb_agg(to_jsonb(s)) FROM wa.session s),
                'jobs', (SELECT jsonb_agg(to_jsonb(j)) FROM wa.session_job j),
                'outbound', (SELECT jsonb_agg(to_jsonb(o)) FROM (SELECT * FROM wa.outbound ORDER BY id DESC LIMIT 3) o))",
        )
        .fetch_one(self.pool())
        .await?;
        Ok(state.unwrap_or_default().to_string())
    }

    pub(crate) async fn count(&self, query: &str) -> Result<i64> {
        Ok(sqlx::query_scalar(sqlx::AssertSqlSafe(query.to_owned())).fetch_one(self.pool()).await?)
    }
}

/// The binary with a clean environment.
pub(crate) fn wagres() -> Command {
    let mut command = Command::new(WAGRES);
    clean(&mut command);
    command
}

/// Keeps the caller's configuration from the process.
pub(crate) fn clean(command: &mut Command) {
    const OLDER: [&str; 4] = ["DATABASE_URL", "BASE_URL", "JWT_SECRET", "LOG_LEVEL"];
    let ours = std::env::vars().map(|(name, _)| name);
    let ours = ours.filter(|n| n.starts_with("WAGRES_") || n.starts_with("YCLIENTS_") || OLDER.contains(&n.as_str()));
    for name in ours {
        command.env_remove(name);
    }
    command.current_dir(std::env::temp_dir()).kill_on_drop(true).stdin(Stdio::null());
}

/// A worker process that has reported that it is ready.
pub(crate) struct Worker {
    child: Child,
    pub(crate) ready: Value,
}

impl Worker {
    pub(crate) async fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("no stdout")?).lines();
        let line =
            tokio::time::timeout(LIMIT, lines.next_line()).await.context("the worker was not ready in time")??;
        let line = line.context("the worker ended before it was ready")?;
        Ok(Self { child, ready: serde_json::from_str(&line).with_context(|| line.clone())? })
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the worker has ended")
    }

    /// `kill -9`.
    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Sends a signal: TERM, STOP …
    pub(crate) async fn signal(&self, name: &str) -> Result<()> {
        let pid = self.pid()?.to_string();
        ensure!(Command::new("kill").args(["-s", name, &pid]).status().await?.success(), "cannot signal");
        Ok(())
    }

    /// Sends SIGTERM; the worker must exit with code 0.
    pub(crate) async fn stop(self) -> Result<()> {
        self.signal("TERM").await?;
        self.ended().await
    }

    /// Waits until the worker exits with code 0.
    pub(crate) async fn ended(self) -> Result<()> {
        let code = self.code().await?;
        ensure!(code == Some(0), "the worker exited with {code:?}");
        Ok(())
    }

    /// Waits until the worker exits, and returns its exit code.
    pub(crate) async fn code(mut self) -> Result<Option<i32>> {
        Ok(tokio::time::timeout(LIMIT, self.child.wait()).await.context("the worker does not stop")??.code())
    }
}
