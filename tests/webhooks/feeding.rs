//! What happens becomes deliveries, in the transaction in which it happens.

use super::receiver::{Receiver, Reply};
use super::stage::{holds, worker};
use crate::support::db::{TestDb, fresh};
use crate::support::logins::{DENIED, expect, login, run, two_tenants};
use crate::support::until::until;
use anyhow::{Context as _, Result, ensure};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

/// Stores a message of each session, as a worker does.
const MESSAGE: &str =
    "INSERT INTO wa.inbox (session, session_id, chat, sender, message_id, kind, from_me, sent_at, message)
    SELECT name, session_id, 'c', 's', gen_random_uuid()::text, 'text', false, now(), '{}' FROM wa.session";

/// What the webhook of this name has to be told, in its order.
async fn told(db: &TestDb, webhook: &str) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar(
        "SELECT concat_ws(' ', s.name, d.type, d.data ->> 'status') FROM wa.delivery d JOIN wa.webhook w USING (webhook_id)
         LEFT JOIN wa.session s ON s.session_id = d.session_id WHERE w.name = $1 ORDER BY d.id",
    )
    .bind(webhook)
    .fetch_all(&db.pool)
    .await?)
}

/// As the holder calls it.
const FILL: &str = "SELECT wa.fill_webhook(webhook_id, 1) FROM wa.webhook";

/// Fills until no transaction is left on the server that may not have seen the webhook.
async fn filled(db: &TestDb) -> Result<()> {
    until("the end of older transactions", async || {
        Ok(if scalar::<bool>(db, FILL).await? { Ok(()) } else { Err("some are open") })
    })
    .await
}

async fn scalar<T>(db: &TestDb, sql: &str) -> Result<T>
where
    T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
{
    Ok(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&db.pool).await?)
}

#[tokio::test]
async fn h5_messages_events_and_statuses_become_deliveries_for_those_who_want_them() -> Result<()> {
    let db = fresh().await;
    run(&db.pool, "SELECT wa.add_session('a'), wa.add_session('b')").await?;
    run(
        &db.pool,
        "SELECT wa.add_webhook('all', 'http://x', '{*}'), wa.add_webhook('of-b', 'http://x', '{message.*}', session => 'b'),
                wa.add_webhook('calls', 'http://x', '{call,session.*}'), wa.add_webhook('off', 'http://x', '{*}')",
    )
    .await?;
    run(&db.pool, "SELECT wa.disable_webhook('off')").await?;
    run(&db.pool, &format!("BEGIN; {MESSAGE}; ROLLBACK; {MESSAGE}")).await?;
    run(
        &db.pool,
        "INSERT INTO wa.event (session, session_id, kind) SELECT name, session_id, 'call' FROM wa.session WHERE name = 'a';
         INSERT INTO wa.event (kind) VALUES ('keys_swept');
         INSERT INTO wa.outbound (session, recipient, body) VALUES ('b', '15550001', 'x');
         WITH changed AS (UPDATE wa.outbound SET status = 'sent', sent_at = now() RETURNING session_id, id)
         SELECT wa.announce_status(array_agg(session_id), array_agg(id)) FROM changed;
         -- The same status again is no news.
         SELECT wa.announce_status(array_agg(session_id), array_agg(id)) FROM wa.outbound;
         UPDATE wa.session SET status = 'linking' WHERE name = 'b'",
    )
    .await?;
    for (webhook, wanted) in [
        (
            "all",
            &[
                "a message.received",
                "b message.received",
                "a call",
                "keys.swept",
                "b message.status sent",
                "b session.linking",
            ][..],
        ),
        ("of-b", &["b message.received", "b message.status sent"]),
        ("calls", &["a call", "b session.linking"]),
        ("off", &[]),
    ] {
        let told = told(&db, webhook).await?;
        ensure!(told == wanted, "{webhook}: {told:?}");
    }
    // What happened while it was disabled is not kept; what happens from now on is.
    run(&db.pool, &format!("SELECT wa.enable_webhook('off'); {MESSAGE}")).await?;
    ensure!(told(&db, "off").await?.len() == 2);
    Ok(())
}

