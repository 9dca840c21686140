//! S11: sessions behind proxies, and the name and platform of devices.

use anyhow::Result;
use serde_json::json;
use wagres::config::Secret;

use crate::support::proxy::Proxy;
use crate::support::world::{Worker, World, wagres};
use wagres::net::{Guard, Reach};

/// A worker that may dial the proxies of the tests, which are on this machine.
async fn worker(world: &World) -> Result<Worker> {
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WORKER__PROXY_ALLOW", r#"["10.0.0.0/8", "127.0.0.0/8"]"#);
    Worker::start(command).await
}

#[tokio::test]
async fn s11_a_session_connects_through_its_own_proxy_over_http_and_socks5() -> Result<()> {
    let world = World::new().await?;
    let worker = worker(&world).await?;
    let proxy = Proxy::start().await?;
    world.phone("15559999").await?;
    let whatsapp = world.sandbox.ws_url();
    let whatsapp = whatsapp.trim_start_matches("ws://").split('/').next().unwrap_or_default();
    for (number, scheme) in [(1, "http"), (2, "socks5")] {
        let (session, phone) = (format!("{scheme}-shop"), format!("1555000{number}"));
        sqlx::query("SELECT wa.add_session($1), wa.set_proxy($1, $2)")
            .bind(&session)
            .bind(proxy.url(scheme))
            .execute(world.pool())
            .await?;
        let shown = format!("SELECT proxy = '{scheme}://{}' FROM wa.session WHERE name = '{session}'", proxy.address);
        world.holds(&shown).await?;
        let before = proxy.reached().len();
        world.link(&session, &phone).await?;
        let reached = proxy.reached().split_off(before);
        // One connection for the link and one for the login.
        assert!(reached.len() >= 2, "{reached:?}");
        assert!(reached.iter().all(|it| *it == (scheme, whatsapp.to_owned())), "{reached:?}");
        let id = world.send(&session, "15559999", scheme).await?;
        world.holds(&format!("SELECT delivered_at IS NOT NULL FROM wa.outbound WHERE id = {id}")).await?;
    }
    // A session without a proxy, and one whose proxy was removed, connect directly.
    let before = proxy.reached().len();
    world.link("direct", "15550003").await?;
    let now: String = world.until("SELECT now()::text").await?;
    let without = "SELECT wa.set_proxy('http-shop', NULL), wa.close('http-shop'), wa.connect('http-shop')";
    sqlx::query(without).execute(world.pool()).await?;
    let connected = "SELECT status = 'connected' AND desired = 'connected' AND proxy IS NULL FROM wa.session";
    world.holds(&format!("{connected} WHERE name = 'http-shop' AND connected_at > '{now}'")).await?;
    assert_eq!(proxy.reached().len(), before);
    worker.stop().await
}

#[tokio::test]
async fn s11_media_goes_through_the_proxy_which_resolves_its_host() -> Result<()> {
    let world = World::new().await?;
    let proxy = Proxy::start().await?;
    let (_, port) =
        world.sandbox.control_url().rsplit_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap_or_default();
    let target = format!("localhost:{}", port.trim_end_matches('/'));
    for scheme in ["http", "socks5"] {
        let agent =
            wagres::session::proxy::Proxy::parse(&Secret::new(proxy.url(scheme)), &Guard::new(Reach::Everywhere, &[]))?;
        let agent = agent.agent()?;
        let url = format!("http://{target}/stats");
        let answer = tokio::task::spawn_blocking(move || agent.get(&url).call().map(|answer| answer.status().as_u16()));
        assert_eq!(answer.await??, 200, "{scheme}");
        assert_eq!(proxy.reached().last(), Some(&(scheme, target.clone())));
    }
    Ok(())
}

#[tokio::test]
async fn s11_a_session_whose_proxy_is_away_does_not_connect_directly() -> Result<()> {
    let world = World::new().await?;
    let worker = worker(&world).await?;
    world.link("shop", "15550001").await?;
    let gone = Proxy::start().await?.url("socks5");
    let mut set = wagres();
    set.args(["--database-url", &world.db.url, "session", "proxy", "shop", "/dev/stdin"]);
    let mut set = set.stdin(std::process::Stdio::piped()).spawn()?;
    tokio::io::AsyncWriteExt::write_all(&mut set.stdin.take().expect("piped"), format!("{gone}\n").as_bytes()).await?;
    assert!(set.wait().await?.success());
    world.control.post("/devices/15550001/1/drop", json!({})).await?;
    world.holds("SELECT failures >= 2 AND status <> 'connected' FROM wa.session").await?;
    let there = Proxy::start().await?;
    sqlx::query("SELECT wa.set_proxy('shop', $1), wa.connect('shop')")
        .bind(there.url("http"))
        .execute(world.pool())
        .await?;
    world.session_is("shop", "connected").await?;
    assert!(!there.reached().is_empty());
    worker.stop().await
}

