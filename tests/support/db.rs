//! A fresh database for each test.
//!
//! With `TEST_DATABASE_URL` the databases are created on that server, which should be a throw-away one. Otherwise the
//! first test of a run starts a private server, under a file lock; every process of the run finds its address in a
//! folder named after the run. A small shell process outside of the test's process group waits for the end of the run,
//! then stops the servers and deletes the folder, however the run ended.
//!
//! A test's process keeps a file of that folder locked for each of its databases. The databases of processes that have
//! ended are dropped by the next test, so that a run needs little disk.

#![expect(clippy::expect_used, clippy::panic, reason = "a test without a database can only stop")]

use std::{
    fs::{self, File},
    os::unix::process::{CommandExt, parent_id},
    path::PathBuf,
    process::{self, Command, Stdio},
    sync::OnceLock,
};

use sqlx::{
    AssertSqlSafe, Connection, Executor, PgConnection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use super::server;

/// A migrated database of one test.
pub(crate) struct TestDb {
    pub(crate) pool: PgPool,
    /// Its URL, for processes that the test starts.
    #[allow(dead_code, reason = "not every test starts a process")]
    pub(crate) url: String,
}

/// A migrated, empty database.
pub(crate) async fn fresh() -> TestDb {
    fresh_with(None).await
}

/// A migrated, empty database on which the test's own SQL has run.
pub(crate) async fn fresh_with(after_migrations: Option<&'static str>) -> TestDb {
    let run = Run::new();
    let server = run.server().await;
    let name = name_of(&run);
    let mut admin = connect(&server).await;
    run.drop_those_of_ended_tests(&mut admin).await;
    run.claim(&name);
    let create = format!(r#"CREATE DATABASE "{name}" TEMPLATE "{}""#, run.template());
    admin.execute(AssertSqlSafe(create)).await.expect("create the test's database");
    admin.close().await.expect("close");

    let db = open(with_database(&server, &name)).await;
    if let Some(sql) = after_migrations {
        db.pool.execute(sql).await.expect("run the test's SQL");
    }
    db
}

/// A migrated, empty database on a server of the test's own, which the test may stop and start. Commits there survive a
/// crash.
#[cfg(feature = "sandbox")]
pub(crate) async fn fresh_on_its_own() -> (TestDb, server::Server) {
    let run = Run::new();
    fs::create_dir_all(&run.folder).expect("create the folder of the run");
    let server = server::Server::start(
        run.folder.join(format!("server-{}", chance())),
        &["synchronous_commit=on", "max_prepared_transactions=2"],
    );
    let db = open(server.url().to_owned()).await;
    migrate(&db.pool).await;
    (db, server)
}

/// The same, with the whole database, and nothing else, in a tablespace in that folder.
#[cfg(feature = "sandbox")]
pub(crate) async fn fresh_in(folder: &std::path::Path) -> (TestDb, server::Server) {
    let (db, server) = fresh_on_its_own().await;
    let place = format!("CREATE TABLESPACE small LOCATION '{}'", folder.display());
    db.pool.execute(AssertSqlSafe(place)).await.expect("create the tablespace");
    db.pool.execute("CREATE DATABASE small TABLESPACE small").await.expect("create the test's database");
    db.pool.close().await;
    let db = open(with_database(server.url(), "small")).await;
    migrate(&db.pool).await;
    (db, server)
}

async fn open(url: String) -> TestDb {
    let options: PgConnectOptions = url.parse().expect("database URL");
    let pool =
        PgPoolOptions::new().max_connections(8).connect_with(options).await.expect("connect to the test's database");
    TestDb { pool, url }
}

/// Migrates a database, as the template from which each test's database is copied.
async fn migrate(pool: &PgPool) {
    wagres::db::migrate::migrate(pool).await.expect("migrate");
    // The default schedules would fire in some tests and not in others, by the time of the day; tests that want one enable
    // it, or run it by hand.
    pool.execute("UPDATE wa.schedule SET enabled = false").await.expect("disable the default schedules");
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap_or_else(|error| panic!("the test server does not answer: {error}"))
}

fn with_database(server: &str, name: &str) -> String {
    let mut url = url::Url::parse(server).expect("database URL");
    url.set_path(name);
    url.into()
}

/// Part of a name that nothing else has: the number of a process may come again, and what its tests made may be left.
fn chance() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// The name of one test's database.
fn name_of(run: &Run) -> String {
    format!("wagres_test_{}_{}", run.id(), chance())
}

#[test]
fn names_of_databases_differ_and_hold_no_number_of_a_process() {
    let run = Run::new();
    let names: std::collections::BTreeSet<String> = (0..1000).map(|_| name_of(&run)).collect();
    assert_eq!(names.len(), 1000, "two tests would have one database");
    let shape = |name: &str| {
        let (run, of_test) = name.strip_prefix("wagres_test_")?.split_once('_')?;
        let hexadecimal = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        Some(hexadecimal(run) && run.len() == 8 && hexadecimal(of_test) && of_test.len() == 16)
    };
    // Nothing but random digits, so no number of a process, which comes again.
    assert!(names.iter().all(|name| shape(name) == Some(true)), "{names:?}");
}

/// One run of the tests: all processes of nextest, or this process alone.
struct Run {
    id: String,
    /// The process whose end is the end of the run; then the server is stopped.
    owner: u32,
    folder: PathBuf,
}

impl Run {
    fn new() -> Self {
        static ALONE: OnceLock<String> = OnceLock::new();
        let (id, owner) = match std::env::var("NEXTEST_RUN_ID") {
            Ok(id) => (id, parent_id()),
            Err(_) => (ALONE.get_or_init(chance).clone(), process::id()),
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

    /// The URL of the run's server. The first caller starts the server and creates the template.
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
        let url = given.unwrap_or_else(|| server::start(&self.folder.join("data"), &[]));
        self.watch(private);
        self.make_template(&url).await;
        fs::write(&marker, &url).expect("write the marker");
        url
    }

    fn in_use(&self) -> PathBuf {
        self.folder.join("in-use")
    }

    /// Shows, for as long as this process lives, that a database is in use.
    fn claim(&self, name: &str) {
        fs::create_dir_all(self.in_use()).expect("create the folder of the databases in use");
        // Locked before it has the name by which others find it.
        let unnamed = self.in_use().join(format!(".{name}"));
        let file = File::create(&unnamed).expect("create the file of a database");
        file.lock().expect("lock");
        fs::rename(unnamed, self.in_use().join(name)).expect("rename the file of a database");
        std::mem::forget(file);
    }

    /// Drops databases of tests whose processes have ended.
    async fn drop_those_of_ended_tests(&self, admin: &mut PgConnection) {
        for entry in fs::read_dir(self.in_use()).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(Ok(file)) = (!name.starts_with('.')).then(|| File::open(entry.path())) else { continue };
            if file.try_lock().is_err() {
                continue;
            }
            let drop = format!(r#"DROP DATABASE IF EXISTS "{name}" WITH (FORCE)"#);
            admin.execute(AssertSqlSafe(drop)).await.expect("drop the database of an ended test");
            // Another test may have dropped it between the listing and the lock.
            let _ = fs::remove_file(entry.path());
        }
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

    /// Starts the process that cleans up after the run.
    #[expect(clippy::zombie_processes, reason = "it must outlive this process")]
    fn watch(&self, private: bool) {
        let (program, arguments) = server::as_server_user(&server::binary("pg_ctl"));
        let stop = format!("{program} {} stop -m immediate -w -D", arguments.join(" "));
        let folders = if private { "\"$2\"/data \"$2\"/server-*" } else { "\"$2\"/server-*" };
        let script = format!(
            "while kill -0 \"$1\" 2>/dev/null; do sleep 0.2; done; cd /; \
             for data in {folders}; do [ ! -d \"$data\" ] || {stop} \"$data\"; done; rm -rf \"$2\""
        );
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
