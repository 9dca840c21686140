//! H1, S3: the command line for operators: `doctor`, `console`, `session move`.

use anyhow::{Context, Result};
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;

use crate::support::db;
use crate::support::logins;
use crate::support::world::{World, wagres};

/// Runs a command; returns the JSON lines that it prints, whether it succeeded, and its stderr.
async fn run(url: &str, arguments: &[&str], input: &str) -> Result<(Vec<Value>, bool, String)> {
    let mut command = wagres();
    command.args(["--json", "--database-url", url]).args(arguments);
    // Nothing listens there; a build with the sandbox accepts only loopback addresses.
    command.env("WAGRES_WHATSAPP_URL", "ws://127.0.0.1:9/");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("no stdin")?.write_all(input.as_bytes()).await?;
    let output = child.wait_with_output().await?;
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().map(serde_json::from_str).collect::<Result<_, _>>().with_context(|| text.clone())?;
    Ok((lines, output.status.success(), String::from_utf8(output.stderr)?))
}

/// The line of `doctor` about one subject.
fn check<'a>(lines: &'a [Value], what: &str) -> &'a Value {
    lines.iter().find(|line| line["what"] == what).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn h1_the_doctor_names_each_fault_and_its_remedy() -> Result<()> {
    let world = World::new().await?;
    sqlx::query("SELECT wa.add_session('shop')").execute(world.pool()).await?;
    let (found, well, error) = run(&world.db.url, &["doctor"], "").await?;
    assert!(well, "{error}");
    for what in ["encryption", "database", "writing", "clock", "schema", "rights", "decryption"] {
        assert_eq!(check(&found, what)["state"], "ok", "{what}: {found:?}");
    }
    assert_eq!(
        (&check(&found, "workers")["state"], &check(&found, "workers")["advice"]),
        (&json!("warn"), &json!("wagres worker"))
    );
    assert_eq!(check(&found, "whatsapp")["state"], "warn", "{found:?}");
    assert_eq!(check(&found, "durability")["state"], "warn", "the tests' server has fsync off: {found:?}");

    assert_eq!(check(&found, "notifications")["state"], "ok", "{found:?}");
    let worker = world.worker().await?;
    world.link("shop", "15550001").await?;
    sqlx::query("UPDATE wa.session SET bad_macs = 7").execute(world.pool()).await?;
    let (found, ..) = run(&world.db.url, &["doctor"], "").await?;
    assert_eq!(check(&found, "workers")["state"], "ok", "{found:?}");
    assert_eq!(check(&found, "sessions")["found"], "1 of 1 that should be connected are", "{found:?}");
    assert_eq!(check(&found, "decryption")["found"], "shop", "{found:?}");
    worker.stop().await?;

    let (found, well, error) = run("postgres://nobody@127.0.0.1:1/x", &["doctor"], "").await?;
    assert!(!well && error.contains("one problem keeps workers from working"), "{error}");
    assert_eq!(check(&found, "database")["state"], "fail", "{found:?}");
    let (empty, name) = world.db.url.rsplit_once('/').context("a URL")?;
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("CREATE DATABASE \"{name}_empty\""))).execute(world.pool()).await?;
    let (found, well, _) = run(&format!("{empty}/{name}_empty"), &["doctor"], "").await?;
    assert!(!well, "{found:?}");
    assert_eq!(
        (&check(&found, "schema")["state"], &check(&found, "schema")["advice"]),
        (&json!("fail"), &json!("wagres migrate"))
    );
    Ok(())
}

/// All workers are dead, and the rows still say what they said last.
#[tokio::test]
async fn h1_s12_the_doctor_believes_no_row_of_a_dead_worker() -> Result<()> {
    let db = db::fresh().await;
    logins::run(
        &db.pool,
        "SELECT wa.add_session('shop');
         INSERT INTO wa.worker (worker_id, host, pid, version, lease_until) VALUES (gen_random_uuid(), 'one', 1, '1', now() - interval '1 hour');
         UPDATE wa.session SET desired = 'connected', jid = '15550001@s.whatsapp.net', status = 'connecting';
         UPDATE wa.session SET status = 'connected'; UPDATE wa.lease SET epoch = 1, holder = (SELECT worker_id FROM wa.worker)",
    )
    .await?;
    let (found, ..) = run(&db.url, &["doctor"], "").await?;
    let sessions = check(&found, "sessions");
    let text = "0 of 1 that should be connected are; 1 have a status of a worker that does not live";
    assert_eq!((&sessions["state"], &sessions["found"]), (&json!("warn"), &json!(text)));
    let stuck = check(&found, "stuck");
    assert_eq!((&stuck["state"], &stuck["found"]), (&json!("warn"), &json!("shop")));
    Ok(())
}

#[tokio::test]
async fn h1_a6_the_doctor_misses_the_key_that_the_database_demands() -> Result<()> {
    let db = db::fresh().await;
    let (found, ..) = run(&db.url, &["doctor"], "").await?;
    assert_eq!(check(&found, "encryption")["found"], "no keys are configured: auth state is written unencrypted");
    assert_eq!(check(&found, "sealed")["state"], "ok", "{found:?}");
    logins::run(&db.pool, "INSERT INTO wa.sealing (key) VALUES ('k1')").await?;
    let (found, well, _) = run(&db.url, &["doctor"], "").await?;
    let sealed = check(&found, "sealed");
    assert!(!well && sealed["state"] == "fail", "{found:?}");
    assert!(sealed["found"].as_str().is_some_and(|it| it.contains("\"k1\", which is none of")), "{sealed}");
    Ok(())
}