#[tokio::test]
async fn h5_a_webhook_is_for_one_session_for_several_or_for_all_and_leaves_with_its_last() -> Result<()> {
    let db = fresh().await;
    run(&db.pool, "SELECT wa.add_session(s) FROM unnest('{a,b,c}'::text[]) s").await?;
    run(
        &db.pool,
        "SELECT wa.add_webhook('all', 'http://x'), wa.add_webhook('a', 'http://x', session => 'a'),
                wa.add_webhook('two', 'http://x', sessions => '{b,a,a}'), wa.add_webhook('both', 'http://x', session => 'a', sessions => '{c}')",
    )
    .await?;
    let hears = async |wanted: &[(&str, &[&str])]| -> Result<()> {
        run(&db.pool, &format!("DELETE FROM wa.delivery; {MESSAGE}")).await?;
        for (webhook, sessions) in wanted {
            let sessions: Vec<String> = sessions.iter().map(|it| format!("{it} message.received")).collect();
            let told = told(&db, webhook).await?;
            ensure!(told == sessions, "{webhook}: {told:?}");
        }
        Ok(())
    };
    hears(&[("all", &["a", "b", "c"]), ("a", &["a"]), ("two", &["a", "b"]), ("both", &["a", "c"])]).await?;
    run(&db.pool, "SELECT wa.alter_webhook('a', sessions => '{c,b}'), wa.alter_webhook('both', sessions => '{}'), wa.alter_webhook('two', lanes => 'none')").await?;
    hears(&[("a", &["b", "c"]), ("both", &["a", "b", "c"]), ("two", &["a", "b"])]).await?;
    let shown = "SELECT jsonb_object_agg(name, sessions)::text FROM wa.webhooks";
    let shown: serde_json::Value = serde_json::from_str(&scalar::<String>(&db, shown).await?)?;
    ensure!(shown == serde_json::json!({ "all": null, "a": ["b", "c"], "two": ["a", "b"], "both": null }), "{shown}");
    // None of them ever becomes one for all sessions.
    run(&db.pool, "DELETE FROM wa.session WHERE name = 'b'").await?;
    hears(&[("a", &["c"]), ("two", &["a"])]).await?;
    run(&db.pool, "DELETE FROM wa.session WHERE name = 'c'").await?;
    hears(&[("all", &["a"]), ("two", &["a"])]).await?;
    ensure!(
        scalar::<String>(&db, "SELECT string_agg(name, ',' ORDER BY name) FROM wa.webhook").await? == "all,both,two"
    );
    Ok(())
}

#[tokio::test]
async fn h5_q14_a_webhook_gets_no_row_of_another_tenant_and_no_role_reads_a_secret() -> Result<()> {
    let db = two_tenants().await?;
    let (acme, bolt) = (login(&db, "wa_app", Some("acme")).await?, login(&db, "wa_app", Some("bolt")).await?);
    for app in [&acme, &bolt] {
        expect(app, &[("SELECT wa.add_webhook('crm', 'http://x', '{*}')", Ok(1))]).await?;
        expect(app, &[("SELECT wa.add_webhook('crm', 'http://x')", Err("WA054"))]).await?;
    }
    run(&db.pool, &format!("{MESSAGE}; INSERT INTO wa.event (kind) VALUES ('keys_swept')")).await?;
    let foreign = "SELECT count(*) FROM wa.delivery d JOIN wa.webhook w USING (webhook_id) LEFT JOIN wa.session s ON s.session_id = d.session_id
                   WHERE s.tenant IS NULL OR s.tenant <> ALL (w.tenants)";
    ensure!(scalar::<i64>(&db, foreign).await? == 0);
    ensure!(scalar::<i64>(&db, "SELECT count(*) FROM wa.delivery").await? == 2);
    let reader = login(&db, "wa_readonly", Some("acme")).await?;
    let admin = login(&db, "wa_admin", None).await?;
    for (role, rows) in [(&acme, 1), (&reader, 1), (&admin, 2)] {
        expect(
            role,
            &[
                ("SELECT FROM wa.webhooks", Ok(rows)),
                ("SELECT FROM wa.delivery", Ok(rows)),
                ("SELECT FROM wa.webhook_secret", DENIED),
                ("UPDATE wa.delivery SET status = 'queued'", DENIED),
                ("DELETE FROM wa.webhook_lease", DENIED),
            ],
        )
        .await?;
    }
    expect(
        &acme,
        &[
            ("SELECT wa.add_webhook('theirs', 'http://x', session => 'b')", Err("WA001")),
            ("UPDATE wa.webhook SET url = 'http://y'", DENIED),
            ("INSERT INTO wa.delivery (webhook_id, event_id, type, source, happened_at) VALUES (1, 'x', 'x', 'test', now())", DENIED),
            ("SELECT wa.drop_webhook('crm')", Ok(1)),
            ("SELECT wa.drop_webhook('crm')", Err("WA054")),
        ],
    )
    .await?;
    expect(&bolt, &[("SELECT FROM wa.webhooks", Ok(1))]).await?;
    // A reader changes nothing, and whoever sees both must say whose.
    run(&db.pool, "SELECT wa.add_webhook('crm', 'http://x')").await?;
    expect(&reader, &[("SELECT wa.drop_webhook('crm')", DENIED)]).await?;
    expect(&admin, &[("SELECT wa.drop_webhook('crm'), count(*) FROM wa.webhook", Ok(1))]).await
}

