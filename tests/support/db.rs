//! A fresh database for each test.
//!
//! With `TEST_DATABASE_URL` the databases are made on that server, which should be a throw-away one. Otherwise a
//! private server is started: once per test run, by the test that comes first, under a file lock; every process of the
//! run finds its address in a folder named after the run. A small shell process outside of the test's process group
//! waits for the end of the run, then stops the server and deletes the folder, however the run ended.

#![expect(clippy::expect_used, clippy::panic, reason = "a test that has no database can only stop")]

use std::{
    fs::{self, File},
    net::TcpListener,
    os::unix::process::{CommandExt, parent_id},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

/// A migrated database of its own.
pub(crate) struct TestDb {
    /// A few connections to it.
    pub(crate) pool: PgPool,
    /// Its address, for a process that is started by the test.
    #[allow(dead_code, reason = "not every test starts a process")]
    pub(crate) url: String,
}

/// A migrated, empty database.
pub(crate) async fn fresh() -> TestDb {
    fresh_with(None).await
}

/// The same, after some SQL of the test's own.
pub(crate) async fn fresh_with(after_migrations: Option<&'static str>) -> TestDb {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let run = Run::new();
    let server = run.server().await;
    let name = format!("wagres_test_{}_{}_{}", run.id(), process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let mut admin = connect(&server).await;
    let create = format!(r#"CREATE DATABASE "{name}" TEMPLATE "{}""#, run.template());
    admin.execute(AssertSqlSafe(create)).await.expect("create the test's database");
    admin.close().await.expect("close");

    let url = with_database(&server, &name);
    let options: PgConnectOptions = url.parse().expect("database URL");
    let pool =
        PgPoolOptions::new().max_connections(8).connect_with(options).await.expect("connect to the test's database");
    if let Some(sql) = after_migrations {
        pool.execute(sql).await.expect("run the test's SQL");
    }
    TestDb { pool, url }
}

/// Brings the template up to date; each test's database is a copy of it.
async fn migrate(pool: &PgPool) {
    wagres::db::migrate::migrate(pool).await.expect("migrate");
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap_or_else(|error| panic!("the test server does not answer: {error}"))
}

fn with_database(server: &str, name: &str) -> String {
    let mut url = url::Url::parse(server).expect("database URL");
    url.set_path(name);
    url.into()
}

/// One run of the tests: all processes that nextest starts, or this one.
struct Run {
    id: String,
    /// The server goes when this process has gone.
    owner: u32,
    folder: PathBuf,
}

impl Run {
    fn new() -> Self {
        let (id, owner) = match std::env::var("NEXTEST_RUN_ID") {
            Ok(id) => (id, parent_id()),
            Err(_) => (format!("pid{}", process::id()), process::id()),
        };
        let folder = std::env::temp_dir().join(format!("wagres-test-{id}"));
        Self { id, owner, folder }
    }

    /// Short enough for the name of a database.
    fn id(&self) -> &str {
        self.id.get(..8).unwrap_or(&self.id)
    }

    fn template(&self) -> String {
        format!("wagres_template_{}", self.id())
    }

    /// The address of the run's server, which is started and given its template by the first to ask.
    async fn server(&self) -> String {
        fs::create_dir_all(&self.folder).expect("create the folder of the run");
        let lock = File::create(self.folder.join("lock")).expect("create the lock file");
        lock.lock().expect("lock");
        let marker = self.folder.join("url");
        if let Ok(url) = fs::read_to_string(&marker) {
            return url;
        }
        let given = std::env::var("TEST_DATABASE_URL").ok();
        let private = given.is_none();
        let url = given.unwrap_or_else(|| start(&self.folder));
        self.watch(private);
        self.make_template(&url).await;
        fs::write(&marker, &url).expect("write the marker");
        url
    }

    async fn make_template(&self, server: &str) {
        let template = self.template();
        let mut admin = connect(server).await;
        admin.execute(AssertSqlSafe(format!(r#"CREATE DATABASE "{template}""#))).await.expect("create the template");
        admin.close().await.expect("close");
        let url = with_database(server, &template);
        let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.expect("connect to the template");
        migrate(&pool).await;
        pool.close().await;
    }

    /// Starts what cleans up after the run.
    #[expect(clippy::zombie_processes, reason = "it outlives this process, which is why it is there")]
    fn watch(&self, private: bool) {
        let stop = if private {
            let (program, arguments) = as_server_user(&binary("pg_ctl"));
            format!("{program} {} stop -m immediate -w -D \"$2/data\";", arguments.join(" "))
        } else {
            String::new()
        };
        let script = format!("while kill -0 \"$1\" 2>/dev/null; do sleep 0.2; done; cd /; {stop} rm -rf \"$2\"");
        Command::new("sh")
            .args(["-c", &script, "sh", &self.owner.to_string()])
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("start the process that stops the server");
    }
}

/// Starts a private server in `folder` and gives back its address.
fn start(folder: &Path) -> String {
    let data = folder.join("data");
    if is_root() {
        run(Command::new("install").args(["-d", "-m", "700", "-o", "postgres"]).arg(&data));
    }
    let mut initdb = server_command("initdb");
    run(initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "-N", "-D"]).arg(&data));
    for _ in 0..5 {
        // Free now; if somebody else is quicker, the next round takes another.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let settings = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off -c full_page_writes=off \
             -c synchronous_commit=off -c max_connections=300 -c shared_buffers=64MB -c autovacuum=off"
        );
        let mut pg_ctl = server_command("pg_ctl");
        pg_ctl.args(["start", "-w", "-s", "-l"]).arg(data.join("log")).args(["-o", &settings, "-D"]).arg(&data);
        if pg_ctl.status().is_ok_and(|status| status.success()) {
            return format!("postgres://postgres@127.0.0.1:{port}/postgres");
        }
    }
    panic!("the private Postgres does not start: {}", fs::read_to_string(data.join("log")).unwrap_or_default());
}

fn run(command: &mut Command) {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(done.status.success(), "{command:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A server program that runs as a user whom Postgres accepts, and holds none of our streams open.
fn server_command(name: &str) -> Command {
    let (program, arguments) = as_server_user(&binary(name));
    let mut command = Command::new(program);
    command.args(arguments).current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Postgres refuses to run as root.
fn as_server_user(program: &Path) -> (String, Vec<String>) {
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
fn binary(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file());
    on_path.or_else(|| newest(name)).unwrap_or_else(|| panic!("no {name} on PATH or under /usr/lib/postgresql/*/bin"))
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