#[tokio::test]
async fn r9_s11_a_proxy_inside_is_not_dialled_unless_the_configuration_allows_it() -> Result<()> {
    let world = World::new().await?;
    let refusing = world.worker().await?;
    let proxy = Proxy::start().await?;
    let by_name = format!("socks5://anna:secret@localhost:{}", proxy.address.port());
    for (session, url) in [("a", proxy.url("http")), ("b", proxy.url("socks5")), ("c", by_name)] {
        let set = sqlx::query("SELECT wa.add_session($1), wa.set_proxy($1, $2), wa.link($1)").bind(session).bind(url);
        set.execute(world.pool()).await?;
        let said = format!(
            "SELECT status = 'disconnected' AND status_reason LIKE 'proxy: %private network%worker.proxy_allow%'
                    AND status_reason NOT LIKE '%secret%' AND qr IS NULL
             FROM wa.session WHERE name = '{session}'"
        );
        world.holds(&said).await?;
    }
    assert!(proxy.reached().is_empty(), "{:?}", proxy.reached());
    refusing.stop().await?;
    let allowing = worker(&world).await?;
    sqlx::query("SELECT wa.link('a')").execute(world.pool()).await?;
    let _qr: String = world.until("SELECT qr FROM wa.session WHERE name = 'a'").await?;
    assert!(!proxy.reached().is_empty());
    allowing.stop().await
}

/// Logouts of sessions whose proxy is silent, more than the worker has places and handshakes.
#[tokio::test]
async fn r9_a_tenant_whose_proxies_are_silent_holds_up_no_other() -> Result<()> {
    const MANY: usize = 6;
    let world = World::new().await?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_WORKER__PROXY_ALLOW", r#"["127.0.0.1"]"#);
    command.env("WAGRES_WORKER__SESSION_CONCURRENCY", "2").env("WAGRES_WORKER__MAX_HANDSHAKES", "4");
    let worker = Worker::start(command).await?;
    sqlx::query("SELECT wa.add_tenant('acme'), wa.add_tenant('bolt')").execute(world.pool()).await?;
    for n in 0..MANY {
        let session = format!("acme{n}");
        sqlx::query("SELECT wa.add_session($1, 'acme')").bind(&session).execute(world.pool()).await?;
        world.link(&session, &format!("1555100{n}")).await?;
    }
    sqlx::query("SELECT wa.add_session('bolt', 'bolt')").execute(world.pool()).await?;
    world.link("bolt", "15552000").await?;
    sqlx::query("SELECT wa.close(name) FROM wa.session").execute(world.pool()).await?;
    world.holds("SELECT bool_and(status = 'stopped') FROM wa.session").await?;
    let silent = Proxy::silent().await?;
    sqlx::query("SELECT wa.set_proxy(name, $1), wa.logout(name) FROM wa.session WHERE tenant = 'acme'")
        .bind(silent.url("http"))
        .execute(world.pool())
        .await?;
    // All of them wait for a login, although there are two places.
    world
        .holds(&format!("SELECT count(*) = {MANY} FROM wa.session_job WHERE kind = 'logout' AND status = 'running'"))
        .await?;
    sqlx::query("SELECT wa.connect('bolt')").execute(world.pool()).await?;
    let begun = std::time::Instant::now();
    world.session_is("bolt", "connected").await?;
    let took = begun.elapsed();
    // A silent proxy is given up after 20 s or more.
    assert!(took < std::time::Duration::from_secs(15), "the other tenant waited {took:?}");
    worker.kill().await
}

#[tokio::test]
async fn s11_a_device_has_the_configured_name_and_platform() -> Result<()> {
    let world = World::new().await?;
    let mut command = world.worker_on(&world.db.url);
    command.env("WAGRES_DEVICE__NAME", "Shop window").env("WAGRES_DEVICE__PLATFORM", "firefox");
    let worker = Worker::start(command).await?;
    world.link("shop", "15550001").await?;
    let devices = world.control.get("/phones").await?;
    let device = &devices["phones"][0]["devices"][0];
    assert_eq!((&device["name"], &device["platform"]), (&json!("Shop window"), &json!("FIREFOX")), "{devices}");
    worker.stop().await
}