/// Whoever stores a message and does not see the webhook has a smaller number than the holder's first look.
#[tokio::test]
async fn h5_a_webhook_that_is_added_while_messages_are_stored_misses_none() -> Result<()> {
    let db = fresh().await;
    run(&db.pool, "SELECT wa.add_session('a')").await?;
    run(&db.pool, MESSAGE).await?;
    let mut early = PgConnection::connect(&db.url).await?;
    let mut late = PgConnection::connect(&db.url).await?;
    sqlx::raw_sql(AssertSqlSafe(format!("BEGIN; {MESSAGE}"))).execute(&mut early).await?;
    // Added in a transaction that is still open when another message is stored and committed.
    sqlx::raw_sql("BEGIN; SELECT wa.add_webhook('crm', 'http://x', '{*}')").execute(&mut late).await?;
    run(&db.pool, MESSAGE).await?;
    sqlx::raw_sql("COMMIT").execute(&mut late).await?;
    run(&db.pool, MESSAGE).await?;
    ensure!(told(&db, "crm").await?.len() == 1, "only the last one saw the webhook");
    run(
        &db.pool,
        "INSERT INTO wa.webhook_lease (webhook_id, worker_id, epoch) SELECT webhook_id, gen_random_uuid(), 1 FROM wa.webhook",
    )
    .await?;
    ensure!(!scalar::<bool>(&db, FILL).await?, "a transaction that did not see the webhook is open");
    ensure!(told(&db, "crm").await?.len() == 2);
    sqlx::raw_sql("COMMIT").execute(&mut early).await?;
    filled(&db).await?;
    ensure!(told(&db, "crm").await?.len() == 3, "{:?}", told(&db, "crm").await?);
    // Enabled again, it does not get what happened while it was disabled.
    for statement in ["SELECT wa.disable_webhook('crm')", MESSAGE, "SELECT wa.enable_webhook('crm')"] {
        run(&db.pool, statement).await?;
    }
    filled(&db).await?;
    ensure!(told(&db, "crm").await?.len() == 3);
    Ok(())
}