/// What a role may not see is not reported as broken.
#[tokio::test]
async fn h1_the_doctor_says_what_its_role_may_not_see() -> Result<()> {
    let db = db::fresh().await;
    let mut url = url::Url::parse(&db.url)?;
    let stranger = format!("stranger_of_{}", url.path().trim_start_matches('/'));
    logins::run(&db.pool, &format!(r#"CREATE ROLE "{stranger}" LOGIN"#)).await?;
    let mut names = vec![(stranger, false)];
    for (role, sees) in [("wa_app", false), ("wa_readonly", true), ("wa_admin", true), ("wa_worker", true)] {
        let own = logins::login(&db, role, None).await?;
        names.push((sqlx::query_scalar("SELECT current_user::text").fetch_one(&own).await?, sees));
    }
    for (name, sees) in names {
        url.set_username(&name).map_err(|()| anyhow::anyhow!("no user name"))?;
        let (found, well, error) = run(url.as_str(), &["doctor"], "").await?;
        assert!(well && found.iter().all(|line| line["state"] != "fail"), "{name}: {error} {found:?}");
        assert_eq!(check(&found, "schema")["state"] == "ok", sees, "{name}: {found:?}");
        if !sees {
            let rights = check(&found, "rights");
            assert_eq!(rights["state"], "warn", "{name}: {found:?}");
            let says = format!("{name} may not see wa.auth_home, ");
            assert!(rights["found"].as_str().is_some_and(|it| it.contains(&says)), "{rights}");
            assert_eq!(rights["advice"], "run doctor as a member of wa_worker or wa_admin");
        }
    }
    Ok(())
}

#[tokio::test]
async fn h1_the_console_runs_line_by_line_and_survives_errors() -> Result<()> {
    let db = db::fresh().await;
    sqlx::query("SELECT wa.add_session('shop')").execute(&db.pool).await?;
    let input = "status\nsend shop +79001234567 Hello,  world\nsend shop\nsend cafe +79001234567 x\nnonsense\n\nerrors shop\nworkers\nmetrics\nstatus\nexit\nstatus\n";
    let (lines, well, error) = run(&db.url, &["console"], input).await?;
    assert!(well, "{error}");
    assert_eq!(lines.len(), 7, "{lines:?}");
    assert_eq!((&lines[0]["session"], &lines[0]["ready"]), (&json!("shop"), &json!(0)));
    assert_eq!(lines[1]["status"], "queued");
    for (line, says) in [(2, "<RECIPIENT>"), (3, "no session is named"), (4, "type help")] {
        assert!(lines[line]["message"].as_str().is_some_and(|it| it.contains(says)), "{lines:?}");
    }
    assert_eq!((&lines[5]["session"], &lines[5]["last_minute"]), (&json!("shop"), &json!(0)));
    assert_eq!(lines[6]["ready"], 1);
    let body: String = sqlx::query_scalar("SELECT body FROM wa.outbound").fetch_one(&db.pool).await?;
    assert_eq!(body, "Hello,  world");
    Ok(())
}

#[tokio::test]
async fn s3_a_session_is_moved_to_a_worker_and_stays_there() -> Result<()> {
    let world = World::new().await?;
    let first = world.worker().await?;
    for number in 1..4 {
        world.link(&format!("shop-{number}"), &format!("1555000{number}")).await?;
    }
    let second = world.worker().await?;
    let held = |worker: &str, count: u32| {
        format!(
            "SELECT count(*) = {count} FROM wa.lease l JOIN wa.session s USING (session_id) JOIN wa.worker w ON w.worker_id = l.holder
             WHERE s.status = 'connected' AND w.worker_id = '{worker}'"
        )
    };
    let workers: Vec<String> =
        sqlx::query_scalar("SELECT worker_id::text FROM wa.worker ORDER BY started_at").fetch_all(world.pool()).await?;
    let [one, two] = &workers[..] else { anyhow::bail!("{workers:?}") };
    world.holds(&held(two, 1)).await?;
    // All three sessions: more than the fair share of one of two workers.
    for number in 1..4 {
        let (moved, well, error) = run(&world.db.url, &["session", "move", &format!("shop-{number}"), two], "").await?;
        assert!(well && moved[0]["worker_id"] == json!(two), "{error}");
    }
    world.holds(&held(two, 3)).await?;
    // Without a target the session goes to the worker with room, which is the other one.
    run(&world.db.url, &["session", "move", "shop-1"], "").await?;
    world.holds(&held(one, 1)).await?;
    // And a person may wait for it.
    for (worker, count) in [(two, 3), (one, 1)] {
        let (moved, well, error) = run(&world.db.url, &["session", "move", "shop-1", worker, "--wait"], "").await?;
        assert!(well && moved[0]["moved"] == true, "{error}");
        let holds = format!("SELECT count(*) FROM wa.lease WHERE holder = '{worker}'");
        assert_eq!(world.count(&holds).await?, i64::from(count));
        world.holds(&held(worker, count)).await?;
    }
    world.holds(&held(two, 2)).await?;
    let unknown = "00000000-0000-0000-0000-000000000000";
    let (_, well, error) = run(&world.db.url, &["session", "move", "shop-1", unknown], "").await?;
    assert!(!well && error.contains("worker_id: no live worker has the id"), "{error}");
    // A dead worker keeps no session, however it got it.
    world.kill(second).await?;
    world.holds(&held(one, 3)).await?;
    let (errors, ..) = run(&world.db.url, &["session", "errors", "shop-2"], "").await?;
    let gone = |it: &Value| {
        it["what"] == "session_disconnected" && it["error"].as_str().is_some_and(|it| it.contains("is gone"))
    };
    assert!(errors.iter().any(gone), "{errors:?}");
    first.stop().await
}
