//! What people see at a terminal: colours and widths, bars, the console with its history and completion.

use crate::support::db;
use crate::support::until::{LIMIT, until};
use crate::support::world::{WAGRES, clean, wagres};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

/// Runs a command on a terminal of this many columns, and returns what the terminal gets.
async fn on_terminal(url: &str, columns: u16, arguments: &str, no_color: bool) -> Result<String> {
    let mut command = Command::new("script");
    clean(&mut command);
    let run = format!("stty cols {columns} rows 50; {WAGRES} --log error --database-url '{url}' {arguments}");
    command.args(["-qec", &run, "/dev/null"]).env("TERM", "xterm").env_remove("NO_COLOR");
    if no_color {
        command.env("NO_COLOR", "1");
    }
    let done = tokio::time::timeout(LIMIT, command.output()).await.context("the command does not end")??;
    let text = String::from_utf8(done.stdout)?;
    ensure!(done.status.success(), "{arguments}: {text}");
    Ok(text.replace('\r', ""))
}

#[tokio::test]
async fn h7_a_list_on_a_terminal_has_colours_and_its_width_unless_no_color_is_set() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql(
        "SELECT wa.add_session('shop'), wa.add_session('cafe');
         INSERT INTO wa.outbound (session, recipient, body) VALUES ('shop', '+15550009', 'x');
         UPDATE wa.outbound SET status = 'failed', failed_at = now(), failure = 'refused',
                last_error = 'a long sentence about what the server said, which does not fit a line of eighty characters'",
    )
    .execute(&db.pool)
    .await?;
    let coloured = on_terminal(&db.url, 80, "jobs list", false).await?;
    ensure!(coloured.contains("\x1b["), "{coloured:?}");
    for columns in [80, 120] {
        let plain = on_terminal(&db.url, columns, "jobs list", true).await?;
        ensure!(!plain.contains('\x1b'), "{plain:?}");
        ensure!(plain.lines().all(|line| line.chars().count() <= usize::from(columns)), "{columns}: {plain}");
    }
    let page = on_terminal(&db.url, 80, "session show cafe", true).await?;
    for words in ["cafe", "status           new, since", "queue            empty", "worker           none"] {
        ensure!(page.contains(words), "{words}: {page}");
    }
    Ok(())
}

#[tokio::test]
async fn h7_long_work_has_a_bar_on_a_terminal_and_none_elsewhere() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql(
        "SELECT wa.add_session('shop');
         INSERT INTO wa.outbound (session, recipient, body) SELECT 'shop', '+15550009', 'x' FROM generate_series(1, 2500)",
    )
    .execute(&db.pool)
    .await?;
    let purge = ["jobs", "purge", "--older-than", "1d"];
    let shown = on_terminal(&db.url, 100, &purge.join(" "), true).await?;
    ensure!(shown.contains("/2500") && shown.trim_end().ends_with("0 messages deleted"), "{shown:?}");
    let done = wagres().args(["--log", "error", "--database-url", &db.url]).args(purge).output().await?;
    ensure!(done.status.success() && done.stderr.is_empty(), "{done:?}");
    Ok(())
}

/// The console on a terminal.
struct Console {
    child: Child,
    keys: ChildStdin,
    output: ChildStdout,
    text: String,
}

impl Console {
    async fn open(url: &str, state: &Path) -> Result<Self> {
        let mut command = Command::new("script");
        clean(&mut command);
        let run = format!("stty cols 100 rows 50; exec {WAGRES} --log error --database-url '{url}' console");
        command.args(["-qec", &run, "/dev/null"]).env("TERM", "xterm").env("XDG_STATE_HOME", state);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let keys = child.stdin.take().context("no stdin")?;
        let output = child.stdout.take().context("no stdout")?;
        let mut console = Self { child, keys, output, text: String::new() };
        console.shows("> ").await?;
        Ok(console)
    }

    async fn types(&mut self, keys: &str) -> Result<()> {
        Ok(self.keys.write_all(keys.as_bytes()).await?)
    }