/// What happens to a webhook of several sessions is of no session, and still of its tenants.
#[tokio::test]
async fn h5_q14_a_tenant_hears_what_happens_to_its_webhooks_and_to_no_others() -> Result<()> {
    let db = two_tenants().await?;
    let (acme, bolt) = (login(&db, "wa_app", Some("acme")).await?, login(&db, "wa_app", Some("bolt")).await?);
    let both = login(&db, "wa_app", None).await?;
    let role: String = scalar_of(&both, "SELECT current_user::text").await?;
    run(&db.pool, &format!("SELECT wa.grant_tenant('{role}', 'acme'), wa.grant_tenant('{role}', 'bolt')")).await?;
    let gone = Receiver::start(|_, _| Reply::status(410)).await?;
    let receiver = Receiver::ok().await?;
    for (app, log) in [(&acme, "/acme"), (&bolt, "/bolt"), (&both, "/both")] {
        run(
            app,
            &format!(
                "SELECT wa.add_webhook('log', 'http://{}{log}', '{{webhook.*}}', lanes => 'none')",
                receiver.address
            ),
        )
        .await?;
    }
    run(&db.pool, &format!("SELECT wa.add_webhook('all', 'http://{}/all', '{{webhook.*}}')", receiver.address)).await?;
    let worker = worker(&db)?;
    let heard = |path: &str| {
        let of = receiver.received().into_iter().filter(|it| it.path == path);
        of.map(|it| it.body["data"]["webhook"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>()
    };
    let none: &[&str] = &[];
    let events = "SELECT FROM wa.event WHERE kind = 'webhook_disabled'";
    // One after the other, each is disabled by its first delivery.
    for (app, name, wanted) in [
        (
            &acme,
            "of-acme",
            [("/acme", &["of-acme"][..]), ("/bolt", none), ("/both", &["of-acme"]), ("/all", &["of-acme"])],
        ),
        (
            &both,
            "of-both",
            [
                ("/acme", &["of-acme"][..]),
                ("/bolt", none),
                ("/both", &["of-acme", "of-both"]),
                ("/all", &["of-acme", "of-both"]),
            ],
        ),
    ] {
        run(app, &format!("SELECT wa.add_webhook('{name}', '{}'), wa.test_webhook('{name}')", gone.url())).await?;
        holds(&db, &format!("SELECT EXISTS ({events} AND data ->> 'webhook' = '{name}') AND NOT EXISTS (SELECT FROM wa.delivery WHERE status = 'queued' AND source = 'event')")).await?;
        for (path, wanted) in wanted {
            let mut found = heard(path);
            found.sort();
            ensure!(found == wanted, "{name}: {path}: {found:?}");
        }
    }
    for (app, rows) in [(&acme, 1), (&bolt, 0), (&both, 2)] {
        expect(app, &[(events, Ok(rows))]).await?;
    }
    // So does a replay.
    run(&db.pool, "DELETE FROM wa.delivery; SELECT wa.test_webhook(name) FROM (SELECT 'all' AS name) one").await?;
    for app in [&acme, &bolt, &both] {
        run(app, "SELECT wa.replay_webhook('log', now() - interval '1 hour')").await?;
    }
    holds(&db, "SELECT count(*) = 4 AND bool_and(status = 'done') AND NOT EXISTS (SELECT FROM wa.webhook_replay) FROM wa.delivery").await?;
    ensure!(
        heard("/bolt").is_empty() && heard("/acme").len() == 2 && heard("/both").len() == 4,
        "{:?}",
        receiver.ids()
    );
    // A webhook that has changed hands meanwhile gets nothing of its old tenant.
    run(&db.pool, "UPDATE wa.webhook SET tenants = '{bolt}', name = 'moved' WHERE name = 'log' AND tenants = '{acme}'; UPDATE wa.delivery SET status = 'queued', attempts = 0 WHERE source = 'event'").await?;
    holds(&db, "SELECT count(*) = 1 FROM wa.delivery d JOIN wa.webhook w USING (webhook_id) WHERE w.name = 'moved' AND d.status = 'cancelled'").await?;
    worker.stop().await
}

async fn scalar_of(pool: &PgPool, sql: &str) -> Result<String> {
    Ok(sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(pool).await?)
}

/// What the program that posts can read as an address, and nothing else.
#[tokio::test]
async fn h5_every_kind_of_host_is_accepted_that_can_be_dialled() -> Result<()> {
    let db = fresh().await;
    for host in [
        "x",
        "example.org.",
        "xn--e1afmkfd.example",
        "127.0.0.1",
        "255.255.255.255",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "1.2.3",
        "0x",
        "4294967295",
        "[::1]",
        "[::ffff:1.2.3.4]",
        "[2001:DB8::1]",
        "1.example",
        "256.example",
    ] {
        ensure!(url::Url::parse(&format!("http://{host}/")).is_ok(), "{host}");
        run(&db.pool, &format!("SELECT wa.add_webhook('crm', 'http://{host}/x'), wa.drop_webhook('crm')")).await?;
        run(&db.pool, &format!("SELECT wa.add_webhook('crm', 'https://{host}:8080?x=1'), wa.drop_webhook('crm')"))
            .await?;
    }
    for host in [
        "256.256.256.256",
        "256.0.0.1",
        "1.2.3.4.5",
        "1.2.3.256",
        "1.2.65536",
        "0x1ffffffff",
        "4294967296",
        "1.2.3.08",
        "example.1",
        "1..2",
        "x.0xg1.0x1",
        "[:::]",
        "[1]",
        "[::1::]",
        "[::1.2.3.256]",
        "xn--",
        "a.xn--.b",
        "XN--",
        "..",
    ] {
        for path in ["/", ":80", "/?x"] {
            let url = format!("http://{host}{path}");
            let refused = sqlx::query("SELECT wa.add_webhook('crm', $1)").bind(&url).execute(&db.pool).await;
            let error = refused.err().with_context(|| url.clone())?;
            let error = error.as_database_error().with_context(|| url.clone())?;
            ensure!(error.code().as_deref() == Some("WA055") && error.message().starts_with("url: "), "{url}: {error}");
        }
    }
    Ok(())
}
