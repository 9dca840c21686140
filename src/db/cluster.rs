//! The private Postgres of `wagres up`: a cluster in the data folder, run from the installed server binaries.
//!
//! The server listens on a Unix socket inside its own folder, which only its user may enter, so whoever reaches the
//! socket needs no password; and on a loopback port for programs that cannot use a socket, with a password in a file
//! that only its owner may read. It runs until [`Cluster::stop`]. The server of a killed owner still runs at the next
//! start, which stops it and starts it again. As root the server runs as user `postgres`, because Postgres refuses to
//! run as root.

use super::folder::{DataFolder, FolderError};
use super::{DbError, options};
use crate::config::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::{ConnectOptions as _, Connection as _};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use tokio::process::Command;

/// Who may connect: on the socket whoever may enter its folder, elsewhere whoever knows the password.
const HBA: &str = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
/// Longest path of a Unix socket, without the NUL at its end.
const LONGEST_SOCKET: usize = 107;
/// What stays as it is in the path of a URL's query.
const PATH: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'~');

/// Why the private server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// No `initdb` on PATH or under `/usr/lib/postgresql`.
    #[error("no PostgreSQL server found: install it (Debian: apt-get install postgresql) or set database_url")]
    NotInstalled,
    /// The folder, or a file of it, cannot be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The socket's path would be too long.
    #[error(
        "data_dir: {path} is too long a path for the server's socket; accepted are {longest} bytes: name a shorter one \
         with --data"
    )]
    LongPath {
        /// The data folder.
        path: PathBuf,
        /// Its greatest length.
        longest: usize,
    },
    /// A server program failed.
    #[error("{program} failed: {output}")]
    Program {
        /// `initdb`, `pg_ctl` or `createdb`.
        program: &'static str,
        /// The program's output.
        output: String,
    },
    /// The password could not be set.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// A running private server.
#[derive(Debug)]
pub struct Cluster {
    bin: PathBuf,
    data: PathBuf,
    port: u16,
    pass_file: PathBuf,
}

impl Cluster {
    /// Starts the cluster in `folder`; creates it first if there is none.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn start(folder: &DataFolder) -> Result<Self, ClusterError> {
        Self::start_with(folder, &[]).await
    }

    /// As [`Self::start`], with settings of the server, each as `name=value`.
    ///
    /// # Errors
    /// See [`ClusterError`].
    pub async fn start_with(folder: &DataFolder, settings: &[&str]) -> Result<Self, ClusterError> {
        let bin = server_binaries().ok_or(ClusterError::NotInstalled)?;
        let data = folder.path().join("postgres");
        let around = "/postgres/.s.PGSQL.65535".len();
        if folder.path().as_os_str().len() + around > LONGEST_SOCKET {
            return Err(ClusterError::LongPath { path: folder.path().into(), longest: LONGEST_SOCKET - around });
        }
        let fail = |source| FolderError::Io { path: data.clone(), source };
        if !data.join("PG_VERSION").exists() {
            std::fs::create_dir_all(&data).map_err(fail)?;
            give_to_server_user(&data).await?;
            let mut initdb = server_command(&bin.join("initdb"));
            initdb.arg("-D").arg(&data).args(["-U", "wagres", "--auth-local=trust", "--auth-host=scram-sha-256"]);
            run("initdb", {
                initdb.args(["-E", "UTF8", "--locale=C.UTF-8", "-N"]);
                initdb
            })
            .await?;
        }
        // Each time: an earlier version let everybody in.
        std::fs::write(data.join("pg_hba.conf"), HBA).map_err(fail)?;
        // The server of a killed owner still runs. It is stopped so that this start decides on port and settings.
        if data.join("postmaster.pid").exists() {
            let mut stop = server_command(&bin.join("pg_ctl"));
            stop.arg("-D").arg(&data).args(["-m", "fast", "-w", "stop"]);
            if let Err(error) = run("pg_ctl", stop).await {
                tracing::debug!(%error, "no server was running in the folder");
            }
        }
        let port = match folder.kept_port("postgres") {
            Some(port) => port,
            None => free_port().map_err(fail)?,
        };
        let mut start = server_command(&bin.join("pg_ctl"));
        // The server's working folder is its data folder.
        let mut options = format!("-p {port} -k . -c listen_addresses=127.0.0.1 -c max_connections=200");
        for setting in settings {
            options.push_str(" -c ");
            options.push_str(setting);
        }
        start.arg("-D").arg(&data).arg("-l").arg(data.join("server.log")).args(["-w", "-t", "60", "-o"]).arg(options);
        run("pg_ctl", {
            start.arg("start");
            start
        })
        .await?;
        let random = || format!("{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
        let pass_file = folder.secret_file("pgpass", || pass_lines(&random()))?;
        let cluster = Self { bin, data, port, pass_file };
        if let Err(error) = cluster.prepare().await {
            cluster.stop().await?;
            return Err(error);
        }
        folder.keep_port("postgres", port)?;
        Ok(cluster)
    }

    /// URL of the cluster's database `wagres`, on its socket. It needs no password.
    #[must_use]
    pub fn url(&self) -> Secret {
        let socket = self.data.to_string_lossy();
        let socket = utf8_percent_encode(&socket, PATH);
        Secret::new(format!("postgres://wagres@localhost:{}/wagres?host={socket}", self.port))
    }

    /// URL of the same database on its loopback port, with the password of [`Self::pass_file`].
    #[must_use]
    pub fn tcp_url(&self) -> String {
        format!("postgres://wagres@127.0.0.1:{}/wagres", self.port)
    }

    /// The file with the password, in the form of `PGPASSFILE`.
    #[must_use]
    pub fn pass_file(&self) -> &Path {
        &self.pass_file
    }

    /// Stops the server and waits until it has ended.
    ///
    /// # Errors
    /// `pg_ctl` fails or needs more than a minute.
    pub async fn stop(&self) -> Result<(), ClusterError> {
        let mut stop = server_command(&self.bin.join("pg_ctl"));
        stop.arg("-D").arg(&self.data).args(["-m", "fast", "-w", "-t", "60", "stop"]);
        run("pg_ctl", stop).await
    }

    /// Creates the database if there is none, and sets the password.
    async fn prepare(&self) -> Result<(), ClusterError> {
        let mut create = server_command(&self.bin.join("createdb"));
        create.arg("-h").arg(&self.data).args(["-U", "wagres", "-p"]).arg(self.port.to_string()).arg("wagres");
        match run("createdb", create).await {
            Err(ClusterError::Program { output, .. }) if output.contains("already exists") => {}
            other => other?,
        }
        let read = std::fs::read_to_string(&self.pass_file);
        let read = read.map_err(|source| FolderError::Io { path: self.pass_file.clone(), source })?;
        let password = read.lines().next().and_then(|line| line.rsplit(':').next()).unwrap_or_default();
        let mut connection =
            options(&self.url(), "wagres up")?.disable_statement_logging().connect().await.map_err(DbError::Connect)?;
        // ALTER ROLE takes no parameter.
        let keep = sqlx::query("SELECT set_config('wagres.password', $1, false)").bind(password);
        keep.execute(&mut connection).await.map_err(DbError::Sql)?;
        let set =
            "DO $$ BEGIN EXECUTE format('ALTER ROLE wagres PASSWORD %L', current_setting('wagres.password')); END $$";
        sqlx::raw_sql(set).execute(&mut connection).await.map_err(DbError::Sql)?;
        connection.close().await.map_err(|error| DbError::Sql(error).into())
    }
}

