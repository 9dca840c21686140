//! A PgBouncer in front of a test's database.

use super::db::TestDb;
use super::programs::missing;
use super::server::{as_server_user_command, free_port};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use tokio::process::{Child, Command};

/// A pooler whose clients share a few connections. Dropping it ends the process.
pub(crate) struct Pooler {
    /// The address of the test's database through it.
    pub(crate) url: String,
    settings: PathBuf,
    _child: Child,
}

impl Pooler {
    /// Starts a pooler in front of `db`, with `settings` in its section `[pgbouncer]`.
    ///
    /// # Errors
    /// `PgBouncer` is missing or does not start.
    pub(crate) async fn before(db: &TestDb, settings: &str) -> Result<Self> {
        let places = ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(Path::new);
        let program = places.into_iter().find(|path| path.exists()).ok_or_else(|| missing("PgBouncer (pgbouncer)"))?;
        let mut url = url::Url::parse(&db.url)?;
        let server = url.port().context("the server's port")?;
        let port = free_port();
        let file = std::env::temp_dir().join(format!("wagres-pooler-{}-{port}.ini", std::process::id()));
        let text = format!(
            "[databases]\n* = host=127.0.0.1 port={server} user=postgres\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n{settings}\n"
        );
        std::fs::write(&file, text)?;
        let child = Command::from(as_server_user_command(program)).arg(&file).kill_on_drop(true).spawn()?;
        url.set_port(Some(port)).ok().context("a URL without a port")?;
        let pooler = Self { url: url.into(), settings: file, _child: child };
        super::until::until("an answer of the pooler", async || {
            Ok(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.map(drop))
        })
        .await?;
        Ok(pooler)
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.settings);
    }
}
