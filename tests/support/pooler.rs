//! A connection pooler before a test's database.

use super::db::TestDb;
use super::server::{as_server_user_command, free_port};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use tokio::process::{Child, Command};

/// A pooler whose clients share a few connections; dropped, it is gone.
pub(crate) struct Pooler {
    /// The address of the test's database through it.
    pub(crate) url: String,
    settings: PathBuf,
    _child: Child,
}

impl Pooler {
    /// Starts one before `db`, with `settings` of `[pgbouncer]`. None where none is installed, which it says.
    pub(crate) async fn before(db: &TestDb, settings: &str) -> Result<Option<Self>> {
        let Some(program) =
            ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].map(Path::new).into_iter().find(|it| it.exists())
        else {
            eprintln!("skipped: no PgBouncer here (apt-get install pgbouncer)");
            return Ok(None);
        };
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
        Ok(Some(pooler))
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.settings);
    }
}