/// Both names of this machine.
fn pass_lines(password: &str) -> String {
    ["127.0.0.1", "localhost"].map(|host| format!("{host}:*:*:wagres:{password}\n")).concat()
}

/// A program that comes with the server, such as `pgbench`.
#[must_use]
pub fn server_program(name: &str) -> Option<PathBuf> {
    let program = server_binaries()?.join(name);
    program.exists().then_some(program)
}

/// Folder of `initdb` and the other server programs: the newest under `/usr/lib/postgresql`, else the one on PATH.
fn server_binaries() -> Option<PathBuf> {
    let complete = |dir: &PathBuf| ["initdb", "pg_ctl", "postgres", "createdb"].iter().all(|p| dir.join(p).exists());
    let mut packaged: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, dir)| complete(dir))
        .collect();
    packaged.sort();
    packaged.pop().map(|(_, dir)| dir).or_else(|| std::env::split_paths(&std::env::var_os("PATH")?).find(complete))
}

fn is_root() -> bool {
    // The owner of /proc/self is the effective user.
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0)
}

/// A server program, run as user `postgres` if this process runs as root.
fn server_command(program: &Path) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    // A Ctrl-C for this process must not kill the server, which is stopped in order. The server's user must be allowed
    // into the working folder.
    command.process_group(0).current_dir("/").stdin(Stdio::null()).env("LC_ALL", "C.UTF-8");
    command
}

async fn give_to_server_user(path: &Path) -> Result<(), ClusterError> {
    if !is_root() {
        return Ok(());
    }
    let mut chown = Command::new("chown");
    chown.arg("postgres:postgres").arg(path);
    run("chown", chown).await
}

async fn run(program: &'static str, mut command: Command) -> Result<(), ClusterError> {
    // A file and not a pipe: the server that pg_ctl starts would hold the pipe open, and this process would wait for
    // it.
    let text = |output: &Output| {
        [&output.stdout, &output.stderr].map(|b| String::from_utf8_lossy(b).trim().to_owned()).join(" ")
    };
    let log = tempfile().map_err(|e| ClusterError::Program { program, output: e.to_string() })?;
    let status = command
        .stdout(log.try_clone().map_or_else(|_| Stdio::null(), Stdio::from))
        .stderr(log.try_clone().map_or_else(|_| Stdio::null(), Stdio::from))
        .status()
        .await
        .map_err(|e| ClusterError::Program { program, output: e.to_string() })?;
    if status.success() {
        return Ok(());
    }
    let output = Output { status, stdout: read_back(log), stderr: Vec::new() };
    Err(ClusterError::Program { program, output: text(&output) })
}

/// A file without a name, for the output of a program.
fn tempfile() -> std::io::Result<std::fs::File> {
    let path = std::env::temp_dir().join(format!("wagres-{}", uuid::Uuid::new_v4()));
    let file = std::fs::OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

fn read_back(mut file: std::fs::File) -> Vec<u8> {
    use std::io::{Read, Seek};
    let mut bytes = Vec::new();
    if file.rewind().and_then(|()| file.read_to_end(&mut bytes)).is_err() {
        bytes.extend_from_slice(b"(its output could not be read)");
    }
    bytes
}

fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
