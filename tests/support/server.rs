//! Postgres servers that tests start, as a user that Postgres accepts.

#![expect(clippy::expect_used, clippy::panic, reason = "a test without a database can only stop")]

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A server of one test. Dropping it stops the server and deletes its data.
#[cfg(feature = "sandbox")]
pub(crate) struct Server {
    data: PathBuf,
    url: String,
}

#[cfg(feature = "sandbox")]
impl Server {
    pub(super) fn start(data: PathBuf, settings: &[&str]) -> Self {
        let url = start(&data, settings);
        Self { data, url }
    }

    /// The URL of its database `postgres`.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Stops the server in this mode of `pg_ctl`.
    pub(crate) async fn stop(&self, mode: &str) -> anyhow::Result<()> {
        self.pg_ctl(&["stop", "-m", mode]).await
    }

    /// Stops the server in this mode of `pg_ctl` if it runs, starts it at the same address, and waits until it answers.
    pub(crate) async fn restart(&self, mode: &str) -> anyhow::Result<()> {
        self.pg_ctl(&["restart", "-m", mode]).await
    }

    /// Starts a new timeline, as a recovery or a failover does: the server becomes a standby without a primary and is
    /// promoted.
    pub(crate) async fn promote(&self) -> anyhow::Result<()> {
        self.pg_ctl(&["stop", "-m", "fast"]).await?;
        let signal = self.data.join("standby.signal");
        let mut touch = as_server_user_command(Path::new("/usr/bin/touch"));
        anyhow::ensure!(touch.arg(&signal).status()?.success(), "cannot write {}", signal.display());
        self.pg_ctl(&["restart", "-m", "fast"]).await?;
        self.pg_ctl(&["promote"]).await
    }

    /// Copies its data, as a snapshot of the volume would.
    pub(crate) async fn snapshot(&self) -> anyhow::Result<()> {
        self.stop("fast").await?;
        let copied = tokio::process::Command::new("cp").arg("-a").args([&self.data, &self.copy()]).status().await?;
        anyhow::ensure!(copied.success(), "cannot copy {}", self.data.display());
        self.restart("fast").await
    }

    /// Puts that copy in the place of its data.
    pub(crate) async fn roll_back(&self) -> anyhow::Result<()> {
        self.stop("immediate").await?;
        fs::remove_dir_all(&self.data)?;
        fs::rename(self.copy(), &self.data)?;
        self.restart("fast").await
    }

    fn copy(&self) -> PathBuf {
        self.data.with_extension("snapshot")
    }

    /// The number of times that its log has this text.
    pub(crate) async fn logged(&self, text: &str) -> anyhow::Result<usize> {
        let mut cat = tokio::process::Command::from(as_server_user_command(Path::new("/bin/cat")));
        let log = cat.arg(self.data.join("log")).stdout(Stdio::piped()).output().await?;
        Ok(String::from_utf8_lossy(&log.stdout).matches(text).count())
    }

    async fn pg_ctl(&self, what: &[&str]) -> anyhow::Result<()> {
        let mut pg_ctl = tokio::process::Command::from(server_command("pg_ctl"));
        pg_ctl.args(what).args(["-w", "-s", "-l"]).arg(self.data.join("log")).arg("-D").arg(&self.data);
        let status = pg_ctl.status().await?;
        anyhow::ensure!(status.success(), "pg_ctl {what:?}: {status}");
        Ok(())
    }
}

#[cfg(feature = "sandbox")]
impl Drop for Server {
    fn drop(&mut self) {
        let mut pg_ctl = server_command("pg_ctl");
        // If this fails, the process that cleans up after the run tries again.
        let _ = pg_ctl.args(["stop", "-w", "-s", "-m", "immediate", "-D"]).arg(&self.data).status();
        let _ = fs::remove_dir_all(&self.data);
    }
}

/// Starts a server in the folder `data`, with `settings` besides those of all tests, and returns its URL.
pub(super) fn start(data: &Path, settings: &[&str]) -> String {
    if is_root() {
        run(Command::new("install").args(["-d", "-m", "700", "-o", "postgres"]).arg(data));
    }
    let mut initdb = server_command("initdb");
    run(initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N", "-D"]).arg(data));
    for _ in 0..5 {
        // The port may be taken before Postgres binds it; then the next round tries another.
        let port = free_port();
        let mut options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off -c full_page_writes=off \
             -c synchronous_commit=off -c max_connections=300 -c shared_buffers=64MB -c autovacuum=off \
             -c max_wal_size=256MB"
        );
        options.extend(settings.iter().map(|setting| format!(" -c {setting}")));
        let mut pg_ctl = server_command("pg_ctl");
        pg_ctl.args(["start", "-w", "-s", "-l"]).arg(data.join("log")).args(["-o", &options, "-D"]).arg(data);
        if pg_ctl.status().is_ok_and(|status| status.success()) {
            return format!("postgres://postgres@127.0.0.1:{port}/postgres");
        }
    }
    panic!("the private Postgres does not start: {}", fs::read_to_string(data.join("log")).unwrap_or_default());
}

/// A client program of Postgres, such as `pg_dump`.
#[cfg(feature = "sandbox")]
pub(crate) fn client(name: &str) -> tokio::process::Command {
    tokio::process::Command::new(binary(name))
}

/// A port that is free now.
pub(super) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port()
}

fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A server program that runs as a user that Postgres accepts, and keeps none of our streams open.
fn server_command(name: &str) -> Command {
    as_server_user_command(&binary(name))
}

/// The same for any program.
pub(super) fn as_server_user_command(program: &Path) -> Command {
    let (program, arguments) = as_server_user(program);
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// The command line that runs a program as a user that Postgres accepts: it refuses to run as root.
pub(super) fn as_server_user(program: &Path) -> (String, Vec<String>) {
    let program = program.display().to_string();
    if is_root() {
        let user = ["--reuid=postgres", "--regid=postgres", "--init-groups"].map(str::to_owned);
        return ("setpriv".to_owned(), user.into_iter().chain([program]).collect());
    }
    (program, Vec::new())
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|done| done.stdout.trim_ascii() == b"0")
}

/// A server program on PATH, or of the newest version where Debian installs them.
pub(super) fn binary(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    on_path.or_else(|| newest(name)).unwrap_or_else(|| {
        panic!("{name} of Postgres is neither on PATH nor under /usr/lib/postgresql/*/bin; `make test` installs it")
    })
}

fn newest(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
    versions
        .filter_map(|version| {
            Some((version.file_name().to_str()?.parse::<u32>().ok()?, version.path().join("bin").join(name)))
        })
        .filter(|(_, program)| program.is_file())
        .max()
        .map(|(_, program)| program)
}