    /// Waits until the terminal gets these words, and forgets what it got up to them.
    async fn shows(&mut self, words: &str) -> Result<()> {
        let start = tokio::time::Instant::now();
        while !self.text.contains(words) {
            let mut bytes = vec![0; 4096];
            let read = tokio::time::timeout_at(start + LIMIT, self.output.read(&mut bytes)).await;
            let count = read.with_context(|| format!("no {words:?}: {:?}", self.text))??;
            ensure!(count > 0, "it ended without {words:?}: {:?}", self.text);
            self.text.push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
        let end = self.text.find(words).map_or(0, |at| at + words.len());
        self.text.drain(..end);
        Ok(())
    }
}

#[tokio::test]
async fn h7_the_console_on_a_terminal_completes_remembers_and_survives_ctrl_c() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql("SELECT wa.add_session('warehouse')").execute(&db.pool).await?;
    let state = tempfile::tempdir()?;
    let mut console = Console::open(&db.url, state.path()).await?;
    console.types("tena\tlist\n").await?;
    console.shows("ROLES").await?;
    console.shows("> ").await?;
    console.types("tenant list --json\n").await?;
    console.shows("\"tenant\":\"default\"").await?;
    console.shows("> ").await?;
    console.types("session show nobody --json\n").await?;
    console.shows("\"error\":\"not_found\"").await?;
    console.shows("> ").await?;
    console.types("session show ware\t\n").await?;
    console.shows("not linked").await?;
    console.shows("> ").await?;
    console.types("webhook add crm https://example.org/hook --header Authorization:hush\n").await?;
    console.shows("crm").await?;
    console.shows("> ").await?;
    // Ctrl-C ends what is watched,
    console.types("jobs queue --watch\n").await?;
    console.shows("\u{1b}[2J").await?;
    console.shows("warehouse").await?;
    console.types("\u{3}").await?;
    console.shows("> ").await?;
    // a command that only a signal ends,
    console.types("session link warehouse\n").await?;
    until("the link job", async || {
        let jobs: i64 = sqlx::query_scalar("SELECT count(*) FROM wa.session_job").fetch_one(&db.pool).await?;
        Ok(if jobs == 1 { Ok(()) } else { Err(jobs) })
    })
    .await?;
    console.types("\u{3}").await?;
    console.shows("> ").await?;
    // and a line that is not finished.
    console.types("nonsense\u{3}").await?;
    console.shows("> ").await?;
    console.types("exit\n").await?;
    ensure!(tokio::time::timeout(LIMIT, console.child.wait()).await.context("it does not end")??.success());

    let file = state.path().join("wagres/history");
    let history = std::fs::read_to_string(&file)?;
    for line in ["tenant list", "session show warehouse", "jobs queue --watch"] {
        ensure!(history.lines().any(|kept| kept.trim_end() == line), "{line}: {history}");
    }
    ensure!(!history.contains("hush"), "{history}");
    ensure!(std::fs::metadata(&file)?.permissions().mode().trailing_zeros() >= 6, "others may read the history");
    // Key up brings the last line of the time before.
    let mut console = Console::open(&db.url, state.path()).await?;
    console.types("\u{1b}[A").await?;
    console.shows("exit").await?;
    console.types("\n").await?;
    ensure!(tokio::time::timeout(LIMIT, console.child.wait()).await.context("it does not end")??.success());
    Ok(())
}

#[tokio::test]
async fn h7_a_console_without_a_terminal_ends_with_a_signal_after_what_it_watches() -> Result<()> {
    let db = db::fresh().await;
    sqlx::raw_sql("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    for (input, signal, code) in [
        ("jobs queue --watch\nhelp\n", "TERM", 143),
        ("jobs queue --watch\nhelp\n", "INT", 130),
        ("jobs queue\n", "INT", 130),
    ] {
        let mut command = wagres();
        command.args(["--json", "--log", "error", "--database-url", &db.url, "console"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let mut keys = child.stdin.take().context("no stdin")?;
        keys.write_all(input.as_bytes()).await?;
        let mut printed = BufReader::new(child.stdout.take().context("no output")?).lines();
        ensure!(printed.next_line().await?.is_some_and(|line| line.contains("shop")));
        let pid = child.id().context("it has ended")?.to_string();
        ensure!(Command::new("kill").args(["-s", signal, &pid]).status().await?.success());
        let ended = tokio::time::timeout(LIMIT, child.wait()).await.context("the console does not end")??;
        ensure!(ended.code() == Some(code) && printed.next_line().await?.is_none(), "{input}: {ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn h7_the_console_knows_every_command() -> Result<()> {
    let db = db::fresh().await;
    let input = "session add \"shop\"\ntenant list\nsend shop +15550002 it's 5 o'clock\nsend shop +15550002 --kind location \
                 --latitude 1 --longitude 2\njobs list --limit 1\nworker\nup\nsession list --help\nsession shwo x\nerrors\n\
                 session show shpo\n";
    let mut command = wagres();
    command.args(["--json", "--log", "error", "--database-url", &db.url, "console"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    child.stdin.take().context("no stdin")?.write_all(input.as_bytes()).await?;
    let done = tokio::time::timeout(LIMIT, child.wait_with_output()).await.context("the console does not end")??;
    let text = String::from_utf8(done.stdout)?;
    ensure!(done.status.success(), "{text}");
    let shown: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    ensure!(shown[0]["session"] == "shop" && shown[1]["tenant"] == "default", "{text}");
    ensure!(
        shown[2]["status"] == "queued" && shown[3]["status"] == "queued" && shown[4]["kind"] == "location",
        "{text}"
    );
    let bodies: Vec<Option<String>> =
        sqlx::query_scalar("SELECT body FROM wa.outbound ORDER BY id").fetch_all(&db.pool).await?;
    ensure!(bodies == [Some("it's 5 o'clock".to_owned()), None], "{bodies:?}");
    let failures: Vec<&str> = shown[5..].iter().filter_map(|line| line["message"].as_str()).collect();
    for (failure, words) in
        failures.iter().zip(["outside of the console", "outside", "unrecognized", "required", "shpo"])
    {
        ensure!(failure.contains(words), "{words}: {failures:?}");
    }
    ensure!(failures.len() == 5 && text.contains("--stuck"), "{text}");
    ensure!(shown.last().is_some_and(|it| it["hint"].as_str().is_some_and(|it| it.contains("\"shop\""))), "{text}");
    Ok(())
}
